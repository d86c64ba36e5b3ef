/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_table.h - the unwind table of one ELF file (format: memwatch/unwind_row.h), built from its
 * call frame information.
 *
 * Pure but for unwind_table__from_elf, which reads through elfobj. Hostile input costs rows, never
 * memory out of proportion: at most 8 bytes a row, 16 a side entry and 8 per 4 KiB of text, capped
 * by UNWIND_TABLE_MAX_ROWS.
 */
#ifndef ELF_UNWIND_TABLE_H
#define ELF_UNWIND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/ehframe.h"
#include "elf/elfobj.h"
#include "elf/unwind_special.h"
#include "memwatch/unwind_row.h"

#define UNWIND_TABLE_MAX_ROWS (16u << 20)
#define UNWIND_TABLE_MAX_PAGES (1u << 20) /* the whole of 32-bit file offsets */

struct unwind_table_stats {
	uint32_t functions;   /* FDEs used */
	uint32_t rows, sides; /* in the table */
	uint32_t gaps;	      /* markers where no information exists */
	uint32_t stops, signals, unsupported;
	uint32_t bad_records; /* CIEs and FDEs that could not be read */
	bool truncated;	      /* the section ended early or a cap was hit */
};

struct unwind_table {
	uint64_t *words; /* struct mw_unwind_hdr first; owned */
	size_t n_words;
	struct unwind_table_stats stats;
};

/* Executable part of a file. */
struct unwind_segment {
	uint64_t vaddr, off, size;
};

struct unwind_input {
	struct ehframe_section eh;    /* .eh_frame; data NULL if absent */
	struct ehframe_section debug; /* .debug_frame; fills what .eh_frame leaves out */
	const struct unwind_segment *segs;
	size_t n_segs;
	uint64_t entry; /* e_entry, 0 if none */
	bool go; /* .debug_frame is Go's, which does not tell where the frame pointer is saved; of code
		  * without any only the functions that `symbols` gives are looked at */
	const struct unwind_special *specials;
	size_t n_specials;
	/* Bytes of the file at a vaddr, to find code that is known by its bytes; may be NULL. */
	size_t (*read)(void *arg, uint64_t vaddr, void *buf, size_t len);
	void *read_arg;
	/* Where functions without unwind information begin, to follow their instructions; may be
	 * NULL. Called with read_arg. */
	int (*symbols)(void *read_arg, elfobj_symbol_fn fn, void *arg);
};

/*
 * Builds the table. 0; -ENODATA: no unwind information at all; -EFBIG: more than
 * UNWIND_TABLE_MAX_ROWS; -ENOMEM.
 */
int unwind_table__build(const struct unwind_input *in, struct unwind_table **ret);
int unwind_table__from_elf(struct elfobj *e, struct unwind_table **ret);
/* The table of code that is described by its rows alone, ascending. 0, -ENODATA or -ENOMEM. */
int unwind_table__from_rows(struct mw_unwind_row *rows, size_t n, struct unwind_table **ret);
void unwind_table__free(struct unwind_table *t);

/*
 * Checks words from an untrusted place: the parts lie inside, the index is in order, side entries
 * exist. 0 or -EBADMSG.
 */
int unwind_table__check(const uint64_t *words, size_t n_words);

/* Takes over checked words (owned by the table from then on). 0, -EBADMSG or -ENOMEM. */
int unwind_table__adopt(uint64_t *words, size_t n_words, struct unwind_table **ret);

/* The row that holds at file offset `off`, NULL if none; for tests and messages. */
const struct mw_unwind_row *unwind_table__find(const struct unwind_table *t, uint64_t off);
const struct mw_unwind_side *unwind_table__side(const struct unwind_table *t,
						const struct mw_unwind_row *row);

static inline const struct mw_unwind_hdr *unwind_table__hdr(const struct unwind_table *t)
{
	return (const struct mw_unwind_hdr *)t->words;
}

#endif
