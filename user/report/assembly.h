/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * assembly.h - the instructions of the functions that a profile's stacks lead through, of the
 * binaries on this machine: those with the profile's build-id, where it tells one.
 */
#ifndef REPORT_ASSEMBLY_H
#define REPORT_ASSEMBLY_H

#include "elf/disasm.h"
#include "report/report.h"

/* A place of the graph in a file. */
struct assembly_place {
	uint32_t node;
	uint64_t vaddr;
};

/* What one mapping's file says. */
struct assembly_file {
	struct disasm code;
	struct assembly_place *places; /* by vaddr */
	size_t nplaces;
};

struct assembly {
	struct assembly_file *files;
	size_t nfiles, files_cap;
	bool unreadable; /* a file that is needed could not be had; it has been told */
};

/*
 * Functions with nodes of g (addresses, no inlines) that match r->o.symbol, or that hold the
 * address which it is. 0, -ENOMEM.
 */
int assembly__read(const struct report *r, struct graph *g, struct assembly *ret);
/*
 * The instructions at and `around` offsets in a mapping's file, *ret_fd. 1, or 0: it cannot be had,
 * which has been told; -ENOMEM.
 */
int assembly__around(const struct report *r, const struct profile_mapping *m, const uint64_t *off,
		     size_t n, uint64_t around, int *ret_fd, struct disasm *ret);
/* "0x401a20" in place of an expression. */
bool assembly__is_address(const struct report *r, uint64_t *ret);
void assembly__free(struct assembly *a);
/* Whether a function of a file is asked for. */
bool assembly__wants(const struct report *r, const struct graph *g,
		     const struct assembly_file *file, const struct disasm_function *f);
/* The places in a function: the first, and how many. */
size_t assembly__places(const struct assembly_file *file, const struct disasm_function *f,
			size_t *ret_n);

#endif
