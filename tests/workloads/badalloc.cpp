// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operator new that throws and is caught, again and again, from the same and from other stack
 * depths, mixed with allocations that succeed. A return probe left on the stack breaks the
 * unwinder: the program would end in std::terminate. The exception object itself is allocated by
 * libstdc++ (__cxa_allocate_exception), so only the functions below are exactly known.
 */
#include <cstdlib>
#include <new>
#include <vector>
#include "wl.h"

enum { N = 300 };
static int caught;

WL_NOINLINE static void *ask(int depth, size_t n)
{
	if (depth)
		return wl_keep(ask(depth - 1, n));
	return wl_keep(::operator new(n));
}

WL_NOINLINE static void throwing()
{
	for (int i = 0; i < N; i++) {
		try {
			ask(i % 7, wl_size(PTRDIFF_MAX) - 4096);
			_exit(91);
		} catch (const std::bad_alloc &) {
			caught++;
		}
		try {
			wl_keep(new char[wl_size(PTRDIFF_MAX) - 4096]);
			_exit(92);
		} catch (...) {
			caught++;
		}
		try {
			std::vector<char> v;

			v.reserve(wl_size(PTRDIFF_MAX) - 4096);
			_exit(93);
		} catch (const std::bad_alloc &) {
			caught++;
		}
	}
	if (caught != 3 * N)
		_exit(94);
}

WL_NOINLINE static void new_nothrow_fails()
{
	for (int i = 0; i < N; i++)
		if (wl_keep(::operator new(wl_size(PTRDIFF_MAX) - 4096, std::nothrow)))
			_exit(91);
}

WL_NOINLINE static void succeeding()
{
	for (int i = 0; i < N; i++) {
		void *p = wl_keep(::operator new(wl_size(777)));

		wl_alloc(__func__, 1, 777);
		if (i & 1)
			continue;
		::operator delete(p);
		wl_free(__func__, 1, 777);
	}
}

static void work()
{
	succeeding();
	throwing();
	/* libstdc++'s nothrow form calls the throwing one and catches. */
	new_nothrow_fails();
	succeeding();
}

int main()
{
	/* The unwinder's own first-time allocations come before "ready". */
	try {
		ask(1, wl_size(PTRDIFF_MAX) - 4096);
	} catch (...) {
	}
	return wl_main(work);
}
