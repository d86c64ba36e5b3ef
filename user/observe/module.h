/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * module.h - the ELF files mapped by the observed processes, each opened and looked through once,
 * however many processes map it. The descriptor stays open, so that symbols can still be read
 * when the process or the file is gone.
 */
#ifndef OBSERVE_MODULE_H
#define OBSERVE_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "elf/site.h"
#include "sys/procmap.h"

struct module {
	uint64_t dev, ino;
	uint32_t index; /* in the table */
	int fd;		/* -1: could not be opened */
	int err;	/* why not, or why it is no usable ELF */
	char *path;	/* as the first process that maps it sees it */
	char *root;	/* "/proc/PID/root" of that process */
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	struct site *sites; /* allocator functions, NULL if there are none */
	size_t nsites;
	uint64_t *exits; /* file offsets of the ret instructions of functions that throw */
	size_t nexits;
	bool is_allocator; /* a library that is an allocator and nothing else (not libc, no program)
			    */
	bool has_symbols;  /* something to look for allocators in */
};

struct module_table {
	struct module **modules;
	size_t n, cap;
};

/*
 * The module behind a mapping; opened at the first call. Never fails for what the file is: an
 * unusable file gives a module with err set. -ENOMEM only.
 */
int module_table__get(struct module_table *t, const struct procmap *maps,
		      const struct procmap_entry *e, struct module **ret);
/* Closes those that are not used (by index); the others have a new index. */
void module_table__keep(struct module_table *t, const bool *used);
void module_table__fini(struct module_table *t);

/* Is this file offset inside one of the module's allocator functions (anywhere in a library that
 * is an allocator: its functions leave by jumps, and no frame of theirs remains)? */
bool module__in_allocator(const struct module *m, uint64_t off);

#endif
