/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unwind_row.h - the unwind table of one ELF file, as the BPF unwinder reads it, as the disk cache
 * stores it and as userspace builds it: an array of 64-bit words.
 *
 * - [0, MW_UNWIND_HDR): struct mw_unwind_hdr;
 * - [pages, +n_pages): page index, one word per MW_UNWIND_PAGE bytes of file, the number of the
 *   page's first row in the low half, that of the next page's in the high;
 * - [rows, +n_rows): struct mw_unwind_row, ascending by file offset;
 * - [sides, +2*n_sides): struct mw_unwind_side, for what does not fit a row.
 *
 * Rows are keyed by file offset, so that one table serves every process that maps the file,
 * wherever it maps it. A row holds from its offset to the next row's. Offsets below are in bytes.
 */
#ifndef MEMWATCH_UNWIND_ROW_H
#define MEMWATCH_UNWIND_ROW_H

#ifndef __bpf__
#include <linux/types.h>
#include <assert.h>
#endif

#define MW_UNWIND_VERSION 7

/* Small pages keep the binary search short and inside a few cache lines: 17 rows a KiB are
 * typical, so 7 steps; the index costs 1.5 % of the rows. */
#define MW_UNWIND_PAGE_SHIFT 12
#define MW_UNWIND_PAGE (1 << MW_UNWIND_PAGE_SHIFT)

/* The kernel side keeps the words in elements of 64: a look-up in a map within a map is a function
 * call, which costs more than several steps of a search inside an element. */
#define MW_UNWIND_ELEM_SHIFT 6
#define MW_UNWIND_ELEM (1 << MW_UNWIND_ELEM_SHIFT)

struct mw_unwind_hdr {
	__u32 n_pages, first_page; /* pages of the file [first_page, first_page+n_pages) */
	__u32 n_rows, n_sides;
	__u32 pages, rows, sides; /* word index of each part */
	__u32 version;
};
#define MW_UNWIND_HDR (sizeof(struct mw_unwind_hdr) / 8)

struct mw_unwind_row {
	__u32 off; /* file offset */
	__u16 cfa; /* enum mw_unwind_type in the low 3 bits, argument in the high 13 */
	__s16 fp;  /* frame pointer saved at CFA + 8*fp; or one of MW_UNWIND_FP_* */
};

#define MW_UNWIND_FP_SAME 0	  /* not saved: the caller's is in the register */
#define MW_UNWIND_FP_DEREF 0x7fff /* saved at *(frame pointer) */

enum mw_unwind_type {
	MW_UNWIND_END = 0,  /* no unwind information from here on */
	MW_UNWIND_SP,	    /* CFA = sp + 8*arg */
	MW_UNWIND_FP,	    /* CFA = fp + 8*arg */
	MW_UNWIND_DEREF_FP, /* CFA = *(fp + 8*arg), arg signed */
	MW_UNWIND_PLT,	    /* CFA = sp + 8 + ((pc & 15) >= arg ? 8 : 0) */
	MW_UNWIND_SPECIAL,  /* arg: enum mw_unwind_special */
	MW_UNWIND_SIDE,	    /* side table; index: arg << 16 | (u16)fp */
};

enum mw_unwind_special {
	MW_UNWIND_STOP = 1,    /* the root: nothing called this */
	MW_UNWIND_SIGNAL,      /* the kernel's signal frame: registers are in the ucontext */
	MW_UNWIND_UNSUPPORTED, /* a rule that cannot be expressed here */
	MW_UNWIND_FIBRE,       /* the root of a fibre: what it was started by is on another stack */
	MW_UNWIND_GO_CALL,     /* Go has called C; the caller is on the goroutine's stack. fp: where
				* that is noted, words above sp: goroutine | depth << 8 */
	MW_UNWIND_FP_FAR,      /* the frame pointer is right, and of another stack */
};

#define MW_UNWIND_CFA(type, arg) ((__u16)((type) | (__u16)(arg) << 3))
#define MW_UNWIND_TYPE(cfa) ((cfa)&7)
#define MW_UNWIND_ARG(cfa) ((cfa) >> 3)
#define MW_UNWIND_MAX_ARG 8191

/* Where a value comes from in a side entry. `reg` is a DWARF register number; any but the stack
 * and the frame pointer is known in the leaf only. */
enum mw_unwind_from {
	MW_FROM_SAME = 0,
	MW_FROM_CFA,	   /* *(CFA + off) */
	MW_FROM_REG,	   /* reg + off */
	MW_FROM_DEREF_REG, /* *(reg + off); for the CFA: + cfa_add */
};

struct mw_unwind_side {
	__s32 cfa_off;
	__s32 fp_off;
	__s16 ra_off; /* in units of 8 when not MW_FROM_REG */
	__s16 cfa_add;
	__u8 cfa_from : 2, fp_from : 2, ra_from : 2, : 2;
	__u8 cfa_reg;
	__u8 fp_reg;
	__u8 ra_reg;
};

/* Key of a file: what the kernel's inode says, never what stat() says (they differ on overlayfs
 * and btrfs). The vDSO, which has no inode, is { 0, 0, 0 }. */
struct mw_unwind_key {
	__u64 dev, ino, gen;
};

enum mw_unwind_file_state {
	MW_UNWIND_FILE_TABLE = 1, /* slot is valid */
	MW_UNWIND_FILE_NONE,	  /* the file has no unwind information: frame pointers only */
};

/* What the unwinder knows of a file. */
struct mw_unwind_file {
	__u32 slot; /* of the array of tables */
	__u32 state;
	__u32 n_pages, first_page, pages, rows, sides;
	__u32 used; /* tick of the last use, for eviction */
	__u32 id;   /* never given twice */
	__u32 pad;
};

/* One executable mapping, as the mapping iterator reports it. */
enum mw_unwind_vma_kind { MW_UNWIND_VMA_FILE, MW_UNWIND_VMA_VDSO, MW_UNWIND_VMA_ANON };

struct mw_unwind_vma {
	__u64 start, end, off; /* file offset of start */
	struct mw_unwind_key key;
	__u32 kind; /* enum mw_unwind_vma_kind */
	__u32 pid;
};

/*
 * A process's executable mappings of files as userspace saw them last, for moments when the kernel
 * allows no look-up and the page was not met before.
 */
#define MW_UNWIND_PROC_VMAS 64 /* power of two; the lowest addresses of more */
struct mw_unwind_proc {
	__u32 n, pad;
	struct mw_unwind_vma vma[MW_UNWIND_PROC_VMAS];
};

/* Text of a file in anonymous memory, at the addresses that the file was mapped at. */
struct mw_unwind_moved_key {
	__u64 start;
	__u32 pid, pad;
};
struct mw_unwind_moved {
	__u64 end, off; /* file offset of start */
	struct mw_unwind_key key;
};

#ifndef __bpf__
static_assert(sizeof(struct mw_unwind_row) == 8, "table format");
static_assert(sizeof(struct mw_unwind_side) == 16, "table format");
static_assert(sizeof(struct mw_unwind_hdr) == 32, "table format");
#endif

#endif
