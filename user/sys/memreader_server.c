/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader_server.c - the process memwatch-memory and those that it forks, which read. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/crew.h"

#define MOST_S 10 /* for one request: nobody waits for it any more */

/* From a part on; returns the first that is still to be read, or -errno. */
static ptrdiff_t read_from(pid_t tid, struct memreader_part *parts, size_t n, struct iovec *to,
			   struct iovec *from, size_t i)
{
	ssize_t got = process_vm_readv(tid, to + i, n - i, from + i, n - i, 0);

	if (got < 0 && errno != EFAULT)
		return errno == EPERM ? -EACCES : -errno;
	while (i < n && got >= (ssize_t)parts[i].len) {
		parts[i].got = parts[i].len;
		got -= (ssize_t)parts[i++].len;
	}
	if (i < n)
		parts[i++].got = got > 0 ? (uint32_t)got : 0;
	return (ptrdiff_t)i;
}

int memreader__read_here(pid_t tid, struct memreader_part *parts, size_t n, void *buf)
{
	struct iovec to[MEMREADER_PARTS], from[MEMREADER_PARTS];
	char *at = buf;
	ptrdiff_t i = 0;

	for (size_t k = 0; k < n; k++) {
		to[k] = (struct iovec){at, parts[k].len};
		from[k] = (struct iovec){(void *)(uintptr_t)parts[k].addr, parts[k].len};
		at += parts[k].len;
	}
	while (i >= 0 && (size_t)i < n)
		i = read_from(tid, parts, n, to, from, (size_t)i);
	return i < 0 ? (int)i : 0;
}

static _Noreturn void read_for_ever(int sock, int fd)
{
	struct memreader_room *room =
		mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct memreader_request r;
	int32_t word = getpid();

	close(fd);
	while (room != MAP_FAILED && send(sock, &word, sizeof(word), MSG_NOSIGNAL) >= 0 &&
	       recv(sock, &r, sizeof(r), 0) == sizeof(r) && r.n <= MEMREADER_PARTS) {
		crew__keep_time(MOST_S);
		word = memreader__read_here(r.tid, room->parts, r.n, room->data);
		crew__keep_time(0);
	}
	_exit(0);
}

/* The file takes whole entries, and refuses less only of memory that is there. */
bool memreader__is_there(int process, int image)
{
	struct pollfd p = {.fd = process, .events = POLLIN};
	char c;

	if (process >= 0 && poll(&p, 1, 0) > 0)
		return false;
	return pread(image, &c, 1, 0) < 0 && errno == EINVAL;
}

static int32_t answer(const struct memreader_question *q, pid_t tid, int image, int process,
		      void *buf)
{
	struct memreader_part part = {.addr = q->addr, .len = q->len};
	int err;

	crew__keep_time(MOST_S);
	err = memreader__read_here(tid, &part, 1, buf);
	crew__keep_time(0);
	if (!memreader__is_there(process, image))
		return -ESRCH;
	return err ? err : q->len && !part.got ? -EFAULT : (int32_t)part.got;
}

static _Noreturn void read_for_helper(int sock, pid_t tid, int image, int process)
{
	static struct {
		int32_t result;
		char data[MEMREADER_MESSAGE];
	} a;
	struct memreader_question q;

	while (recv(sock, &q, sizeof(q), 0) == sizeof(q) && q.len <= sizeof(a.data)) {
		size_t len = sizeof(a.result);

		a.result = answer(&q, tid, image, process, a.data);
		len += a.result > 0 ? (size_t)a.result : 0;
		if (send(sock, &a, len, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static void start(const void *order, const int *fds)
{
	const struct memreader_order *o = order;

	if (fds[0] < 0 || fds[1] < 0 || !crew__fork())
		return;
	if (o->tid)
		read_for_helper(fds[0], o->tid, fds[1], fds[2]);
	read_for_ever(fds[0], fds[1]);
}

_Noreturn void memreader__serve(int control)
{
	static const struct crew_service service = {"memwatch-memory", PRIVILEGE_MEMORY_READ,
						    sizeof(struct memreader_order), start};

	crew__serve(&service, control);
}
