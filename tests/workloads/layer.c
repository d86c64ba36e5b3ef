// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An allocator that lies over another one, to be preloaded or linked in: what it hands out comes
 * from the next malloc. How it lies there:
 *   (nothing)   finds the next functions by dlsym and calls them, counting
 *   -DTAIL      leaves for them by a jump
 *   -DHEADER    puts a header of its own before each block, so that addresses and sizes differ
 *   -DLOCKED    takes a lock around a call that goes through two functions of its own, and keeps a
 *               note of its own (one more block of the next malloc) of every block
 *   -DDIRECT    calls the C library's functions by their internal names
 *   -DWRAPPED   is what the linker's --wrap leads to, puts a header before each block, and leaves
 *               free by a jump
 *   -DPARTLY    only malloc and free: everything else goes to the next allocator directly
 * Any number of them may lie over each other.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OUT __attribute__((noinline, noclone, visibility("default")))
#define IN __attribute__((noinline, noclone))

#ifdef WRAPPED
#define HEADER
#define LINKED
#define NEXT(name) __real_##name
#define malloc __wrap_malloc
#define calloc __wrap_calloc
#define realloc __wrap_realloc
#define memalign __wrap_memalign
#define free __wrap_free
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_memalign(size_t alignment, size_t size);
void __real_free(void *p);
#elif defined(DIRECT)
#define LINKED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);
#define NEXT(name) __libc_##name
#else
static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t);
static void (*next_free)(void *);
#define NEXT(name) next_##name

static char early[4096]; /* what dlsym itself may ask for */
static size_t early_used;

__attribute__((constructor)) static void find_next(void)
{
	if (next_malloc)
		return;
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	next_memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
	next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
}

static void *early_take(size_t size)
{
	void *p = early + early_used;

	early_used += (size + 15) & ~15UL;
	return early_used <= sizeof(early) ? p : NULL;
}
#endif

static unsigned long calls;

#ifdef HEADER
#define HEAD 32
static void *out(char *p, size_t size)
{
	if (!p)
		return NULL;
	*(size_t *)p = size;
	return p + HEAD;
}

static char *in(void *p)
{
	return p ? (char *)p - HEAD : NULL;
}
#else
#define HEAD 0
#define out(p, size) (p)
#define in(p) (p)
#endif

#ifdef LOCKED
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *last_note;

IN static void *deeper(size_t size)
{
	volatile char frame[200];

	frame[0] = 1;
	NEXT(free)(last_note);
	last_note = NEXT(malloc)(48 + frame[0]);
	return NEXT(malloc)(size);
}

IN static void *take(size_t size)
{
	void *p;

	pthread_mutex_lock(&lock);
	p = deeper(size);
	pthread_mutex_unlock(&lock);
	return p;
}
#else
#define take(size) NEXT(malloc)(size)
#endif

OUT void *malloc(size_t size)
{
#ifndef LINKED
	if (!next_malloc)
		return early_take(size);
#endif
#ifndef TAIL
	void *p = out(take(size + HEAD), size);

	calls++;
	return p;
#else
	return take(size + HEAD);
#endif
}

OUT void free(void *p)
{
#ifndef LINKED
	if (!p || (uintptr_t)p - (uintptr_t)early < sizeof(early))
		return;
#elif defined(WRAPPED)
	if (!p)
		return;
#endif
	NEXT(free)(in(p));
#if !defined(TAIL) && !defined(WRAPPED)
	calls++;
#endif
}

#ifndef PARTLY
OUT void *calloc(size_t n, size_t size)
{
	void *p;

#ifndef LINKED
	if (!next_calloc)
		return early_take(n * size);
#endif
	if (size && n > (SIZE_MAX - HEAD) / size)
		return NULL;
#ifdef WRAPPED /* a static C library's calloc calls what is wrapped */
	p = malloc(n * size);
	if (p)
		memset(p, 0, n * size);
#elif defined(HEADER)
	p = out(NEXT(calloc)(1, n * size + HEAD), n * size);
#else
	p = NEXT(calloc)(n, size);
#endif
	calls++;
	return p;
}

OUT void *realloc(void *old, size_t size)
{
	void *p = size + HEAD < size ? NULL : out(NEXT(realloc)(in(old), size + HEAD), size);

	calls++;
	return p;
}

OUT void *memalign(size_t alignment, size_t size)
{
#ifdef HEADER
	size_t front = alignment > HEAD ? alignment : HEAD;
	char *p = NEXT(memalign)(alignment, size + front);

	/* Only an alignment that the header keeps is asked for by those who use this. */
	return p ? out(p, size) : NULL;
#else
	void *p = NEXT(memalign)(alignment, size);

	calls++;
	return p;
#endif
}

OUT void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

OUT int posix_memalign(void **ret, size_t alignment, size_t size)
{
	*ret = memalign(alignment, size);
	return *ret ? 0 : ENOMEM;
}
#endif
