// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operator new and delete in every form of C++17, and containers. With jemalloc and tcmalloc these
 * operators do not go through malloc.
 */
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>
#include <cstdlib>
#include "wl.h"

enum { N = 20 };
static void *kept[N];
using al = std::align_val_t;

#define FORM(fn, size, alloc, release)                                                             \
	WL_NOINLINE static void fn()                                                               \
	{                                                                                          \
		for (int i = 0; i < N; i++)                                                        \
			kept[i] = wl_keep(alloc);                                                  \
		wl_alloc(#fn, N, (size) * N);                                                      \
		for (int i = 0; i < N; i += 2) {                                                   \
			void *p = kept[i];                                                         \
			release;                                                                   \
			wl_free(#fn, 1, size);                                                     \
		}                                                                                  \
	}

FORM(new_plain, 101, ::operator new(wl_size(101)), ::operator delete(p))
FORM(new_array, 203, ::operator new[](wl_size(203)), ::operator delete[](p))
FORM(new_sized, 304, ::operator new(wl_size(304)), ::operator delete(p, wl_size(304)))
FORM(new_array_sized, 405, ::operator new[](wl_size(405)), ::operator delete[](p, wl_size(405)))
FORM(new_nothrow, 506, ::operator new(wl_size(506), std::nothrow),
     ::operator delete(p, std::nothrow))
FORM(new_array_nothrow, 607, ::operator new[](wl_size(607), std::nothrow),
     ::operator delete[](p, std::nothrow))
/* libstdc++ rounds the size up to the alignment before it asks for it; so these are multiples. */
FORM(new_aligned, 768, ::operator new(wl_size(768), al(128)), ::operator delete(p, al(128)))
FORM(new_array_aligned, 896, ::operator new[](wl_size(896), al(128)),
     ::operator delete[](p, al(128)))
FORM(new_aligned_sized, 1024, ::operator new(wl_size(1024), al(64)),
     ::operator delete(p, wl_size(1024), al(64)))
FORM(new_array_aligned_sized, 1152, ::operator new[](wl_size(1152), al(64)),
     ::operator delete[](p, wl_size(1152), al(64)))
FORM(new_aligned_nothrow, 1280, ::operator new(wl_size(1280), al(256), std::nothrow),
     ::operator delete(p, al(256), std::nothrow))
FORM(new_array_aligned_nothrow, 1536, ::operator new[](wl_size(1536), al(256), std::nothrow),
     ::operator delete[](p, al(256), std::nothrow))

WL_NOINLINE static void vector_of_longs()
{
	auto *v = new std::vector<long>;

	v->reserve(1000);
	v->reserve(2000);
	wl_alloc(__func__, 3, sizeof(*v) + 8000 + 16000);
	wl_free(__func__, 1, 8000);
	wl_keep(v);
}

WL_NOINLINE static void strings()
{
	for (int i = 0; i < 10; i++) {
		std::string s(wl_size(1000), 'x');

		wl_keep(&s[0]);
		wl_alloc(__func__, 1, 1001);
		wl_free(__func__, 1, 1001);
	}
}

static void work()
{
	new_plain();
	new_array();
	new_sized();
	new_array_sized();
	new_nothrow();
	new_array_nothrow();
	new_aligned();
	new_array_aligned();
	new_aligned_sized();
	new_array_aligned_sized();
	new_aligned_nothrow();
	new_array_aligned_nothrow();
	vector_of_longs();
	strings();
}

int main()
{
	return wl_main(work);
}
