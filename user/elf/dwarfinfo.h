/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarfinfo.h - functions, inlined calls and source lines of one file's DWARF, by libdw.
 *
 * libdw's own dwarf_getscopes walks a whole compilation unit for each address. Here a unit's
 * functions are listed once, sorted by address, and only the functions that hold a looked-up
 * address are walked. Every walk has a step limit, and siblings must move forward, so that DWARF
 * with loops ends. Still, libdw on hostile input can crash or exhaust memory: symserve.h runs this
 * in a process of its own.
 */
#ifndef ELF_DWARFINFO_H
#define ELF_DWARFINFO_H

#include <stdbool.h>
#include <stdint.h>

struct dwarfinfo;

struct dwarfinfo_frame {  /* strings are borrowed until the dwarfinfo is closed */
	const char *name; /* linkage name if there is one, else the plain name; NULL: unknown */
	const char *file; /* NULL: unknown */
	const char *dir;  /* what a relative `file` is relative to; else NULL */
	uint32_t line, start_line;
	bool inlined; /* into the next frame */
	bool plain;   /* `name` is what the source says, without namespace and arguments */
};

/*
 * Opens the DWARF of the ELF file behind fd; alt_fd: its dwz supplementary file, or -1. Both are
 * borrowed until dwarfinfo__close. 0; -ENODATA: no DWARF; -EBADMSG; -ENOMEM.
 */
int dwarfinfo__open(int fd, int alt_fd, struct dwarfinfo **ret);
void dwarfinfo__close(struct dwarfinfo *d);

/*
 * Frames at vaddr, innermost inlined function first, at most max. 0: nothing known; negative:
 * -EBADMSG, -ENOMEM. The last frame may have a line but no name (assembly).
 */
int dwarfinfo__lookup(struct dwarfinfo *d, uint64_t vaddr, struct dwarfinfo_frame *frames, int max);

/* Was an address met whose functions are described in another file (.dwo, .dwp)? There are lines
 * for it, but no inlined calls. */
bool dwarfinfo__split(const struct dwarfinfo *d);

#endif
