/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/python_arenas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "model/glibc_heap_priv.h"

#define POOLS 64	     /* in an arena; one less where its start is not aligned to pools */
#define MIN_ARENAS 16	     /* a table has so many entries, or twice as many, … */
#define MAX_ARENAS (1 << 20) /* 1 TiB */
#define MAX_LOOKUPS (1u << 18)
#define MAX_DATA (32ULL << 20)

struct arena_object { /* Objects/obmalloc.c, of 3.3 to 3.14 */
	uint64_t address, pool_address;
	uint32_t nfreepools, ntotalpools;
	uint64_t freepools, nextarena, prevarena;
};

struct search {
	struct glibc_walker w; /* for reading; nothing else of it is used */
	const struct ledger_input *maps;
	uint64_t arena_bytes;
	size_t lookups;
	struct arena_object *table;
	size_t n;
};

unsigned python_arenas__version(const char *path)
{
	const char *base = strrchr(path, '/');
	unsigned minor;

	base = base ? base + 1 : path;
	if (!strncmp(base, "lib", 3))
		base += 3;
	if (strncmp(base, "python3.", 8))
		return 0;
	minor = strtoul(base + 8, NULL, 10);
	return minor < 100 ? minor : 0;
}

static const struct ledger_map *map_at(const struct ledger_input *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (maps->map[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < maps->n && maps->map[lo].start <= addr ? &maps->map[lo] : NULL;
}

static bool is_anonymous(const struct ledger_map *m)
{
	return m && !*m->path && !strncmp(m->perms, "rw-p", 4);
}

static bool is_arena(const struct search *s, const struct arena_object *a)
{
	const struct ledger_map *m;

	if (a->address & (GLIBC_PAGE - 1) || a->nfreepools > a->ntotalpools ||
	    a->ntotalpools > POOLS || a->ntotalpools < POOLS - 1 || a->pool_address < a->address ||
	    a->pool_address - a->address > s->arena_bytes ||
	    a->pool_address & (s->arena_bytes / POOLS - 1))
		return false;
	m = map_at(s->maps, a->address);
	return is_anonymous(m) && s->arena_bytes <= m->end - a->address;
}

/* Is this the table? Then it is in s->table. */
static int try_table(struct search *s, uint64_t addr)
{
	uint64_t size, n;
	size_t found = 0;
	int err;

	if (!s->lookups)
		return -ENOENT;
	s->lookups--;
	if (heap_memory__read_kept(s->w.in, addr - 8, &size, sizeof(size)))
		return -ENOENT;
	size &= ~(uint64_t)CHUNK_FLAGS;
	n = size / sizeof(*s->table); /* malloc rounds up by less than an entry, or to a page */
	while (n & (n - 1))
		n &= n - 1;
	if (n < MIN_ARENAS || n > MAX_ARENAS || size - n * sizeof(*s->table) > 2 * GLIBC_PAGE)
		return -ENOENT;
	s->table = malloc(n * sizeof(*s->table));
	if (!s->table)
		return -ENOMEM;
	err = glibc_walker__read(&s->w, addr, s->table, n * sizeof(*s->table));
	for (size_t i = 0; i < n && !err; i++) {
		if (!s->table[i].address)
			continue;
		if (is_arena(s, &s->table[i]))
			s->table[found++] = s->table[i];
		else
			err = -ENOENT;
	}
	if (err || !found) {
		free(take_ptr(s->table));
		return -ENOENT;
	}
	s->n = found;
	return 0;
}

static bool may_hold_table(const struct search *s, uint64_t addr)
{
	const struct ledger_map *m;

	if (addr & 15 || addr < GLIBC_PAGE || addr >= 1ULL << 47)
		return false;
	m = map_at(s->maps, addr);
	return m && (!strcmp(m->path, "[heap]") || is_anonymous(m));
}

/* Looks at the words of [start, end) that are resident. */
static int scan_data(struct search *s, uint64_t start, uint64_t end)
{
	const struct heap_memory *in = s->w.in;
	uint64_t word[4096];

	for (size_t i = glibc_walker__extent(&s->w, start);
	     i < in->npresent && in->present[i].start < end; i++) {
		uint64_t at = max_of(in->present[i].start, start);
		uint64_t stop = min_of(in->present[i].end, end);

		for (; at + 8 <= stop; at += sizeof(word)) {
			size_t len = min_of(stop - at, (uint64_t)sizeof(word));

			if (in->read(in->arg, at, word, len))
				break;
			for (size_t k = 0; k < len / 8; k++) {
				int err = may_hold_table(s, word[k]) ? try_table(s, word[k])
								     : -ENOENT;

				if (err != -ENOENT)
					return err;
			}
		}
	}
	return -ENOENT;
}

static int find_table(struct search *s)
{
	for (size_t i = 0; i < s->maps->n; i++) {
		const struct ledger_map *m = &s->maps->map[i];
		unsigned minor = python_arenas__version(m->path);
		uint64_t end = m->end;
		int err;

		if (!minor || strncmp(m->perms, "rw-p", 4))
			continue;
		if (i + 1 < s->maps->n && m[1].start == end && is_anonymous(&m[1]))
			end = m[1].end; /* bss */
		s->arena_bytes = minor >= 10 ? 1 << 20 : 256 << 10;
		err = scan_data(s, m->start, min_of(end, m->start + MAX_DATA));
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

static int by_address(const void *a, const void *b)
{
	const struct arena_object *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Sums up the arenas by mapping. */
static int cover(struct search *s, struct ledger_bytes **ret_cover, size_t *ret_n)
{
	struct ledger_bytes *c = calloc(s->maps->n, sizeof(*c));
	uint64_t end = 0;

	if (!c)
		return -ENOMEM;
	qsort(s->table, s->n, sizeof(*s->table), by_address);
	glibc_walker__seek(&s->w, 0);
	for (size_t i = 0; i < s->n; i++) {
		uint64_t start = s->table[i].address;

		if (start < end) { /* they overlap: these are no arenas */
			free(c);
			return -ENOENT;
		}
		end = start + s->arena_bytes;
		ledger_bytes__add(&c[map_at(s->maps, start) - s->maps->map], s->arena_bytes,
				  glibc_walker__resident(&s->w, start, end));
	}
	*ret_cover = c;
	*ret_n = s->n;
	return 0;
}

int python_arenas__find(const struct heap_memory *in, struct ledger_bytes **ret_cover,
			size_t *ret_n)
{
	struct search s = {.w = {.in = in}, .maps = in->maps, .lookups = MAX_LOOKUPS};
	int err = find_table(&s);

	*ret_cover = NULL;
	*ret_n = 0;
	if (!err)
		err = cover(&s, ret_cover, ret_n);
	free(s.table);
	return err == -ENOENT ? 0 : err;
}

int python_arenas__share(const struct heap_memory *m, struct ledger_share *ret)
{
	size_t n;
	int err;

	*ret = (struct ledger_share){.rest = LEDGER_PYTHON, .ncover = m->maps->n};
	err = python_arenas__find(m, &ret->cover, &n);
	return err ? err : ret->cover ? 0 : -ENOENT;
}
