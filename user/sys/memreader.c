/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader.c - see memreader.h: the side of who wants to know. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/crew.h"
#include "sys/fdmsg.h"
#include "sys/patience.h"
#include "sys/signals.h"

#define REST_TOTAL_NS 5000000000ULL /* of all */

struct memreader {
	struct crew_worker worker;
	struct memreader_room *room;
};

static struct crew all = CREW(REST_TOTAL_NS);

void memreader__start(void)
{
	crew__start(&all, memreader__serve);
}

int memreader__control(void)
{
	return all.control;
}

static void free_reader(struct memreader *r)
{
	if (!r)
		return;
	util__close_fd(&r->worker.sock);
	if (r->room)
		munmap(r->room, sizeof(*r->room));
	free(r);
}

/* The next word of a reader's. 0; -ETIMEDOUT: it waits for something that does not come; -EPIPE. */
static int await(const struct memreader *r, struct memreader_reply *ret)
{
	struct patience p = {0};

	patience__begin(&p);
	for (;;) {
		ssize_t n = recv(r->worker.sock, ret, sizeof(*ret),
				 0); /* CREW_SLICE_MS, see new_reader */

		if (n == sizeof(*ret))
			return 0;
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		patience__look(&p, r->worker.pid, 0);
		if (util__now_ns() - p.heard_ns < crew__rest(&all, CREW_REST_NS))
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
	const struct timeval slice = {.tv_usec = CREW_SLICE_MS * 1000};
	const struct memreader_order o = {0};
	struct memreader *r = calloc(1, sizeof(*r));
	cleanup_fd int room = -1;
	int pair[2], err;
	struct memreader_reply first;

	if (!r)
		return -ENOMEM;
	r->worker.sock = -1;
	room = new_room(r);
	err = room < 0 ? room : 0;
	if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err = -errno;
	if (!err) {
		r->worker.sock = pair[0];
		setsockopt(r->worker.sock, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
		err = fdmsg__send(all.control, &o, sizeof(o), NULL, 0, (int[]){pair[1], room}, 2,
				  0);
		close(pair[1]);
		/* whoever starts it has nothing to wait for but a processor */
		while (!err && (err = await(r, &first)) == -ETIMEDOUT && !signals__end_ns())
			err = 0;
	}
	if (err) {
		free_reader(r);
		return err == -ETIMEDOUT ? err : -EPIPE;
	}
	r->worker.pid = first.result;
	*ret = r;
	return 0;
}

static int ask(struct memreader *r, pid_t tid, struct memreader_part *parts, size_t n, void *buf,
	       uint64_t *cpu_ns)
{
	const struct memreader_request q = {tid, (uint32_t)n};
	size_t room = 0, len = 0;
	struct memreader_reply a;
	int err;

	memcpy(r->room->parts, parts, n * sizeof(*parts));
	err = fdmsg__send(r->worker.sock, &q, sizeof(q), NULL, 0, NULL, 0, 0) ? -EPIPE
									      : await(r, &a);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		parts[i].got = min_of(r->room->parts[i].got, parts[i].len);
		room += parts[i].len;
		len = parts[i].got ? room : len;
	}
	memcpy(buf, r->room->data, len);
	*cpu_ns += a.cpu_ns;
	return a.result == -EPIPE || a.result == -ETIMEDOUT ? -EIO : a.result;
}

int memreader__read(pid_t tid, struct memreader_part *parts, size_t n, void *buf, uint64_t *cpu_ns)
{
	struct crew_worker *w;
	struct memreader *r;
	int err;

	for (size_t i = 0; i < n; i++)
		parts[i].got = 0;
	if (all.control < 0)
		return memreader__read_here(tid, parts, n, buf);
	for (int tries = 0; tries < 2; tries++) { /* an idle one may have been killed */
		err = crew__take(&all, &w);
		r = (struct memreader *)w;
		if (!err && !r)
			err = new_reader(&r);
		if (err)
			return err;
		err = ask(r, tid, parts, n, buf, cpu_ns);
		if (!crew__give_back(&all, &r->worker, err))
			free_reader(r);
		if (err != -EPIPE)
			break;
	}
	return err;
}
