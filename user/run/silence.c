/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/silence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "observe/module.h"
#include "sys/statm.h"

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

static void tell(const struct observer *o, const struct target *t, uint64_t grown)
{
	char files[512], size[UNITS_LEN];
	size_t unread = unread_files(o, t, files, sizeof(files));

	units__size(size, sizeof(size), grown);
	if (unread)
		log_warn("PID %d (%s) has grown by %s, and no allocator call was seen: %s%s", t->pid,
			 t->comm, size, files, unread > MAX_FILES ? " and others" : "");
	else if (t->nprobes)
		log_warn("PID %d (%s) has grown by %s, and no call of the %zu probed allocator "
			 "functions was seen: it maps memory itself, or has an allocator without "
			 "symbols (static and stripped, or under another name)",
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
	uint64_t now = util__now_ns(), counters[MW_C_COUNT];

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		struct statm m;
		bool cgo;

		if (t->ended || s->told[t->index] || runtimes__go_version(r, t, &cgo))
			continue;
		if (s->rss0[t->index] && now - t->start_ns < PATIENCE_NS)
			continue;
		if (statm__read(t->pid, &m))
			continue;
		if (!s->rss0[t->index])
			s->rss0[t->index] = m.rss;
		if (now - t->start_ns < PATIENCE_NS || m.rss < s->rss0[t->index] + GROWTH)
			continue;
		if (observer__counters(o, t, counters))
			continue;
		s->told[t->index] = true;
		if (!counters[MW_C_ALLOCS])
			tell(o, t, m.rss - s->rss0[t->index]);
	}
}
