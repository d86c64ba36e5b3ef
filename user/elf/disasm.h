/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disasm.h - the instructions of the functions at given places of a file, read in a helper
 * without privileges (sys/box.h): the file may be anyone's.
 */
#ifndef ELF_DISASM_H
#define ELF_DISASM_H

#include "sys/box.h"

#define DISASM_MAX_PLACES 4096

struct disasm_insn {
	uint64_t vaddr;
	const char *text; /* "call   0x4011a0", harmless */
};

struct disasm_function {
	uint64_t start, end; /* vaddr */
	const char *name;    /* as people wrote it, harmless */
	size_t insn0, ninsns;
};

struct disasm {
	char *text; /* owns names and instructions */
	char build_id[65];
	uint64_t *place; /* vaddr of each place asked for; UINT64_MAX: in no segment */
	struct disasm_function *functions; /* by start */
	size_t nfunctions, functions_cap;
	struct disasm_insn *insns;
	size_t ninsns, insns_cap;
};

struct disasm_wish {
	const uint64_t *offs; /* in the file */
	size_t n;	      /* at most DISASM_MAX_PLACES */
	uint64_t around;      /* functions this many bytes before and behind a place as well */
	bool intel;	      /* Intel's syntax, else AT&T's */
};

/* fd: an ELF file. 0; -ENOEXEC: no ELF of a processor that is known; -E2BIG; as box_helper__ask. */
int disasm__read(int fd, const struct disasm_wish *w, struct disasm *ret);
void disasm__free(struct disasm *d);

/* The helper's side. */
void disasm__serve(struct box_conn *c, struct box_request *r);

#endif
