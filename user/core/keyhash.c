/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/keyhash.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "core/util.h"

static uint64_t key[2];

/* Before main, and so before a helper is confined and before there are threads. */
__attribute__((constructor)) static void draw_key(void)
{
	const void *of_exec = (const void *)getauxval(AT_RANDOM);

	if (getrandom(key, sizeof(key), GRND_NONBLOCK) == sizeof(key))
		return;
	if (of_exec)
		memcpy(key, of_exec, sizeof(key));
	key[0] = util__mix64(key[0] ^ util__now_ns());
	key[1] = util__mix64(key[1] ^ (uint64_t)getpid());
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void round_of(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void take(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	round_of(v);
	v[0] ^= word;
}

uint64_t keyhash__bytes(const void *data, size_t len)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
			 key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
	uint64_t word, last = (uint64_t)len << 56;
	const uint8_t *p = data;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, 8);
		take(v, word);
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)p[i] << 8 * i;
	take(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		round_of(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* One to one: an odd factor and the finaliser of MurmurHash3 are. What the factor makes of a word
 * is not known outside, and so neither is what the finaliser makes of that. */
uint64_t keyhash__word(uint64_t x)
{
	return util__mix64((x ^ key[0]) * (key[1] | 1));
}
