/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/shortname.h"
#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "core/emit.h"
#include "elf/symbolizer.h"
#include "format/hist_out.h"
#include "model/heap.h"
#include "snapshot/inuse.h"
#include "snapshot/missing.h"
#include "snapshot/runtimes.h"
#include "sys/proc_task.h"
#include "sys/statm.h"
#include "format/text.h"

/* In use is what the profile lists: the same in the header, in the table and in the files. */
static void header(FILE *f, const struct attach *attach, const struct target *t,
		   const struct profile *p, bool mappings, struct live_previous *prev)
{
	uint64_t sample_bytes = observer__sample_bytes(attach->observer), now = util__now_ns();
	struct runtimes_numbers n;
	struct statm mem;
	double inuse, dt;
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], windows[INUSE_TEXT];

	runtimes__numbers(attach->runtimes, attach->observer, t, &n);
	inuse = (double)profile__sum(p, PROFILE_INUSE_SPACE);
	observer__memory(t, &mem);
	emit__plain(f, t->cmdline ? t->cmdline : t->comm);
	fprintf(f, "  PID %d%s  watched %s\n", t->pid, t->ended ? " (ended)" : "",
		units__time(a, sizeof(a), now - t->start_ns));
	fprintf(f, "  RSS %s  VIRT %s", units__size(a, sizeof(a), mem.rss),
		units__size(b, sizeof(b), mem.virt));
	if (p->inuse_unknown)
		fputs("  in use not known", f);
	else
		fprintf(f, "  in use %s in %.0f %s", units__size(c, sizeof(c), (int64_t)inuse),
			(double)profile__sum(p, PROFILE_INUSE_OBJECTS),
			mappings ? "blocks and mappings" : "blocks");
	fprintf(f, "  allocated %s in %.0f blocks",
		units__size(d, sizeof(d), (int64_t)n.alloc_bytes), n.alloc_objects);
	dt = prev->time_ns ? (double)(now - prev->time_ns) / 1e9 : 0;
	if (dt > 0) {
		double grow = (inuse - prev->inuse_bytes) / dt;

		fprintf(f, "\n  in use %s%s/s  allocating %s/s in %.0f blocks/s",
			grow >= 0 ? "+" : "", units__size(a, sizeof(a), (int64_t)grow),
			units__size(b, sizeof(b),
				    (int64_t)((n.alloc_bytes - prev->alloc_bytes) / dt)),
			(n.alloc_objects - prev->alloc_objects) / dt);
	}
	if (sample_bytes > 1)
		fprintf(f, "  (sampled every %s)", units__size(a, sizeof(a), sample_bytes));
	if (!mappings && n.map_bytes > 0)
		fprintf(f,
			"\n  mapped besides %s (anonymous mappings of its own: --mmap lists them)",
			units__size(a, sizeof(a), (int64_t)n.map_bytes));
	runtimes__print(attach->runtimes, f, t);
	if (*inuse__text(attach->observer, t, windows))
		fprintf(f, "\n  %s", windows);
	fputs("\n\n", f);
	*prev = (struct live_previous){.time_ns = now,
				       .alloc_objects = n.alloc_objects,
				       .alloc_bytes = n.alloc_bytes,
				       .inuse_bytes = inuse};
}

struct live_ranked {
	int64_t value;
	uint32_t sample;
};

static int by_value(const void *a, const void *b)
{
	int64_t x = ((const struct live_ranked *)a)->value,
		y = ((const struct live_ranked *)b)->value;

	return x < y ? 1 : x > y ? -1 : 0;
}

struct live_frames {
	FILE *f;
	const struct profile *p;
	int n, max;
};

static int put_frame(void *arg, uint32_t location, size_t k, char *name)
{
	struct live_frames *s = arg;
	const struct profile_location *l = &s->p->locations[location];
	const struct profile_line *line = l->nlines ? &s->p->lines[l->line0 + k] : NULL;
	const char *file = line ? profile__text(s->p, s->p->functions[line->function].file) : "";

	if (s->n++ == s->max) {
		fputs("                ...\n", s->f);
		return 1;
	}
	shortname(name);
	fputs("                ", s->f);
	emit__plain(s->f, name);
	if (file[0]) {
		fputs("  ", s->f);
		emit__plain(s->f, file);
		fprintf(s->f, ":%" PRId64, line->line);
	}
	putc('\n', s->f);
	return 0;
}

static int put_stack(FILE *f, const struct profile *p, const struct profile_sample *s, int max)
{
	return min_of(text__each_frame(p, s, put_frame,
				       &(struct live_frames){.f = f, .p = p, .max = max}),
		      0);
}

/* What the stack's bytes in use have been doing, once there is something to say. */
static void put_verdict(FILE *f, const struct watch *w, uint64_t key)
{
	const struct watch_entry *e = watch__find(w, key);
	struct trend t;
	char text[256];

	if (!e)
		return;
	watch__trend(w, e, &t);
	if (t.kind != TREND_TOO_EARLY && t.kind != TREND_FLAT)
		fprintf(f, "                %s\n", trend__verdict(text, sizeof(text), &t, NULL));
}

static int stacks(FILE *f, const struct profile *p, const struct live_opts *opts)
{
	cleanup_free uint64_t *keys = opts->watch ? calloc(p->nsamples + 1, sizeof(*keys)) : NULL;
	cleanup_free struct live_ranked *r = calloc(p->nsamples + 1, sizeof(*r));
	bool bytes = opts->type == PROFILE_ALLOC_SPACE || opts->type == PROFILE_INUSE_SPACE;
	int objects =
		opts->type >= PROFILE_INUSE_OBJECTS ? PROFILE_INUSE_OBJECTS : PROFILE_ALLOC_OBJECTS;
	int64_t total = 0, put = 0;
	size_t shown = 0, n = 0;
	int err = r ? 0 : -ENOMEM;

	if (keys && (watch__profile(opts->watch, p, (double)util__now_ns() / 1e9) ||
		     watch__stack_keys(p, keys))) {
		free(keys);
		keys = NULL;
	}
	for (size_t i = 0; r && i < p->nsamples; i++) {
		r[i] = (struct live_ranked){p->samples[i].value[opts->type], i};
		total += r[i].value;
	}
	if (r && opts->top > 0)
		shown = top_n__sort(r, p->nsamples, sizeof(*r), (size_t)opts->top, by_value);
	for (; !err && n < shown && r[n].value; n++) {
		const struct profile_sample *s = &p->samples[r[n].sample];
		char size[UNITS_LEN];

		if (bytes)
			units__size(size, sizeof(size), r[n].value);
		else
			snprintf(size, sizeof(size), "%" PRId64, r[n].value);
		fprintf(f, "%12s %5.1f%%  %" PRId64 " block%s", size,
			total ? 100.0 * (double)r[n].value / (double)total : 0, s->value[objects],
			units__s((uint64_t)s->value[objects]));
		text__not_resident(f, p, s, opts->type);
		for (size_t l = 0; l < s->nlabels; l++) {
			const struct profile_label *label = &p->labels[s->label0 + l];

			if (label->str)
				fprintf(f, "  [%s %s]", profile__text(p, label->key),
					profile__text(p, label->str));
		}
		putc('\n', f);
		if (keys)
			put_verdict(f, opts->watch, keys[r[n].sample]);
		if (opts->histograms)
			hist_out__stack(f, p, r[n].sample);
		err = put_stack(f, p, s, opts->max_frames);
		put += r[n].value;
	}
	text__more_stacks(f, p, opts->type, n, put);
	for (size_t i = 0; i < p->nlosses && !err; i++)
		fprintf(f, "%s%12" PRIu64 "  %s\n", i ? "" : "\nnot in the numbers above:\n",
			p->losses[i].count, profile__text(p, p->losses[i].cause));
	return err;
}

int live__report(FILE *f, struct attach *attach, const struct target *t,
		 const struct live_opts *opts, struct live_previous *prev)
{
	struct snapshot_opts snap = {.target = t,
				     .mappings = opts->mappings,
				     .histograms = opts->histograms,
				     .residency = opts->touched};
	struct profile *p = NULL;
	int err;

	err = attach__snapshot(attach, snap, &p);
	if (!err)
		header(f, attach, t, p, opts->mappings, prev);
	if (!err)
		err = stacks(f, p, opts);
	if (!err && opts->histograms)
		hist_out__text(f, p, HIST_OUT_BAR);
	profile__free(p);
	putc('\n', f);
	fflush(f);
	return err ? err : ferror(f) ? -EIO : 0;
}

char *live__cost(const struct observer *o, const uint64_t *c, char *buf, size_t len)
{
	double cost, watched = observer__watched_ns(o);

	if (!observer__cost_ns(o, c, &cost) || watched <= 0)
		snprintf(buf, len, "not known");
	else
		snprintf(buf, len, "%.2f %% of one CPU (%.1f ms)", 100 * cost / watched,
			 cost / 1e6);
	return buf;
}

/* Processes of this one's, by their names; theirs are of the same name. */
struct others {
	struct others_row {
		char name[16];
		uint64_t bytes, cpu_ns;
		unsigned n;
	} row[8];
	size_t n;
	pid_t pid[256]; /* whose children count too */
	size_t npids;
};

static struct others_row *row_of(struct others *o, const char *name)
{
	for (size_t i = 0; i < o->n; i++) {
		if (!strcmp(o->row[i].name, name))
			return &o->row[i];
	}
	if (o->n == ARRAY_SIZE(o->row))
		return NULL;
	snprintf(o->row[o->n].name, sizeof(o->row[0].name), "%.15s", name);
	return &o->row[o->n++];
}

static int add_other(void *arg, pid_t pid)
{
	struct others *o = arg;
	struct proc_identity id;
	struct others_row *r;
	struct statm s;
	bool ours = false;

	if (proc_task__identity(pid, &id) || id.ended || strncmp(id.comm, "memwatch-", 9))
		return 0;
	for (size_t i = 0; i < o->npids && !ours; i++)
		ours = o->pid[i] == id.ppid;
	r = ours && !statm__read(pid, &s) ? row_of(o, id.comm) : NULL;
	if (!r || o->npids == ARRAY_SIZE(o->pid))
		return 0;
	o->pid[o->npids++] = pid;
	r->n++;
	r->bytes += s.rss - min_of(s.rss, s.shared);
	r->cpu_ns += proc_task__cpu_ns(pid);
	return 0;
}

/* Helpers that parse are told of when they have ended (symbolizer.c); these stay. */
static void others_footprint(void)
{
	struct others o = {.pid = {getpid()}, .npids = 1};
	char size[UNITS_LEN];

	proc_task__each_pid(add_other, &o);
	for (size_t i = 0; i < o.n; i++)
		log_debug("footprint: %-24s %10s %8u processes, %.0f ms of processor time",
			  o.row[i].name, units__size(size, sizeof(size), (int64_t)o.row[i].bytes),
			  o.row[i].n, (double)o.row[i].cpu_ns / 1e6);
}

/* For -v: what memwatch itself takes. */
void live__footprint(const struct attach *a)
{
	struct footprint_row row[FOOTPRINT_ROWS + 1];
	struct symbolizer_stats symbols;
	uint64_t here = 0, kernel = 0;
	char size[UNITS_LEN], all[UNITS_LEN];
	struct statm self;
	size_t n;

	if (log__level() < LOG_DEBUG)
		return;
	n = observer__footprint(a->observer, row);
	symbolizer__stats(a->symbolizer, &symbols);
	row[n++] = (struct footprint_row){"symbols", symbols.bytes, symbols.files, false};
	for (size_t i = 0; i < n; i++) {
		*(row[i].in_kernel ? &kernel : &here) += row[i].bytes;
		log_debug("footprint: %-24s %10s %8" PRIu64 " entries%s", row[i].name,
			  units__size(size, sizeof(size), (int64_t)row[i].bytes), row[i].entries,
			  row[i].in_kernel ? ", in the kernel" : "");
	}
	others_footprint();
	statm__read(getpid(), &self);
	log_debug("footprint: %s in tables here, RSS %s; %s in the kernel",
		  units__size(size, sizeof(size), (int64_t)here),
		  units__size(all, sizeof(all), (int64_t)self.rss),
		  units__size((char[UNITS_LEN]){0}, UNITS_LEN, (int64_t)kernel));
}

void live__close(const struct observer *o)
{
	uint64_t c[MW_C_COUNT];
	char line[1024], cost[64], windows[64] = "";
	struct losses l;
	bool fast = false, own = false;

	if (observer__counters(o, NULL, c) || missing__gather(o, NULL, &l))
		return;
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		fast |= t->nfast > 0;
		own |= t->samples_itself;
	}
	if (observer__window_share(o, NULL) < 1)
		snprintf(windows, sizeof(windows), " (in windows, %.1f %% of the time)",
			 100 * observer__window_share(o, NULL));
	log_info("done: %" PRIu64 " allocations and %" PRIu64 " frees seen%s%s, %s, cost to the "
		 "target %s",
		 c[MW_C_ALLOCS], c[MW_C_FREES],
		 own && fast ? " (of those sampled by the target itself or by --fast)"
		 : own	     ? " (of those that the target, which samples for itself, told of)"
		 : fast	     ? " (--fast: of those that its code in the target sampled)"
			     : "",
		 windows, losses__line(&l, line, sizeof(line)),
		 live__cost(o, c, cost, sizeof(cost)));
	for (int i = 0; i < MW_LOSS_COUNT; i++) {
		if (losses_rows[i].told == LOSSES_WARN && l.count[i])
			log_warn("%s: %" PRIu64 " (%s)", losses_rows[i].text, l.count[i],
				 losses_rows[i].means);
	}
}
