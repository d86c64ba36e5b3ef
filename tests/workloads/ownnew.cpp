// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operator new and delete of the program's own.
 *   (nothing)    over a pool with free lists, no malloc anywhere
 *   -DREFILLED   the pool gets its memory from malloc, 64 kB at a time
 *   -DCOUNTING   each block is malloc's, after a look at a limit
 */
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include "wl.h"

enum { N = 6000, SIZE = 1000 };
static size_t blocks, limit = 1 << 30;

#ifdef COUNTING
static void *take(size_t n)
{
	return malloc(n);
}

static void give(void *p)
{
	free(p);
}
#else
static void *lists[64];
static char *chunk;
static size_t left;

static void *more(size_t n)
{
#ifdef REFILLED
	return malloc(n);
#else
	void *p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? nullptr : p;
#endif
}

static void *take(size_t n)
{
	size_t c = (n + 127) / 128, bytes = c * 128 + 16;
	char *p;

	if (c >= 64)
		return nullptr;
	if (lists[c]) {
		void *q = lists[c];

		lists[c] = *static_cast<void **>(q);
		return q;
	}
	if (left < bytes) {
		chunk = static_cast<char *>(more(64 << 10));
		left = chunk ? 64 << 10 : 0;
	}
	if (left < bytes)
		return nullptr;
	p = chunk;
	chunk += bytes;
	left -= bytes;
	*reinterpret_cast<size_t *>(p) = c;
	return p + 16;
}

static void give(void *p)
{
	size_t c = *reinterpret_cast<size_t *>(static_cast<char *>(p) - 16);

	*static_cast<void **>(p) = lists[c];
	lists[c] = p;
}
#endif

void *operator new(size_t n)
{
	void *p;

	if (blocks >= limit)
		throw std::bad_alloc();
	p = take(n);
	if (!p)
		throw std::bad_alloc();
	blocks++;
	return p;
}

void operator delete(void *p) noexcept
{
	if (!p)
		return;
	blocks--;
	give(p);
}

void operator delete(void *p, size_t) noexcept
{
	operator delete(p);
}

struct Node {
	char data[SIZE];
};
static Node *keep[N];

WL_NOINLINE static Node *grow(int i)
{
	Node *n = new Node;

	n->data[0] = static_cast<char>(i);
	return n;
}

static void work()
{
	for (int i = 0; i < N; i++) {
		keep[i] = grow(i);
		if (i % 4) {
			delete keep[i];
			keep[i] = nullptr;
		}
	}
	wl_alloc("grow", N, static_cast<uint64_t>(N) * SIZE);
	wl_free("grow", N / 4 * 3, static_cast<uint64_t>(N) / 4 * 3 * SIZE);
}

int main()
{
	return wl_main(work);
}
