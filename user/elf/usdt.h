/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usdt.h - the contract of heap samplers: USDT probes otel_memory:alloc(pointer, size, weight) and
 * otel_memory:free(pointer), by which a program that samples its own allocations tells of them.
 *
 * The notes are untrusted: what they point to must be a one-byte nop in the file's code, their
 * number is bounded, and a file whose probes cannot all be used has none, with the reason.
 */
#ifndef ELF_USDT_H
#define ELF_USDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/elfobj.h"
#include "memwatch/usdt_args.h"

#define USDT_MAX_SITES 256 /* of both kinds in one file: the sampler may be inlined */
#define USDT_WHY 120

struct usdt_site {
	uint64_t off;	    /* file offset of the nop */
	uint64_t semaphore; /* file offset; 0: none */
	uint32_t is_free, pad;
	struct mw_usdt row; /* alloc: pointer, size, weight; free: pointer */
};

/*
 * Finds the probes. *ret is malloc'ed, NULL if there are none, or not all can be used: then `why`
 * says so, else it is "". 0, -ENOMEM.
 */
int usdt__find(struct elfobj *e, struct usdt_site **ret, size_t *ret_n, char why[USDT_WHY]);

/*
 * Reads the operands of a note ("8@%rdi -4@%eax 8@-16(%rbp) 8@$5"), as gcc and clang write them for
 * that machine (EM_*). `e` (may be NULL) knows the symbols in them and `site` is the probe's vaddr.
 * How many there are; those from MW_USDT_ARGS on are counted only. -EOPNOTSUPP: one of another
 * form.
 */
int usdt__parse(const struct elfobj *e, uint16_t machine, uint64_t site, const char *spec,
		struct mw_usdt *ret);

/* Is this a row that the BPF programs can work with? */
bool usdt__sound(const struct usdt_site *s);

#endif
