/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memreader_helper.c - see memreader.h: readers for helpers, of whom has them made and who asks
 * them. */
#include "sys/memreader_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"

#define MAX_LEFT 16 /* whose helper is gone, and who wait for memory that does not come */

static struct {
	pthread_mutex_t lock;
	pid_t pid[MAX_LEFT]; /* of readers that nobody has any more; they may be gone, too */
	size_t n;
} left = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Whether so many are left that one more is too many. */
static bool too_many_left(void)
{
	bool ret;

	pthread_mutex_lock(&left.lock);
	for (size_t i = left.n; i-- > 0;) {
		if (kill(left.pid[i], 0) && errno == ESRCH)
			left.pid[i] = left.pid[--left.n];
	}
	ret = left.n == MAX_LEFT;
	pthread_mutex_unlock(&left.lock);
	return ret;
}

static void leave(pid_t pid)
{
	pthread_mutex_lock(&left.lock);
	if (pid > 0 && left.n < MAX_LEFT)
		left.pid[left.n++] = pid;
	pthread_mutex_unlock(&left.lock);
}

/* A page that this process only reads. A descriptor of it or -errno. */
static int new_meter(struct memreader_meter **ret)
{
	int fd = memfd_create("memwatch-meter", MFD_CLOEXEC);
	void *p;

	if (fd < 0)
		return -errno;
	p = ftruncate(fd, sizeof(**ret)) ? MAP_FAILED
					 : mmap(NULL, sizeof(**ret), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	*ret = p;
	return fd;
}

void memreader_meter__free(struct memreader_meter *m)
{
	if (!m)
		return;
	leave(memreader_meter__pid(m));
	munmap(m, sizeof(*m));
}

uint64_t memreader_meter__cpu_ns(const struct memreader_meter *m)
{
	return m ? __atomic_load_n(&m->cpu_ns, __ATOMIC_RELAXED) : 0;
}

pid_t memreader_meter__pid(const struct memreader_meter *m)
{
	return __atomic_load_n(&m->pid, __ATOMIC_RELAXED);
}

int memreader__for_helper(pid_t tid, int process, int image, struct memreader_meter **ret)
{
	const struct memreader_order o = {.tid = tid};
	struct memreader_meter *meter = NULL;
	cleanup_fd int fd = -1;
	int pair[2], err;

	if (memreader__control() < 0)
		return -EPIPE;
	if (too_many_left())
		return -ETIMEDOUT;
	fd = new_meter(&meter);
	if (fd < 0)
		return fd;
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) ? -errno : 0;
	if (!err) {
		err = fdmsg__send(memreader__control(), &o, sizeof(o), NULL, 0,
				  (int[]){pair[1], image, process, fd}, 4, 0);
		close(pair[1]);
		if (err)
			close(pair[0]);
		err = err ? -EPIPE : 0;
	}
	if (err) {
		memreader_meter__free(meter);
		return err;
	}
	*ret = meter;
	return pair[0];
}

/* --- the helper's side --- */

int memreader__room(int sock, char **ret)
{
	int fds[FDMSG_MAX_FDS];
	int32_t word;
	ptrdiff_t n = fdmsg__recv(sock, &word, sizeof(word), fds, 0);
	void *p =
		n == sizeof(word) && fds[0] >= 0
			? mmap(NULL, MEMREADER_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0)
			: MAP_FAILED;

	for (int i = 0; i < FDMSG_MAX_FDS; i++)
		util__close_fd(&fds[i]);
	if (p == MAP_FAILED)
		return n == sizeof(word) ? -ENOMEM : -EPIPE;
	*ret = p;
	return 0;
}

ssize_t memreader__ask(int sock, uint64_t addr, size_t at, size_t len)
{
	const struct memreader_question q = {addr, (uint32_t)len, (uint32_t)at};
	int32_t result = 0;
	struct iovec iov = {&result, sizeof(result)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fdmsg__send(sock, &q, sizeof(q), NULL, 0, NULL, 0, 0))
		return -EPIPE;
	do {
		n = recvmsg(sock, &msg, 0); /* recv() is none of a helper's calls */
	} while (n < 0 && errno == EINTR);
	return n != sizeof(result) || result > (ssize_t)len ? -EPIPE : result;
}
