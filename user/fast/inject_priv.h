/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inject_priv.h - what the parts of inject.h share: inject.c maps, patch.c writes, clean.c tidies.
 */
#ifndef FAST_INJECT_PRIV_H
#define FAST_INJECT_PRIV_H

#include "fast/inject.h"
#include "sys/procmap.h"

#define FAST_NAME "/memfd:memwatch-fast"

/*
 * Does it in the thread that can, again and again as long as no thread of the process is where it
 * must be. Each time that thread comes to whatever else it has to do.
 */
int fast__try_often(const struct remote_host *host, int (*fn)(void *arg), void *arg);
/* Makes the functions of a header lead to its stubs (in), or no longer. */
int fast__write(const struct fast *f, const struct stub_header *h, bool in, char why[FAST_WHY]);
/* How many of its functions lead to stubs now. */
size_t fast__count(struct procmem *mem, const struct stub_header *h);
/* Mappings that are code of stubs by their name. Whoever makes more than runs leave has those that
 * follow not looked at: begin with {maps}. NULL: no more. */
struct fast_regions {
	const struct procmap *maps;
	size_t at, n;
};
const struct procmap_entry *fast_regions__next(struct fast_regions *r);
/* Has that code its tables behind it? */
bool fast__has_data(const struct procmap *maps, const struct procmap_entry *e);
/* A jump that does not lead into the stubs is none of ours, whatever the header says. */
bool fast__is_sound(const struct stub_header *h, const struct procmap_entry *e);
/* The mapping of a file that code at addr is from, and where in the file; NULL: none. */
const struct procmap_entry *fast__text_at(const struct procmap *maps, uint64_t addr,
					  uint64_t *ret_offset);

#endif
