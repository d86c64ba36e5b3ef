/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed sections, and what they claim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "elf/unpack.h"

#define LEN 5000

static uint8_t plain[LEN], packed[2 * LEN], out[LEN];

static size_t pack(bool gnu, uint32_t type, uint64_t claim)
{
	size_t skip = gnu ? 12 : sizeof(Elf64_Chdr);
	uLongf n = sizeof(packed) - skip;

	for (size_t i = 0; i < LEN; i++)
		plain[i] = i * i >> 3;
	if (gnu) {
		uint64_t size = htobe64(claim);

		memcpy(packed, "ZLIB", 4);
		memcpy(packed + 4, &size, 8);
	} else {
		memcpy(packed, &(Elf64_Chdr){.ch_type = type, .ch_size = claim, .ch_addralign = 1},
		       sizeof(Elf64_Chdr));
	}
	if (type == 2)
		return skip + ZSTD_compress(packed + skip, n, plain, LEN, 3);
	assert_int_equal(compress(packed + skip, &n, plain, LEN), Z_OK);
	return skip + n;
}

static int unpack(size_t len, bool gnu)
{
	struct unpack u;
	int err = unpack__header(packed, len, gnu, &u);
	uint8_t *to;

	if (err)
		return err;
	to = malloc(u.size ? u.size : 1); /* exactly: what is written beside it is found */
	assert_non_null(to);
	err = unpack__all(&u, packed, len, to);
	if (!err) {
		assert_int_equal(u.size, LEN);
		memcpy(out, to, LEN);
	}
	free(to);
	return err;
}

static const struct {
	bool gnu;
	uint32_t type;
} ways[] = {{true, 1}, {false, 1}, {false, 2}};

static void all_ways(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		size_t len = pack(ways[i].gnu, ways[i].type, LEN);

		memset(out, 0, sizeof(out));
		assert_int_equal(unpack(len, ways[i].gnu), 0);
		assert_memory_equal(out, plain, LEN);
	}
}

static void lies_and_damage(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		size_t len = pack(ways[i].gnu, ways[i].type, LEN - 1);

		assert_int_equal(unpack(len, ways[i].gnu), -EBADMSG);
		len = pack(ways[i].gnu, ways[i].type, LEN + 1);
		assert_int_equal(unpack(len, ways[i].gnu), -EBADMSG);
		len = pack(ways[i].gnu, ways[i].type, LEN);
		for (size_t cut = 0; cut < len; cut += 97)
			assert_int_equal(unpack(cut, ways[i].gnu), -EBADMSG);
		packed[len / 2] ^= 0x55;
		packed[len / 2 + 1] ^= 0x55;
		unpack(len, ways[i].gnu); /* whatever it says, no byte beside */
	}
}

static void another_way(void **state)
{
	pack(false, 1, LEN);
	packed[0] = 9;
	assert_int_equal(unpack(100, false), -EOPNOTSUPP);
	assert_int_equal(unpack(100, true), -EBADMSG); /* no "ZLIB" */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ways),
		cmocka_unit_test(lies_and_damage),
		cmocka_unit_test(another_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
