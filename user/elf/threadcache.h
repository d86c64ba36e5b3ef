/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * threadcache.h - where glibc empties the cache of a thread that ends.
 *
 * It passes each block of the cache, all of them free already, to its own free, and then the cache
 * itself, which no call of malloc has handed out. In exact mode these would be frees of blocks
 * that nobody has seen.
 */
#ifndef ELF_THREADCACHE_H
#define ELF_THREADCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/elfobj.h"

/* The code whose calls of free (at that address) are of this kind: [*lo, *hi). False if there is
 * none. x86-64. */
bool threadcache__find(const struct elfobj *e, uint64_t free_vaddr, uint64_t *lo, uint64_t *hi);

#endif
