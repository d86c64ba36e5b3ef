// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A heap whose state glibc itself reports. Commands on stdin, an answer each: "ok WORD" or, for
 * "info", "info {json}" with the figures of mallinfo2 and what the program knows to be live.
 *
 *   fill N SIZE    N blocks of SIZE bytes, written to
 *   holes K        frees all but every K-th of them
 *   threads T N S  T threads keep N blocks of S bytes each, and free as many in between
 *   large N SIZE   N blocks of SIZE bytes with a mapping of their own, first page written to
 *   anon SIZE      mmap of SIZE bytes, written to: not malloc's
 *   drop           frees all
 *   trim           malloc_trim
 *   churn T        T threads allocate and free until the end
 *   spin N         N hundred thousand times allocates a block and frees another
 *   wall           puts a mapping behind the brk area, which can then not grow
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX 2000000

static void *block[MAX];
static size_t nblocks;
static unsigned long live_bytes;

struct job {
	size_t n, size;
	pthread_barrier_t *done;
};

static void keep(size_t size, size_t touch)
{
	void *p = malloc(size);

	memset(p, 0x5a, touch);
	block[__atomic_fetch_add(&nblocks, 1, __ATOMIC_RELAXED)] = p;
	__atomic_fetch_add(&live_bytes, malloc_usable_size(p), __ATOMIC_RELAXED);
}

static void let_go(size_t i)
{
	if (block[i])
		__atomic_fetch_sub(&live_bytes, malloc_usable_size(block[i]), __ATOMIC_RELAXED);
	free(block[i]);
	block[i] = NULL;
}

static void *work(void *arg)
{
	struct job *j = arg;
	void **gone = malloc(j->n * sizeof(*gone));

	for (size_t i = 0; i < j->n; i++) {
		keep(j->size, j->size);
		gone[i] = malloc(j->size);
		memset(gone[i], 0xa5, j->size);
	}
	for (size_t i = 0; i < j->n; i++)
		free(gone[i]);
	free(gone);
	pthread_barrier_wait(j->done);
	pause(); /* its cache and its arena stay */
	return NULL;
}

static void *churn(void *arg)
{
	void *p[512] = {0};
	unsigned x = (unsigned)(uintptr_t)arg;

	for (;;) {
		x = x * 1103515245 + 12345;
		free(p[x >> 8 & 511]);
		p[x >> 8 & 511] = malloc((x >> 17) % 3000);
	}
	return NULL;
}

static void spin(size_t n)
{
	void *p[512] = {0};
	unsigned x = 1;

	for (size_t i = 0; i < n * 100000; i++) {
		x = x * 1103515245 + 12345;
		free(p[x >> 8 & 511]);
		p[x >> 8 & 511] = malloc((x >> 17) % 3000);
	}
	for (size_t i = 0; i < 512; i++)
		free(p[i]);
}

static void threads(size_t t, size_t n, size_t size)
{
	static pthread_barrier_t done;
	static struct job j;
	pthread_t id;

	pthread_barrier_init(&done, NULL, t + 1);
	j = (struct job){n, size, &done};
	for (size_t i = 0; i < t; i++)
		pthread_create(&id, NULL, work, &j);
	pthread_barrier_wait(&done);
}

static void info(void)
{
	struct mallinfo2 m = mallinfo2();

	printf("info {\"arena\":%zu,\"ordblks\":%zu,\"fsmblks\":%zu,\"hblks\":%zu,\"hblkhd\":%zu,"
	       "\"uordblks\":%zu,\"fordblks\":%zu,\"live\":%lu,\"blocks\":%zu}\n",
	       m.arena, m.ordblks, m.fsmblks, m.hblks, m.hblkhd, m.uordblks, m.fordblks, live_bytes,
	       nblocks);
}

static void command(const char *word, size_t a, size_t b, size_t c)
{
	pthread_t id;

	if (!strcmp(word, "fill")) {
		for (size_t i = 0; i < a; i++)
			keep(b, b);
	} else if (!strcmp(word, "holes")) {
		for (size_t i = 0; i < nblocks; i++)
			if (i % a)
				let_go(i);
	} else if (!strcmp(word, "threads")) {
		threads(a, b, c);
	} else if (!strcmp(word, "large")) {
		for (size_t i = 0; i < a; i++)
			keep(b, 4096);
	} else if (!strcmp(word, "anon")) {
		memset(mmap(NULL, a, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1,
		       a);
	} else if (!strcmp(word, "drop")) {
		for (size_t i = 0; i < nblocks; i++)
			let_go(i);
	} else if (!strcmp(word, "trim")) {
		malloc_trim(0);
	} else if (!strcmp(word, "spin")) {
		spin(a);
	} else if (!strcmp(word, "wall")) {
		mmap((void *)(((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095), 4096, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	} else if (!strcmp(word, "churn")) {
		for (size_t i = 0; i < a; i++)
			pthread_create(&id, NULL, churn, (void *)(i + 1));
	}
}

int main(void)
{
	static char out[BUFSIZ];
	char line[256], word[32];

	setvbuf(stdout, out, _IOLBF, sizeof(out)); /* stdio's buffers are not of the heap */
	puts("ready");
	for (;;) {
		size_t n = 0, a = 0, b = 0, c = 0;

		while (n < sizeof(line) - 1 && read(0, line + n, 1) == 1 && line[n] != '\n')
			n++;
		if (!n)
			return 0;
		line[n] = 0;
		sscanf(line, "%31s %zu %zu %zu", word, &a, &b, &c);
		if (!strcmp(word, "info")) {
			info();
			continue;
		}
		command(word, a, b, c);
		printf("ok %s\n", word);
	}
}
