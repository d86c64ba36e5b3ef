/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/jsonlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "sys/filer.h"
#include "sys/logfile.h"
#include "sys/signals.h"

#define ANSWER_SLICES 20 /* what a line is waited for before it waits itself */

struct jsonlog {
	char *path;
	struct logfile near; /* where there is no process for files */
	struct filer_file *far;
	bool is_far, asked; /* asked: the first line of the backlog is under way */
	size_t waiting;	    /* bytes in backlog */
	size_t lines;
	uint64_t lost;
	char backlog[JSONLOG_BACKLOG];
};

static int open_log(struct jsonlog *l)
{
	l->is_far = filer__runs();
	return l->is_far ? filer__log(l->path, JSONLOG_BACKLOG, &l->far)
			 : logfile__open(&l->near, l->path);
}

int jsonlog__open(const char *path, struct jsonlog **ret)
{
	struct jsonlog *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	util__prefault(l, sizeof(*l));
	l->near.fd = -1;
	l->path = strdup(path);
	err = l->path ? open_log(l) : -ENOMEM;
	if (err) {
		free(l->path);
		free(l);
		return err;
	}
	*ret = l;
	return 0;
}

/* The answer about the line that is under way. */
static int take_answer(struct jsonlog *l, unsigned slices)
{
	int err = filer__log_answer(l->far, slices);

	l->asked = err == -EINPROGRESS || err == -ETIMEDOUT;
	if (err == -EPIPE) { /* who writes has died; the next try starts another */
		filer__log_close(l->far);
		l->far = NULL;
	}
	return err;
}

/* A line, or, if there is none, the file that has the name now. */
static int put(struct jsonlog *l, const char *line, size_t len)
{
	int err = 0;

	if (!l->is_far)
		return len ? logfile__add(&l->near, line, len) : logfile__reopen(&l->near);
	if (!l->far)
		err = filer__log(l->path, JSONLOG_BACKLOG, &l->far);
	if (!err)
		err = filer__log_send(l->far, line, len);
	return err ? err : take_answer(l, ANSWER_SLICES);
}

static void drop_first(struct jsonlog *l, size_t len)
{
	l->waiting -= len;
	l->lines--;
	memmove(l->backlog, l->backlog + len, l->waiting);
}

/* Length of the line of the backlog that begins there. */
static size_t line_len(const struct jsonlog *l, size_t at)
{
	const char *nl = memchr(l->backlog + at, '\n', l->waiting - at);

	return nl ? (size_t)(nl - l->backlog) + 1 - at : l->waiting - at;
}

int jsonlog__retry(struct jsonlog *l)
{
	int err = 0;

	while (l->waiting && !err) {
		size_t len = line_len(l, 0);

		if (l->asked) /* at the end it has the time that the end has */
			err = take_answer(l, signals__end_ns() ? UINT32_MAX : 0);
		else
			err = put(l, l->backlog, len);
		if (!err)
			drop_first(l, len);
	}
	return err;
}

int jsonlog__write(struct jsonlog *l, const char *line, size_t len)
{
	int err = jsonlog__retry(l);

	if (!err)
		err = put(l, line, len);
	if (!err)
		return 0;
	if (len > sizeof(l->backlog) - l->waiting) {
		l->lost++;
		return -ENOBUFS;
	}
	memcpy(l->backlog + l->waiting, line, len);
	l->waiting += len;
	l->lines++;
	return err;
}

int jsonlog__reopen(struct jsonlog *l)
{
	int err = jsonlog__retry(l);

	if (!err)
		err = put(l, NULL, 0);
	if (err == -EINPROGRESS) /* there is no line of which it is the answer */
		filer__log_forget(l->far);
	return err;
}

size_t jsonlog__waiting(const struct jsonlog *l)
{
	return l->lines;
}

uint64_t jsonlog__lost(const struct jsonlog *l)
{
	return l->lost;
}

/* What waits for a file system that does not answer goes to who waits for it. */
static void hand_over(struct jsonlog *l)
{
	size_t at = 0;

	while (l->far && at < l->waiting) {
		size_t len = line_len(l, at);

		if ((at || !l->asked) && filer__log_send(l->far, l->backlog + at, len))
			break;
		at += len;
	}
}

void jsonlog__close(struct jsonlog *l)
{
	if (!l)
		return;
	jsonlog__retry(l);
	hand_over(l);
	filer__log_close(l->far);
	logfile__close(&l->near);
	free(l->path);
	free(l);
}
