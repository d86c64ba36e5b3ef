/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * forges N OWNER START_NS - has N mappings that look like stubs of --fast, whose jumps are there
 * and which say that process OWNER, begun then, is at work in them; and as many open files as it
 * may.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fast/stub.h"

#define CODE 8192
#define FUNCTION 7000 /* of the code: what is said to be a function */
#define STEP (CODE + DATA_BYTES + 4096)

static int make(uint8_t *at, int fd, const uint64_t owner[3])
{
	struct stub_header h = {
		.magic = STUB_MAGIC, .base = (uint64_t)at, .code_bytes = CODE, .n = 1};
	int32_t rel = 64 - (FUNCTION + ENTRY_PATCH);

	if (mmap(at, CODE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) != at ||
	    mmap(at + CODE, DATA_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != at + CODE)
		return -1;
	h.patch[0].addr = (uint64_t)at + FUNCTION;
	h.patch[0].is[0] = 0xe9;
	memcpy(h.patch[0].is + 1, &rel, sizeof(rel));
	memcpy(at, &h, sizeof(h));
	memcpy(at + FUNCTION, h.patch[0].is, ENTRY_PATCH);
	memcpy(at + CODE + DATA_OWNER, owner, 3 * sizeof(*owner));
	return mprotect(at, CODE, PROT_READ | PROT_EXEC);
}

int main(int argc, char **argv)
{
	int n = atoi(argv[1]), fd = memfd_create("memwatch-fast", 0);
	uint64_t owner[3] = {strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), getpid()};
	uint8_t *area = mmap(NULL, (size_t)STEP * n, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct rlimit most;

	(void)argc;
	if (fd < 0 || ftruncate(fd, CODE) || area == MAP_FAILED)
		return 1;
	for (int i = 0; i < n; i++) {
		if (make(area + (size_t)STEP * i, fd, owner))
			return 1;
	}
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	for (int i = 0; i < 100000 && dup(0) >= 0; i++)
		;
	puts("ready");
	fflush(stdout);
	return getchar() == EOF;
}
