// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operator new and delete in forms beside the plain ones, over a pool of the program's own without
 * malloc: arrays, sized, aligned and nothrow; half of them are made of each other. With -O2 alone
 * the compiler builds all of them into their callers, and no call is left; an argument makes the
 * program go on growing then.
 */
#include <cstddef>
#include <new>
#include <sys/mman.h>
#include "wl.h"

enum { N = 2000 };
static char *pool;
static size_t used;

static void *cut(size_t n, size_t alignment)
{
	size_t at;

	if (!pool)
		pool = static_cast<char *>(mmap(nullptr, 256 << 20, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
						0));
	at = (used + alignment - 1) & ~(alignment - 1);
	if (at + n > 256 << 20)
		return nullptr;
	used = at + n;
	return pool + at;
}

static unsigned long frees;

void *operator new(size_t n)
{
	void *p = cut(n, 16);

	if (!p)
		throw std::bad_alloc();
	return p;
}

void *operator new[](size_t n)
{
	return operator new(n);
}

void *operator new(size_t n, const std::nothrow_t &) noexcept
{
	return cut(n, 16);
}

void *operator new(size_t n, std::align_val_t a)
{
	void *p = cut(n, static_cast<size_t>(a));

	if (!p)
		throw std::bad_alloc();
	return p;
}

void operator delete(void *p) noexcept
{
	frees += p != nullptr;
}

void operator delete[](void *p) noexcept
{
	operator delete(p);
}

void operator delete(void *p, size_t) noexcept
{
	operator delete(p);
}

void operator delete[](void *p, size_t) noexcept
{
	operator delete(p);
}

void operator delete(void *p, std::align_val_t) noexcept
{
	operator delete(p);
}

void operator delete(void *p, size_t, std::align_val_t) noexcept
{
	operator delete(p);
}

struct Node {
	char d[1000];
};
struct alignas(128) Line {
	char d[256];
};

WL_NOINLINE static Node *one()
{
	return static_cast<Node *>(wl_keep(new Node));
}

WL_NOINLINE static Node *many()
{
	return static_cast<Node *>(wl_keep(new Node[3]));
}

WL_NOINLINE static Node *perhaps()
{
	return static_cast<Node *>(wl_keep(new (std::nothrow) Node));
}

WL_NOINLINE static Line *aligned()
{
	return static_cast<Line *>(wl_keep(new Line));
}

static void round()
{
	for (int i = 0; i < N; i++) {
		Node *a = one(), *b = many(), *c = perhaps();
		Line *d = aligned();

		if (i % 2) {
			delete a;
			delete[] b;
			delete c;
			delete d;
		}
	}
}

static void work()
{
	round();
	static const struct {
		const char *name;
		uint64_t size;
	} all[] = {{"one", 1000}, {"many", 3000}, {"perhaps", 1000}, {"aligned", 256}};
	for (const auto &f : all) {
		wl_alloc(f.name, N, N * f.size);
		wl_free(f.name, N / 2, N / 2 * f.size);
	}
}

int main(int argc, char **)
{
	if (argc == 1)
		return wl_main(work);
	wl_ready_go();
	for (int i = 0; i < 24; i++) { /* 10 MB each */
		round();
		memset(pool, 1, used);
		usleep(300000);
	}
	wl_wait();
	return 0;
}
