// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tiny allocator of its own under a prefix, as programs embed jemalloc (je_malloc): never uses
 * the C library's. Blocks carry their size, freed ones go to a list per size. Lock-free enough
 * for one thread and its signal handlers when -DSIGNAL_AT asks for a signal in the middle of
 * je_malloc. With -DAS_LIBRARY this is a shared library whose own_work() uses it; own_work() is
 * called after dlopen.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "jealloc.h"
#include "wl.h"

#define ARENA (32 << 20)
static char arena[ARENA] __attribute__((aligned(64)));
static size_t used;
static void *volatile free_lists[1024];
volatile int je_signal_inside;

struct head {
	size_t size;
	void *next;
};

static void *take(size_t size)
{
	size_t slot = (size + 15) / 16;
	struct head *h;

	if (je_signal_inside) {
		je_signal_inside = 0;
		raise(SIGUSR2);
	}
	if (slot < 1024 && free_lists[slot]) {
		h = free_lists[slot];
		free_lists[slot] = h->next;
	} else {
		if (size > ARENA || used + slot * 16 + sizeof(*h) > ARENA) {
			errno = ENOMEM;
			return NULL;
		}
		h = (struct head *)(arena + used);
		used += slot * 16 + sizeof(*h);
	}
	h->size = size;
	return h + 1;
}

WL_NOINLINE void *je_malloc(size_t size)
{
	return take(size);
}

WL_NOINLINE void je_free(void *p)
{
	struct head *h = (struct head *)p - 1;
	size_t slot;

	if (!p)
		return;
	slot = (h->size + 15) / 16;
	if (slot < 1024) {
		h->next = free_lists[slot];
		free_lists[slot] = h;
	} else if (h->size > ARENA) {
		abort(); /* written over */
	}
}

WL_NOINLINE void *je_calloc(size_t n, size_t size)
{
	void *p;

	if (size && n > ARENA / size)
		return NULL;
	p = take(n * size);
	if (p)
		memset(p, 0, n * size);
	return p;
}

WL_NOINLINE void *je_realloc(void *old, size_t size)
{
	void *p = je_malloc(size); /* nested: one allocation all the same */

	if (p && old) {
		size_t had = ((struct head *)old - 1)->size;

		memcpy(p, old, had < size ? had : size);
		je_free(old);
	}
	return p;
}

/* As jemalloc's experimental form: the block and its size, in two registers. */
struct smallocx_return {
	void *p;
	size_t size;
};

struct smallocx_return je_smallocx_54eaed1d(size_t size, int flags);

WL_NOINLINE struct smallocx_return je_smallocx_54eaed1d(size_t size, int flags)
{
	return (struct smallocx_return){take(size), (size + 15) / 16 * 16};
}

#ifdef AS_LIBRARY
/* Reports by arguments, because the accounting table is the program's. */
WL_NOINLINE void own_work(unsigned long *objects, unsigned long *bytes)
{
	for (int i = 0; i < 25; i++)
		wl_keep(je_malloc(wl_size(1234)));
	for (int i = 0; i < 5; i++)
		wl_keep(je_smallocx_54eaed1d(wl_size(4321), 0).p);
	*objects += 30;
	*bytes += 25 * 1234 + 5 * 4321;
}
#endif
