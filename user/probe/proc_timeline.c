/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/proc_timeline.h"

#include <stdlib.h>
#include <string.h>

#include "core/top_n.h"
#include "core/units.h"
#include "core/util.h"
#include "probe/mm_probe.h"
#include "sys/proc_task.h"

#define CLOCK_STEP_MS 1000
#define MAX_PROCESSES 16384
#define FULL_PROCESSES 4096 /* those beyond them get few rows each: the memory stays bounded */
#define FEW_ROWS 128
#define DROP_SHARE 16
#define FLAT_SHARE 16	       /* who has gained less than this part of its lowest RSS */
#define FLAT_BYTES (256 << 10) /* or less than this, is flat */
#define TELL_NS 60000000000ULL /* between two news */

struct figures {
	uint64_t time_ns;
	int64_t virt, anon, file, shmem, swap;
};

struct timeline_entry {
	struct timeline line;
	pid_t pid;
	uint64_t start_ns;	   /* 0 until the first row */
	bool ended, in_gone, full; /* full: has room for opts.max_rows */
	bool dropped;		   /* for remove_dropped */
	int64_t most_bytes;	   /* highest RSS in its rows */
	int64_t least_bytes, last_bytes;
	int64_t inuse_bytes, alloc_bytes;
	int64_t *more;	      /* of line.nmore columns; NULL: none */
	struct figures first; /* as it was added; time_ns 0: not seen then */
};

struct proc_timeline {
	struct proc_timeline_opts opts;
	struct mm_probe *probe;
	struct timeline_entry **entry;
	size_t n, cap;
	struct timeline_entry **live; /* the entries that still record, by PID */
	size_t nlive, live_cap;
	struct timeline_entry **gone; /* ended by an event since the last rows */
	size_t ngone, gone_cap;
	size_t nfull;
	uint64_t rejected, dropped, told, told_ns;
	int64_t dropped_bytes;	/* the highest RSS of who was dropped */
	int64_t hopeless_bytes; /* in this pass, who had so much took nobody's place */
	const struct timeline **lines;
	size_t lines_cap;
	uint64_t mono0_ns, last_ns; /* of the start, of the last tick */
	uint64_t last_boot_ns;	    /* of the last tick, CLOCK_BOOTTIME as start_ns is */
	int64_t wall0_ms, step_ms;  /* wall clock at the start; how far it has stepped since */
};

int proc_timeline__new(const struct proc_timeline_opts *opts, struct proc_timeline **ret)
{
	struct proc_timeline *t = calloc(1, sizeof(*t));
	static const pid_t none;
	struct mm_probe_opts popts = {.peaks = true, .no_bpf = opts->no_bpf, .pids = &none};
	int err;

	if (!t)
		return -ENOMEM;
	t->opts = *opts;
	t->mono0_ns = util__now_ns();
	t->wall0_ms = util__wall_ms();
	err = opts->external ? 0 : mm_probe__new(&popts, &t->probe);
	if (err) {
		proc_timeline__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

static void free_entry(struct timeline_entry *e)
{
	timeline__clear(&e->line);
	free(e->more);
	free(e);
}

void proc_timeline__free(struct proc_timeline *t)
{
	if (!t)
		return;
	mm_probe__free(t->probe);
	for (size_t i = 0; i < t->n; i++) {
		free_entry(t->entry[i]);
	}
	free(t->entry);
	free(t->live);
	free(t->gone);
	free(t->lines);
	free(t);
}

const char *proc_timeline__note(const struct proc_timeline *t)
{
	return t->probe ? mm_probe__note(t->probe) : "";
}

static int64_t wall_of(const struct proc_timeline *t, uint64_t mono_ns)
{
	return t->wall0_ms + ((int64_t)mono_ns - (int64_t)t->mono0_ns) / 1000000;
}

/* Where the PID is, or would be, among the live entries. */
static size_t live_at(const struct proc_timeline *t, pid_t pid)
{
	size_t lo = 0, hi = t->nlive;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->live[mid]->pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct figures figures_of(const struct mw_task_row *r, uint64_t time_ns)
{
	return (struct figures){time_ns,       r->virt_bytes,  r->anon_bytes,
				r->file_bytes, r->shmem_bytes, r->swap_bytes};
}

static struct timeline_entry *find_live(const struct proc_timeline *t, pid_t pid)
{
	size_t at = live_at(t, pid);

	return at < t->nlive && t->live[at]->pid == pid ? t->live[at] : NULL;
}

/* The live entry of the PID, else the last one that had it. */
static struct timeline_entry *find_any(const struct proc_timeline *t, pid_t pid)
{
	struct timeline_entry *e = find_live(t, pid);

	for (size_t i = t->n; !e && i-- > 0;) {
		if (t->entry[i]->pid == pid)
			e = t->entry[i];
	}
	return e;
}

static void end_entry(struct proc_timeline *t, struct timeline_entry *e)
{
	size_t at = live_at(t, e->pid);

	e->ended = true;
	memmove(t->live + at, t->live + at + 1, (t->nlive - at - 1) * sizeof(*t->live));
	t->nlive--;
}

static int add_entry(struct proc_timeline *t, pid_t pid, const char *name,
		     struct timeline_entry **ret)
{
	size_t at = live_at(t, pid);
	struct timeline_entry *e;

	if (at < t->nlive && t->live[at]->pid == pid)
		return -EEXIST;
	if (array_reserve(t->entry, t->cap, t->n + 1) ||
	    array_reserve(t->live, t->live_cap, t->nlive + 1))
		return -ENOMEM;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->pid = pid;
	e->inuse_bytes = e->alloc_bytes = TIMELINE_UNKNOWN;
	e->full = !t->opts.all || t->nfull < FULL_PROCESSES;
	t->nfull += e->full;
	timeline__init(&e->line, pid, name, e->full ? t->opts.max_rows : FEW_ROWS);
	t->entry[t->n++] = e;
	memmove(t->live + at + 1, t->live + at, (t->nlive - at) * sizeof(*t->live));
	t->live[at] = e;
	t->nlive++;
	if (ret)
		*ret = e;
	return 0;
}

static void make_room(struct proc_timeline *t, size_t max);

int proc_timeline__add_seen(struct proc_timeline *t, const struct mw_task_row *row,
			    uint64_t seen_ns)
{
	char name[MW_MM_COMM_LEN + 1];
	struct timeline_entry *e;
	int err;

	if (t->opts.max_processes && t->n >= t->opts.max_processes)
		make_room(t, t->opts.max_processes);
	snprintf(name, sizeof(name), "%.*s", MW_MM_COMM_LEN, row->comm);
	err = add_entry(t, (pid_t)row->tgid, name, &e);
	if (err)
		return err;
	if (!(row->flags & (MW_TASK_TORN | MW_TASK_NO_MM)))
		e->first = figures_of(row, seen_ns);
	if (t->probe)
		mm_probe__watch(t->probe, e->pid); /* without BPF: no peaks, as the note says */
	return 0;
}

int proc_timeline__add(struct proc_timeline *t, pid_t pid)
{
	struct mw_task_row row;
	int err = proc_task__read(pid, &row);

	return err ? err : proc_timeline__add_seen(t, &row, util__now_ns());
}

void proc_timeline__heap(struct proc_timeline *t, pid_t pid, int64_t inuse_bytes,
			 int64_t alloc_bytes)
{
	struct timeline_entry *e = find_live(t, pid);

	if (!e)
		return;
	e->inuse_bytes = inuse_bytes;
	e->alloc_bytes = alloc_bytes;
}

int proc_timeline__more(struct proc_timeline *t, pid_t pid, const char *const *name, size_t n,
			const int64_t *value)
{
	struct timeline_entry *e = find_live(t, pid);

	if (!e)
		return -ENOENT;
	if (!e->more) {
		e->more = calloc(n, sizeof(*e->more));
		if (!e->more)
			return -ENOMEM;
		e->line.more_name = name;
		e->line.nmore = n;
	}
	if (e->line.more_name != name) { /* of the image before an exec */
		for (size_t c = 0; c < e->line.nmore; c++)
			e->more[c] = TIMELINE_UNKNOWN;
		return -EEXIST;
	}
	memcpy(e->more, value, e->line.nmore * sizeof(*value));
	return 0;
}

static int append(struct proc_timeline *t, struct timeline_entry *e, const struct figures *f)
{
	struct timeline_row row = timeline__row(wall_of(t, f->time_ns));

	row.value[TIMELINE_VIRT] = f->virt;
	row.value[TIMELINE_RSS] = f->anon + f->file + f->shmem;
	row.value[TIMELINE_RSS_ANON] = f->anon;
	row.value[TIMELINE_RSS_FILE] = f->file;
	row.value[TIMELINE_RSS_SHMEM] = f->shmem;
	row.value[TIMELINE_SWAP] = f->swap;
	row.value[TIMELINE_INUSE] = e->inuse_bytes;
	row.value[TIMELINE_ALLOC] = e->alloc_bytes;
	row.more = e->more;
	e->last_bytes = row.value[TIMELINE_RSS];
	e->least_bytes = e->line.nrows ? min_of(e->least_bytes, e->last_bytes) : e->last_bytes;
	e->most_bytes = max_of(e->most_bytes, e->last_bytes);
	return timeline__append(&e->line, &row);
}

/* A row of an earlier moment, with the heap of that moment. */
static int append_then(struct proc_timeline *t, struct timeline_entry *e, const struct figures *f)
{
	int64_t inuse = e->inuse_bytes, alloc = e->alloc_bytes;
	double inuse_then, alloc_then;
	int err;

	if (t->opts.heap_at &&
	    t->opts.heap_at(t->opts.heap_arg, e->pid, f->time_ns, &inuse_then, &alloc_then)) {
		e->inuse_bytes = (int64_t)inuse_then;
		e->alloc_bytes = (int64_t)alloc_then;
	}
	err = append(t, e, f);
	e->inuse_bytes = inuse;
	e->alloc_bytes = alloc;
	return err;
}

/* Who has no row by its end has the one of its beginning. */
static void append_first(struct proc_timeline *t, struct timeline_entry *e)
{
	if (!e->line.nrows && e->first.time_ns)
		append_then(t, e, &e->first);
}

/* It is not met any more, and no event told when it ended. */
static void note_end(struct proc_timeline *t, struct timeline_entry *e, uint64_t now_ns)
{
	append_first(t, e);
	timeline__mark(&e->line, wall_of(t, now_ns), "ended");
	end_entry(t, e);
}

/* The peak goes in as a row where it is more than the rows around it. */
static int append_peak(struct proc_timeline *t, struct timeline_entry *e,
		       const struct figures *peak, int64_t rss_now)
{
	const struct timeline *l = &e->line;
	int64_t rss = peak->anon + peak->file + peak->shmem;

	if (peak->time_ns <= t->mono0_ns || rss <= rss_now)
		return 0;
	if (l->nrows && (l->rows[l->nrows - 1].value[TIMELINE_RSS] >= rss ||
			 l->rows[l->nrows - 1].time_unix_ms > wall_of(t, peak->time_ns)))
		return 0;
	return append_then(t, e, peak);
}

static int by_most_bytes(const void *a, const void *b)
{
	const struct timeline_entry *x = *(struct timeline_entry *const *)a,
				    *y = *(struct timeline_entry *const *)b;

	return (x->most_bytes > y->most_bytes) - (x->most_bytes < y->most_bytes);
}

static void remove_dropped(struct proc_timeline *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct timeline_entry *e = t->entry[i];

		if (!e->dropped) {
			t->entry[kept++] = e;
			continue;
		}
		t->dropped_bytes = max_of(t->dropped_bytes, e->most_bytes);
		t->nfull -= e->full;
		free_entry(e);
	}
	t->dropped += t->n - kept;
	t->n = kept;
}

/* The dead give way, the smallest first; a share at a time, so that it is seldom done. */
static void make_room(struct proc_timeline *t, size_t max)
{
	cleanup_free struct timeline_entry **dead = calloc(t->n, sizeof(*dead));
	size_t n = 0, drop;

	for (size_t i = 0; dead && i < t->n; i++) {
		if (t->entry[i]->ended && !t->entry[i]->in_gone)
			dead[n++] = t->entry[i];
	}
	if (!n)
		return;
	drop = top_n__sort(dead, n, sizeof(*dead), max / DROP_SHARE + 1, by_most_bytes);
	for (size_t i = 0; i < drop; i++)
		dead[i]->dropped = true;
	remove_dropped(t);
}

/* It has about what it had at its lowest. */
static bool is_flat(const struct timeline_entry *e)
{
	return e->last_bytes - e->least_bytes <=
	       max_of(e->least_bytes / FLAT_SHARE, (int64_t)FLAT_BYTES);
}

/* Where nobody is dead, the smallest of those that live and do not grow gives way to one that has
 * twice what it ever had: less would be back at the next pass. */
static void replace_live(struct proc_timeline *t, int64_t bytes)
{
	struct timeline_entry *least = NULL;

	if (bytes <= max_of(t->hopeless_bytes, (int64_t)0))
		return;
	for (size_t i = 0; i < t->nlive; i++) {
		struct timeline_entry *e = t->live[i];

		if (is_flat(e) && (!least || e->most_bytes < least->most_bytes))
			least = e;
	}
	if (!least || least->most_bytes > bytes / 2) {
		t->hopeless_bytes = bytes;
		return;
	}
	end_entry(t, least);
	least->dropped = true;
	remove_dropped(t);
}

/* With `all`: an entry for a process that was met, with its RSS; NULL when there is no room. */
static struct timeline_entry *add_process(struct proc_timeline *t, pid_t pid, const char *comm,
					  uint64_t start_ns, int64_t bytes)
{
	size_t max = t->opts.max_processes ? t->opts.max_processes : MAX_PROCESSES;
	struct timeline_entry *e = NULL;
	char name[MW_MM_COMM_LEN + 1];

	snprintf(name, sizeof(name), "%.*s", MW_MM_COMM_LEN, comm);
	if (t->n >= max)
		make_room(t, max);
	if (t->n >= max)
		replace_live(t, bytes);
	if (t->n >= max || add_entry(t, pid, name, &e)) {
		/* it is met again at each tick; told once */
		t->rejected += start_ns >= t->last_boot_ns;
		return NULL;
	}
	e->start_ns = start_ns;
	e->most_bytes = e->least_bytes = e->last_bytes = bytes; /* until its first row */
	return e;
}

void proc_timeline__event(struct proc_timeline *t, const struct mw_mm_ev *ev)
{
	struct timeline_entry *e = find_live(t, ev->tgid);
	struct figures peak = {ev->peak_time_ns,    ev->peak_virt_bytes,  ev->peak_anon_bytes,
			       ev->peak_file_bytes, ev->peak_shmem_bytes, TIMELINE_UNKNOWN};
	struct figures now = {ev->time_ns,    ev->virt_bytes,  ev->anon_bytes,
			      ev->file_bytes, ev->shmem_bytes, ev->swap_bytes};
	char text[64];

	/* who lived between two passes takes the place of nobody that lives */
	if (!e && t->opts.all && ev->type == MW_MM_EXIT && ev->peak_time_ns > t->mono0_ns)
		e = add_process(t, ev->tgid, ev->comm, ev->start_ns, 0);
	if (!e || (e->start_ns && e->start_ns != ev->start_ns))
		return;
	if (ev->type == MW_MM_EXEC) {
		append_peak(t, e, &peak, 0);
		append(t, e, &now);
		snprintf(text, sizeof(text), "exec %.16s", ev->comm);
		timeline__mark(&e->line, wall_of(t, ev->time_ns), text);
	} else if (ev->type == MW_MM_EXIT) {
		append_first(t, e);
		append_peak(t, e, &peak, 0);
		if (ev->rss_bytes) /* its last moment; before 6.16 the memory is gone by then */
			append(t, e, &now);
		end_entry(t, e);
		if (!array_reserve(t->gone, t->gone_cap, t->ngone + 1)) {
			t->gone[t->ngone++] = e;
			e->in_gone = true;
		}
		if (ev->exit_code & 0x7f)
			snprintf(text, sizeof(text), "killed by signal %d", ev->exit_code & 0x7f);
		else
			snprintf(text, sizeof(text), "exit %d", ev->exit_code >> 8 & 0xff);
		timeline__mark(&e->line, wall_of(t, ev->time_ns), text);
	}
}

static void tell_gaps(struct proc_timeline *t, uint64_t now_ns)
{
	int64_t step = util__wall_ms() - wall_of(t, now_ns);
	char gap[64] = "", clock[64] = "";

	if (t->opts.interval_ns && t->last_ns && now_ns - t->last_ns > 3 * t->opts.interval_ns)
		snprintf(gap, sizeof(gap), "gap of %.1f s: nothing was recorded",
			 (now_ns - t->last_ns) / 1e9);
	if (step - t->step_ms > CLOCK_STEP_MS || t->step_ms - step > CLOCK_STEP_MS) {
		snprintf(clock, sizeof(clock), "the wall clock stepped by %+.1f s",
			 (step - t->step_ms) / 1e3);
		t->step_ms = step;
	}
	for (size_t i = 0; i < t->nlive && (*gap || *clock); i++) {
		if (*gap)
			timeline__mark(&t->live[i]->line, wall_of(t, t->last_ns), gap);
		if (*clock)
			timeline__mark(&t->live[i]->line, wall_of(t, now_ns), clock);
	}
}

static int take_row(struct proc_timeline *t, struct timeline_entry *e, const struct mw_task_row *r,
		    uint64_t now_ns)
{
	struct figures now = figures_of(r, now_ns);
	struct figures peak = {r->peak_time_ns,	   r->peak_virt_bytes,	r->peak_anon_bytes,
			       r->peak_file_bytes, r->peak_shmem_bytes, TIMELINE_UNKNOWN};

	e->start_ns = r->start_ns;
	if (r->flags & (MW_TASK_TORN | MW_TASK_NO_MM))
		return 0; /* it is about to end; nothing true can be said of its memory */
	if (r->flags & MW_TASK_PEAK) {
		int err = append_peak(t, e, &peak, mw_task_row__rss(r));

		if (err)
			return err;
	}
	return append(t, e, &now);
}

/* It ended after the pass that still saw it: its row comes later than its end. */
static bool has_gone(const struct proc_timeline *t, const struct mw_task_row *row)
{
	for (size_t i = 0; i < t->ngone; i++) {
		if (t->gone[i]->pid == (pid_t)row->tgid && t->gone[i]->start_ns == row->start_ns)
			return true;
	}
	return false;
}

static void event_of_probe(void *arg, const struct mw_mm_ev *ev)
{
	proc_timeline__event(arg, ev);
}

int proc_timeline__rows(struct proc_timeline *t, const struct task_rows *rows)
{
	uint64_t now_ns = util__now_ns();
	size_t r = 0;

	tell_gaps(t, now_ns);
	t->last_ns = now_ns;
	t->hopeless_bytes = -1;
	for (size_t i = 0; t->opts.all && i < rows->n; i++) {
		const struct mw_task_row *row = &rows->row[i];
		struct timeline_entry *e = find_live(t, row->tgid);

		if (e && e->start_ns && e->start_ns != row->start_ns) {
			note_end(t, e, now_ns);
			e = NULL;
		}
		if (!e && !(row->flags & (MW_TASK_NO_MM | MW_TASK_TORN)) && !has_gone(t, row))
			add_process(t, row->tgid, row->comm, row->start_ns,
				    (int64_t)mw_task_row__rss(row));
	}
	for (size_t i = 0; i < t->nlive;) { /* both are sorted by PID */
		struct timeline_entry *e = t->live[i];
		int err;

		while (r < rows->n && rows->row[r].tgid < (uint32_t)e->pid)
			r++;
		if (r >= rows->n || rows->row[r].tgid != (uint32_t)e->pid ||
		    (e->start_ns && e->start_ns != rows->row[r].start_ns)) {
			note_end(t, e, now_ns);
			continue;
		}
		err = take_row(t, e, &rows->row[r], now_ns);
		if (err)
			return err;
		i++;
	}
	for (size_t i = 0; i < t->ngone; i++)
		t->gone[i]->in_gone = false;
	t->ngone = 0;
	t->last_boot_ns = util__boot_ns();
	return t->nlive;
}

int proc_timeline__tick(struct proc_timeline *t)
{
	const struct task_rows *rows;
	int err = mm_probe__pass(t->probe, &rows);

	/* what ended before the pass has told so by now, with its last peak */
	if (!err)
		err = mm_probe__events(t->probe, event_of_probe, t);
	return err < 0 ? err : proc_timeline__rows(t, rows);
}

uint64_t proc_timeline__rejected(const struct proc_timeline *t)
{
	return t->rejected;
}

uint64_t proc_timeline__dropped(const struct proc_timeline *t, int64_t *ret_bytes)
{
	*ret_bytes = t->dropped_bytes;
	return t->dropped;
}

const char *proc_timeline__news(struct proc_timeline *t, uint64_t now_ns, char *buf, size_t size)
{
	uint64_t all = t->dropped + t->rejected;
	char most[UNITS_LEN];

	*buf = 0;
	if (all == t->told || (t->told_ns && now_ns - t->told_ns < TELL_NS))
		return buf;
	t->told = all;
	t->told_ns = now_ns == UINT64_MAX ? t->told_ns : now_ns;
	snprintf(buf, size,
		 "%llu processes with the least memory (at most %s) gave way to others; %llu found "
		 "no room at first or at all",
		 (unsigned long long)t->dropped, units__size(most, sizeof(most), t->dropped_bytes),
		 (unsigned long long)t->rejected);
	return buf;
}

int64_t proc_timeline__step_ms(const struct proc_timeline *t)
{
	int64_t step = util__wall_ms() - wall_of(t, util__now_ns());

	/* less is the time between the two readings, and rounding */
	return step > CLOCK_STEP_MS || step < -CLOCK_STEP_MS ? step : 0;
}

size_t proc_timeline__all(struct proc_timeline *t, const struct timeline *const **ret)
{
	if (array_reserve(t->lines, t->lines_cap, t->n + 1))
		return 0;
	for (size_t i = 0; i < t->n; i++)
		t->lines[i] = &t->entry[i]->line;
	*ret = t->lines;
	return t->n;
}

const struct timeline *proc_timeline__of(struct proc_timeline *t, pid_t pid)
{
	struct timeline_entry *e = find_any(t, pid);

	return e ? &e->line : NULL;
}
