/* SPDX-License-Identifier: GPL-2.0-or-later */
/* movedtext.c - moves its own text, but for the last page, to anonymous memory at the same
 * addresses, as programs do that want it on huge pages. After a line on stdin 1000 blocks of 1000
 * bytes from hold(); says "done", and ends at the next line. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *volatile block[1000];

__attribute__((noinline)) void hold(int i)
{
	block[i] = malloc(1000);
}

__attribute__((noinline)) void outer(void)
{
	for (int i = 0; i < 1000; i++)
		hold(i);
}

/* Several pages of text. */
#define PAGE asm(".skip 4096, 0x90\n")
__attribute__((noinline, used)) static void filler(void)
{
	PAGE;
	PAGE;
	PAGE;
}

static void text(uintptr_t *lo, size_t *len)
{
	unsigned long from, to;
	char line[512], prot[8];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, prot) == 3 && prot[2] == 'x' &&
		    (uintptr_t)hold >= from && (uintptr_t)hold < to) {
			*lo = from;
			*len = to - from - 4096;
		}
	}
	if (f)
		fclose(f);
}

int main(void)
{
	uintptr_t lo = 0;
	size_t len = 0;
	char line[64];
	void *copy;

	text(&lo, &len);
	copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!lo || copy == MAP_FAILED)
		return 1;
	memcpy(copy, (void *)lo, len);
	if (mprotect(copy, len, PROT_READ | PROT_EXEC) ||
	    mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)lo) != (void *)lo)
		return 2;
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 3;
	outer();
	puts("done");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
