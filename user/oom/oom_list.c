/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/oom_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "oom/oom_record.h"
#include "oom/oom_watch.h"
#include "oom/render.h"
#include "oom/rotated.h"
#include "oom/saved.h"
#include "sys/apart.h"
#include "sys/box.h"
#include "sys/privilege.h"

#define MAX_TOLD_BYTES ((size_t)64 << 20)

static void drop_items(struct oom_list *l)
{
	for (size_t i = 0; i < l->nitems; i++)
		free(l->item[i].text);
	l->nitems = l->oldest = 0;
	l->left_out = 0;
}

void oom_list__fini(struct oom_list *l)
{
	drop_items(l);
	free(l->item);
	known__free(&l->known);
	textbuf__free(&l->text);
}

static void print(struct oom_list *l, const char *text, size_t len)
{
	if (l->stdout_gone)
		return;
	progress__hide();
	if (util__write_all(STDOUT_FILENO, text, len))
		l->stdout_gone = true;
}

/* Adds the text to what is listed. */
static void keep(struct oom_list *l)
{
	struct oom_list_item *to;
	char *copy = l->text.err ? NULL : malloc(l->text.len + 1);

	if (!copy || (l->nitems < l->top && array_reserve(l->item, l->items_cap, l->nitems + 1))) {
		free(copy);
		l->left_out++;
		return;
	}
	if (l->nitems < l->top) {
		to = &l->item[l->nitems++];
	} else {
		to = &l->item[l->oldest];
		free(to->text);
		l->oldest = (l->oldest + 1) % l->top;
		l->left_out++;
	}
	memcpy(copy, l->text.text, l->text.len);
	*to = (struct oom_list_item){copy, l->text.len};
}

/* Prints what is listed. */
static void flush(struct oom_list *l)
{
	for (size_t i = 0; i < l->nitems; i++) {
		const struct oom_list_item *from = &l->item[(l->oldest + i) % l->nitems];

		print(l, from->text, from->len);
	}
	if (l->left_out)
		log_warn("%" PRIu64 " older event%s left out; --top shows more", l->left_out,
			 l->left_out == 1 ? " is" : "s are");
	drop_items(l);
}

static void count(struct oom_list *l, const struct oom_event *e)
{
	if (e->no_victim)
		l->listed.victimless += e->repeats ? e->repeats : 1;
	else
		l->listed.kills++;
}

/* "2 kills", "2 kills and 1 OOM without a victim". */
static void say_count(struct oom_list *l, const struct oom_counts *since)
{
	uint64_t kills = l->listed.kills - since->kills;
	uint64_t victimless = l->listed.victimless - since->victimless;

	textbuf__reset(&l->text);
	textbuf__format(&l->text, "%" PRIu64 " kill%s", kills, units__s(kills));
	if (victimless)
		textbuf__format(&l->text, " and %" PRIu64 " OOM%s without a victim", victimless,
				units__s(victimless));
}

static bool is_in_window(const struct oom_list *l, const struct oom_event *e)
{
	return !e->has_time ||
	       (e->time_unix_ms >= l->since_unix_ms && e->time_unix_ms <= l->until_unix_ms);
}

/* A kill that a kernel's log tells of, live or saved. */
static void list_kill(void *arg, struct oom_event *e)
{
	struct oom_list *l = arg;

	if (!is_in_window(l, e))
		return;
	count(l, e);
	textbuf__reset(&l->text);
	if (l->json)
		render__json(&l->text, e);
	else
		render__text(&l->text, e);
	if (l->lists)
		keep(l);
	else if (!l->text.err)
		print(l, l->text.text, l->text.len);
}

/* Says why a file cannot be read; an enum mw_exit. */
static int cannot_read(const char *path, int err)
{
	log_error("failed to read '%s': %s", path,
		  err == -EINVAL ? "it is not a regular file" : strerror(-err));
	return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

/* --- memwatch's own log --- */

/* Other events of the log: groups that were held up. */
static void list_other(struct oom_list *l, const char *line, size_t len)
{
	struct throttle_event e;

	if (!l->lists || throttle__parse(line, len, &e) || e.time_unix_ms < l->since_unix_ms ||
	    e.time_unix_ms > l->until_unix_ms)
		return;
	textbuf__reset(&l->text);
	if (!(l->json ? throttle__json(&l->text, &e) : throttle__text(&l->text, &e)))
		keep(l);
}

static void list_recorded(void *arg, const char *line, size_t len, const struct oom_event *e)
{
	struct oom_list *l = arg;

	if (!e) {
		list_other(l, line, len);
		return;
	}
	if (!strcmp(e->boot_id, l->boot_id))
		known__add(&l->known, e);
	if (!l->lists || !is_in_window(l, e))
		return;
	count(l, e);
	textbuf__reset(&l->text);
	if (l->json) {
		textbuf__json_text(&l->text, line);
		textbuf__raw(&l->text, "\n", 1);
	} else {
		render__text(&l->text, e);
	}
	keep(l);
}

static int read_file(struct oom_list *l, const char *path)
{
	struct record_stats stats;
	int err;

	progress__begin("reading '%s'", path);
	err = oom_record__each(path, list_recorded, l, &stats);
	progress__end();
	/* A terminal or a pipe can be written, but tells nothing of the past. */
	if ((err == -ENOENT || err == -EINVAL) && !l->lists)
		return 0;
	if (err)
		return cannot_read(path, err);
	if (stats.bad)
		log_warn("'%s': %llu line%s that cannot be read as events left out", path,
			 (unsigned long long)stats.bad, units__s(stats.bad));
	if (stats.cut)
		log_warn("'%s' goes on after the first 1GB; the rest was not read", path);
	return 0;
}

struct log_reading {
	struct oom_list *l;
	struct rotated old;
	int told; /* a memory file: how many were listed, and what is known */
};

/* In the process apart. */
static int read_log_files(void *arg)
{
	struct log_reading *r = arg;
	struct oom_list *l = r->l;
	int status = 0;

	for (size_t i = 0; i < r->old.n && !status; i++)
		status = read_file(l, r->old.path[i]);
	if (!status)
		status = read_file(l, l->log_path);
	flush(l);
	if (util__write_all(r->told, &l->listed, sizeof(l->listed)) ||
	    known__write(&l->known, r->told))
		return EXIT_FAILED;
	return status;
}

static bool may_read_log(const void *arg, enum apart_wish wish, const char *path)
{
	const struct log_reading *r = arg;

	for (size_t i = 0; i < r->old.n && wish == APART_READ_FILE; i++) {
		if (!strcmp(r->old.path[i], path))
			return true;
	}
	return wish == APART_READ_FILE && !strcmp(r->l->log_path, path);
}

static int take_told(struct oom_list *l, int fd)
{
	cleanup_free void *data = NULL;
	size_t len = 0, head = sizeof(l->listed);
	int err = box__take(fd, MAX_TOLD_BYTES, &data, &len);

	if (err || len < head)
		return err ? err : -EBADMSG;
	memcpy(&l->listed, data, head);
	return known__read(&l->known, (const char *)data + head, len - head);
}

/* What was rotated away is known too: else the kernel's log, which goes back further than the new
 * file, would have it written again. */
int oom_list__log(struct oom_list *l, unsigned privileges)
{
	struct log_reading r = {.l = l, .told = box__memory()};
	const struct apart_opts o = {
		.work = read_log_files, .may = may_read_log, .arg = &r, .privileges = privileges};
	int status, err = r.told < 0 ? r.told : rotated__list(l->log_path, &r.old);

	if (err) {
		log_warn("failed to look for rotated files of '%s': %s; continuing without",
			 l->log_path, strerror(-err));
		r.old.n = 0;
	}
	status = apart__run(&o);
	err = status ? 0 : take_told(l, r.told);
	if (err) {
		log_error("failed to read '%s': %s", l->log_path, strerror(-err));
		status = EXIT_FAILED;
	}
	rotated__free(&r.old);
	util__close_fd(&r.told);
	return status;
}

/* --- the kernel's log --- */

static void list_past(void *arg, struct oom_event *e)
{
	struct oom_list *l = arg;

	if (known__has(&l->known, e))
		return;
	if (!l->log_path)
		known__add(&l->known, e); /* following goes on after it */
	snprintf(e->boot_id, sizeof(e->boot_id), "%s", l->boot_id);
	list_kill(l, e);
}

int oom_list__kernel(struct oom_list *l)
{
	int err = oom_watch__past(list_past, l);

	flush(l);
	if (err && !l->log_path) {
		log_error(
			"failed to read the kernel's log: %s; run as root, or with CAP_SYSLOG, or "
			"name a log with --log",
			strerror(-err));
		return EXIT_UNSUPPORTED;
	}
	if (err)
		log_warn("failed to read the kernel's log: %s; continuing with '%s' alone",
			 strerror(-err), l->log_path);
	say_count(l, &(const struct oom_counts){0});
	if (!l->quiet && !l->text.err)
		log_info("%s", l->text.text);
	return EXIT_DONE;
}

/* --- saved logs --- */

static int explain_file(struct oom_list *l, const char *path)
{
	struct oom_counts before = l->listed;
	struct saved_stats s;
	int err = saved__read(path, list_kill, l, &s);

	if (err)
		return cannot_read(path, err);
	if (s.damaged)
		log_warn("'%s': %llu damaged lines were left out", path,
			 (unsigned long long)s.damaged);
	if (s.cut)
		log_warn("'%s': it goes on after the first 1GB, or is a cut archive; the rest was "
			 "not read",
			 path);
	if (s.assumed_year)
		log_info("'%s': its times have no year; the latest before the file was written is "
			 "assumed",
			 path);
	say_count(l, &before);
	if (!l->quiet && !l->text.err)
		log_info("'%s': %s in %llu line%s, %llu of them the kernel's", path, l->text.text,
			 (unsigned long long)s.lines, units__s(s.lines),
			 (unsigned long long)s.kernel_lines);
	return EXIT_DONE;
}

struct saved_reading {
	struct oom_list *l;
	const char *const *path;
	size_t n;
};

static int explain_files(void *arg)
{
	const struct saved_reading *r = arg;
	int status = EXIT_DONE;

	for (size_t i = 0; i < r->n; i++) {
		int one;

		progress__begin("reading '%s'", r->path[i]);
		one = explain_file(r->l, r->path[i]);
		progress__end();
		status = status ? status : one;
	}
	return status;
}

/* The files of the command line, and nothing else. */
static bool may_read_saved(const void *arg, enum apart_wish wish, const char *path)
{
	const struct saved_reading *r = arg;

	for (size_t i = 0; i < r->n && wish == APART_READ_FILE; i++) {
		if (!strcmp(r->path[i], path))
			return true;
	}
	return false;
}

int oom_list__saved(struct oom_list *l, const char *const *path, size_t n)
{
	struct saved_reading r = {l, path, n};
	const struct apart_opts o = {.work = explain_files,
				     .may = may_read_saved,
				     .arg = &r,
				     .privileges = PRIVILEGE(READ) | PRIVILEGE(FILES)};

	return apart__run(&o);
}
