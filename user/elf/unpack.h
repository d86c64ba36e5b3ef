/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unpack.h - compressed sections: zlib and zstd as the ELF gABI has them, and the older way of the
 * GNU tools (.zdebug_*). Pure. What is claimed of sizes is not believed.
 */
#ifndef ELF_UNPACK_H
#define ELF_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNPACK_HEADER 24 /* at least so many of a section's first bytes are looked at, if there */

enum unpack_how { UNPACK_ZLIB, UNPACK_ZSTD };

struct unpack {
	enum unpack_how how;
	size_t skip;   /* bytes of header */
	uint64_t size; /* of what comes out */
};

/* What a section begins with; gnu: it is a .zdebug_*, else SHF_COMPRESSED is set. 0; -EBADMSG;
 * -EOPNOTSUPP: compressed in another way. */
int unpack__header(const uint8_t *raw, size_t len, bool gnu, struct unpack *ret);

/* Unpacks a whole section of len bytes into out, which has u->size. 0, -EBADMSG or -ENOMEM. */
int unpack__all(const struct unpack *u, const uint8_t *raw, size_t len, uint8_t *out);

#endif
