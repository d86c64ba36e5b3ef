/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ehframe.h - reader of call frame information: raw .eh_frame or .debug_frame bytes in, the rules
 * for the CFA, the frame pointer and the return address at every code address out.
 *
 * Pure and safe for hostile input: every read is bounds-checked, nothing recurses, each byte is
 * interpreted a bounded number of times, tables have caps. What is malformed or not understood
 * costs the function concerned (it gets an "unsupported" rule) or the rest of the section, and is
 * counted in struct ehframe.
 *
 * Sources: DWARF 5 §6.4, the LSB's description of .eh_frame, the x86-64 and AArch64 psABIs.
 */
#ifndef ELF_EHFRAME_H
#define ELF_EHFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EHFRAME_MAX_CIES (1u << 18)
#define EHFRAME_MAX_FDES (1u << 22)

enum ehframe_kind {
	EHFRAME_SAME = 0,    /* keeps its value */
	EHFRAME_UNDEFINED,   /* not recoverable; for the return address: the root */
	EHFRAME_OFFSET,	     /* saved at *(CFA + off) */
	EHFRAME_REG,	     /* equals reg + off (CFA, or a value held in another register) */
	EHFRAME_DEREF,	     /* CFA: *(reg + off) + add; others: saved at *(reg + off) */
	EHFRAME_PLT,	     /* CFA only: the linker's PLT expression; off: threshold (10 or 11) */
	EHFRAME_UNSUPPORTED, /* something else */
};

struct ehframe_rule {
	uint8_t kind; /* enum ehframe_kind */
	uint8_t reg;  /* DWARF number */
	int32_t off;
	int32_t add;
};

struct ehframe_state {
	struct ehframe_rule cfa, fp, ra;
};

struct ehframe_fde {
	uint64_t start, len; /* vaddr of the function */
	uint32_t cie;	     /* index */
	uint32_t code_len;
	const uint8_t *code; /* its instructions; borrowed from the section */
};

struct ehframe_cie {
	uint64_t pos; /* of the record in the section */
	uint64_t code_align;
	int64_t data_align;
	uint8_t ra_reg, enc; /* DW_EH_PE_* of FDE pointers */
	bool signal, augmented, bad;
	uint8_t addr_size;
	struct ehframe_state init;
};

struct ehframe_section {
	const uint8_t *data;
	size_t len;
	uint64_t vaddr;	    /* of data[0] (pc-relative pointers); .debug_frame: ignored */
	uint64_t text, got; /* bases of text- and data-relative pointers, 0 if unknown */
	bool debug_frame;
	bool arm64; /* else x86-64 */
};

struct ehframe {
	struct ehframe_section sec;
	struct ehframe_cie *cies;
	size_t n_cies, cap_cies;
	struct ehframe_fde *fdes; /* in the section's order */
	size_t n_fdes, cap_fdes;
	uint32_t bad_records; /* CIEs or FDEs not understood, skipped */
	bool truncated;	      /* the section ends inside a record, or a cap was hit */
};

/*
 * Reads all records. Takes time linear in sec->len. The bytes stay borrowed until ehframe__free.
 * 0 or -ENOMEM; damage is not an error but noted in the result.
 */
int ehframe__read(const struct ehframe_section *sec, struct ehframe *ret);
void ehframe__free(struct ehframe *eh);

/*
 * Interprets one FDE: calls fn for each range start at which the rules change, ascending, the
 * first at fde->start. After an instruction that is not understood the rest of the function gets
 * the EHFRAME_UNSUPPORTED CFA. fn returns 0 to go on or a negative errno (not -EBADMSG), which ends
 * the walk and is returned.
 */
typedef int (*ehframe_row_fn)(void *arg, uint64_t vaddr, const struct ehframe_state *st);
int ehframe__run(const struct ehframe *eh, const struct ehframe_fde *fde, ehframe_row_fn fn,
		 void *arg);

#endif
