/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener.c - see opener.h: the side of who wants files. */
#include "sys/opener.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/box.h"
#include "sys/crew.h"
#include "sys/fdmsg.h"
#include "sys/opener_priv.h"
#include "sys/patience.h"
#include "sys/proc_task.h"
#include "sys/safeopen.h"

#define MS 1000000ULL
#define DISK_REST_NS (3000 * MS)  /* where one that waits seems to wait for a disk */
#define REST_TOTAL_NS (3000 * MS) /* of all */

static struct crew all = CREW(REST_TOTAL_NS);
static bool (*is_ours)(int fd);

static void free_opener(struct crew_worker *o)
{
	if (o)
		util__close_fd(&o->sock);
	free(o);
}

/* A disk may merely be busy. */
static uint64_t rest(const struct crew_worker *o)
{
	struct proc_identity id;
	bool sleeps = o->pid && !proc_task__identity(o->pid, &id) && id.sleeps;

	return crew__rest(&all, sleeps ? DISK_REST_NS : CREW_REST_NS);
}

/* The next word of an opener's. 0; -ETIMEDOUT: it waits for something that does not come; -EPIPE.
 */
static int await(const struct crew_worker *o, void *ret, size_t len, int *ret_fd)
{
	struct pollfd fd = {.fd = o->sock, .events = POLLIN};
	struct patience p = {0};
	int fds[FDMSG_MAX_FDS];

	patience__begin(&p);
	while (poll(&fd, 1, CREW_SLICE_MS) <= 0) {
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

static int new_opener(struct crew_worker **ret)
{
	struct crew_worker *o = calloc(1, sizeof(*o));
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

/* 0, -ETIMEDOUT or -EPIPE; what came of it is in the answer. */
static int ask(const struct opener_request *q, const void *data, const int *fds, size_t nfds,
	       struct opener_answer *a, int *ret_fd)
{
	int err = -EPIPE;

	for (int tries = 0; tries < 2 && err == -EPIPE; tries++) { /* an idle one may have died */
		struct crew_worker *o;

		err = crew__take(&all, &o);
		if (!err && !o)
			err = new_opener(&o);
		if (err)
			return err;
		err = fdmsg__send(o->sock, q, sizeof(*q), data, q->len, fds, nfds, 0)
			      ? -EPIPE
			      : await(o, a, sizeof(*a), ret_fd);
		/* one that sent serves no more */
		if (!crew__give_back(&all, o, !err && q->op == OPENER_SEND ? -EPIPE : err))
			free_opener(o);
	}
	return err;
}

/* Through whose directory in /proc the path leads; 0: through none. */
static pid_t owner_of(const char *path)
{
	return strncmp(path, "/proc/", 6) ? 0 : (pid_t)strtol(path + 6, NULL, 10);
}

/* whose: pays for it, as safeopen__below says. */
static int ask_path(struct opener_request *q, const char *path, int rootfd, pid_t whose,
		    struct opener_answer *a, int *ret_fd)
{
	size_t len = strlen(path) + 1;
	struct box_target payer;
	int err;

	if (len > PATH_MAX)
		return -ENAMETOOLONG;
	q->len = (uint32_t)len;
	whose = whose ? whose : owner_of(path);
	err = ask(q, path, &rootfd, rootfd >= 0, a, ret_fd);
	if (err)
		return err;
	if (whose > 0) {
		payer = box__target(whose);
		box__charge(&payer, a->cpu_ns);
	}
	return a->result;
}

/* Of an overlay whose every layer answers: what reads takes the place of what has only seen it. */
static void reopen_there(int *fd)
{
	const struct opener_request q = {.op = OPENER_REOPEN};
	struct opener_answer a;
	int own = -1;

	if (!is_ours || !is_ours(*fd) || ask(&q, NULL, fd, 1, &a, &own) || own < 0)
		return;
	close(*fd);
	*fd = own;
}

static int open_there(int rootfd, const char *path, int nofollow,
		      const struct safeopen_owner *owner, pid_t whose, struct stat *st)
{
	struct opener_request q = {.op = OPENER_OPEN,
				   .nofollow = nofollow,
				   .has_owner = owner != NULL,
				   .uid = owner ? owner->uid : 0,
				   .or_readable_root = owner ? owner->or_readable_root : 0};
	struct opener_answer a;
	int fd = -1, err = ask_path(&q, path, rootfd, whose, &a, &fd);

	if (err || fd < 0)
		return err ? err : -EMFILE;
	*st = a.st;
	if (a.is_overlay)
		reopen_there(&fd);
	return fd;
}

static int stat_there(const char *path, struct stat *st)
{
	struct opener_request q = {.op = OPENER_STAT};
	struct opener_answer a;
	int none = -1, err = ask_path(&q, path, -1, 0, &a, &none);

	if (!err)
		*st = a.st;
	return err;
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

void opener__start(bool (*overlay_is_ours)(int fd))
{
	static const struct safeopen_other there = {open_there, stat_there, send_there};

	if (all.control >= 0)
		return;
	is_ours = overlay_is_ours;
	crew__start(&all, opener__serve);
	if (all.control >= 0)
		safeopen__hand_over(&there);
}
