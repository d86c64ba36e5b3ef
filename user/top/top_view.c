/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/top_view.h"

#include <stdlib.h>
#include <string.h>

#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "top/top_columns.h"

static const char *const sort_names[SORT_KEYS] = {
	[SORT_RSS] = "rss",	  [SORT_VIRT] = "virt",	  [SORT_ANON] = "anon",
	[SORT_FILE] = "file",	  [SORT_SHMEM] = "shmem", [SORT_SWAP] = "swap",
	[SORT_GROWTH] = "growth", [SORT_PEAK] = "peak",	  [SORT_OOM] = "oom",
	[SORT_PID] = "pid",	  [SORT_USER] = "user",	  [SORT_COMMAND] = "command",
};

const char *top_view__sort_name(enum view_sort s)
{
	return sort_names[s];
}

const char *const *top_view__sort_names(void)
{
	return sort_names;
}

int top_view__sort_by_name(const char *name)
{
	for (int i = 0; i < SORT_KEYS; i++) {
		if (!strcmp(name, sort_names[i]))
			return i;
	}
	return -EINVAL;
}

void top_view__clear(struct top_view *v)
{
	rx__free(v->filter);
	free(v->row);
	free(v->pids);
	memset(v, 0, sizeof(*v));
}

int top_view__set_filter(struct top_view *v, const char *re, char *why, size_t why_len)
{
	struct rx *next = NULL;
	int err = re && *re ? rx__new(re, &next, why, why_len) : 0;

	if (err)
		return err;
	rx__free(v->filter);
	v->filter = next;
	return 0;
}

static bool text_matches(struct rx *rx, const char *text)
{
	return text && rx__match(rx, text);
}

bool top_view__matches(struct rx *rx, const struct table_proc *p)
{
	return text_matches(rx, p->comm) || text_matches(rx, p->cmdline) ||
	       text_matches(rx, p->user) || text_matches(rx, p->container) ||
	       text_matches(rx, p->cgroup);
}

static bool wanted(const struct top_view *v, const struct table_proc *p)
{
	if (v->pids || v->only_chosen) {
		bool in = v->only_chosen && p->chosen;

		for (size_t i = 0; i < v->npids && !in; i++)
			in = v->pids[i] == p->row.tgid;
		if (!in)
			return false;
	}
	if (v->hide_kthreads && (p->row.flags & MW_TASK_KTHREAD))
		return false;
	return !v->filter || top_view__matches(v->filter, p);
}

/* What rows are ordered by, highest first; only set while sorting (one thread). */
struct key {
	double number;
	const char *text;
	struct table_proc *p;
};

static void key_of(const struct top_view *v, const struct table *t, struct table_proc *p,
		   struct key *k)
{
	const struct mw_task_row *r = &p->row;
	double growth = 0;

	*k = (struct key){.p = p};
	switch (v->sort) {
	case SORT_VIRT: k->number = r->virt_bytes; break;
	case SORT_ANON: k->number = r->anon_bytes; break;
	case SORT_FILE: k->number = r->file_bytes; break;
	case SORT_SHMEM: k->number = r->shmem_bytes; break;
	case SORT_SWAP: k->number = r->swap_bytes; break;
	case SORT_GROWTH: k->number = table_proc__growth(p, &growth) ? growth : -1e300; break;
	case SORT_PEAK: k->number = p->peak_bytes; break;
	case SORT_OOM:
		k->number = table__oom_score(r, t->total_pages, sysconf(_SC_PAGESIZE));
		break;
	case SORT_PID: k->number = -(double)r->tgid; break;
	case SORT_USER: k->text = p->user ? p->user : ""; break;
	case SORT_COMMAND: k->text = p->cmdline ? p->cmdline : p->comm; break;
	default: k->number = mw_task_row__rss(r); break;
	}
}

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->text && y->text) {
		int c = strcmp(x->text, y->text);

		if (c)
			return c;
	}
	if (x->number != y->number)
		return x->number > y->number ? -1 : 1;
	return x->p->row.tgid < y->p->row.tgid ? -1 : 1;
}

static void reverse(struct key *k, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct key swap = k[i];

		k[i] = k[n - 1 - i];
		k[n - 1 - i] = swap;
	}
}

/* Puts p and below it its children into the view; k is in the order of siblings. `next` and
 * `first` are lists by index into k, so that a deep tree costs no scan per node. */
struct forest {
	const struct key *k;
	size_t n;
	int64_t *first, *next; /* child lists; -1 ends */
};

static void tree_walk(struct top_view *v, const struct forest *f, int64_t i, uint32_t depth)
{
	for (; i >= 0; i = f->next[i]) {
		struct table_proc *p = f->k[i].p;

		p->depth = depth;
		v->row[v->n++] = p;
		if (depth < 256) /* a cycle is impossible, an absurd depth is not */
			tree_walk(v, f, f->first[i], depth + 1);
	}
}

struct pid_at {
	uint32_t pid;
	int64_t at;
};

static int by_pid_at(const void *a, const void *b)
{
	const struct pid_at *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int arrange_tree(struct top_view *v, const struct key *k, size_t n)
{
	cleanup_free struct pid_at *pids = calloc(n + 1, sizeof(*pids));
	cleanup_free int64_t *first = calloc(n + 1, sizeof(*first));
	cleanup_free int64_t *next = calloc(n + 1, sizeof(*next));
	struct forest f = {k, n, first, next};
	int64_t roots = -1;

	if (!pids || !first || !next)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		pids[i] = (struct pid_at){k[i].p->row.tgid, i};
		first[i] = -1;
	}
	qsort(pids, n, sizeof(*pids), by_pid_at);
	for (size_t i = n; i-- > 0;) { /* backwards: each list ends up in k's order */
		struct pid_at want = {k[i].p->row.ppid, 0}, *parent = NULL;

		if (want.pid && want.pid != k[i].p->row.tgid)
			parent = bsearch(&want, pids, n, sizeof(*pids), by_pid_at);
		next[i] = parent ? first[parent->at] : roots;
		if (parent)
			first[parent->at] = i;
		else
			roots = i;
	}
	tree_walk(v, &f, roots, 0);
	return 0;
}

int top_view__arrange(struct top_view *v, const struct table *t)
{
	cleanup_free struct key *k = calloc(t->n + 1, sizeof(*k));
	size_t n = 0;

	v->n = 0;
	if (!k || array_reserve(v->row, v->cap, t->n + 1))
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		t->proc[i]->depth = 0;
		if (wanted(v, t->proc[i]))
			key_of(v, t, t->proc[i], &k[n++]);
	}
	qsort(k, n, sizeof(*k), by_key);
	if (v->reverse)
		reverse(k, n);
	if (v->tree)
		return arrange_tree(v, k, n);
	for (size_t i = 0; i < n; i++)
		v->row[v->n++] = k[i].p;
	return 0;
}

void top_view__machine_line1(char *buf, size_t len, const struct machine *m, const struct table *t)
{
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], e[UNITS_LEN];
	uint64_t threads = 0;

	for (size_t i = 0; i < t->n; i++)
		threads += t->proc[i]->row.nr_threads;
	snprintf(buf, len,
		 "Mem: %s total, %s available, %s free, %s cached   Swap: %s used of %s   "
		 "Processes: %zu, threads %llu",
		 units__size(a, sizeof(a), m->total_bytes),
		 units__size(b, sizeof(b), m->available_bytes),
		 units__size(c, sizeof(c), m->free_bytes),
		 units__size(d, sizeof(d), m->cached_bytes + m->buffers_bytes),
		 units__size(e, sizeof(e), m->swap_total_bytes - m->swap_free_bytes),
		 units__size((char[UNITS_LEN]){0}, UNITS_LEN, m->swap_total_bytes), t->n,
		 (unsigned long long)threads);
}

void top_view__machine_line2(char *buf, size_t len, const struct machine *m)
{
	char a[UNITS_LEN], b[UNITS_LEN];
	int n = 0;

	if (m->has_psi)
		n = snprintf(buf, len,
			     "Pressure: some %.2f%% %.2f%% %.2f%%, full %.2f%% %.2f%% %.2f%% "
			     "(10s 60s 5m)   ",
			     m->some_avg10, m->some_avg60, m->some_avg300, m->full_avg10,
			     m->full_avg60, m->full_avg300);
	else
		n = snprintf(buf, len, "Pressure: not offered by this kernel   ");
	if (n > 0 && (size_t)n < len)
		snprintf(buf + n, len - n, "Committed: %s of %s   Load: %.2f %.2f %.2f",
			 units__size(a, sizeof(a), m->commit_bytes),
			 units__size(b, sizeof(b), m->commit_limit_bytes), m->load[0], m->load[1],
			 m->load[2]);
}

static void heading(char *buf, size_t len)
{
	size_t n = 0;

	for (enum top_column c = 0; c < TOP_COLUMNS && n < len; c++)
		n += snprintf(buf + n, len - n, "%*s%s", top_columns__width(c),
			      top_columns__head(c), c == TOP_COMMAND ? "" : " ");
}

/* The heading and one row, all columns. */
static void format_row(char *buf, size_t len, const struct top_view *v, const struct table *t,
		       const struct table_proc *p)
{
	char cell[TOP_CELL];
	size_t n = 0;

	for (enum top_column c = 0; c < TOP_COLUMNS && n < len; c++)
		n += snprintf(buf + n, len - n, "%*s%s", top_columns__width(c),
			      top_columns__cell(cell, c, v->full_command, t, p),
			      c == TOP_COMMAND ? "" : " ");
}

void top_view__print(FILE *f, const struct top_view *v, const struct table *t,
		     const struct machine *m, size_t rows, int64_t time_unix_ms)
{
	char line[1024], when[WHEN_LEN];

	fprintf(f, "memwatch top  %s  by %s\n", when__local(when, sizeof(when), time_unix_ms),
		top_view__sort_name(v->sort));
	top_view__machine_line1(line, sizeof(line), m, t);
	fprintf(f, "%s\n", line);
	top_view__machine_line2(line, sizeof(line), m);
	fprintf(f, "%s\n", line);
	heading(line, sizeof(line));
	fprintf(f, "%s\n", line);
	for (size_t i = 0; i < v->n && (!rows || i < rows); i++) {
		format_row(line, sizeof(line), v, t, v->row[i]);
		fprintf(f, "%s\n", line);
	}
	if (rows && v->n > rows)
		fprintf(f, "(%zu more)\n", v->n - rows);
}
