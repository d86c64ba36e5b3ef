/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symserve.h - names of one file's code, in a helper process (sys/box.h): symbol tables,
 * MiniDebugInfo, DWARF, demangling. Here is what both sides say to each other.
 *
 * OPEN brings the file; the answer says what is to be looked for outside it. Each DEBUG brings a
 * candidate. READY reads the tables; its answer may name a supplementary file, which ALT brings.
 * Then LOOKUP, any number of times.
 */
#ifndef ELF_SYMSERVE_H
#define ELF_SYMSERVE_H

#include <stdint.h>

#include "elf/debugfile.h"
#include "elf/elfobj.h"
#include "sys/box.h"

enum { SYM_OPEN = 1, SYM_DEBUG, SYM_READY, SYM_ALT, SYM_LOOKUP };

#define SYM_BATCH 256
#define SYM_MAX_TEXT 4096 /* of one string; longer ones are cut */
#define SYM_MAX_FRAMES 32
#define SYM_CPU_SECONDS 1 /* for one address */

struct sym_open {
	uint32_t no_lines; /* leave DWARF alone */
};

struct sym_identity {
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	uint8_t own_symbols, own_dwarf;
	uint8_t has_link; /* link and crc are set */
	uint32_t crc;
	char link[256]; /* a file name without slashes */
};

struct sym_debug { /* result of the answer: 0 taken, or enum sym_refusal */
	uint32_t has_crc, crc;
	char name[DEBUGFILE_NAME]; /* as it was opened: what its own links are relative to */
};

enum { SYM_TABLE_SYMTAB, SYM_TABLE_PLT, SYM_TABLE_DEBUG, SYM_TABLE_MINI, SYM_TABLES };

struct sym_loaded {
	int32_t err[SYM_TABLES]; /* why a table is not (fully) used: 0 or a negative errno */
	uint8_t has_dwarf, has_alt;
	char alt_build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	char alt[DEBUGFILE_NAME]; /* resolved against the file that names it */
};

/* LOOKUP: uint64_t file offsets, at most SYM_BATCH. The answers hold, in their order, for each: */
struct sym_found {
	int32_t n;   /* frames that follow; 0: nothing known */
	int32_t err; /* of the debug information: -ENODATA, -EBADMSG, -ENOMEM; 0 */
};

enum { SYM_INLINED = 1 };
enum { SYM_SYSTEM, SYM_NAME, SYM_FILE, SYM_DIR, SYM_TEXTS };

struct sym_frame { /* and its strings behind it */
	uint32_t line, start_line, flags;
	uint32_t len[SYM_TEXTS]; /* with the NUL; 0: none (SYM_NAME: the same as SYM_SYSTEM) */
};

void symserve__serve(struct box_conn *c, struct box_request *r);

#endif
