/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heading.c - how a report begins: totals, filters, units, and the lines above a table. */
#include "core/emit.h"
#include "core/util.h"
#include "format/pprof.h"
#include "report/measure.h"
#include "report/report.h"
#include "report/reshape.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define NODE_FRACTION 0.005
#define EDGE_FRACTION 0.001

int64_t report__whole(double v)
{
	return v >= 0x1p62 ? (int64_t)1 << 62 : v <= -0x1p62 ? -((int64_t)1 << 62) : (int64_t)v;
}

static int64_t scaled(const struct report *r, int64_t v)
{
	double by = r->o.divide_by;

	return by > 0 && by != 1 ? report__whole((double)v * (1 / by)) : v;
}

void report__value(const struct report *r, int64_t v, char *buf, size_t len)
{
	const char *unit = profile__text(r->p, r->p->sample_type[r->o.type].unit);

	measure__label(buf, len, scaled(r, v), unit, r->out_unit);
}

void report__value_or_dot(const struct report *r, int64_t v, char *buf, size_t len)
{
	if (v)
		report__value(r, v, buf, len);
	else
		snprintf(buf, len, ".");
}

const char *report__base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

void report__source(FILE *f, const char *text, void (*put)(FILE *f, const char *text))
{
	for (const char *t = text; *t;) {
		size_t len = strcspn(t, "\t");
		cleanup_free char *part = strndup(t, len);

		put(f, part ? part : "");
		if (t[len])
			putc('\t', f);
		t += len + (t[len] != 0);
	}
}

int64_t report__sample_value(const struct report *r, const struct profile_sample *s)
{
	return graph__quotient(s->value[r->o.type], r->o.mean ? s->value[0] : 0);
}

static bool is_diff_base(const struct profile *p, const struct profile_sample *s)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (!strcmp(profile__text(p, l->key), "pprof::base") &&
		    !strcmp(profile__text(p, l->str), "true"))
			return true;
	}
	return false;
}

/* Sum of absolute values; of the base alone where the profile is a comparison with one. */
static int64_t total_of(const struct profile *p, const struct report_options *o)
{
	uint64_t total = 0, base = 0, div = 0, base_div = 0;

	for (size_t i = 0; i < p->nsamples; i++) {
		int64_t v = p->samples[i].value[o->type];
		int64_t d = o->mean ? p->samples[i].value[0] : 0;
		uint64_t a = v < 0 ? -(uint64_t)v : (uint64_t)v;

		total += a;
		div += d;
		if (is_diff_base(p, &p->samples[i])) {
			base += a;
			base_div += d;
		}
	}
	return (int64_t)base > 0 ? graph__quotient(base, base_div) : graph__quotient(total, div);
}

/* What some reports have in place of what was asked for, as in pprof. */
static void adapt_options(struct report_options *o, enum report_kind kind)
{
	switch (kind) {
	case REPORT_DISASM:
		o->untrimmed = true;
		o->granularity = GRAPH_ADDRESSES;
		o->no_inlines = true;
		break;
	case REPORT_PEEK: o->untrimmed = true; break;
	case REPORT_LIST:
		o->untrimmed = true;
		o->granularity = GRAPH_LINES;
		break;
	case REPORT_WEBLIST:
	case REPORT_RAW:
	case REPORT_PROTO:
	case REPORT_CALLGRIND:
		o->untrimmed = true;
		o->granularity = GRAPH_ADDRESSES;
		o->no_inlines = false;
		break;
	default: break;
	}
}

int report__begin(struct report *r, struct profile *p, const struct report_options *o,
		  enum report_kind kind, char *why, size_t why_len)
{
	bool found[2];
	int err;

	*r = (struct report){.p = p, .o = *o, .out_unit = o->unit ? o->unit : "minimum"};
	adapt_options(&r->o, kind);
	/* Units are those of all samples, also of those that go. */
	err = filter__label_units(p, &r->label_units);
	/* Before the filters: they may name these frames. */
	err = err ? err : reshape__label_frames(p, o->tag_root, o->tag_leaf, r->out_unit, found);
	if (err)
		return err;
	r->no_root = o->tag_root && *o->tag_root && !found[0];
	r->no_leaf = o->tag_leaf && *o->tag_leaf && !found[1];
	if (!o->relative)
		r->total = total_of(p, o);
	err = filter__apply(p, &o->filter, &r->unmatched, why, why_len);
	if (o->relative)
		r->total = total_of(p, o);
	if (!err && r->o.no_inlines)
		reshape__no_inlines(p);
	return err;
}

void report__end(struct report *r)
{
	free(r->label_units);
	r->label_units = NULL;
}

/* The samples as they are filtered, divided as they are shown. */
static int proto(struct report *r, FILE *f)
{
	double by = r->o.divide_by;

	for (size_t i = 0; i < r->p->nsamples && by > 0 && by != 1; i++) {
		for (size_t k = 0; k < r->p->nvalues; k++) {
			int64_t *v = &r->p->samples[i].value[k];

			*v = report__whole((double)*v * (1 / by));
		}
	}
	return emit__end(f, pprof__write(f, r->p));
}

/* Prints nothing, no header either, when no function matches: as pprof. */
static int peek(struct report *r, FILE *f)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *m = open_memstream(&text, &len);
	int err = m ? report__tree(r, m) : -ENOMEM;

	if (m && fclose(m) && !err)
		err = -ENOMEM;
	if (!err)
		fwrite(text, 1, len, f);
	return emit__end(f, err);
}

int report__print(struct report *r, enum report_kind kind, FILE *f)
{
	switch (kind) {
	case REPORT_TOP: return report__top(r, f);
	case REPORT_TREE: return report__tree(r, f);
	case REPORT_PEEK: return peek(r, f);
	case REPORT_LIST: return report__list(r, f);
	case REPORT_TRACES: return report__traces(r, f);
	case REPORT_RAW: return report__raw(r, f);
	case REPORT_TAGS: return report__tags(r, f);
	case REPORT_COMMENTS: return report__comments(r, f);
	case REPORT_DOT: return report__dot(r, f);
	case REPORT_CALLGRIND: return report__callgrind(r, f);
	case REPORT_PROTO: return proto(r, f);
	case REPORT_TOPPROTO: return report__top_proto(r, f);
	case REPORT_DISASM: return report__disasm(r, f);
	case REPORT_WEBLIST: return report__weblist(r, f);
	case REPORT_KINDS: break;
	}
	return -EINVAL;
}

int report__graph(struct report *r, struct graph *g, const struct graph_options *base)
{
	struct graph_options o = *base;

	o.type = r->o.type;
	o.mean = r->o.mean;
	o.drop_negative = r->o.drop_negative;
	o.source_path = r->o.source_path;
	o.trim_path = r->o.trim_path;
	return graph__build(g, r->p, &o);
}

struct graph_options report__trimming(const struct report *r, int default_nodes)
{
	int top = r->o.top >= 0 ? r->o.top : default_nodes;
	bool all = r->o.untrimmed;

	return (struct graph_options){
		.granularity = r->o.granularity,
		.cum = r->o.cum,
		.max_nodes = all ? 0 : top,
		.node_fraction = all			   ? 0
				 : r->o.node_fraction >= 0 ? r->o.node_fraction
							   : NODE_FRACTION,
		.edge_fraction = all			   ? 0
				 : r->o.edge_fraction >= 0 ? r->o.edge_fraction
							   : EDGE_FRACTION,
	};
}

void report__select_unit(struct report *r, const struct graph *g, bool whole)
{
	const char *from = profile__text(r->p, r->p->sample_type[r->o.type].unit);
	const char *min_unit, *max_unit, *unit;
	int64_t min = 0, max = r->total;

	if (strcmp(r->out_unit, "minimum") || !g->norder)
		return;
	for (size_t i = 0; i < g->norder; i++) {
		const struct graph_node *n = &g->nodes[g->order[i]];
		int64_t v = llabs(graph__flat(n) ? graph__flat(n) : graph__cum(n));

		if (v > 0 && (!min || v < min))
			min = v;
	}
	if (!min)
		min = max;
	min = scaled(r, min);
	max = scaled(r, max);
	measure__scale(min, from, "minimum", &min_unit);
	measure__scale(max, from, "minimum", &max_unit);
	unit = min_unit;
	if (!whole && strcmp(min_unit, max_unit) && min < INT64_MAX / 100 && min * 100 < max)
		measure__scale(100 * min, from, "minimum", &unit);
	r->out_unit = *unit ? unit : from;
}

static void line_with(FILE *f, const char *label, const char *text)
{
	fputs(label, f);
	emit__plain(f, text);
	putc('\n', f);
}

static void time_line(FILE *f, int64_t ns)
{
	time_t s = ns / 1000000000 - (ns % 1000000000 < 0);
	char text[80];
	struct tm tm;

	if (localtime_r(&s, &tm) &&
	    strftime(text, sizeof(text), "%b %-d, %Y at %-I:%M%P (%Z)", &tm))
		fprintf(f, "Time: %s\n", text);
}

static void duration_line(const struct report *r, FILE *f)
{
	const char *from = profile__text(r->p, r->p->sample_type[r->o.type].unit), *unit;
	char duration[MEASURE_LEN], total[MEASURE_LEN], percent[MEASURE_LEN];
	double ns = measure__scale(r->total, from, "nanoseconds", &unit);

	measure__label(duration, sizeof(duration), r->p->duration_ns, "nanoseconds", "auto");
	report__value(r, r->total, total, sizeof(total));
	fprintf(f, "Duration: %s, Total samples = %s ", duration, total);
	if (!strcmp(unit, "ns") && ns != 0 && fabs(ns) < 0x1p62)
		fprintf(f, "(%s)",
			measure__percent(percent, sizeof(percent), (int64_t)ns, r->p->duration_ns));
	putc('\n', f);
}

void report__header(const struct report *r, FILE *f)
{
	const struct profile *p = r->p;

	if (p->nmappings && p->mappings[0].file)
		line_with(f, "File: ", report__base(profile__text(p, p->mappings[0].file)));
	if (p->nmappings && p->mappings[0].build_id)
		line_with(f, "Build ID: ", profile__text(p, p->mappings[0].build_id));
	for (size_t i = 0; i < p->ncomments; i++) {
		const char *c = profile__text(p, p->comments[i]);

		if (*c != '#')
			line_with(f, "", c);
	}
	if (p->sample_type[r->o.type].type || r->o.mean)
		line_with(f, r->o.mean ? "Type: mean_" : "Type: ",
			  profile__text(p, p->sample_type[r->o.type].type));
	if (p->time_ns)
		time_line(f, p->time_ns);
	if (p->duration_ns)
		duration_line(r, f);
}

static void filter_line(FILE *f, bool *any, const char *key, const char *value)
{
	char text[400];

	if (!value)
		return;
	if (!*any)
		fputs("Active filters:\n", f);
	*any = true;
	snprintf(text, sizeof(text), "%s=%s", key, value);
	if (strlen(key) + 1 + strlen(value) > 80) /* shown in part */
		strcpy(text + 80, "\u2026");
	line_with(f, "   ", text);
}

static const char *pattern(const struct rx *rx)
{
	return rx ? rx__pattern(rx) : NULL;
}

static void filter_lines(const struct report *r, FILE *f)
{
	const struct filter *o = &r->o.filter;
	bool any = false;

	filter_line(f, &any, "focus", pattern(o->focus));
	filter_line(f, &any, "ignore", pattern(o->ignore));
	filter_line(f, &any, "hide", pattern(o->hide));
	filter_line(f, &any, "show", pattern(o->show));
	filter_line(f, &any, "show_from", pattern(o->show_from));
	filter_line(f, &any, "tagfocus", o->tag_focus);
	filter_line(f, &any, "tagignore", o->tag_ignore);
	filter_line(f, &any, "tagshow", pattern(o->tag_show));
	filter_line(f, &any, "taghide", pattern(o->tag_hide));
}

static void dropped_line(const struct report *r, FILE *f, size_t n, const char *what,
			 const char *by, double fraction)
{
	char low[MEASURE_LEN];

	if (!n)
		return;
	report__value(r, report__whole(fabs((double)r->total * fraction)), low, sizeof(low));
	fprintf(f, "Dropped %zu %s%s (%s <= %s)\n", n, what, n > 1 ? "s" : "", by, low);
}

void report__heading(const struct report *r, FILE *f, const struct graph *g,
		     const struct graph_options *o, bool picture)
{
	char sum[MEASURE_LEN], total[MEASURE_LEN], percent[MEASURE_LEN];
	int64_t flat = 0;

	if (picture || !r->o.compact)
		report__header(r, f);
	filter_lines(r, f);
	for (size_t i = 0; i < g->norder; i++)
		flat = (int64_t)((uint64_t)flat + (uint64_t)graph__flat(&g->nodes[g->order[i]]));
	report__value(r, flat, sum, sizeof(sum));
	report__value(r, r->total, total, sizeof(total));
	measure__percent(percent, sizeof(percent), flat, r->total);
	fprintf(f, "Showing nodes accounting for %s, %s of %s total\n", sum,
		percent + strspn(percent, " "), total);
	if (!r->total)
		return;
	dropped_line(r, f, g->dropped_nodes, "node", "cum", o->node_fraction);
	if (picture)
		dropped_line(r, f, g->dropped_edges, "edge", "freq", o->edge_fraction);
	if (g->norder && g->norder < g->orig_count)
		fprintf(f, "Showing top %zu nodes out of %zu\n", g->norder, g->orig_count);
}
