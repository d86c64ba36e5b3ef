// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Grows by 128 MB without an allocator, 1 MB a tenth of a second, in a way that its argument names:
 * brk, stack, anon, huge (transparent huge pages), devzero, shm (anonymous and shared), sysv,
 * memfd, file (FILE, mapped and read), cow (FILE, mapped privately and written).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include "wl.h"

#define BYTES (128UL << 20)
#define RW (PROT_READ | PROT_WRITE)

static char *mapped(int flags, int fd)
{
	char *p = mmap(NULL, BYTES, RW, flags, fd, 0);

	if (p == MAP_FAILED)
		_exit(90);
	return p;
}

static void touch(volatile char *p, int write)
{
	for (size_t i = 0; i < BYTES; i += 4096) {
		if (write)
			p[i] = 1;
		else
			(void)p[i];
		if (!(i & ((1 << 20) - 1)))
			usleep(100000);
	}
}

WL_NOINLINE static void deep(int n)
{
	volatile char room[1 << 20];

	for (size_t i = 0; i < sizeof(room); i += 4096)
		room[i] = 1;
	usleep(100000);
	if (n)
		deep(n - 1);
	else {
		wl_done();
		wl_wait();
	}
	room[0] = 1;
}

static char *by_sysv(void)
{
	int id = shmget(IPC_PRIVATE, BYTES, 0600);
	char *p = id < 0 ? NULL : shmat(id, NULL, 0);

	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (!p || p == (void *)-1)
		_exit(91);
	return p;
}

static int by_memfd(void)
{
	int fd = memfd_create("growth", 0);

	if (fd < 0 || ftruncate(fd, BYTES))
		_exit(92);
	return fd;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "anon";
	int file = argc > 2 ? open(argv[2], O_RDWR) : -1;
	struct rlimit stack = {BYTES * 2, BYTES * 2};
	char *p;

	if (!strcmp(how, "stack") && argc < 4) { /* the limit counts from the next exec on */
		setrlimit(RLIMIT_STACK, &stack);
		execl("/proc/self/exe", argv[0], "stack", "", "again", (char *)NULL);
	}
	wl_ready_go();
	if (!strcmp(how, "stack")) {
		deep(120);
		return 0;
	}
	if (!strcmp(how, "brk"))
		touch(sbrk(BYTES), 1);
	else if (!strcmp(how, "huge")) {
		p = mapped(MAP_PRIVATE | MAP_ANONYMOUS, -1);
		madvise(p, BYTES, MADV_HUGEPAGE);
		touch(p, 1);
	} else if (!strcmp(how, "devzero"))
		touch(mapped(MAP_PRIVATE, open("/dev/zero", O_RDWR)), 1);
	else if (!strcmp(how, "shm"))
		touch(mapped(MAP_SHARED | MAP_ANONYMOUS, -1), 1);
	else if (!strcmp(how, "sysv"))
		touch(by_sysv(), 1);
	else if (!strcmp(how, "memfd"))
		touch(mapped(MAP_SHARED, by_memfd()), 1);
	else if (!strcmp(how, "file"))
		touch(mapped(MAP_SHARED, file), 0);
	else if (!strcmp(how, "cow"))
		touch(mapped(MAP_PRIVATE, file), 1);
	else
		touch(mapped(MAP_PRIVATE | MAP_ANONYMOUS, -1), 1);
	wl_done();
	wl_wait();
	return 0;
}
