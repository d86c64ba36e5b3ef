/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dwarfbox.c - the caller's side: sends requests, believes nothing in the answers. */
#include "elf/dwarfbox.h"

#include "core/util.h"
#include "elf/dwarfbox_priv.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ANSWER_MS 15000 /* of wall time; the processor time is limited on the other side */
#define MAX_STARTS 256	/* processes killed by their input before no more are started */

struct dwarfbox {
	pid_t pid; /* -1: none */
	int sock;
	size_t budget;
	int starts;
	uint8_t *opened; /* by file id: handed to this process */
	size_t opened_cap;
	char answer[sizeof(struct box_answer) + BOX_MAX_ANSWER + 1];
};

static int start(struct dwarfbox *b)
{
	int pair[2];

	if (b->starts >= MAX_STARTS)
		return -EFAULT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	/* An answer is one message: room for the longest. Above the system's limit root may go. */
	for (int i = 0; i < 2; i++) {
		int room = 2 * BOX_MAX_ANSWER;

		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
			setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	}
	b->pid = fork();
	if (b->pid < 0) {
		int err = -errno;

		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (!b->pid)
		dwarfbox__serve(pair[1], b->budget);
	close(pair[1]);
	b->sock = pair[0];
	b->starts++;
	if (b->opened)
		memset(b->opened, 0, b->opened_cap);
	return 0;
}

/* Ends the process. Returns why it was to end: -ETIMEDOUT if by its timer, else `err`. */
static int stop(struct dwarfbox *b, int err)
{
	int status = 0;

	if (b->pid < 0)
		return err;
	close(b->sock);
	b->sock = -1;
	kill(b->pid, SIGKILL); /* it has nothing to lose; if it died before, that is what is told */
	while (waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
		;
	b->pid = -1;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF ? -ETIMEDOUT : err;
}

int dwarfbox__new(size_t budget_bytes, struct dwarfbox **ret)
{
	struct dwarfbox *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->pid = b->sock = -1;
	b->budget = budget_bytes;
	err = start(b);
	if (err)
		free(b);
	else
		*ret = b;
	return err;
}

void dwarfbox__free(struct dwarfbox *b)
{
	if (!b)
		return;
	stop(b, 0);
	free(b->opened);
	free(b);
}

int dwarfbox__pid(const struct dwarfbox *b)
{
	return b->pid;
}

static int request(struct dwarfbox *b, const struct box_request *r, int fd, int alt)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} u = {{0}};
	struct iovec iov = {(void *)r, BOX_REQUEST_LEN(r->n)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[2] = {fd, alt}, n = (fd >= 0) + (alt >= 0);

	if (n) {
		struct cmsghdr *cm;

		msg.msg_control = u.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
	}
	for (;;) {
		if (sendmsg(b->sock, &msg, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -EFAULT;
	}
}

/* The next answer into b->answer; returns its result, or what happened to the process. */
static int receive(struct dwarfbox *b, size_t *ret_len)
{
	struct box_answer a;
	ssize_t n;

	do {
		struct pollfd pfd = {.fd = b->sock, .events = POLLIN};

		/* Nearly always the answer is there before the time is even looked at. */
		n = recv(b->sock, b->answer, sizeof(b->answer) - 1, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN && !poll(&pfd, 1, ANSWER_MS))
			return stop(b, -ETIMEDOUT);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < (ssize_t)sizeof(a))
		return stop(b, -EFAULT);
	memcpy(&a, b->answer, sizeof(a));
	if (a.len != n - sizeof(a) || a.result > BOX_MAX_FRAMES || a.result < -4095)
		return stop(b, -EFAULT);
	b->answer[n] = 0;
	*ret_len = a.len;
	return a.result;
}

static const char *take_text(char **p, size_t *left, uint32_t len, bool *bad)
{
	char *s = *p;

	if (!len)
		return NULL;
	if (len > *left || s[len - 1]) {
		*bad = true;
		return NULL;
	}
	*p += len;
	*left -= len;
	return s;
}

static int unpack(struct dwarfbox *b, int n, size_t len, struct dwarfinfo_frame *frames)
{
	char *p = b->answer + sizeof(struct box_answer);
	bool bad = false;

	for (int i = 0; i < n; i++) {
		struct box_frame f;

		if (len < sizeof(f))
			return stop(b, -EFAULT);
		memcpy(&f, p, sizeof(f));
		p += sizeof(f);
		len -= sizeof(f);
		frames[i] = (struct dwarfinfo_frame){
			.line = f.line,
			.start_line = f.start_line,
			.inlined = f.flags & BOX_INLINED,
			.plain = f.flags & BOX_PLAIN,
		};
		frames[i].name = take_text(&p, &len, f.len[0], &bad);
		frames[i].file = take_text(&p, &len, f.len[1], &bad);
		frames[i].dir = take_text(&p, &len, f.len[2], &bad);
		if (bad)
			return stop(b, -EFAULT);
	}
	return n;
}

static int hand_over(struct dwarfbox *b, uint32_t id, int fd, int alt_fd)
{
	struct box_request r = {.op = BOX_OPEN, .id = id};
	int err = 0;

	if (b->pid < 0)
		err = start(b);
	if (!err && id >= b->opened_cap) {
		size_t was = b->opened_cap;

		err = array_reserve(b->opened, b->opened_cap, (size_t)id + 1);
		if (!err)
			memset(b->opened + was, 0, b->opened_cap - was);
	}
	if (err || b->opened[id])
		return err;
	err = request(b, &r, fd, alt_fd);
	if (err)
		return stop(b, err);
	b->opened[id] = 1;
	return 0;
}

int dwarfbox__lookup(struct dwarfbox *b, uint32_t id, int fd, int alt_fd, const uint64_t *vaddrs,
		     size_t n, dwarfbox_fn fn, void *arg)
{
	struct dwarfinfo_frame frames[BOX_MAX_FRAMES];
	struct box_request r = {.op = BOX_LOOKUP, .id = id};
	int err = hand_over(b, id, fd, alt_fd);

	for (size_t done = 0; done < n && !err; done += r.n) {
		r.n = min_of(n - done, (size_t)BOX_BATCH);
		memcpy(r.vaddr, vaddrs + done, r.n * sizeof(*vaddrs));
		err = request(b, &r, -1, -1);
		if (err)
			return stop(b, err);
		for (size_t i = 0; i < r.n; i++) {
			size_t len = 0;
			int got = receive(b, &len);

			if (got > 0)
				got = unpack(b, got, len, frames);
			if (got >= 0 && !err)
				fn(arg, done + i, frames, got);
			else if (!err)
				err = got;
			if (b->pid < 0)
				return err;
		}
	}
	return err;
}

void dwarfbox__forget(struct dwarfbox *b, uint32_t id)
{
	struct box_request r = {.op = BOX_FORGET, .id = id};

	if (b->pid < 0 || id >= b->opened_cap || !b->opened[id])
		return;
	b->opened[id] = 0;
	if (request(b, &r, -1, -1))
		stop(b, -EFAULT);
}
