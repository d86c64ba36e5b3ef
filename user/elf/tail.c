/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/tail.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/ehframe.h"

#define CHUNK (1 << 20)
#define FIELD 4 /* of a 32-bit branch or address: it counts from its end */

uint64_t tail__end(struct elfobj *e, uint64_t start)
{
	struct ehframe_section sec = {.arm64 = false};
	struct ehframe eh;
	uint64_t end = 0;

	if (elfobj__section(e, ".eh_frame", &sec.data, &sec.len, &sec.vaddr) ||
	    ehframe__read(&sec, &eh))
		return 0;
	for (size_t i = 0; i < eh.n_fdes && !end; i++) {
		if (eh.fdes[i].start == start)
			end = start + eh.fdes[i].len;
	}
	ehframe__free(&eh);
	return end;
}

struct leading {
	uint64_t start, end;
	bool (*theirs)(void *arg, uint64_t from);
	void *arg;
};

static bool from_elsewhere(const struct leading *l, uint64_t from)
{
	return (from < l->start || from >= l->end) && !l->theirs(l->arg, from);
}

/* May the field at code[i] be one of a branch, or of an address relative to rip? Padding is not. */
static bool is_field(const uint8_t *code, size_t i)
{
	uint8_t before = i ? code[i - 1] : 0;

	return before == 0xe8 || before == 0xe9 || (before & 0xc7) == 5 ||
	       (i > 1 && code[i - 2] == 0x0f && (before & 0xf0) == 0x80);
}

/* Of code at vaddr: does anything lead there from elsewhere? */
static bool any_elsewhere(const struct leading *l, const uint8_t *code, size_t n, uint64_t vaddr)
{
	for (size_t i = 0; i + 2 <= n; i++) {
		uint64_t at = vaddr + i;
		int32_t rel;

		if ((code[i] == 0xeb || (code[i] & 0xf0) == 0x70) &&
		    at + 2 + (int64_t)(int8_t)code[i + 1] == l->start && from_elsewhere(l, at))
			return true;
		if (i + FIELD > n || !is_field(code, i))
			continue;
		memcpy(&rel, code + i, FIELD);
		if (at + FIELD + (int64_t)rel == l->start && from_elsewhere(l, at))
			return true;
	}
	return false;
}

bool tail__is_theirs(const struct elfobj *e, uint64_t start, uint64_t end,
		     bool (*theirs)(void *arg, uint64_t from), void *arg)
{
	const struct leading l = {start, end, theirs, arg};
	cleanup_free uint8_t *code = malloc(CHUNK);
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg);

	for (size_t i = 0; code && i < n; i++) {
		if (!(seg[i].flags & PF_X))
			continue;
		for (uint64_t at = 0; at < seg[i].filesz; at += CHUNK - 2 * FIELD) {
			size_t want = min_of(seg[i].filesz - at, (uint64_t)CHUNK);
			size_t got = elfobj__read(e, seg[i].vaddr + at, code, want);

			if (any_elsewhere(&l, code, got, seg[i].vaddr + at))
				return false;
		}
	}
	return code;
}
