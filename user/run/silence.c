/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/silence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "observe/module.h"
#include "sys/proc_task.h"

#define PATIENCE_NS 3000000000ULL
#define GROWTH (2u << 20) /* more than libraries and stacks that are touched late */
#define MAX_FILES 3	  /* named */

/* Files whose symbols could not be had: into text, how many. */
static size_t unread_files(const struct observer *o, const struct target *t, char *text, size_t len)
{
	const struct module *last = NULL;
	size_t n = 0, at = 0;

	text[0] = 0;
	for (size_t i = 0; i < observer__nmaps(o); i++) {
		const struct observer_map *map = observer__map(o, i);
		const struct module *m = map->module;

		if (map->target != t->index || !m || !m->err || m->err == -ENOEXEC || m == last)
			continue;
		last = m;
		if (n++ < MAX_FILES)
			at += snprintf(text + at, len - at, "%s'%s' cannot be read (%s)",
				       at ? ", " : "", m->path, strerror(-m->err));
		if (at >= len)
			at = len - 1;
	}
	return n;
}

static uint64_t total(const struct proc_status *k)
{
	return k->size[PROC_RSS_ANON] + k->size[PROC_RSS_FILE] + k->size[PROC_RSS_SHMEM] +
	       k->size[PROC_HUGETLB];
}

/* What most of the growth is where it is none of an allocator's, else NULL. */
static const char *most_of_it(const struct proc_status *a, const struct proc_status *b)
{
	uint64_t half = (total(b) - total(a)) / 2;

	if (b->size[PROC_RSS_FILE] > a->size[PROC_RSS_FILE] + half)
		return "pages of files that it maps";
	if (b->size[PROC_RSS_SHMEM] > a->size[PROC_RSS_SHMEM] + half)
		return "shared memory (a memfd, shm or a shared mapping)";
	if (b->size[PROC_HUGETLB] > a->size[PROC_HUGETLB] + half)
		return "huge pages of hugetlbfs";
	if (b->size[PROC_STACK] > a->size[PROC_STACK] + half)
		return "the stack of its main thread";
	return NULL;
}

static void tell(const struct observer *o, const struct target *t, uint64_t grown, const char *most)
{
	char files[512], size[UNITS_LEN];
	size_t unread = most ? 0 : unread_files(o, t, files, sizeof(files));

	units__size(size, sizeof(size), grown);
	if (most)
		log_warn("PID %d (%s) has grown by %s, and no allocator call was seen: most of it "
			 "is "
			 "%s",
			 t->pid, t->comm, size, most);
	else if (unread)
		log_warn("PID %d (%s) has grown by %s, and no allocator call was seen: %s%s",
			 t->pid, t->comm, size, files, unread > MAX_FILES ? " and others" : "");
	else if (t->nprobes)
		log_warn("PID %d (%s) has grown by %s, and no call of the %zu probed allocator "
			 "functions was seen: it maps memory itself, or has an allocator without "
			 "symbols (static and stripped, under another name, or built into its "
			 "callers by the compiler)",
			 t->pid, t->comm, size, t->nprobes);
	else
		log_warn("PID %d (%s) has grown by %s: malloc and its like, operator new and the "
			 "prefixed allocators were looked for, and none has a symbol in the files "
			 "that it maps",
			 t->pid, t->comm, size);
	log_info("which code touches the memory first is told by --faults, mappings by --mmap");
}

void silence__look(struct silence *s, const struct observer *o, const struct runtimes *r)
{
	uint64_t now_ns = util__now_ns(), counters[MW_C_COUNT];

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		struct proc_status *first = &s->first[t->index], now;
		bool cgo;

		if (t->ended || t->samples_itself || s->told[t->index] ||
		    runtimes__go_version(r, t, &cgo))
			continue;
		if (total(first) && now_ns - t->start_ns < PATIENCE_NS)
			continue;
		if (proc_status__read(proc_task__shows(t->pid), &now))
			continue;
		if (!total(first))
			*first = now;
		if (now_ns - t->start_ns < PATIENCE_NS || total(&now) < total(first) + GROWTH)
			continue;
		if (observer__counters(o, t, counters))
			continue;
		s->told[t->index] = true;
		if (!counters[MW_C_ALLOCS])
			tell(o, t, total(&now) - total(first), most_of_it(first, &now));
	}
}
