/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader_server.c - the process memwatch-memory and those that it forks, which read. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/privilege.h"

#define MOST_S 10 /* for one request: nobody waits for it any more */
#define SOCKET 3

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

/* What may be ended while it waits ends by itself. */
static void keep_time(int seconds)
{
	const struct itimerval t = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_REAL, &t, NULL);
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
		keep_time(MOST_S);
		word = memreader__read_here(r.tid, room->parts, r.n, room->data);
		keep_time(0);
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

	keep_time(MOST_S);
	err = memreader__read_here(tid, &part, 1, buf);
	keep_time(0);
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

static void start(int control, const struct memreader_order *o, const int fds[FDMSG_MAX_FDS])
{
	sigset_t none;

	if (fds[0] < 0 || fds[1] < 0 || fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigfillset(&none);
	sigdelset(&none, SIGALRM);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(control);
	if (o->tid)
		read_for_helper(fds[0], o->tid, fds[1], fds[2]);
	read_for_ever(fds[0], fds[1]);
}

/* Whoever waits for the end of memwatch's output, or of another helper, does not wait for this. */
static void keep_only(int control)
{
	int null;

	if (dup2(control, SOCKET) < 0)
		_exit(1);
	syscall(SYS_close_range, SOCKET + 1, ~0U, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
}

_Noreturn void memreader__serve(int control)
{
	sigset_t all;

	prctl(PR_SET_NAME, "memwatch-memory");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It is in the group that Ctrl-C goes to, and ends with memwatch instead. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	keep_only(control);
	if (privilege__keep(PRIVILEGE(MEMORY_READ)))
		_exit(1);
	privilege__raise(PRIVILEGE_MEMORY_READ);
	for (;;) {
		int fds[FDMSG_MAX_FDS];
		struct memreader_order o;

		if (fdmsg__recv(SOCKET, &o, sizeof(o), fds, 0) != sizeof(o))
			_exit(0);
		start(SOCKET, &o, fds);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
	}
}
