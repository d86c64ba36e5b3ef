/* SPDX-License-Identifier: GPL-2.0-or-later */
/* touched.c - holds blocks of which known parts were ever written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define NOINLINE __attribute__((noinline))

static char *kept[64 + 8 + 4096];

/* 64 blocks of 1 MiB, the first quarter of each written. */
static NOINLINE void quarter(void)
{
	for (int i = 0; i < 64; i++)
		memset(kept[i] = malloc(1 << 20), 1, 1 << 18);
}

/* 8 blocks of 4 MiB that nobody touches. */
static NOINLINE void zeroed(void)
{
	for (int i = 0; i < 8; i++)
		kept[64 + i] = calloc(1, 4 << 20);
}

static NOINLINE void small(void)
{
	for (int i = 0; i < 4096; i++)
		memset(kept[72 + i] = malloc(1000), 1, 1000);
}

/* 4 mappings of 2 MiB, the second half of each written. */
static NOINLINE void mapped(void)
{
	for (int i = 0; i < 4; i++) {
		char *p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		memset(p + (1 << 20), 1, 1 << 20);
	}
}

int main(int argc, char **argv)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	setvbuf(stdout, NULL, _IONBF, 0);
	puts("ready");
	getchar();
	if (argc > 1) {
		mapped();
	} else {
		quarter();
		zeroed();
		small();
	}
	puts("held");
	getchar();
	getchar();
	return 0;
}
