/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * python_arenas.h - the arenas of CPython's small-object allocator (pymalloc), from outside.
 *
 * Python keeps a table of its arenas in malloc's memory and a pointer to it in its own data. Of all
 * pointers there the one is taken behind which every entry is an arena that fits: aligned, inside
 * anonymous memory, with as many pools as an arena has. No symbols are needed. Arenas are 256 KiB,
 * from 3.10 on 1 MiB. Pure; what is read is not trusted.
 */
#ifndef MODEL_PYTHON_ARENAS_H
#define MODEL_PYTHON_ARENAS_H

#include "model/heap_memory.h"
#include "model/ledger_share.h"

/* The minor version of Python 3 that a file of this name is (its executable or its library); 0: it
 * is neither. */
unsigned python_arenas__version(const char *path);

/*
 * Finds them and sums up, per mapping of in->maps, what of it is arenas: *ret_cover has
 * in->maps->n elements, malloc'ed. *ret_n: how many there are; 0 with *ret_cover NULL: this is no
 * Python, or its table was not found. in: block and version are not used. 0 or -ENOMEM.
 */
int python_arenas__find(const struct heap_memory *in, struct ledger_bytes **ret_cover,
			size_t *ret_n);
/* As a contributor (contributors.h). */
int python_arenas__share(const struct heap_memory *m, struct ledger_share *ret);

#endif
