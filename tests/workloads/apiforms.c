// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each form of an allocator's own interface in a function of its name: what it allocates, and what
 * is given back. mimalloc's heaps and aligned forms; with -DTCMALLOC gperftools' tc_ names, with
 * -DJEMALLOC the forms with flags.
 */
#include <stdlib.h>
#ifdef TCMALLOC
#include <gperftools/tcmalloc.h>
#elif defined(JEMALLOC)
#include <jemalloc/jemalloc.h>
#else
#include <mimalloc.h>
#endif
#include "wl.h"

#ifdef TCMALLOC /* declared for C++ only */
void *tc_new(size_t size);
void *tc_newarray(size_t size);
void *tc_new_nothrow(size_t size, const void *nothrow);
void *tc_newarray_nothrow(size_t size, const void *nothrow);
void *tc_new_aligned(size_t size, size_t align);
void *tc_newarray_aligned(size_t size, size_t align);
void *tc_new_aligned_nothrow(size_t size, size_t align, const void *nothrow);
void *tc_newarray_aligned_nothrow(size_t size, size_t align, const void *nothrow);
void tc_delete(void *p);
void tc_delete_sized(void *p, size_t size);
void tc_delete_nothrow(void *p, const void *nothrow);
void tc_deletearray_sized(void *p, size_t size);
void tc_deletearray_nothrow(void *p, const void *nothrow);
void tc_delete_aligned(void *p, size_t align);
void tc_delete_sized_aligned(void *p, size_t size, size_t align);
void tc_deletearray_aligned_nothrow(void *p, size_t align, const void *nothrow);
void tc_deletearray_sized_aligned(void *p, size_t size, size_t align);
#endif

enum { N = 50, SIZE = 3000 };
#define S wl_size(SIZE)
#define M wl_size(SIZE / 3)

/* N blocks by an expression; every second one is given back. */
#define FORM(name, expr, give)                              \
	WL_NOINLINE static void *name##_one(void)           \
	{                                                   \
		return wl_keep(expr);                       \
	}                                                   \
	static void name(void)                              \
	{                                                   \
		for (int i = 0; i < N; i++) {               \
			void *p = name##_one();             \
                                                            \
			if (!p)                             \
				_exit(90);                  \
			if (i % 2)                          \
				give;                       \
		}                                           \
		wl_alloc(#name "_one", N, N *SIZE);         \
		wl_free(#name "_one", N / 2, N / 2 * SIZE); \
	}

#ifdef TCMALLOC
static void *by_posix(void)
{
	void *p = NULL;

	return tc_posix_memalign(&p, 64, S) ? NULL : p;
}
FORM(tc_m, tc_malloc(S), tc_free(p))
FORM(tc_c, tc_calloc(wl_size(3), M), tc_free(p))
FORM(tc_r, tc_realloc(NULL, S), tc_free(p))
FORM(tc_ma, tc_memalign(64, S), tc_cfree(p))
FORM(tc_pm, by_posix(), tc_free_sized(p, SIZE))
FORM(tc_nt, tc_new_nothrow(S, NULL), tc_delete_nothrow(p, NULL))
FORM(tc_ant, tc_newarray_nothrow(S, NULL), tc_deletearray_nothrow(p, NULL))
FORM(tc_n, tc_new(S), tc_delete(p))
FORM(tc_na, tc_newarray(S), tc_deletearray_sized(p, SIZE))
FORM(tc_s, tc_malloc_skip_new_handler(S), tc_delete_sized(p, SIZE))
FORM(tc_v, tc_valloc(S), tc_free(p))
FORM(tc_w, tc_new_aligned(S, 64), tc_delete_aligned(p, 64))
FORM(tc_wa, tc_newarray_aligned(S, 64), tc_deletearray_sized_aligned(p, SIZE, 64))
FORM(tc_wn, tc_new_aligned_nothrow(S, 64, NULL), tc_delete_sized_aligned(p, SIZE, 64))
FORM(tc_wan, tc_newarray_aligned_nothrow(S, 64, NULL), tc_deletearray_aligned_nothrow(p, 64, NULL))
#define ALL(X)                                                                                 \
	X(tc_m)                                                                                \
	X(tc_c)                                                                                \
	X(tc_r)                                                                                \
	X(tc_ma) X(tc_pm) X(tc_nt) X(tc_ant) X(tc_n) X(tc_na) X(tc_s) X(tc_v) X(tc_w) X(tc_wa) \
		X(tc_wn) X(tc_wan)
#elif defined(JEMALLOC)
FORM(je_m, mallocx(S, 0), dallocx(p, 0))
FORM(je_z, mallocx(S, MALLOCX_ZERO | MALLOCX_ALIGN(256)), sdallocx(p, SIZE, MALLOCX_ALIGN(256)))
FORM(je_t, mallocx(S, MALLOCX_TCACHE_NONE), dallocx(p, MALLOCX_TCACHE_NONE))
FORM(je_a, aligned_alloc(128, S), free(p))
FORM(je_n, nallocx(S, 0) ? malloc(S) : NULL, free(p))
#define ALL(X) X(je_m) X(je_z) X(je_t) X(je_a) X(je_n)
#else
static mi_heap_t *heap;
#define HUGE_SIZE wl_size(~0UL >> 2)
void *reallocf(void *p, size_t size);
int mi_reallocarr(void *p, size_t n, size_t size);
static void *by_reallocarr(void)
{
	void *p = NULL;

	return mi_reallocarr(&p, wl_size(3), M) ? NULL : p;
}
FORM(mi_hm, mi_heap_malloc(heap, S), mi_free(p))
FORM(mi_hz, mi_heap_zalloc(heap, S), mi_free(p))
FORM(mi_hc, mi_heap_calloc(heap, wl_size(3), M), mi_free(p))
FORM(mi_hn, mi_heap_mallocn(heap, wl_size(3), M), mi_free(p))
FORM(mi_hr, mi_heap_realloc(heap, NULL, S), mi_free(p))
FORM(mi_hrn, mi_heap_reallocn(heap, NULL, wl_size(3), M), mi_free(p))
FORM(mi_hrf, mi_heap_reallocf(heap, NULL, S), mi_free(p))
FORM(mi_hma, mi_heap_malloc_aligned(heap, S, 128), mi_free_aligned(p, 128))
FORM(mi_hmaa, mi_heap_malloc_aligned_at(heap, S, 128, 16), mi_free(p))
FORM(mi_hza, mi_heap_zalloc_aligned(heap, S, 128), mi_free_size_aligned(p, SIZE, 128))
FORM(mi_hca, mi_heap_calloc_aligned(heap, wl_size(3), M, 128), mi_free_size(p, SIZE))
FORM(mi_hra, mi_heap_realloc_aligned(heap, NULL, S, 128), mi_free(p))
FORM(mi_hrz, mi_heap_rezalloc(heap, NULL, S), mi_free(p))
FORM(mi_hrc, mi_heap_recalloc(heap, NULL, wl_size(3), M), mi_free(p))
FORM(mi_m, mi_malloc(S), mi_free(p))
FORM(mi_mn, mi_mallocn(wl_size(3), M), mi_free(p))
FORM(mi_zaa, mi_zalloc_aligned_at(S, 128, 16), mi_free(p))
FORM(mi_caa, mi_calloc_aligned_at(wl_size(3), M, 128, 16), mi_free(p))
FORM(mi_raa, mi_realloc_aligned_at(NULL, S, 128, 16), mi_free(p))
FORM(mi_rza, mi_rezalloc_aligned(NULL, S, 128), mi_free(p))
FORM(mi_rca, mi_recalloc_aligned(NULL, wl_size(3), M, 128), mi_free(p))
FORM(mi_ex, mi_expand(mi_malloc(S), S), mi_free(p))
FORM(mi_nw, mi_new(S), mi_free(p))
FORM(mi_nwn, mi_new_n(wl_size(3), M), mi_free(p))
FORM(mi_nr, mi_new_realloc(NULL, S), mi_free(p))
FORM(mi_nrn, mi_new_reallocn(NULL, wl_size(3), M), mi_free(p))
FORM(mi_nwa, mi_new_aligned(S, 128), mi_free(p))
FORM(mi_nwant, mi_new_aligned_nothrow(S, 128), mi_free(p))
FORM(mi_hnw, mi_heap_alloc_new(heap, S), mi_free(p))
FORM(mi_hnwn, mi_heap_alloc_new_n(heap, wl_size(3), M), mi_free(p))
FORM(mi_ral, by_reallocarr(), mi_free(p))
/* what fails gives the old block back */
FORM(mi_rf, mi_reallocf(NULL, S), mi_reallocf(p, HUGE_SIZE))
FORM(mi_hrff, mi_malloc(S), mi_heap_reallocf(heap, p, HUGE_SIZE))
FORM(mi_brf, reallocf(NULL, S), reallocf(p, HUGE_SIZE))
#define ALL(X)                                                                                    \
	X(mi_hm)                                                                                  \
	X(mi_hz)                                                                                  \
	X(mi_hc)                                                                                  \
	X(mi_hn)                                                                                  \
	X(mi_hr) X(mi_hrn) X(mi_hrf) X(mi_hma) X(mi_hmaa) X(mi_hza) X(mi_hca) X(mi_hra) X(mi_hrz) \
		X(mi_hrc) X(mi_m) X(mi_mn) X(mi_zaa) X(mi_caa) X(mi_raa) X(mi_rza) X(mi_rca)      \
			X(mi_ex) X(mi_nw) X(mi_nwn) X(mi_nr) X(mi_nrn) X(mi_nwa) X(mi_nwant)      \
				X(mi_hnw) X(mi_hnwn) X(mi_ral) X(mi_rf) X(mi_hrff) X(mi_brf)
#endif

static void work(void)
{
#define CALL(name) name();
	ALL(CALL)
}

int main(void)
{
#if !defined(TCMALLOC) && !defined(JEMALLOC)
	heap = mi_heap_get_default();
#endif
	return wl_main(work);
}
