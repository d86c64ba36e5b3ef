// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program with an allocator under a prefix linked in (jealloc.c), beside the C library's, and
 * with signal handlers on an alternate stack:
 *  - a handler that allocates and returns, raised outside the allocator;
 *  - a handler, raised in the middle of je_malloc, that leaves by longjmp: that call never returns.
 *    Counts after it must be right again.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include "jealloc.h"
#include "wl.h"

static char alt_stack[64 << 10];
static sigjmp_buf escape;

WL_NOINLINE static void both_allocators(void)
{
	void *p = NULL;

	for (int i = 0; i < 40; i++) {
		void *a = wl_keep(je_malloc(wl_size(111)));
		void *b = wl_keep(malloc(wl_size(222)));

		wl_alloc(__func__, 2, 333);
		if (i % 4)
			continue;
		je_free(a);
		free(b);
		wl_free(__func__, 2, 333);
	}
	wl_keep(je_calloc(wl_size(10), wl_size(33)));
	wl_alloc(__func__, 1, 330);
	for (int i = 1; i <= 20; i++) {
		p = wl_keep(je_realloc(p, wl_size((size_t)i * 100)));
		wl_alloc(__func__, 1, (size_t)i * 100);
		if (i > 1)
			wl_free(__func__, 1, (size_t)(i - 1) * 100);
	}
	if (wl_keep(je_malloc(wl_size(1UL << 40))) || wl_keep(je_realloc(p, wl_size(1UL << 40))))
		_exit(90);
}

WL_NOINLINE static void in_handler(int sig)
{
	void *p = wl_keep(malloc(wl_size(404)));

	wl_keep(malloc(wl_size(505)));
	free(p);
	wl_alloc("in_handler", 2, 909);
	wl_free("in_handler", 1, 404);
}

static void escaping_handler(int sig)
{
	siglongjmp(escape, 1);
}

WL_NOINLINE static void abandoned(void)
{
	for (volatile int i = 0; i < 10; i++) {
		je_signal_inside = 1;
		if (!sigsetjmp(escape, 1)) {
			wl_keep(je_malloc(wl_size(99999)));
			_exit(91);
		}
	}
}

WL_NOINLINE static void after_abandoned(void)
{
	for (int i = 0; i < 30; i++) {
		void *p = wl_keep(je_malloc(wl_size(606)));

		wl_keep(malloc(wl_size(707)));
		wl_alloc(__func__, 2, 1313);
		if (i % 3)
			continue;
		je_free(p);
		wl_free(__func__, 1, 606);
	}
}

int main(int argc, char **argv)
{
	stack_t st = {.ss_sp = alt_stack, .ss_size = sizeof(alt_stack)};
	struct sigaction sa = {.sa_flags = SA_ONSTACK};

	sigaltstack(&st, NULL);
	sa.sa_handler = in_handler;
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = escaping_handler;
	sigaction(SIGUSR2, &sa, NULL);

	wl_ready_go();
	both_allocators();
	for (int i = 0; i < 25; i++)
		raise(SIGUSR1);
	if (argc > 1 && !strcmp(argv[1], "longjmp")) {
		abandoned();
		after_abandoned();
	}
	wl_done();
	wl_wait();
	return 0;
}
