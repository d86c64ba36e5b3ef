/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filer.c - see filer.h: the side of who has something to write. Any thread may. */
#include "sys/filer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/filer_priv.h"
#include "sys/patience.h"
#include "sys/privilege.h"
#include "sys/proc_task.h"
#include "sys/signals.h"

#define SLICE_MS 50
#define MS 1000000ULL
#define REST_NS (750 * MS)	 /* without a move, once the end was asked for */
#define DISK_REST_NS (3000 * MS) /* the same where it waits for a disk, which may be busy */
#define SHORT_REST_NS (200 * MS) /* the same when one was left behind already */
#define MAX_QUEUE (64UL << 20)
#define TELL_SLICES 20 /* of waiting for what moves, before that is told */

static int control = -1;
static bool left_behind; /* one was, since the end was asked for */

struct filer_file {
	int news, data;
	pid_t pid;
	int err; /* what it came to; or -ETIMEDOUT: it was left behind */
	bool open, done;
	bool answered; /* of a log: `added` is what came of the line that was sent */
	int added;
	unsigned unasked; /* answers that nobody waits for */
	unsigned waited;  /* slices */
	struct patience patience;
	bool told;
	char *queue; /* what there was no room for in the socket */
	size_t queued, queue_cap;
	char path[];
};

static int start(bool goes_on)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL); /* once is enough */
	pid = fork();
	err = pid < 0 ? -errno : 0;
	if (!pid) {
		close(pair[0]);
		filer__serve(pair[1], goes_on);
	}
	close(pair[1]);
	if (err)
		close(pair[0]);
	else
		control = pair[0];
	return err;
}

unsigned filer__start(bool goes_on)
{
	if (control < 0)
		start(goes_on);
	return control < 0 ? PRIVILEGE(FILES) : 0;
}

bool filer__runs(void)
{
	return control >= 0;
}

static void free_file(struct filer_file *f)
{
	if (!f)
		return;
	signals__unfinished_file(NULL);
	util__close_fd(&f->news);
	util__close_fd(&f->data);
	free(f->queue);
	free(f);
}

/* Sends an order. data: the other end of what f->data is, or a file; -1: none. */
static int order(enum filer_op op, const char *path, size_t max, int data, bool streams,
		 struct filer_file **ret)
{
	struct filer_order o = {.op = op, .streams = streams, .max = max};
	size_t len = strlen(path);
	struct filer_file *f;
	int pair[2], err;

	if (len >= sizeof(o.path))
		return -ENAMETOOLONG;
	f = calloc(1, sizeof(*f) + len + 1);
	if (!f)
		return -ENOMEM;
	memcpy(f->path, path, len + 1);
	memcpy(o.path, path, len + 1);
	f->data = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		err = -errno;
		free(f);
		return err;
	}
	f->news = pair[0];
	err = fdmsg__send(control, &o, sizeof(o), NULL, 0, (int[]){pair[1], data}, 1 + (data >= 0),
			  0);
	close(pair[1]);
	if (err) {
		free_file(f);
		return -EPIPE;
	}
	*ret = f;
	return 0;
}

/* --- waiting --- */

static void begin_waiting(struct filer_file *f)
{
	f->waited = 0;
	patience__begin(&f->patience);
}

/* For how long it may stay as it is. */
static uint64_t rest_of(const struct filer_file *f)
{
	struct proc_identity id;

	if (left_behind)
		return SHORT_REST_NS;
	return f->pid && !proc_task__identity(f->pid, &id) && id.sleeps ? DISK_REST_NS : REST_NS;
}

static void note(struct filer_file *f, const struct filer_news *n)
{
	patience__begin(&f->patience);
	signals__goes_on();
	if (n->what == FILER_STARTED)
		f->pid = n->value;
	else if (n->what == FILER_OPEN)
		f->open = true;
	else if (n->what == FILER_DONE)
		f->err = n->value;
	else if (n->what == FILER_ADDED && f->unasked)
		f->unasked--;
	else if (n->what == FILER_ADDED) {
		f->added = n->value;
		f->answered = true;
	}
	f->done |= n->what == FILER_DONE;
}

/* False: there is none. */
static bool take_news(struct filer_file *f)
{
	struct filer_news n;
	ssize_t len = recv(f->news, &n, sizeof(n), MSG_DONTWAIT);

	if (len == sizeof(n)) {
		note(f, &n);
		return true;
	}
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (!f->done) /* it has died */
		f->err = -EPIPE;
	f->done = true;
	return true;
}

/* A slice has passed in which nothing moved; -ETIMEDOUT: it is left behind. */
static int count_slice(struct filer_file *f)
{
	uint64_t end = signals__end_ns();

	f->waited++;
	if (!end)
		return 0;
	if (f->pid) /* who has not started may be held up by the file's directory */
		patience__look(&f->patience, f->pid, 0);
	if (util__now_ns() < max_of(f->patience.heard_ns, end) + rest_of(f))
		return 0;
	left_behind = true;
	return -ETIMEDOUT;
}

/* One slice, or less where there is something to do; `room`: until data can be sent. */
static int wait_slice(struct filer_file *f, bool room)
{
	struct pollfd p[] = {{.fd = f->news, .events = POLLIN},
			     {.fd = room ? f->data : -1, .events = POLLOUT}};
	int n = poll(p, ARRAY_SIZE(p), SLICE_MS);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0) {
		f->err = count_slice(f);
		f->done = f->err != 0;
	}
	if (f->waited > TELL_SLICES && signals__end_ns() && !f->told && !f->done) {
		f->told = true;
		log_info("'%s' is still being written; Ctrl-C once more ends memwatch without "
			 "waiting for it",
			 f->path);
	}
	return f->err;
}

/* Until it is open, or done. */
static int await(struct filer_file *f, bool only_open)
{
	signals__unfinished_file(f->path);
	begin_waiting(f);
	while (!f->done && !(only_open && f->open)) {
		if (!take_news(f))
			wait_slice(f, false);
	}
	signals__unfinished_file(NULL);
	return f->done ? f->err : 0;
}

/* --- orders --- */

/* A path that leads to a descriptor of memwatch's own, which few do, is found out by whom it is
 * asked of first; he has none. */
static int ask(enum filer_op op, const char *path, size_t max, int data)
{
	int err = -EBADF;

	for (int streams = 0; streams < 2 && err == -EBADF; streams++) {
		struct filer_file *f;

		err = order(op, path, max, data, streams, &f);
		if (err)
			return err;
		err = await(f, false);
		free_file(f);
	}
	return err;
}

int filer__write(const char *path, int fd)
{
	return ask(FILER_WRITE, path, 0, fd);
}

int filer__check(const char *path)
{
	return ask(FILER_CHECK, path, 0, -1);
}

int filer__prune(const char *pattern, size_t keep)
{
	return ask(FILER_PRUNE, pattern, min_of(keep, (size_t)UINT32_MAX), -1);
}

/* An order whose data goes through a socket. */
static int open_far(enum filer_op op, const char *path, size_t max, struct filer_file **ret)
{
	int err = -EBADF;

	for (int streams = 0; streams < 2 && err == -EBADF; streams++) {
		struct filer_file *f;
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			return -errno;
		err = order(op, path, max, pair[1], streams, &f);
		close(pair[1]);
		if (err) {
			close(pair[0]);
			return err;
		}
		f->data = pair[0];
		err = await(f, true);
		if (err)
			free_file(f);
		else
			*ret = f;
	}
	return err;
}

int filer__create(const char *path, struct filer_file **ret)
{
	return open_far(FILER_CREATE, path, 0, ret);
}

/* As much of it as there is room for; the bytes sent, or -errno. */
static ptrdiff_t send_some(struct filer_file *f, const char *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(f->data, data + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return -errno;
	}
	return sent;
}

/* What waits goes first. */
static int send_queue(struct filer_file *f)
{
	ptrdiff_t n = send_some(f, f->queue, f->queued);

	if (n < 0)
		return n;
	if (n)
		patience__begin(&f->patience);
	f->queued -= n;
	memmove(f->queue, f->queue + n, f->queued);
	return 0;
}

/* What there is no room for in the socket. */
static int enqueue(struct filer_file *f, const char *data, size_t len)
{
	int err = len > MAX_QUEUE - f->queued
			  ? -ETIMEDOUT
			  : array_reserve(f->queue, f->queue_cap, f->queued + len);

	if (err) { /* a gap: what follows would be of no use */
		f->done = true;
		f->err = err;
		return err;
	}
	memcpy(f->queue + f->queued, data, len);
	f->queued += len;
	return 0;
}

/* Nothing is waited for. */
int filer__add(struct filer_file *f, const void *data, size_t len)
{
	ptrdiff_t n = send_queue(f);

	while (take_news(f) && !f->done)
		;
	if (!n && !f->queued)
		n = send_some(f, data, len);
	if (n < 0 && !f->done)
		await(f, false); /* it tells why it takes nothing */
	if (f->done)
		return f->err ? f->err : -EIO;
	return (size_t)n < len ? enqueue(f, (const char *)data + n, len - n) : 0;
}

int filer__close(struct filer_file *f)
{
	int err = 0;

	signals__unfinished_file(f->path);
	begin_waiting(f);
	while (f->queued && !f->done && !err) {
		err = send_queue(f);
		if (!err && f->queued && !take_news(f))
			wait_slice(f, true);
	}
	shutdown(f->data, SHUT_WR);
	err = await(f, false);
	if (!err && f->queued)
		err = -EIO;
	free_file(f);
	return err;
}

/* --- logs --- */

int filer__log(const char *path, size_t max, struct filer_file **ret)
{
	struct filer_file *f;
	int err = open_far(FILER_LOG, path, max, &f);

	if (err)
		return err;
	/* a line and what one that nobody takes has left */
	err = array_reserve(f->queue, f->queue_cap, max + sizeof(uint32_t));
	if (err) {
		free_file(f);
		return err;
	}
	util__prefault(f->queue, max);
	*ret = f;
	return 0;
}

int filer__log_send(struct filer_file *f, const char *line, size_t len)
{
	uint32_t head = len;
	int err;

	if (f->queued + sizeof(head) + len > f->queue_cap)
		return -ENOBUFS;
	err = enqueue(f, (const char *)&head, sizeof(head));
	if (!err && len)
		err = enqueue(f, line, len);
	if (!err && send_queue(f))
		f->queued = 0; /* it has died, which its answer tells */
	begin_waiting(f);
	return err;
}

int filer__log_answer(struct filer_file *f, unsigned slices)
{
	unsigned until = f->waited + slices < f->waited ? UINT32_MAX : f->waited + slices;

	signals__unfinished_file(f->path);
	do {
		while (!f->answered && !f->done && take_news(f))
			;
		if (f->answered || f->done || f->waited >= until)
			break;
		if (f->queued && send_queue(f))
			f->queued = 0;
		wait_slice(f, f->queued != 0);
	} while (true);
	signals__unfinished_file(NULL);
	if (f->answered) {
		f->answered = false;
		return f->added;
	}
	if (!f->done)
		return -EINPROGRESS;
	return f->err == -ETIMEDOUT ? -ETIMEDOUT : -EPIPE;
}

void filer__log_forget(struct filer_file *f)
{
	f->unasked++;
}

void filer__log_close(struct filer_file *f)
{
	if (f)
		shutdown(f->data, SHUT_WR);
	free_file(f);
}
