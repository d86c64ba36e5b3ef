/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/heap_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define PAGE 4096ULL
#define KEPT 1024	/* pages, each in the place that its number gives it */
#define MOST_AT_ONCE 64 /* that are read where they follow each other */

struct heap_kept {
	uint64_t addr[KEPT]; /* 0: none */
	char data[KEPT][PAGE], in[MOST_AT_ONCE * PAGE];
	uint64_t next; /* behind the last that was read */
	uint64_t want; /* bytes to be read there */
};

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

int heap_memory__keep(struct heap_memory *m)
{
	m->kept = calloc(1, sizeof(*m->kept));
	return m->kept ? 0 : -ENOMEM;
}

void heap_memory__forget(struct heap_memory *m)
{
	free(m->kept);
	m->kept = NULL;
}

static size_t place_of(uint64_t page)
{
	return page / PAGE % KEPT;
}

/* Reads a page, and more where the one before was the last that was read. */
static int keep_from(const struct heap_memory *m, uint64_t page)
{
	struct heap_kept *k = m->kept;
	uint64_t end = heap_memory__present_until(m, page);
	int err;

	if (!end)
		return -ENODATA;
	k->want = page == k->next ? min_of(k->want * 2, sizeof(k->in)) : 2 * PAGE;
	end = min_of(end, page + k->want);
	err = m->read(m->arg, page, k->in, end - page);
	if (err && end > page + PAGE) {
		end = page + PAGE;
		err = m->read(m->arg, page, k->in, PAGE);
	}
	if (err)
		return err;
	for (uint64_t at = page; at < end; at += PAGE) {
		memcpy(k->data[place_of(at)], k->in + (at - page), PAGE);
		k->addr[place_of(at)] = at;
	}
	k->next = end;
	return 0;
}

int heap_memory__read_kept(const struct heap_memory *m, uint64_t addr, void *buf, size_t len)
{
	char *out = buf;

	if (!m->kept)
		return heap_memory__read(m, addr, buf, len);
	if (addr > INT64_MAX - len || addr < PAGE)
		return -EFAULT;
	while (len) {
		uint64_t page = addr & ~(PAGE - 1);
		size_t n = min_of(len, (size_t)(page + PAGE - addr));
		int err = m->kept->addr[place_of(page)] == page ? 0 : keep_from(m, page);

		if (err)
			return err;
		memcpy(out, m->kept->data[place_of(page)] + (addr - page), n);
		out += n;
		addr += n;
		len -= n;
	}
	return 0;
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
