/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history/packed.h"

#include "core/util.h"

#include <string.h>
#include <zlib.h>

#define WORTH_DEFLATING 200
#define MAX_BYTES (256u << 20)
#define HEAD 5

int packed__write(const void *data, size_t len, uint8_t **ret, size_t *ret_len)
{
	uLongf n = len >= WORTH_DEFLATING ? compressBound(len) : 0;
	uint8_t *out = malloc(HEAD + max_of(n, len));
	uint32_t raw = len;

	if (!out)
		return -ENOMEM;
	if (n && len <= MAX_BYTES && compress2(out + HEAD, &n, data, len, 1) == Z_OK &&
	    n + HEAD < len + 1) {
		out[0] = 1;
		memcpy(out + 1, &raw, sizeof(raw));
		*ret_len = n + HEAD;
	} else {
		out[0] = 0;
		if (len)
			memcpy(out + 1, data, len);
		*ret_len = len + 1;
	}
	*ret = out;
	return 0;
}

int packed__read(const void *data, size_t len, uint8_t **ret, size_t *ret_len)
{
	const uint8_t *in = data;
	uint32_t raw = len - 1;
	uLongf n;
	uint8_t *out;

	if (!len || in[0] > 1 || (in[0] && len < HEAD))
		return -EBADMSG;
	if (in[0])
		memcpy(&raw, in + 1, sizeof(raw));
	if (raw > MAX_BYTES)
		return -EBADMSG;
	out = malloc((size_t)raw + 1);
	if (!out)
		return -ENOMEM;
	n = raw;
	if (!in[0]) {
		memcpy(out, in + 1, raw);
	} else if (uncompress(out, &n, in + HEAD, len - HEAD) != Z_OK || n != raw) {
		free(out);
		return -EBADMSG;
	}
	*ret = out;
	*ret_len = raw;
	return 0;
}
