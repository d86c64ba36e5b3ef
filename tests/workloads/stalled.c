/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stalled.c - has the file FILE mapped as code, and of it no byte in memory. At each line on stdin
 * 1000 blocks of 1000 bytes from hold(), then "done". Says "ready" first.
 * usage: stalled FILE */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((noinline)) void *hold(size_t n)
{
	void *volatile p = malloc(n);

	return p;
}

int main(int argc, char **argv)
{
	static char in[64], out[256];
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;

	setvbuf(stdin, in, _IOLBF, sizeof(in));
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	if (fd < 0 || mmap(NULL, 1 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 1;
	puts("ready");
	for (int c = getchar(); c != EOF; c = getchar()) {
		for (int i = 0; c == 'a' && i < 1000; i++)
			hold(1000);
		if (c == '\n')
			puts("done");
	}
	return 0;
}
