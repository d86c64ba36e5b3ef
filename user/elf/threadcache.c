/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/threadcache.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define MAX_CODE (16u << 20) /* of a C library */
#define REACH 320	     /* bytes of the function behind the mark */

static int is_glibc(void *arg, const struct elfobj_symbol *sym)
{
	bool *found = arg;

	*found |= !strcmp(sym->name, "__libc_freeres") ||
		  !strcmp(sym->name, "__libc_thread_freeres") || /* in static programs */
		  !strcmp(sym->name, "gnu_get_libc_version");
	return *found;
}

/* Length of `movb $1, %fs:…` at p, 0 if it is something else: tcache_shutting_down = true. */
static size_t sets_thread_flag(const uint8_t *p)
{
	if (p[0] != 0x64 || p[1] != 0xc6)
		return 0;
	if (p[2] == 0x04 && p[3] == 0x25) /* at a constant distance */
		return p[8] == 1 ? 9 : 0;
	return p[2] < 8 && p[2] != 4 && p[2] != 5 && p[3] == 1 ? 4 : 0; /* (%reg) */
}

/* Offset behind the last call of `to` within reach, if there are two: the blocks, the cache. */
static size_t two_calls(const uint8_t *p, size_t len, uint64_t vaddr, uint64_t to)
{
	size_t n = 0, end = 0;

	for (size_t i = 0; i + 5 <= len; i++) {
		int32_t rel;

		if (p[i] != 0xe8)
			continue;
		memcpy(&rel, p + i + 1, sizeof(rel));
		if (vaddr + i + 5 + rel != to)
			continue;
		n++;
		end = i + 5;
	}
	return n == 2 ? end : 0;
}

bool threadcache__find(const struct elfobj *e, uint64_t free_vaddr, uint64_t *lo, uint64_t *hi)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg);
	bool glibc = false;

	elfobj__each_symbol(e, is_glibc, &glibc);
	for (size_t s = 0; glibc && s < n; s++) {
		size_t len = min_of(seg[s].filesz, (uint64_t)MAX_CODE);
		cleanup_free uint8_t *code = seg[s].flags & PF_X ? malloc(len + 1) : NULL;

		if (!code)
			continue;
		len = elfobj__read(e, seg[s].vaddr, code, len);
		for (size_t i = 0; i + REACH <= len; i++) {
			size_t skip = sets_thread_flag(code + i), end;

			if (!skip)
				continue;
			end = two_calls(code + i, REACH, seg[s].vaddr + i, free_vaddr);
			if (!end)
				continue;
			*lo = seg[s].vaddr + i;
			*hi = *lo + end + 1; /* the last return address is inside */
			return true;
		}
	}
	return false;
}
