/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/go_arenas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define START 0xc000000000ULL /* where Go's runtime asks for its first arena */
#define END 0xe000000000ULL

enum ledger_kind go_arenas__classify(const struct ledger_input *in, size_t i)
{
	const struct ledger_map *m = &in->map[i];
	bool named = !strncmp(m->path, "[anon: Go", 9);

	return named || (m->start >= START && m->end <= END && m->perms[1] == 'w') ? LEDGER_GO
										   : LEDGER_KINDS;
}

/* Without C, anonymous memory that is not the bss of a module is the runtime's own: its tables. */
static bool is_table(const struct ledger_input *in, size_t i)
{
	const struct ledger_map *m = &in->map[i];
	bool bss = i && m[-1].end == m->start && *m[-1].path == '/';

	return !*m->path && !strncmp(m->perms, "rw-p", 4) && !m->stack_of_thread && !bss;
}

static void cover_whole(const struct ledger_map *m, struct ledger_bytes *cover,
			struct ledger_bytes *sum)
{
	*cover = (struct ledger_bytes){m->end - m->start, m->rss};
	ledger_bytes__add(sum, cover->virt, cover->rss);
}

static void add_part(struct ledger_share *s, enum ledger_kind kind, uint64_t virt, uint64_t rss)
{
	s->part[s->nparts++] = (struct ledger_part){kind, {virt, min_of(rss, virt)}};
}

/* What is resident of the arenas and not free, released or a stack is in use; memory in use may be
 * untouched. */
static void split_arenas(const struct heap_go *go, const struct ledger_bytes *all,
			 struct ledger_share *s)
{
	uint64_t known = go->inuse + go->free + go->stacks;

	add_part(s, LEDGER_GO_STACKS, go->stacks, go->stacks);
	add_part(s, LEDGER_GO_RELEASED, all->virt > known ? all->virt - known : 0, go->lazy_free);
	add_part(s, LEDGER_GO_FREE, go->free, go->free);
}

/* The tables are sparse: how much of each is resident is not told apart. */
static void split_tables(const struct heap_go *go, const struct ledger_bytes *all,
			 struct ledger_share *s)
{
	double share = (double)go->off_heap / (double)max_of(go->metadata + go->off_heap, 1UL);
	uint64_t off_heap = min_of(go->off_heap, all->virt);
	uint64_t rss = min_of((uint64_t)((double)all->rss * share), off_heap);

	add_part(s, LEDGER_GO_OFFHEAP, off_heap, rss);
	add_part(s, LEDGER_GO_METADATA, all->virt - off_heap, all->rss - rss);
}

int go_arenas__find(const struct heap_memory *m, struct ledger_share *ret)
{
	struct ledger_bytes arenas = {0}, tables = {0};
	const struct ledger_input *in = m->maps;
	uint64_t most;

	memset(ret, 0, sizeof(*ret));
	ret->rest = LEDGER_GO_INUSE;
	if (!m->go)
		return -ENOENT;
	most = m->go->metadata + m->go->off_heap;
	ret->cover = calloc(in->n, sizeof(*ret->cover));
	if (!ret->cover)
		return -ENOMEM;
	ret->ncover = in->n;
	for (size_t i = 0; i < in->n; i++) {
		if (in->map[i].start >= START && in->map[i].end <= END &&
		    go_arenas__classify(in, i) == LEDGER_GO)
			cover_whole(&in->map[i], &ret->cover[i], &arenas);
		else if (go_arenas__classify(in, i) == LEDGER_GO ||
			 (!m->go->cgo && is_table(in, i) && tables.rss + in->map[i].rss <= most))
			cover_whole(&in->map[i], &ret->cover[i], &tables);
	}
	split_arenas(m->go, &arenas, ret);
	split_tables(m->go, &tables, ret);
	return 0;
}
