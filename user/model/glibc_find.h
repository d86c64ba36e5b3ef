/* SPDX-License-Identifier: GPL-2.0-or-later */
/* glibc_find.h - where glibc keeps its heap: arenas, their heaps, malloc's parameters. */
#ifndef MODEL_GLIBC_FIND_H
#define MODEL_GLIBC_FIND_H

#include "model/glibc_heap_priv.h"

struct glibc_params { /* of mp_ */
	bool known;
	uint64_t sbrk_base, mmapped_bytes;
	uint32_t n_mmaps;
	unsigned version; /* at least this, 0: nothing learnt */
};

/* True of the names that glibc's libc goes by. */
bool glibc_find__is_libc(const char *path);
/* Fills w->arena (the main one first) and w->data. 0; -ENOENT: none is here; -ENOMEM. */
int glibc_find__arenas(struct glibc_walker *w);
/* malloc's parameters, told by where [heap] begins. heap may be NULL. */
void glibc_find__params(struct glibc_walker *w, const struct ledger_map *heap,
			struct glibc_params *ret);
/* A new table for the keys of thread caches, with room for n (there is a limit: w->keys_full says
 * when it was reached). 0 or -ENOMEM. */
int glibc_find__make_keys(struct glibc_walker *w, size_t n);
/* Puts in what may be the key: values in libc's data. 0 or -ENOMEM. */
int glibc_find__keys(struct glibc_walker *w);
void glibc_find__add_key(struct glibc_walker *w, uint64_t value);
/* Fills w->seg, ascending. *ret_main: 0, or why the main arena's heap is not among them (-EXDEV: it
 * is not, or not only, in [heap]). 0 or -ENOMEM. */
int glibc_find__segments(struct glibc_walker *w, const struct ledger_map *heap,
			 const struct glibc_params *params, int *ret_main);

#endif
