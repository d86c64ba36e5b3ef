/* SPDX-License-Identifier: GPL-2.0-or-later */
/* weblist.c - source as a page, with the instructions of each line behind it; see report.h. */
#include "core/emit.h"
#include "core/util.h"
#include "format/page.h"
#include "report/listing.h"
#include "report/measure.h"
#include "report/sources.h"

#include <inttypes.h>
#include <string.h>

#define MERGE 20 /* lines of one function that are nearer are shown together */
#define MARGIN 5 /* lines before and behind */

struct web_page {
	struct report *r;
	struct code_listing code;
	struct sources sources;
};

/* The entries of a run of lines of one function; lines [begin, end) are shown. */
struct web_function {
	const char *name, *file;
	int64_t begin, end;
	size_t entry0, n;
	int64_t flat, cum;
};

static const char *source_line(struct web_page *page, const char *file, int64_t line)
{
	const struct source_text *s;

	return sources__read(&page->sources, file, &s) ? NULL : sources__line(s, line);
}

/* The lines that were inlined down to an instruction, from `same` on: the outermost comes first. */
static void put_calls(FILE *f, struct web_page *page, const struct listing_entry *e, uint32_t same)
{
	const struct listing_insn *in = &page->code.insns[e->insn];

	for (uint32_t k = same; k < e->ncallees; k++) {
		const struct listing_frame *at =
			&page->code.frames[in->frame0 + e->ncallees - 1 - k];
		const char *text = source_line(page, at->file, at->line);

		text = text ? text + strspn(text, " \t") : "";
		fprintf(f, "%10s %10s %10s  %*s", "", "", "", (int)(4 * k), "");
		report__source(f, text, emit__xml);
		fputs("  <span class=\"dim\">", f);
		emit__xml(f, report__base(at->file));
		fprintf(f, ":%" PRId64 "</span>\n", at->line);
	}
}

static uint32_t common_calls(const struct web_page *page, const struct listing_entry *a,
			     const struct listing_entry *b)
{
	const struct listing_frame *x = &page->code.frames[page->code.insns[a->insn].frame0];
	const struct listing_frame *y = &page->code.frames[page->code.insns[b->insn].frame0];
	uint32_t n = 0;

	while (n < a->ncallees && n < b->ncallees &&
	       x[a->ncallees - 1 - n].line == y[b->ncallees - 1 - n].line &&
	       !strcmp(x[a->ncallees - 1 - n].file, y[b->ncallees - 1 - n].file))
		n++;
	return n;
}

static void put_insn(FILE *f, const struct report *r, const struct listing_insn *in, uint32_t depth)
{
	char flat[MEASURE_LEN], cum[MEASURE_LEN];

	report__value_or_dot(r, in->flat, flat, sizeof(flat));
	report__value_or_dot(r, in->cum, cum, sizeof(cum));
	fprintf(f, "%10s %10s %10" PRIx64 ": %*s", flat, cum, in->vaddr, (int)(4 * depth), "");
	emit__xml(f, in->text);
	if (*in->file) {
		fputs("  <span class=\"dim\">", f);
		emit__xml(f, report__base(in->file));
		fprintf(f, ":%" PRId64 "</span>", in->line);
	}
	putc('\n', f);
}

/* The instructions of a line, with what was inlined there. */
static void put_insns(FILE *f, struct web_page *page, const struct listing_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct listing_insn *in = &page->code.insns[e[i].insn];

		if (i && page->code.insns[e[i - 1].insn].end != in->vaddr)
			fprintf(f, "%10s %10s %10s\n", "", "", "⋮");
		put_calls(f, page, &e[i], i ? common_calls(page, &e[i - 1], &e[i]) : 0);
		if (in->text)
			put_insn(f, page->r, in, e[i].ncallees);
	}
}

static void put_line(FILE *f, const struct report *r, int64_t line, const int64_t sum[2],
		     const char *source)
{
	char flat[MEASURE_LEN], cum[MEASURE_LEN];

	report__value_or_dot(r, sum[0], flat, sizeof(flat));
	report__value_or_dot(r, sum[1], cum, sizeof(cum));
	fprintf(f, "%10s %10s %6" PRId64 "  ", flat, cum, line);
	report__source(f, source, emit__xml);
}

static void add_up(const struct web_page *page, const struct listing_entry *e, size_t n,
		   int64_t sum[2])
{
	for (size_t i = 0; i < n; i++) {
		sum[0] = graph__sum(sum[0], page->code.insns[e[i].insn].flat);
		sum[1] = graph__sum(sum[1], page->code.insns[e[i].insn].cum);
	}
}

static bool tells_more(const struct web_page *page, const struct listing_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (e[i].ncallees || page->code.insns[e[i].insn].text)
			return true;
	}
	return false;
}

/* A line with its n entries. */
static void line(FILE *f, struct web_page *page, const char *file, int64_t line,
		 const struct listing_entry *e, size_t n)
{
	const char *source = source_line(page, file, line);
	int64_t sum[2] = {0};

	if (!source && !n)
		return;
	if (!source)
		source = line ? "???" : "<instructions with unknown line numbers>";
	add_up(page, e, n, sum);
	if (!tells_more(page, e, n)) {
		fputs(sum[0] || sum[1] ? "<pre class=\"hot\">" : "<pre>", f);
		put_line(f, page->r, line, sum, source);
		fputs("</pre>\n", f);
		return;
	}
	fputs(sum[0] || sum[1] ? "<details><summary><pre class=\"hot\">"
			       : "<details><summary><pre>",
	      f);
	put_line(f, page->r, line, sum, source);
	fputs("</pre></summary><pre class=\"code\">", f);
	put_insns(f, page, e, n);
	fputs("</pre></details>\n", f);
}

static void head(FILE *f, struct web_page *page, const struct web_function *fn)
{
	char flat[MEASURE_LEN], cum[MEASURE_LEN], percent[MEASURE_LEN];
	const struct source_text *s = NULL;

	report__value(page->r, fn->flat, flat, sizeof(flat));
	report__value(page->r, fn->cum, cum, sizeof(cum));
	fputs("<section><h2>", f);
	emit__xml(f, fn->name);
	fputs("</h2>\n<p class=\"dim\">", f);
	emit__xml(f, fn->file);
	fprintf(f, "</p>\n<p>%s flat, %s cum (%s of the total)</p>\n", flat, cum,
		measure__percent(percent, sizeof(percent), fn->cum, page->r->total));
	if (!sources__read(&page->sources, fn->file, &s) && s->why) {
		fputs("<p>", f);
		emit__xml(f, s->why);
		fputs("</p>\n", f);
	}
	fputs("<div class=\"source\" tabindex=\"0\" role=\"region\" aria-label=\"", f);
	emit__xml(f, fn->name);
	fputs("\">\n", f);
}

static void function(FILE *f, struct web_page *page, const struct web_function *fn)
{
	const struct listing_entry *e = page->code.entries + fn->entry0;
	size_t at = 0;

	head(f, page, fn);
	for (int64_t l = fn->begin; l < fn->end; l++) {
		size_t n = 0;

		while (at + n < fn->n && e[at + n].line == l)
			n++;
		line(f, page, fn->file, l, e + at, n);
		at += n;
	}
	fputs("</div></section>\n", f);
}

/* The entries of one line join what is before it, of the same function and near, or begin anew. */
static int add_line(struct web_function **fns, size_t *nfns, size_t *cap, size_t first,
		    const struct web_page *page, size_t entry0, size_t n)
{
	const struct listing_entry *e = &page->code.entries[entry0];
	struct web_function *last = *nfns > first ? &(*fns)[*nfns - 1] : NULL;
	int64_t sum[2] = {0};

	add_up(page, e, n, sum);
	if (!last || e->line - last->end >= MERGE || strcmp(last->name, e->name)) {
		int err = array_reserve(*fns, *cap, *nfns + 1);

		if (err)
			return err;
		last = &(*fns)[(*nfns)++];
		*last = (struct web_function){
			.name = e->name, .file = e->file, .begin = e->line, .entry0 = entry0};
	}
	last->end = e->line + 1;
	last->n += n;
	last->flat = graph__sum(last->flat, sum[0]);
	last->cum = graph__sum(last->cum, sum[1]);
	return 0;
}

/* The lines around them are theirs, too; what is between two is shared. Line 0 is none. */
static void widen(struct web_function *fns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct web_function *fn = &fns[i];

		if (!i && fn->begin > MARGIN) {
			fn->begin -= MARGIN;
		} else if (!i) {
			fn->begin = min_of(fn->begin, (int64_t)1);
		} else {
			int64_t gap = min_of((fn->begin - fn[-1].end) / 2, (int64_t)MARGIN);

			fn[-1].end += gap;
			fn->begin -= gap;
		}
	}
	if (n)
		fns[n - 1].end += MARGIN;
}

/* The functions of all files. */
static int find_functions(const struct web_page *page, struct web_function **fns, size_t *nfns)
{
	const struct listing_entry *e = page->code.entries;
	size_t cap = 0, first = 0;
	int err = 0;

	for (size_t i = 0, n; i < page->code.nentries && !err; i += n) {
		bool new_file = i && strcmp(e[i].file, e[i - 1].file);

		for (n = 1; i + n < page->code.nentries && e[i + n].line == e[i].line &&
			    !strcmp(e[i + n].file, e[i].file);)
			n++;
		if (new_file) {
			widen(*fns + first, *nfns - first);
			first = *nfns;
		}
		err = add_line(fns, nfns, &cap, first, page, i, n);
	}
	if (!err)
		widen(*fns + first, *nfns - first);
	return err;
}

static int write_body(FILE *f, void *arg)
{
	struct web_page *page = arg;
	const struct profile *p = page->r->p;
	cleanup_free struct web_function *fns = NULL;
	char total[MEASURE_LEN];
	size_t n = 0;
	int err = find_functions(page, &fns, &n);

	if (err)
		return err;
	report__value(page->r, page->r->total, total, sizeof(total));
	fputs("<h1>", f);
	emit__xml(f, rx__pattern(page->r->o.symbol));
	fputs("</h1>\n<p class=\"dim\">", f);
	emit__xml(f, profile__text(p, p->sample_type[page->r->o.type].type));
	fprintf(f, ", total %s</p>\n", total);
	for (size_t i = 0; i < n; i++) {
		if (fns[i].cum)
			function(f, page, &fns[i]);
	}
	return 0;
}

/* Without a function that matches there is no page. */
int report__weblist(struct report *r, FILE *f)
{
	struct web_page page = {.r = r};
	int err = listing__read(r, &page.code);

	if (err)
		return err;
	err = sources__init(&page.sources, r->o.source_path, r->o.trim_path);
	err = err ? err : page__write(f, "weblist", write_body, &page);
	sources__fini(&page.sources);
	listing__free(&page.code);
	return emit__end(f, err);
}
