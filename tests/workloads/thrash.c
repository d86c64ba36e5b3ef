/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * thrash.c - walks over a mapped file, again and again. Usage: thrash FILE SIZE_KB [STEP_KB
 * [WALKS]] Makes FILE of SIZE_KB, says "ready" and waits for a line on stdin. In a memory cgroup
 * whose limit is below SIZE_KB every walk evicts what the next one needs. With STEP_KB it allocates
 * and keeps that much after each walk, in hoard(): in the end nothing is left to evict. With WALKS
 * it ends after as many, and FILE is one hole: nothing of it has to be read from a disk.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int make_file(const char *path, size_t size, int hole)
{
	static char block[1 << 16];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (hole)
		return fd < 0 || ftruncate(fd, size) ? -1 : fd;
	for (size_t done = 0; fd >= 0 && done < size; done += sizeof(block)) {
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			return -1;
	}
	/* Clean pages can be evicted at once. */
	if (fd < 0 || fsync(fd))
		return -1;
	return fd;
}

__attribute__((noinline)) unsigned walk(const volatile unsigned char *map, size_t size)
{
	unsigned sum = 0;

	for (size_t i = 0; i < size; i += 4096)
		sum += map[i];
	return sum;
}

__attribute__((noinline)) char *hoard(size_t bytes)
{
	char *p = malloc(bytes);

	if (p)
		memset(p, 1, bytes);
	return p;
}

int main(int argc, char **argv)
{
	size_t size, step, walks;
	unsigned sum = 0;
	char line[64];
	void *map;
	int fd;

	if (argc < 3)
		return 2;
	size = strtoul(argv[2], NULL, 10) << 10;
	step = argc > 3 ? strtoul(argv[3], NULL, 10) << 10 : 0;
	walks = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	fd = make_file(argv[1], size, walks > 0);
	map = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		perror(argv[1]);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (size_t n = 0; !walks || n < walks; n++) {
		sum += walk(map, size);
		if (step && !hoard(step))
			return 1;
	}
	return (int)(sum & 1); /* the file is all zeros */
}
