/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/unpack.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define ZLIB_MAX_RATIO 1032 /* a claim beyond what deflate can do is a lie */
#define GNU_HEADER 12	    /* "ZLIB" and the size, big-endian */

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2 /* glibc 2.36 */
#endif

static int gnu_header(const uint8_t *raw, size_t len, struct unpack *ret)
{
	uint64_t size;

	if (len < GNU_HEADER || memcmp(raw, "ZLIB", 4))
		return -EBADMSG;
	memcpy(&size, raw + 4, sizeof(size));
	*ret = (struct unpack){.how = UNPACK_ZLIB, .skip = GNU_HEADER, .size = be64toh(size)};
	return 0;
}

int unpack__header(const uint8_t *raw, size_t len, bool gnu, struct unpack *ret)
{
	Elf64_Chdr ch;

	if (gnu)
		return gnu_header(raw, len, ret);
	if (len < sizeof(ch))
		return -EBADMSG;
	memcpy(&ch, raw, sizeof(ch));
	if (ch.ch_type != ELFCOMPRESS_ZLIB && ch.ch_type != ELFCOMPRESS_ZSTD)
		return -EOPNOTSUPP;
	*ret = (struct unpack){.how = ch.ch_type == ELFCOMPRESS_ZSTD ? UNPACK_ZSTD : UNPACK_ZLIB,
			       .skip = sizeof(ch),
			       .size = ch.ch_size};
	return 0;
}

static int unzlib(const struct unpack *u, const uint8_t *raw, size_t len, uint8_t *out)
{
	uLongf got = u->size;

	if (u->size / ZLIB_MAX_RATIO > len)
		return -EBADMSG;
	return uncompress(out, &got, raw, len) == Z_OK && got == u->size ? 0 : -EBADMSG;
}

static int unzstd(const struct unpack *u, const uint8_t *raw, size_t len, uint8_t *out)
{
	return ZSTD_decompress(out, u->size, raw, len) == u->size ? 0 : -EBADMSG;
}

int unpack__all(const struct unpack *u, const uint8_t *raw, size_t len, uint8_t *out)
{
	if (len < u->skip)
		return -EBADMSG;
	raw += u->skip;
	len -= u->skip;
	return u->how == UNPACK_ZSTD ? unzstd(u, raw, len, out) : unzlib(u, raw, len, out);
}
