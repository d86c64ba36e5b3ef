/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inflate.c - see inflate.h. */
#include "format/inflate.h"

#include "core/util.h"

#include <zlib.h>

/* One member; z->next_in/avail_in move on, the text grows. */
static int inflate_member(z_stream *z, size_t max, uint8_t **out, size_t *len, size_t *cap)
{
	int rc;

	do {
		size_t room;
		int err = array_reserve(*out, *cap, *len + 65536);

		if (err)
			return err;
		room = min_of(*cap - *len, (size_t)1 << 30);
		z->next_out = *out + *len;
		z->avail_out = room;
		rc = inflate(z, Z_NO_FLUSH);
		*len += room - z->avail_out;
		if (*len > max)
			return -E2BIG;
		if (rc == Z_MEM_ERROR)
			return -ENOMEM;
		if (rc != Z_OK && rc != Z_STREAM_END)
			return -EBADMSG; /* Z_BUF_ERROR as well: the input ends too early */
	} while (rc != Z_STREAM_END);
	return 0;
}

int inflate__gzip(const void *buf, size_t len, size_t max, uint8_t **ret, size_t *ret_len)
{
	cleanup_free uint8_t *out = NULL;
	size_t out_len = 0, cap = 0;
	z_stream z = {.next_in = (uint8_t *)buf};
	int err;

	if (len >= UINT32_MAX)
		return -E2BIG;
	/* Most files inflate to about four times their size: one allocation then. */
	err = array_reserve(out, cap, min_of(len * 4 + 65536, max));
	if (err)
		return err;
	z.avail_in = len;
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	do {
		err = inflate_member(&z, max, &out, &out_len, &cap);
		if (!err && z.avail_in && inflateReset(&z) != Z_OK)
			err = -ENOMEM;
	} while (!err && inflate__is_gzip(z.next_in, z.avail_in));
	inflateEnd(&z);
	if (err)
		return err;
	*ret = take_ptr(out);
	*ret_len = out_len;
	return 0;
}
