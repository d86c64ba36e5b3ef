/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/saved.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lines.h"
#include "core/util.h"
#include "oom/oom_record.h"
#include "sys/apart.h"

#define LINE_BYTES (64 << 10)
#define FILE_BYTES (1ULL << 30)
#define JOINED_BYTES 16384 /* a wrapped line, put together */
#define GROUP_PIDS 1024	   /* killed as a group: each is told once */

struct saved_reader {
	void (*fn)(void *arg, struct oom_event *e);
	void *arg;
	struct saved_stats *stats;
	struct kmsg_parser parser;
	struct oom_event event;
	/* the line that is put together */
	bool has_line;
	struct saved_line line;
	char text[JOINED_BYTES];
	size_t text_len, last_width, widest;
	bool stamped; /* lines of this log begin with stamps: one without is the rest of another */
	uint64_t last_boot_us;
	uint32_t pids[GROUP_PIDS];
	size_t npids;
};

/* The sizes in pages are of the kernel's page size, which total-vm (kB) and total_vm (pages) of the
 * same process tell. */
static void fix_page_size(struct kmsg_kill *k)
{
	for (size_t i = 0; i < k->ntasks; i++) {
		uint64_t pages = k->tasks[i].total_vm_bytes / 4096, factor;

		if (k->tasks[i].pid != k->pid || !pages || k->total_vm_bytes == KMSG_NONE)
			continue;
		factor = k->total_vm_bytes / 4096 / pages;
		if ((factor != 4 && factor != 16) || pages * factor * 4096 != k->total_vm_bytes)
			return;
		for (size_t j = 0; j < k->ntasks; j++) {
			k->tasks[j].total_vm_bytes *= factor;
			k->tasks[j].rss_bytes *= factor;
			k->tasks[j].swap_bytes *= factor;
		}
		if (k->free_bytes != KMSG_NONE)
			k->free_bytes *= factor;
		if (k->total_bytes != KMSG_NONE)
			k->total_bytes *= factor;
		return;
	}
}

/* Of a group that is killed as a whole the kernel names the first victim twice. */
static bool is_told(struct saved_reader *r, const struct kmsg_kill *k)
{
	if (!k->is_group)
		r->npids = 0;
	for (size_t i = 0; i < r->npids; i++) {
		if (r->pids[i] == k->pid)
			return true;
	}
	if (r->npids < GROUP_PIDS)
		r->pids[r->npids++] = k->pid;
	return false;
}

static void tell(struct saved_reader *r)
{
	struct kmsg_kill *k = &r->parser.cur;
	struct oom_event *e = &r->event;

	if (!k->no_victim && is_told(r, k))
		return;
	fix_page_size(k);
	oom_event__init(e);
	oom_event__from_log(e, k);
	e->seq = OOM_UNKNOWN;
	e->has_time = r->line.has_time;
	e->time_unix_ms = r->line.has_time ? r->line.time_unix_ms : 0;
	e->boot_us = r->line.has_boot ? r->line.boot_us : OOM_UNKNOWN;
	r->stats->assumed_year |= r->line.no_year;
	r->stats->events++;
	r->fn(r->arg, e);
}

static void end_line(struct saved_reader *r)
{
	if (!r->has_line)
		return;
	r->has_line = false;
	if (!r->line.is_kernel)
		return;
	r->stats->kernel_lines++;
	/* Another boot: what was going on before it has ended. */
	if (r->line.has_boot) {
		if (r->line.boot_us + 1000000 < r->last_boot_us)
			kmsg_parser__init(&r->parser, 4096);
		r->last_boot_us = r->line.boot_us;
	}
	r->parser.lenient = true;
	if (kmsg_parser__feed(&r->parser, r->text, 0, r->line.boot_us))
		tell(r);
}

static void append(struct saved_reader *r, const char *text)
{
	size_t n = strlen(text), room = sizeof(r->text) - 1 - r->text_len;

	n = min_of(n, room);
	memcpy(r->text + r->text_len, text, n);
	r->text_len += n;
	r->text[r->text_len] = 0;
}

static void begin_line(struct saved_reader *r, const struct saved_line *line, size_t width)
{
	end_line(r);
	r->has_line = true;
	r->line = *line;
	r->text_len = 0;
	append(r, line->text);
	r->last_width = width;
}

/* A terminal breaks lines at its width, in the middle of words; people and mail at a blank. */
static void continue_line(struct saved_reader *r, const char *text, size_t width)
{
	if (r->last_width < r->widest && r->text_len && r->text[r->text_len - 1] != ' ')
		append(r, " ");
	append(r, text);
	r->last_width = width;
}

static void own_event(struct saved_reader *r, const char *line, size_t len)
{
	if (oom_record__parse(line, len, &r->event))
		return;
	r->stats->events++;
	r->fn(r->arg, &r->event);
}

static void take(struct saved_reader *r, char *line, size_t len, int64_t near_ms)
{
	struct saved_line d;

	r->stats->lines++;
	r->widest = max_of(r->widest, len);
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		line[--len] = 0;
	if (!len)
		return;
	if (saved__decode(line, near_ms, &d)) {
		if (d.form == SAVED_EVENTS) {
			own_event(r, line, len);
			return;
		}
		r->stamped = true;
		begin_line(r, &d, len);
	} else if (r->stamped && r->has_line) {
		continue_line(r, line, len);
	} else if (!r->stamped) {
		d = (struct saved_line){.form = SAVED_TEXT, .is_kernel = true, .text = line};
		begin_line(r, &d, len);
	}
}

static int open_saved(const char *path, const struct lines_limits *limits, struct lines **ret)
{
	int fd;

	if (!strcmp(path, "-"))
		return lines__open(path, limits, ret);
	fd = apart__open(path, APART_READ_FILE);
	return fd < 0 ? fd : lines__open_fd(fd, limits, ret);
}

int saved__read(const char *path, void (*fn)(void *arg, struct oom_event *e), void *arg,
		struct saved_stats *ret)
{
	const struct lines_limits limits = {LINE_BYTES, FILE_BYTES};
	cleanup_free struct saved_reader *r = calloc(1, sizeof(*r));
	struct lines *l;
	char *line;
	size_t len;
	int err;

	*ret = (struct saved_stats){0};
	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	r->stats = ret;
	kmsg_parser__init(&r->parser, 4096);
	err = open_saved(path, &limits, &l);
	if (err)
		return err;
	while ((err = lines__next(l, &line, &len)) > 0)
		take(r, line, len, lines__mtime_ms(l));
	end_line(r);
	ret->damaged = lines__damaged(l);
	ret->cut = lines__cut(l);
	lines__close(l);
	return err;
}
