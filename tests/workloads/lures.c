// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lures VICTIM WHEN: a program that wants memwatch to write into another one. It says that stubs
 * are in it and that its code was something else before, at the addresses of the victim's; "ready";
 * and becomes the victim at the right moment, which it waits for:
 *   N       memwatch has counted the functions that lead to its stubs for the Nth time
 *   used    its first thread is about to make calls for memwatch
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fast/stub.h"
#include "wl.h"

#define CODE 0x20000000UL  /* the victim's is_admin() */
#define STUBS 0x20002000UL /* where that goes */
#define WATCHED 0x20010000UL
#define WORDS 1024

static char *victim;

static void *map(uint64_t at, int prot, int flags, int fd)
{
	void *p = mmap((void *)at, 4096, prot, MAP_PRIVATE | MAP_FIXED | flags, fd, 0);

	if (p != (void *)at)
		exit(3);
	return p;
}

static void become(void)
{
	execl(victim, victim, NULL);
	_exit(4);
}

static void patch(struct stub_patch *p, uint64_t at, const char *was)
{
	int32_t rel = (int32_t)(STUBS - at - 5);

	p->addr = at;
	p->len = 5;
	memcpy(p->was, was, 5);
	p->is[0] = 0xe9;
	memcpy(p->is + 1, &rel, 4);
}

static void forge(void)
{
	struct stub_header h = {.magic = STUB_MAGIC, .base = STUBS, .code_bytes = 4096, .n = 2};
	int fd = memfd_create("memwatch-fast", 0);

	patch(&h.patch[0], CODE, "\xb8\x01\0\0\0"); /* mov $1, %eax; the ret is there */
	patch(&h.patch[1], WATCHED, "\x90\x90\x90\x90\x90");
	if (write(fd, &h, sizeof(h)) != sizeof(h) || ftruncate(fd, 4096))
		exit(5);
	map(STUBS, PROT_READ | PROT_EXEC, 0, fd);
	close(fd);
	memcpy(map(CODE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_ANONYMOUS, -1), h.patch[0].is, 5);
	map(WATCHED, PROT_READ, MAP_ANONYMOUS, -1);
}

/* A page is there from when it was read first, whoever did. */
static void wait_until_read(int pagemap)
{
	uint64_t entry = 0;

	while (!(entry >> 63)) {
		if (pread(pagemap, &entry, 8, WATCHED / 4096 * 8) != 8)
			exit(6);
	}
	madvise((void *)WATCHED, 4096, MADV_DONTNEED);
}

static volatile uint64_t *below; /* the stack of the first thread, as it waits */

/* What is written there is the state to which that one is to return. */
static void *when_used(void *arg)
{
	uint64_t was[WORDS];

	for (int i = 0; i < WORDS; i++)
		was[i] = below[i];
	wl_say("ready");
	for (int i = 0; below[i] == was[i]; i = (i + 1) % WORDS)
		;
	become();
	return NULL;
}

int main(int argc, char **argv)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	pthread_t t;

	victim = argv[1];
	if (!strcmp(argv[2], "used")) {
		below = (uint64_t *)__builtin_frame_address(0) - WORDS - 128;
		pthread_create(&t, NULL, when_used, NULL);
		for (;;)
			pause();
	}
	forge();
	wl_say("ready");
	for (int i = atoi(argv[2]); i > 0; i--)
		wait_until_read(pagemap);
	become();
}
