/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manymaps.c N - N anonymous mappings that cannot be merged, every second one writable and touched.
 * Says "ready N" with the number it got; then, for each line, allocates 1 MiB and says "ok".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	int want = argc > 1 ? atoi(argv[1]) : 1000, n;
	char line[16], *p;

	for (n = 0; n < want; n++) {
		p = mmap(NULL, 4096, PROT_READ | (n & 1 ? PROT_WRITE : 0),
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			break;
		if (n & 1)
			*p = 1;
	}
	printf("ready %d\n", n);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		p = malloc(1 << 20);
		memset(p, 1, 1 << 20);
		puts("ok");
		fflush(stdout);
	}
	return 0;
}
