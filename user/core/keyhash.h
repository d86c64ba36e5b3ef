/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keyhash.h - hashes for tables, with a key that this run drew at random: whoever chooses what is
 * put in (names of symbols, ids of a file, addresses of blocks) cannot choose what meets, and so
 * cannot make a table's every look-up a walk through all of it. Not to be stored or shown: the next
 * run has other ones.
 */
#ifndef CORE_KEYHASH_H
#define CORE_KEYHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 (Aumasson, Bernstein), as tables of other languages use it. */
uint64_t keyhash__bytes(const void *data, size_t len);

/* Of one word: different words have different hashes. */
uint64_t keyhash__word(uint64_t x);

/* Of several: keyhash__words(a, b, c). */
#define keyhash__words(...) \
	keyhash__bytes((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}))

#endif
