/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener.c - see opener.h: the side of who wants files. */
#include "sys/opener.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/opener_priv.h"
#include "sys/patience.h"
#include "sys/proc_task.h"
#include "sys/safeopen.h"
#include "sys/signals.h"

#define MS 1000000ULL
#define SLICE_MS 20
#define REST_NS (1000 * MS)	  /* of one that waits itself */
#define DISK_REST_NS (3000 * MS)  /* where that seems to be a disk, which may merely be busy */
#define REST_TOTAL_NS (3000 * MS) /* of that in all, and a twentieth of the time that goes by */
#define SHORT_REST_NS (50 * MS)	  /* and then; and once the user wants the end */
#define MAX_LEFT 64		  /* left behind, that may all still be there */
#define PAUSE_NS (10000 * MS)	  /* for one more, then */

struct opener {
	struct opener *next; /* of those that have nothing to do */
	pid_t pid;
	int sock;
};

static struct {
	pthread_mutex_t lock;
	int control; /* -1: there is none */
	struct opener *idle;
	struct patience_share share;
	unsigned left;
	uint64_t left_ns; /* when the last was */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER,
	 .control = -1,
	 .share = {.most_ns = REST_TOTAL_NS, .part = 20}};

static void free_opener(struct opener *o)
{
	if (o)
		util__close_fd(&o->sock);
	free(o);
}

/* For how long one may wait itself. */
static uint64_t rest(const struct opener *o)
{
	struct proc_identity id;

	if (signals__end_ns() || patience__is_used_up(&all.share))
		return SHORT_REST_NS;
	return o->pid && !proc_task__identity(o->pid, &id) && id.sleeps ? DISK_REST_NS : REST_NS;
}

/* The next word of an opener's. 0; -ETIMEDOUT: it waits for something that does not come; -EPIPE.
 */
static int await(const struct opener *o, void *ret, size_t len, int *ret_fd)
{
	struct pollfd fd = {.fd = o->sock, .events = POLLIN};
	struct patience p = {0};
	int fds[FDMSG_MAX_FDS];

	patience__begin(&p);
	while (poll(&fd, 1, SLICE_MS) <= 0) {
		patience__look(&p, o->pid, 0);
		if (util__now_ns() - p.heard_ns < rest(o))
			continue;
		patience__end(&p, &all.share);
		return -ETIMEDOUT;
	}
	if (fdmsg__recv(o->sock, ret, len, fds, MSG_DONTWAIT) != (ptrdiff_t)len)
		return -EPIPE;
	*ret_fd = fds[0];
	return 0;
}

static int new_opener(struct opener **ret)
{
	struct opener *o = calloc(1, sizeof(*o));
	int pair[2], err = 0, none = -1, room = 2 * OPENER_MESSAGE;
	int32_t pid = 0;

	if (!o)
		return -ENOMEM;
	o->sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err = -errno;
	if (!err) {
		o->sock = pair[0];
		setsockopt(o->sock, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		err = fdmsg__send(all.control, "", 1, NULL, 0, &pair[1], 1, 0);
		close(pair[1]);
	}
	/* whoever starts it has nothing to wait for but a processor */
	if (!err)
		err = await(o, &pid, sizeof(pid), &none);
	if (err) {
		free_opener(o);
		return err == -ETIMEDOUT ? err : -EPIPE;
	}
	o->pid = pid;
	*ret = o;
	return 0;
}

static int take(struct opener **ret)
{
	bool too_many;

	pthread_mutex_lock(&all.lock);
	*ret = all.idle;
	if (*ret)
		all.idle = (*ret)->next;
	too_many = all.left >= MAX_LEFT && util__now_ns() - all.left_ns < PAUSE_NS;
	pthread_mutex_unlock(&all.lock);
	if (*ret)
		return 0;
	return too_many ? -ETIMEDOUT : new_opener(ret);
}

/* err: that of its last answer; `last`: it serves no more. */
static void give_back(struct opener *o, int err, bool last)
{
	bool is_gone = err == -EPIPE || last;

	pthread_mutex_lock(&all.lock);
	if (err == -ETIMEDOUT) {
		all.left++;
		all.left_ns = util__now_ns();
	} else if (!is_gone) {
		o->next = all.idle;
		all.idle = o;
	}
	pthread_mutex_unlock(&all.lock);
	if (err == -ETIMEDOUT || is_gone)
		free_opener(o);
}

/* 0, -ETIMEDOUT or -EPIPE; what came of it is in the answer. */
static int ask(const struct opener_request *q, const void *data, const int *fds, size_t nfds,
	       struct opener_answer *a, int *ret_fd)
{
	int err = -EPIPE;

	for (int tries = 0; tries < 2 && err == -EPIPE; tries++) { /* an idle one may have died */
		struct opener *o;

		err = take(&o);
		if (err)
			return err;
		err = fdmsg__send(o->sock, q, sizeof(*q), data, q->len, fds, nfds, 0)
			      ? -EPIPE
			      : await(o, a, sizeof(*a), ret_fd);
		give_back(o, err, q->op == OPENER_SEND);
	}
	return err;
}

static int ask_path(struct opener_request *q, const char *path, int rootfd, struct stat *st,
		    int *ret_fd)
{
	struct opener_answer a;
	size_t len = strlen(path) + 1;
	int err;

	if (len > PATH_MAX)
		return -ENAMETOOLONG;
	q->len = (uint32_t)len;
	err = ask(q, path, &rootfd, rootfd >= 0, &a, ret_fd);
	if (!err)
		err = a.result;
	if (!err)
		*st = a.st;
	return err;
}

static int open_there(int rootfd, const char *path, int nofollow,
		      const struct safeopen_owner *owner, struct stat *st)
{
	struct opener_request q = {.op = OPENER_OPEN,
				   .nofollow = nofollow,
				   .has_owner = owner != NULL,
				   .uid = owner ? owner->uid : 0,
				   .or_readable_root = owner ? owner->or_readable_root : 0};
	int fd = -1, err = ask_path(&q, path, rootfd, st, &fd);

	return err ? err : fd < 0 ? -EMFILE : fd;
}

static int stat_there(const char *path, struct stat *st)
{
	struct opener_request q = {.op = OPENER_STAT};
	int none = -1;

	return ask_path(&q, path, -1, st, &none);
}

static int send_there(int sock, const void *head, size_t head_len, const void *data, size_t len,
		      const int *fds, size_t nfds)
{
	struct opener_request q = {.op = OPENER_SEND, .len = (uint32_t)(head_len + len)};
	int all_fds[FDMSG_MAX_FDS] = {sock}, none = -1, err;
	struct opener_answer a;
	cleanup_free char *both = NULL;

	if (head_len + len > OPENER_MESSAGE || nfds >= FDMSG_MAX_FDS)
		return -EMSGSIZE;
	both = malloc(head_len + len);
	if (!both)
		return -ENOMEM;
	memcpy(both, head, head_len);
	if (len)
		memcpy(both + head_len, data, len);
	memcpy(all_fds + 1, fds, nfds * sizeof(*fds));
	err = ask(&q, both, all_fds, nfds + 1, &a, &none);
	return err ? err : a.result;
}

void opener__start(void)
{
	static const struct safeopen_other there = {open_there, stat_there, send_there};
	int pair[2];
	pid_t pid;

	if (all.control >= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	fflush(NULL); /* once is enough */
	pid = fork();
	if (!pid)
		opener__serve(pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return;
	}
	all.control = pair[0];
	all.share.since_ns = util__now_ns();
	safeopen__hand_over(&there);
}
