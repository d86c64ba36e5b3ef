/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader_server.c - the process memwatch-memory and those that it forks, which read. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/crew.h"
#include "sys/fdmsg.h"

#define MOST_S 10 /* for one request: nobody waits for it any more */
#define STEP_BYTES (128u << 10)

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

static uint64_t cpu_ns(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static _Noreturn void read_for_ever(int sock, int fd)
{
	struct memreader_room *room =
		mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct memreader_reply to = {.result = getpid()};
	struct memreader_request r;
	uint64_t before = 0, now;

	close(fd);
	while (room != MAP_FAILED && send(sock, &to, sizeof(to), MSG_NOSIGNAL) >= 0 &&
	       recv(sock, &r, sizeof(r), 0) == sizeof(r) && r.n <= MEMREADER_PARTS) {
		crew__keep_time(MOST_S);
		to.result = memreader__read_here(r.tid, room->parts, r.n, room->data);
		crew__keep_time(0);
		now = cpu_ns();
		to.cpu_ns = now - before;
		before = now;
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

/* A reader for a helper: whom it reads and where to. */
struct serving {
	pid_t tid;
	int image, process;
	char *room; /* the helper's, too: what is there it has seen */
};

/* In steps that stay in a processor's cache: what is read is shown only once it is known whose it
 * was. */
static int32_t answer(const struct serving *s, const struct memreader_question *q)
{
	static char buf[STEP_BYTES];
	uint32_t done = 0;
	int err = 0;

	do {
		struct memreader_part part = {.addr = q->addr + done,
					      .len = min_of(q->len - done, STEP_BYTES)};

		err = memreader__read_here(s->tid, &part, 1, buf);
		if (!memreader__is_there(s->process, s->image))
			return -ESRCH;
		if (!err && part.got < part.len)
			err = -EFAULT;
		memcpy(s->room + q->at + done, buf, part.got);
		done += part.got;
	} while (!err && done < q->len);
	return done ? (int32_t)done : err;
}

/* The room that both have, and that nobody makes smaller. A descriptor, or -1. */
static int new_room(char **ret)
{
	int fd = memfd_create("memwatch-room", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, MEMREADER_ROOM) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		p = mmap(NULL, MEMREADER_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*ret = p;
	return p == MAP_FAILED ? -1 : fd;
}

static _Noreturn void read_for_helper(int sock, const struct memreader_order *o, const int *fds)
{
	struct memreader_meter *meter =
		mmap(NULL, sizeof(*meter), PROT_READ | PROT_WRITE, MAP_SHARED, fds[3], 0);
	struct serving s = {.tid = o->tid, .image = fds[1], .process = fds[2]};
	int room = new_room(&s.room);
	struct memreader_question q;
	int32_t result = 0;

	if (room < 0 || meter == MAP_FAILED ||
	    fdmsg__send(sock, &result, sizeof(result), NULL, 0, &room, 1, 0))
		_exit(1);
	close(room);
	close(fds[3]);
	__atomic_store_n(&meter->pid, getpid(), __ATOMIC_RELAXED);
	while (recv(sock, &q, sizeof(q), 0) == sizeof(q) && q.len <= MEMREADER_ROOM &&
	       q.at <= MEMREADER_ROOM - q.len) {
		crew__keep_time(MOST_S);
		result = answer(&s, &q);
		crew__keep_time(0);
		__atomic_store_n(&meter->cpu_ns, cpu_ns(), __ATOMIC_RELAXED);
		if (send(sock, &result, sizeof(result), MSG_NOSIGNAL) < 0)
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
		read_for_helper(fds[0], o, fds);
	read_for_ever(fds[0], fds[1]);
}

_Noreturn void memreader__serve(int control)
{
	static const struct crew_service service = {"memwatch-memory", PRIVILEGE_MEMORY_READ,
						    sizeof(struct memreader_order), start};

	crew__serve(&service, control);
}
