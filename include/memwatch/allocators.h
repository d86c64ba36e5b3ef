/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * allocators.h - the allocators that memwatch knows and the signatures of their calls, once.
 *
 * From these rows come the wire's enum mw_fn, the arguments that the BPF programs read and those
 * that must be intact where a probe is placed, the names that discovery looks for, and the frames
 * that profiles leave out below the code that called an allocator. A new allocator is one row: its
 * prefix in MW_ALLOC_PREFIXES where it has the standard names, a name in MW_ALLOC_SPECIAL for each
 * function that has a name or a signature of its own; and its library's in MW_ALLOC_LIBRARIES.
 */
#ifndef MEMWATCH_ALLOCATORS_H
#define MEMWATCH_ALLOCATORS_H

/* What a call does to memory. */
enum mw_does {
	MW_DOES_NOTHING,
	MW_DOES_ALLOC,	  /* hands out a block; NULL or an error means that it failed */
	MW_DOES_THROW,	  /* the same, but fails by an exception */
	MW_DOES_REALLOC,  /* gives back a block and hands out another; NULL: the old one stays */
	MW_DOES_REALLOCF, /* the same, but the old one is given back also when it fails */
	MW_DOES_RESIZE,	  /* changes a block where it is and returns its size afterwards; the
			   * argument behind the size is how much more is welcome */
	MW_DOES_FREE,	  /* gives back a block */
};

/*
 * X(NAME, does, size, times, old, out): numbers of arguments, counted from 1; 0: none. The bytes
 * asked for are argument `size`, multiplied by argument `times` if there is one; `old` is the block
 * given back or changed; `out` tells where the new block's address is stored (else it is returned).
 */
#define MW_SIGNATURES(X)                                                                         \
	X(MALLOC, ALLOC, 1, 0, 0, 0)	     /* p = f(size) */                                   \
	X(CALLOC, ALLOC, 1, 2, 0, 0)	     /* p = f(n, size) */                                \
	X(REALLOC, REALLOC, 2, 0, 1, 0)	     /* p = f(old, size) */                              \
	X(REALLOCARRAY, REALLOC, 2, 3, 1, 0) /* p = f(old, n, size) */                           \
	X(POSIX_MEMALIGN, ALLOC, 3, 0, 0, 1) /* err = f(&p, align, size) */                      \
	X(MEMALIGN, ALLOC, 2, 0, 0, 0)	     /* p = f(align, size) */                            \
	X(VALLOC, ALLOC, 1, 0, 0, 0)	     /* p = f(size) */                                   \
	X(PVALLOC, ALLOC, 1, 0, 0, 0)	     /* p = f(size), the size rounded up to a page */    \
	X(NEW, THROW, 1, 0, 0, 0)	     /* p = f(size[, align][, nothrow]) or throws */     \
	X(NEW_N, THROW, 1, 2, 0, 0)	     /* p = f(n, size) or throws */                      \
	X(FREE, FREE, 0, 0, 1, 0)	  /* f(p[, …]): delete, sized and aligned forms too */ \
	X(REALLOCF, REALLOCF, 2, 0, 1, 0) /* p = f(old, size) */                                 \
	X(RALLOCX, REALLOC, 2, 0, 1, 0)	  /* p = f(old, size, flags) */                          \
	X(XALLOCX, RESIZE, 2, 0, 1, 0)	  /* real size = f(p, size, extra, flags) */             \
	X(HEAP_MALLOC, ALLOC, 2, 0, 0, 0) /* p = f(heap, size) */                                \
	X(HEAP_CALLOC, ALLOC, 2, 3, 0, 0) /* p = f(heap, n, size) */                             \
	X(HEAP_NEW, THROW, 2, 0, 0, 0)	  /* p = f(heap, size) or throws */                      \
	X(HEAP_NEW_N, THROW, 2, 3, 0, 0)  /* p = f(heap, n, size) or throws */                   \
	X(HEAP_REALLOC, REALLOC, 3, 0, 2, 0)	  /* p = f(heap, old, size) */                   \
	X(HEAP_REALLOCF, REALLOCF, 3, 0, 2, 0)	  /* p = f(heap, old, size) */                   \
	X(HEAP_REALLOCARRAY, REALLOC, 3, 4, 2, 0) /* p = f(heap, old, n, size) */

/* The standard names: each counts with every prefix below. */
#define MW_ALLOC_NAMES(X)                 \
	X(malloc, MALLOC)                 \
	X(calloc, CALLOC)                 \
	X(realloc, REALLOC)               \
	X(reallocarray, REALLOCARRAY)     \
	X(posix_memalign, POSIX_MEMALIGN) \
	X(aligned_alloc, MEMALIGN)        \
	X(memalign, MEMALIGN)             \
	X(valloc, VALLOC)                 \
	X(pvalloc, PVALLOC)               \
	X(free, FREE)                     \
	X(cfree, FREE)                    \
	X(free_sized, FREE)               \
	X(free_aligned_sized, FREE)       \
	X(mallocx, MALLOC)                \
	X(rallocx, RALLOCX)               \
	X(xallocx, XALLOCX)               \
	X(dallocx, FREE)                  \
	X(sdallocx, FREE)

/* Names that go on with a version, with every prefix: jemalloc's smallocx_COMMIT, which returns the
 * block and its size. */
#define MW_ALLOC_BEGINNINGS(X) X("smallocx_", MALLOC)

/* Prefixes of those names, by allocator. Any other prefix must be proved: see elf/allocs.h. */
#define MW_ALLOC_PREFIXES(X)                                                           \
	X("")                                                                          \
	X("__libc_")                                                                   \
	X("__")	     /* weak and strong forms of one function, as in glibc and musl */ \
	X("__wrap_") /* what the linker's --wrap=malloc leads to */                    \
	X("je_")     /* jemalloc */                                                    \
	X("jemalloc_")                                                                 \
	X("_rjem_")    /* jemalloc in Rust programs */                                 \
	X("mi_")       /* mimalloc */                                                  \
	X("tc_")       /* gperftools' tcmalloc */                                      \
	X("sn_")       /* snmalloc */                                                  \
	X("scalable_") /* oneTBB */

/* How the names of their libraries begin. */
#define MW_ALLOC_LIBRARIES(X) X("libjemalloc") X("libtcmalloc") X("libmimalloc")

/* Names that exist with one allocator only. */
#define MW_ALLOC_SPECIAL(X)                                    \
	/* mimalloc: its own forms beside the standard ones */ \
	X(mi_zalloc, MALLOC)                                   \
	X(mi_malloc_small, MALLOC)                             \
	X(mi_zalloc_small, MALLOC)                             \
	X(mi_mallocn, CALLOC)                                  \
	X(mi_malloc_aligned, MALLOC)                           \
	X(mi_malloc_aligned_at, MALLOC)                        \
	X(mi_zalloc_aligned, MALLOC)                           \
	X(mi_zalloc_aligned_at, MALLOC)                        \
	X(mi_calloc_aligned, CALLOC)                           \
	X(mi_calloc_aligned_at, CALLOC)                        \
	X(mi_realloc_aligned, REALLOC)                         \
	X(mi_realloc_aligned_at, REALLOC)                      \
	X(mi_rezalloc, REALLOC)                                \
	X(mi_rezalloc_aligned, REALLOC)                        \
	X(mi_rezalloc_aligned_at, REALLOC)                     \
	X(mi_recalloc_aligned, REALLOCARRAY)                   \
	X(mi_recalloc_aligned_at, REALLOCARRAY)                \
	X(mi_reallocn, REALLOCARRAY)                           \
	X(mi_recalloc, REALLOCARRAY)                           \
	X(mi_reallocf, REALLOCF)                               \
	X(mi_heap_malloc, HEAP_MALLOC)                         \
	X(mi_heap_zalloc, HEAP_MALLOC)                         \
	X(mi_heap_calloc, HEAP_CALLOC)                         \
	X(mi_heap_mallocn, HEAP_CALLOC)                        \
	X(mi_heap_malloc_small, HEAP_MALLOC)                   \
	X(mi_heap_malloc_aligned, HEAP_MALLOC)                 \
	X(mi_heap_malloc_aligned_at, HEAP_MALLOC)              \
	X(mi_heap_zalloc_aligned, HEAP_MALLOC)                 \
	X(mi_heap_zalloc_aligned_at, HEAP_MALLOC)              \
	X(mi_heap_calloc_aligned, HEAP_CALLOC)                 \
	X(mi_heap_calloc_aligned_at, HEAP_CALLOC)              \
	X(mi_heap_realloc, HEAP_REALLOC)                       \
	X(mi_heap_reallocf, HEAP_REALLOCF)                     \
	X(mi_heap_alloc_new, HEAP_NEW)                         \
	X(mi_heap_alloc_new_n, HEAP_NEW_N)                     \
	X(mi_heap_rezalloc, HEAP_REALLOC)                      \
	X(mi_heap_realloc_aligned, HEAP_REALLOC)               \
	X(mi_heap_realloc_aligned_at, HEAP_REALLOC)            \
	X(mi_heap_rezalloc_aligned, HEAP_REALLOC)              \
	X(mi_heap_rezalloc_aligned_at, HEAP_REALLOC)           \
	X(mi_heap_reallocn, HEAP_REALLOCARRAY)                 \
	X(mi_heap_recalloc, HEAP_REALLOCARRAY)                 \
	X(mi_heap_recalloc_aligned, HEAP_REALLOCARRAY)         \
	X(mi_heap_recalloc_aligned_at, HEAP_REALLOCARRAY)      \
	X(mi_new, NEW)                                         \
	X(mi_new_aligned, NEW)                                 \
	X(mi_new_n, NEW_N)                                     \
	X(mi_new_nothrow, MALLOC)                              \
	X(mi_new_aligned_nothrow, MALLOC)                      \
	X(mi_free_size, FREE)                                  \
	X(mi_free_aligned, FREE)                               \
	X(mi_free_size_aligned, FREE)                          \
	/* tcmalloc */                                         \
	X(tc_new, NEW)                                         \
	X(tc_newarray, NEW)                                    \
	X(tc_new_aligned, NEW)                                 \
	X(tc_newarray_aligned, NEW)                            \
	X(tc_new_nothrow, MALLOC)                              \
	X(tc_newarray_nothrow, MALLOC)                         \
	X(tc_new_aligned_nothrow, MALLOC)                      \
	X(tc_newarray_aligned_nothrow, MALLOC)                 \
	X(tc_malloc_skip_new_handler, MALLOC)                  \
	X(tc_delete, FREE)                                     \
	X(tc_deletearray, FREE)                                \
	X(tc_delete_sized, FREE)                               \
	X(tc_deletearray_sized, FREE)                          \
	X(tc_delete_aligned, FREE)                             \
	X(tc_deletearray_aligned, FREE)                        \
	X(tc_delete_nothrow, FREE)                             \
	X(tc_deletearray_nothrow, FREE)                        \
	X(tc_delete_aligned_nothrow, FREE)                     \
	X(tc_deletearray_aligned_nothrow, FREE)                \
	X(tc_delete_sized_aligned, FREE)                       \
	X(tc_deletearray_sized_aligned, FREE)                  \
	/* oneTBB: aligned forms take the size first */        \
	X(scalable_aligned_malloc, MALLOC)                     \
	X(scalable_aligned_realloc, REALLOC)                   \
	X(scalable_aligned_free, FREE)                         \
	/* rpmalloc runs its prefix into the name */           \
	X(rpmalloc, MALLOC)                                    \
	X(rpcalloc, CALLOC)                                    \
	X(rprealloc, REALLOC)                                  \
	X(rpaligned_alloc, MEMALIGN)                           \
	X(rpmemalign, MEMALIGN)                                \
	X(rpposix_memalign, POSIX_MEMALIGN)                    \
	X(rpfree, FREE)

/* Names that prove a file to be such an allocator itself, and no layer over another one. */
#define MW_ALLOC_MARKERS(X)         \
	X(mallctl)                  \
	X(je_mallctl)               \
	X(_rjem_mallctl)            \
	X(jemalloc_mallctl)         \
	X(tc_version)               \
	X(mi_version)               \
	X(scalable_allocation_mode) \
	X(rpmalloc_initialize)

/* C++: how the mangled names begin. A form of new with nothrow_t returns NULL instead. */
#define MW_ALLOC_MANGLED(X) \
	X("_Znwm", NEW)     \
	X("_Znam", NEW)     \
	X("_ZdlPv", FREE)   \
	X("_ZdaPv", FREE)

/* Frames inside allocators that a stack may show below their callers, as regular expressions. */
#define MW_ALLOC_INSIDES(X)                     \
	X("do_(memalign|posix_memalign)")       \
	X("tcmalloc::.*")                       \
	X("(je_|_rjem_|jemalloc_)?smallocx_.*") \
	X("operator (new|delete)(\\[\\])?")

/* All of the above as one expression that matches a whole function name. */
#define MW_ALLOC_ALT_(text) text "|"
#define MW_ALLOC_ALT_NAME_(name, fn) #name "|"
#define MW_ALLOC_ALT_INSIDE_(text) "|" text
#define MW_ALLOC_FRAMES                                                                                   \
	"(" MW_ALLOC_PREFIXES(MW_ALLOC_ALT_) ")(" MW_ALLOC_NAMES(                                         \
		MW_ALLOC_ALT_NAME_) "malloc)|" MW_ALLOC_SPECIAL(MW_ALLOC_ALT_NAME_) "mallo"               \
										    "c" MW_ALLOC_INSIDES( \
											    MW_ALLOC_ALT_INSIDE_)

#endif
