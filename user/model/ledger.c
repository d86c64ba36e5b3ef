/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/ledger.h"

#include <string.h>

#include "core/util.h"

#define ARENA_BYTES (64ULL << 20) /* glibc: heaps of threads' arenas are aligned to this */
#define RESERVATION_MIN (256ULL << 20)
#define GO_ARENA_START 0xc000000000ULL /* where Go's runtime asks for its first arena */
#define GO_ARENA_END 0xe000000000ULL

static const struct {
	const char *key, *name;
} kinds[LEDGER_KINDS] = {
	[LEDGER_LIVE] = {"live_heap", "live heap, attributed to stacks"},
	[LEDGER_BEFORE] = {"heap_before_attach_and_retained",
			   "heap from before the attach, and retained by the allocator"},
	[LEDGER_RETAINED] = {"allocator_retained", "retained by the allocator, not in use"},
	[LEDGER_HEAP] = {"heap", "allocator's memory (no heap profile runs)"},
	[LEDGER_STACK_MAIN] = {"stack_main", "stack of the main thread"},
	[LEDGER_STACK_THREADS] = {"stack_threads", "stacks of other threads"},
	[LEDGER_MODULE_CODE] = {"module_code", "code of modules"},
	[LEDGER_MODULE_DATA] = {"module_data", "data of modules"},
	[LEDGER_FILES] = {"files", "mapped files"},
	[LEDGER_SHARED] = {"shared", "shared memory"},
	[LEDGER_GO] = {"go_heap", "Go heap and runtime"},
	[LEDGER_JIT] = {"jit", "anonymous code (JIT)"},
	[LEDGER_RESERVED] = {"reserved", "reserved, not accessible"},
	[LEDGER_KERNEL] = {"kernel", "kernel's own mappings (vdso, vvar)"},
	[LEDGER_OTHER] = {"unattributed", "unattributed anonymous memory"},
	[LEDGER_DIFFERENCE] = {"difference", "kernel's counter minus the mappings"},
};

const char *ledger__name(enum ledger_kind k)
{
	return kinds[k].name;
}

const char *ledger__key(enum ledger_kind k)
{
	return kinds[k].key;
}

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static bool has_block(const struct ledger_map *m, const struct ledger_heap *heap)
{
	size_t lo = 0, hi = heap ? heap->nblocks : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (heap->block[mid].addr < m->start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return heap && lo < heap->nblocks && heap->block[lo].addr < m->end;
}

/* A heap of a glibc arena: starts at a multiple of 64 MiB and is followed by its own reserve, or
 * fills the 64 MiB. */
static bool is_arena(const struct ledger_input *in, size_t i)
{
	const struct ledger_map *m = &in->map[i], *next = i + 1 < in->n ? m + 1 : NULL;

	if (m->start & (ARENA_BYTES - 1) || m->perms[1] != 'w' || m->end - m->start > ARENA_BYTES)
		return false;
	if (m->end - m->start == ARENA_BYTES)
		return true;
	return next && next->start == m->end && starts(next->perms, "---") && !*next->path &&
	       next->end == m->start + ARENA_BYTES;
}

/* True if some mapping of the same file is executable: the file is a module. */
static bool is_module(const struct ledger_input *in, size_t i)
{
	const char *path = in->map[i].path;

	for (size_t k = i; k-- > 0 && i - k < 64;) {
		if (!strcmp(in->map[k].path, path) && in->map[k].perms[2] == 'x')
			return true;
	}
	for (size_t k = i; k < in->n && k - i < 64; k++) {
		if (!strcmp(in->map[k].path, path) && in->map[k].perms[2] == 'x')
			return true;
	}
	return false;
}

static enum ledger_kind classify_file(const struct ledger_input *in, size_t i)
{
	const struct ledger_map *m = &in->map[i];

	if (starts(m->path, "/memfd:") || starts(m->path, "/SYSV") ||
	    starts(m->path, "/dev/zero") || starts(m->path, "/dev/shm/"))
		return m->perms[2] == 'x' ? LEDGER_JIT : LEDGER_SHARED;
	if (is_module(in, i))
		return m->perms[2] == 'x' ? LEDGER_MODULE_CODE : LEDGER_MODULE_DATA;
	return LEDGER_FILES;
}

static enum ledger_kind classify_anonymous(const struct ledger_input *in, size_t i,
					   const struct ledger_heap *heap)
{
	const struct ledger_map *m = &in->map[i], *prev = i ? m - 1 : NULL;

	if (starts(m->path, "[anon: Go") ||
	    (m->start >= GO_ARENA_START && m->end <= GO_ARENA_END && m->perms[1] == 'w'))
		return LEDGER_GO;
	if (m->perms[2] == 'x')
		return LEDGER_JIT;
	if (has_block(m, heap) || is_arena(in, i))
		return LEDGER_HEAP;
	if (m->stack_of_thread || starts(m->path, "[stack:"))
		return LEDGER_STACK_THREADS;
	/* bss lies behind its module's data */
	if (prev && prev->end == m->start && *prev->path == '/' && is_module(in, i - 1) &&
	    m->end - m->start < ARENA_BYTES)
		return LEDGER_MODULE_DATA;
	return LEDGER_OTHER;
}

enum ledger_kind ledger__classify(const struct ledger_input *in, size_t i,
				  const struct ledger_heap *heap)
{
	const struct ledger_map *m = &in->map[i];

	if (starts(m->path, "[vdso") || starts(m->path, "[vvar") || starts(m->path, "[vsyscall") ||
	    starts(m->path, "[uprobes"))
		return LEDGER_KERNEL;
	if (!strcmp(m->path, "[heap]"))
		return LEDGER_HEAP;
	if (!strcmp(m->path, "[stack]"))
		return LEDGER_STACK_MAIN;
	if (starts(m->path, "[anon_shmem") || m->perms[3] == 's') {
		if (*m->path == '/' && !starts(m->path, "/dev/zero") && !starts(m->path, "/SYSV") &&
		    !starts(m->path, "/memfd:") && !starts(m->path, "/dev/shm/"))
			return classify_file(in, i);
		return LEDGER_SHARED;
	}
	if (*m->path == '/')
		return classify_file(in, i);
	if (starts(m->perms, "---"))
		return m->rss ? classify_anonymous(in, i, heap) : LEDGER_RESERVED;
	return classify_anonymous(in, i, heap);
}

static void add_reservation(struct ledger *l, const struct ledger_map *m)
{
	struct ledger_reservation r = {m->start, m->end - m->start, m->rss,
				       !starts(m->perms, "---")};
	size_t at = l->nreservations;

	if (r.virt_bytes < RESERVATION_MIN || r.rss_bytes > r.virt_bytes / 2)
		return;
	while (at && l->reservation[at - 1].virt_bytes < r.virt_bytes)
		at--;
	if (at == LEDGER_RESERVATIONS)
		return;
	if (l->nreservations < LEDGER_RESERVATIONS)
		l->nreservations++;
	memmove(&l->reservation[at + 1], &l->reservation[at],
		(l->nreservations - at - 1) * sizeof(r));
	l->reservation[at] = r;
}

/* Splits the allocator's memory by what the profile knows. */
static void split_heap(struct ledger *l, const struct ledger_heap *heap)
{
	struct ledger_line *all = &l->line[LEDGER_HEAP], *live = &l->line[LEDGER_LIVE], *rest;
	double bytes = 0;

	for (size_t i = 0; i < heap->nblocks; i++)
		bytes += heap->block[i].bytes;
	rest = &l->line[heap->from_start ? LEDGER_RETAINED : LEDGER_BEFORE];
	live->virt_bytes = bytes < all->virt_bytes ? (int64_t)bytes : all->virt_bytes;
	live->rss_bytes = bytes < all->rss_bytes ? (int64_t)bytes : all->rss_bytes;
	l->untouched_bytes = bytes > all->rss_bytes ? bytes - all->rss_bytes : 0;
	rest->virt_bytes = all->virt_bytes - live->virt_bytes;
	rest->rss_bytes = all->rss_bytes - live->rss_bytes;
	rest->swap_bytes = all->swap_bytes;
	live->mappings = rest->mappings = all->mappings;
	memset(all, 0, sizeof(*all));
}

void ledger__make(const struct ledger_input *in, const struct ledger_heap *heap, struct ledger *ret)
{
	struct ledger_line *diff = &ret->line[LEDGER_DIFFERENCE];
	int64_t rss = 0, virt = 0;

	memset(ret, 0, sizeof(*ret));
	ret->rss_bytes = in->rss_bytes;
	ret->virt_bytes = in->virt_bytes;
	ret->swap_bytes = in->swap_bytes;
	ret->pgtables_bytes = in->pgtables_bytes;
	ret->steady = in->steady;
	for (size_t i = 0; i < in->n; i++) {
		const struct ledger_map *m = &in->map[i];
		struct ledger_line *l = &ret->line[ledger__classify(in, i, heap)];

		l->virt_bytes += m->end - m->start;
		l->rss_bytes += m->rss;
		l->swap_bytes += m->swap;
		l->mappings++;
		virt += m->end - m->start;
		rss += m->rss;
		ret->hugetlb_bytes += m->hugetlb;
		add_reservation(ret, m);
	}
	if (heap && heap->known) {
		ret->has_heap = true;
		ret->from_start = heap->from_start;
		split_heap(ret, heap);
	}
	diff->rss_bytes = (int64_t)in->rss_bytes - rss;
	diff->virt_bytes = (int64_t)in->virt_bytes - virt;
}
