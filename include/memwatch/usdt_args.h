/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * usdt_args.h - where the arguments of a USDT probe are, told to the BPF programs by userspace.
 */
#ifndef MEMWATCH_USDT_ARGS_H
#define MEMWATCH_USDT_ARGS_H

#include "memwatch/wire.h"

#define MW_USDT_ROWS 1024
#define MW_USDT_ARGS 3
#define MW_USDT_NO_REG 0xffff

enum mw_usdt_kind { MW_USDT_NONE = 0, MW_USDT_CONST, MW_USDT_REG, MW_USDT_MEM, MW_USDT_KINDS };

struct mw_usdt_arg {
	__u8 kind;	/* enum mw_usdt_kind */
	__u8 bytes;	/* 1, 2, 4 or 8 of them count */
	__u8 is_signed; /* they are widened so */
	__u8 shift;	/* REG: bits below them; MEM: of the index register */
	__u16 reg; /* byte offset of the register in pt_regs; MEM: of the base, or MW_USDT_NO_REG */
	__u16 index; /* MEM: the same of the index */
	__s64 value; /* CONST: itself; MEM: displacement */
};

struct mw_usdt {
	struct mw_usdt_arg arg[MW_USDT_ARGS];
};

#endif
