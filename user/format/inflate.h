/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inflate.h - gzip in memory, with a limit. */
#ifndef FORMAT_INFLATE_H
#define FORMAT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool inflate__is_gzip(const void *buf, size_t len)
{
	const uint8_t *b = buf;

	return len > 2 && b[0] == 0x1f && b[1] == 0x8b;
}

/* Inflates all gzip members of buf. 0; -EBADMSG: damaged or cut; -E2BIG: beyond max; -ENOMEM.
 * The caller frees *ret. */
int inflate__gzip(const void *buf, size_t len, size_t max, uint8_t **ret, size_t *ret_len);

#endif
