/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader.c - see memreader.h: the side of who wants to know. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/patience.h"
#include "sys/signals.h"

#define MS 1000000ULL
#define SLICE_MS 20
#define REST_NS (1000 * MS)	  /* of one that waits itself */
#define REST_TOTAL_NS (5000 * MS) /* of that in all, and a twentieth of the time that goes by */
#define SHORT_REST_NS (50 * MS)	  /* and then; and once the user wants the end */
#define MAX_LEFT 64		  /* left behind, that may all still be there */
#define PAUSE_NS (10000 * MS)	  /* for one more, then */

struct memreader {
	struct memreader *next; /* of those that have nothing to do */
	pid_t pid;
	int sock;
	struct memreader_room *room;
};

static struct {
	pthread_mutex_t lock;
	int control; /* -1: there is none */
	struct memreader *idle;
	struct patience_share share;
	unsigned left;
	uint64_t left_ns; /* when the last was */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER,
	 .control = -1,
	 .share = {.most_ns = REST_TOTAL_NS, .part = 20}};

void memreader__start(void)
{
	int pair[2];
	pid_t pid;

	if (all.control >= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	fflush(NULL); /* once is enough */
	pid = fork();
	if (!pid)
		memreader__serve(pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return;
	}
	all.control = pair[0];
	all.share.since_ns = util__now_ns();
}

static void free_reader(struct memreader *r)
{
	if (!r)
		return;
	util__close_fd(&r->sock);
	if (r->room)
		munmap(r->room, sizeof(*r->room));
	free(r);
}

/* For how long one may wait itself. */
static uint64_t rest(void)
{
	return signals__end_ns() || patience__is_used_up(&all.share) ? SHORT_REST_NS : REST_NS;
}

/* The next word of a reader's. 0; -ETIMEDOUT: it waits for something that does not come; -EPIPE. */
static int await(const struct memreader *r, int32_t *ret)
{
	struct patience p = {0};

	patience__begin(&p);
	for (;;) {
		ssize_t n = recv(r->sock, ret, sizeof(*ret), 0); /* SLICE_MS, see new_reader */

		if (n == sizeof(*ret))
			return 0;
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		patience__look(&p, r->pid, 0);
		if (util__now_ns() - p.heard_ns < rest())
			continue;
		patience__end(&p, &all.share);
		return -ETIMEDOUT;
	}
}

/* The room, as a file in memory for the other side. */
static int new_room(struct memreader *r)
{
	int fd = memfd_create("memwatch-memory", MFD_CLOEXEC);
	void *p;

	if (fd < 0)
		return -errno;
	p = ftruncate(fd, sizeof(*r->room))
		    ? MAP_FAILED
		    : mmap(NULL, sizeof(*r->room), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	r->room = p;
	return fd;
}

static int new_reader(struct memreader **ret)
{
	const struct timeval slice = {.tv_usec = SLICE_MS * 1000};
	const struct memreader_order o = {0};
	struct memreader *r = calloc(1, sizeof(*r));
	cleanup_fd int room = -1;
	int pair[2], err;
	int32_t pid;

	if (!r)
		return -ENOMEM;
	r->sock = -1;
	room = new_room(r);
	err = room < 0 ? room : 0;
	if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err = -errno;
	if (!err) {
		r->sock = pair[0];
		setsockopt(r->sock, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
		err = fdmsg__send(all.control, &o, sizeof(o), NULL, 0, (int[]){pair[1], room}, 2,
				  0);
		close(pair[1]);
		/* whoever starts it has nothing to wait for but a processor */
		while (!err && (err = await(r, &pid)) == -ETIMEDOUT && !signals__end_ns())
			err = 0;
	}
	if (err) {
		free_reader(r);
		return err == -ETIMEDOUT ? err : -EPIPE;
	}
	r->pid = pid;
	*ret = r;
	return 0;
}

int memreader__for_helper(pid_t tid, int process, int image)
{
	const struct memreader_order o = {.tid = tid};
	int pair[2], room = 2 * MEMREADER_MESSAGE, err;

	if (all.control < 0)
		return -EPIPE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	err = fdmsg__send(all.control, &o, sizeof(o), NULL, 0, (int[]){pair[1], image, process}, 3,
			  0);
	close(pair[1]);
	if (!err)
		return pair[0];
	close(pair[0]);
	return -EPIPE;
}

ssize_t memreader__ask(int sock, uint64_t addr, void *buf, size_t len)
{
	const struct memreader_question q = {
		.addr = addr, .len = (uint32_t)min_of(len, (size_t)MEMREADER_MESSAGE)};
	int32_t result = 0;
	struct iovec iov[] = {{&result, sizeof(result)}, {buf, q.len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	ssize_t n;

	if (fdmsg__send(sock, &q, sizeof(q), NULL, 0, NULL, 0, 0))
		return -EPIPE;
	do {
		n = recvmsg(sock, &msg, 0);
	} while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(result) || (result > 0 && n != (ssize_t)sizeof(result) + result))
		return -EPIPE;
	return result;
}

static int take(struct memreader **ret)
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
	return too_many ? -ETIMEDOUT : new_reader(ret);
}

/* err: that of its last answer. */
static void give_back(struct memreader *r, int err)
{
	bool is_left = err == -ETIMEDOUT, is_gone = err == -EPIPE;

	pthread_mutex_lock(&all.lock);
	if (is_left) {
		all.left++;
		all.left_ns = util__now_ns();
	} else if (!is_gone) {
		r->next = all.idle;
		all.idle = r;
	}
	pthread_mutex_unlock(&all.lock);
	if (is_left || is_gone)
		free_reader(r);
}

static int ask(struct memreader *r, pid_t tid, struct memreader_part *parts, size_t n, void *buf)
{
	const struct memreader_request q = {tid, (uint32_t)n};
	size_t room = 0, len = 0;
	int32_t answer;
	int err;

	memcpy(r->room->parts, parts, n * sizeof(*parts));
	err = fdmsg__send(r->sock, &q, sizeof(q), NULL, 0, NULL, 0, 0) ? -EPIPE : await(r, &answer);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		parts[i].got = min_of(r->room->parts[i].got, parts[i].len);
		room += parts[i].len;
		len = parts[i].got ? room : len;
	}
	memcpy(buf, r->room->data, len);
	return answer == -EPIPE || answer == -ETIMEDOUT ? -EIO : answer;
}

int memreader__read(pid_t tid, struct memreader_part *parts, size_t n, void *buf)
{
	struct memreader *r;
	int err;

	for (size_t i = 0; i < n; i++)
		parts[i].got = 0;
	if (all.control < 0)
		return memreader__read_here(tid, parts, n, buf);
	for (int tries = 0; tries < 2; tries++) { /* an idle one may have been killed */
		err = take(&r);
		if (err)
			return err;
		err = ask(r, tid, parts, n, buf);
		give_back(r, err);
		if (err != -EPIPE)
			break;
	}
	return err;
}
