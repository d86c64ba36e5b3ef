// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A malloc over another one, as memory debuggers and tracers are built (layer.c has the plainer
 * ones): every function of the family is there, and most are made of each other.
 *   (nothing)  a header of 16 bytes; calloc is malloc and memset, realloc is malloc, memcpy and
 *              free, all through the table of imports, so that another layer above sees the calls
 *   -DCACHE    freed blocks are kept and handed out again: the next allocator hears of neither
 *   -DTRACE    each call is written down with a backtrace, whose first use loads a library
 *   -DWRAP     the names are those that the linker's --wrap=malloc leads to
 * To be preloaded, linked into a program, or loaded by dlopen with RTLD_DEEPBIND (own_work).
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OUT __attribute__((noinline, noclone, visibility("default")))
#define HEAD 16
#define CLASSES 1024 /* of 16 bytes */

#ifdef WRAP
#define NAME(name) __wrap_##name
void *__real_malloc(size_t size);
void __real_free(void *p);
#define next_malloc __real_malloc
#define next_free __real_free
#define ready() 1
#else
#define NAME(name) name
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);

static int ready(void)
{
	if (!next_malloc) {
		next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
		next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	}
	return next_malloc != NULL;
}
#endif

void *NAME(malloc)(size_t size);
void NAME(free)(void *p);
void *NAME(calloc)(size_t n, size_t size);
void *NAME(realloc)(void *old, size_t size);
int NAME(posix_memalign)(void **ret, size_t alignment, size_t size);
void *NAME(aligned_alloc)(size_t alignment, size_t size);
void *NAME(memalign)(size_t alignment, size_t size);

struct head {
	size_t size;
	void *base;
};
_Static_assert(sizeof(struct head) == HEAD, "as the blocks are aligned");

#ifdef CACHE
static void *cache[CLASSES];
static char lock;

static void *cached(size_t class)
{
	void *p = NULL;

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		;
	if (class < CLASSES && cache[class]) {
		p = cache[class];
		cache[class] = *(void **)p;
	}
	__atomic_clear(&lock, __ATOMIC_RELEASE);
	return p;
}

static int put_back(void *base, size_t class)
{
	if (class >= CLASSES)
		return 0;
	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		;
	*(void **)base = cache[class];
	cache[class] = base;
	__atomic_clear(&lock, __ATOMIC_RELEASE);
	return 1;
}
#else
#define cached(class) NULL
#define put_back(base, class) 0
#endif

#ifdef TRACE
static __thread int busy;
static char log_line[256];
static unsigned long lines;

static void trace(const char *what, size_t size)
{
	void *frames[8];
	int n;

	if (busy)
		return;
	busy = 1;
	n = backtrace(frames, 8);
	snprintf(log_line, sizeof(log_line), "%s %zu at %p, %d frames", what, size, frames[n / 2],
		 n);
	lines++;
	busy = 0;
}
#else
#define trace(what, size) ((void)0)
#endif

OUT void *NAME(malloc)(size_t size)
{
	size_t class = (size + 15) / 16;
	struct head *h;

	if (!ready() || size > (1UL << 46))
		return NULL;
	h = cached(class);
	if (!h)
		h = next_malloc(class * 16 + HEAD);
	if (!h)
		return NULL;
	*h = (struct head){size, h};
	trace("malloc", size);
	return h + 1;
}

OUT void NAME(free)(void *p)
{
	struct head *h = (struct head *)p - 1;
	void *base;

	if (!p)
		return;
	trace("free", h->size);
	base = h->base;
	if (base != h || !put_back(base, (h->size + 15) / 16))
		next_free(base);
}

OUT void *NAME(calloc)(size_t n, size_t size)
{
	void *p = size && n > SIZE_MAX / size ? NULL : NAME(malloc)(n * size);

	if (p)
		memset(p, 0, n * size);
	return p;
}

OUT void *NAME(realloc)(void *old, size_t size)
{
	void *p = NAME(malloc)(size);

	if (!p || !old)
		return p;
	memcpy(p, old,
	       ((struct head *)old - 1)->size < size ? ((struct head *)old - 1)->size : size);
	NAME(free)(old);
	return p;
}

OUT void *NAME(memalign)(size_t alignment, size_t size)
{
	char *base, *p;

	if (alignment <= 16)
		return NAME(malloc)(size);
	base = ready() ? next_malloc(size + alignment + HEAD) : NULL;
	if (!base)
		return NULL;
	p = (char *)(((uintptr_t)base + HEAD + alignment - 1) & ~(alignment - 1));
	((struct head *)p)[-1] = (struct head){size, base};
	return p;
}

OUT void *NAME(aligned_alloc)(size_t alignment, size_t size)
{
	return NAME(memalign)(alignment, size);
}

OUT int NAME(posix_memalign)(void **ret, size_t alignment, size_t size)
{
	void *p = NAME(memalign)(alignment, size);

	if (p)
		*ret = p;
	return p ? 0 : ENOMEM;
}

#ifdef AS_LIBRARY
OUT void own_work(unsigned long *objects, unsigned long *bytes)
{
	for (int i = 0; i < 300; i++) {
		void *volatile p = calloc(3, 700);

		if (i % 3)
			free(p);
	}
	*objects += 300;
	*bytes += 300 * 2100;
}
#endif
