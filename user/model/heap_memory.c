/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/heap_memory.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

#define PAGE 4096ULL

/* The first stretch that ends behind addr. */
static size_t extent_at(const struct heap_memory *m, uint64_t addr)
{
	size_t lo = 0, hi = m->npresent;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->present[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t heap_memory__present_until(const struct heap_memory *m, uint64_t addr)
{
	size_t i = extent_at(m, addr);

	if (i < m->npresent && m->present[i].start <= addr)
		return m->present[i].end;
	if (m->now_present && m->now_present(m->arg, addr))
		return (addr | (PAGE - 1)) + 1;
	return 0;
}

int heap_memory__read(const struct heap_memory *m, uint64_t addr, void *buf, size_t len)
{
	uint64_t at = addr;

	if (addr > INT64_MAX - len)
		return -EFAULT;
	while (at < addr + len) {
		at = heap_memory__present_until(m, at);
		if (!at)
			return -ENODATA;
	}
	return m->read(m->arg, addr, buf, len);
}

uint64_t heap_memory__resident(const struct heap_memory *m, uint64_t start, uint64_t end)
{
	uint64_t sum = 0;

	for (size_t i = extent_at(m, start); i < m->npresent && m->present[i].start < end; i++)
		sum += min_of(m->present[i].end, end) - max_of(m->present[i].start, start);
	return sum;
}

static bool is_data(const struct ledger_map *m)
{
	return m->perms[0] == 'r' && m->perms[1] == 'w' && m->perms[3] == 'p';
}

uint64_t heap_memory__data_end(const struct ledger_input *maps, size_t i)
{
	uint64_t end = maps->map[i].end;

	for (size_t k = i + 1; k < maps->n && maps->map[k].start == end; k++) {
		const struct ledger_map *m = &maps->map[k];

		if (!is_data(m) || (*m->path && strcmp(m->path, maps->map[i].path)))
			break;
		end = m->end;
	}
	return end;
}

void heap_memory__cover(const struct heap_memory *m, uint64_t start, uint64_t end,
			struct ledger_bytes *cover)
{
	const struct ledger_map *map = m->maps->map;
	size_t lo = 0, hi = m->maps->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (map[mid].end <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < m->maps->n && map[lo].start < end; lo++) {
		uint64_t from = max_of(start, map[lo].start), to = min_of(end, map[lo].end);

		if (from >= to)
			continue;
		cover[lo].virt += to - from;
		cover[lo].rss += heap_memory__resident(m, from, to);
	}
}
