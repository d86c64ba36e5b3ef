/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/ledger.h"

#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "model/glibc_heap.h"

#define ARENA_BYTES (64ULL << 20) /* glibc: heaps of threads' arenas are aligned to this */
#define RESERVATION_MIN (256ULL << 20)
#define GO_ARENA_START 0xc000000000ULL /* where Go's runtime asks for its first arena */
#define GO_ARENA_END 0xe000000000ULL

static const struct {
	const char *key, *name;
} kinds[LEDGER_KINDS] = {
	[LEDGER_LIVE] = {"live_heap", "live heap, attributed to stacks"},
	[LEDGER_OLD] = {"heap_before_attach", "live heap without a stack: from before the attach"},
	[LEDGER_USED] = {"heap_used", "live heap (no heap profile runs)"},
	[LEDGER_BEFORE] = {"heap_before_attach_and_retained",
			   "heap from before the attach, and retained by the allocator"},
	[LEDGER_RETAINED] = {"allocator_retained", "retained by the allocator, not in use"},
	[LEDGER_OVERHEAD] = {"allocator_overhead", "allocator's headers, rounding and tables"},
	[LEDGER_HEAP] = {"heap", "allocator's memory (no heap profile runs)"},
	[LEDGER_STACK_MAIN] = {"stack_main", "stack of the main thread"},
	[LEDGER_STACK_THREADS] = {"stack_threads", "stacks of other threads"},
	[LEDGER_MODULE_CODE] = {"module_code", "code of modules"},
	[LEDGER_MODULE_DATA] = {"module_data", "data of modules"},
	[LEDGER_FILES] = {"files", "mapped files"},
	[LEDGER_SHARED] = {"shared", "shared memory"},
	[LEDGER_GO] = {"go_heap", "Go heap and runtime"},
	[LEDGER_JIT] = {"jit", "anonymous code (JIT)"},
	[LEDGER_PYTHON] = {"python_arenas", "Python arenas"},
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

bool ledger__is_shown(const struct ledger *l, enum ledger_kind k)
{
	const struct ledger_line *line = &l->line[k];

	return line->virt_bytes || line->rss_bytes || line->swap_bytes || line->mappings ||
	       k == LEDGER_OTHER || k == LEDGER_DIFFERENCE;
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

/* Splits the allocator's memory that was not walked by what the profile knows. */
static void split_heap(struct ledger *l, const struct ledger_heap *heap)
{
	struct ledger_line *all = &l->line[LEDGER_HEAP], *live = &l->line[LEDGER_LIVE], *rest;
	double bytes = 0;
	int64_t live_virt, live_rss;

	for (size_t i = 0; i < heap->nblocks; i++)
		bytes += heap->block[i].bytes;
	rest = &l->line[heap->from_start ? LEDGER_RETAINED : LEDGER_BEFORE];
	live_virt = bytes < all->virt_bytes ? (int64_t)bytes : all->virt_bytes;
	live_rss = bytes < all->rss_bytes ? (int64_t)bytes : all->rss_bytes;
	l->untouched_bytes += bytes > all->rss_bytes ? bytes - all->rss_bytes : 0;
	live->virt_bytes += live_virt;
	live->rss_bytes += live_rss;
	live->mappings += all->mappings;
	rest->virt_bytes += all->virt_bytes - live_virt;
	rest->rss_bytes += all->rss_bytes - live_rss;
	rest->swap_bytes += all->swap_bytes;
	rest->mappings += all->mappings;
	memset(all, 0, sizeof(*all));
}

/* Moves what there is of bytes from the line `from` to another. */
static void move(struct ledger_line *from, struct ledger_line *to, double virt, double rss)
{
	int64_t v = virt < from->virt_bytes ? (int64_t)virt : from->virt_bytes;
	int64_t r = rss < from->rss_bytes ? (int64_t)rss : from->rss_bytes;

	to->virt_bytes += v;
	to->rss_bytes += r;
	to->mappings += from->mappings;
	from->virt_bytes -= v;
	from->rss_bytes -= r;
}

static void move_bytes(struct ledger_line *from, struct ledger_line *to,
		       const struct ledger_bytes *b)
{
	move(from, to, b->virt, b->rss);
}

/*
 * Splits the allocator's memory that was walked, `all`, by what its chunks are. The walk and the
 * mappings are of slightly different moments, and sampled blocks make an estimate: no line takes
 * more than there is, what is left is in use.
 */
static void split_walked(struct ledger *l, const struct ledger_heap *heap, struct ledger_line *all)
{
	const struct glibc_heap *w = heap->walk;
	struct ledger_line *kept = &l->line[LEDGER_RETAINED];
	struct ledger_line *own = &l->line[LEDGER_OVERHEAD];

	move_bytes(all, own, &w->own);
	move_bytes(all, kept, &w->top);
	move_bytes(all, kept, &w->binned);
	move_bytes(all, kept, &w->fastbin);
	move_bytes(all, kept, &w->tcache);
	own->mappings = kept->mappings = all->mappings;
	if (!heap->known) {
		l->line[LEDGER_USED] = *all;
		return;
	}
	if (w->live_rss > all->rss_bytes)
		l->over_bytes = w->live_rss - all->rss_bytes;
	if (w->live_virt > w->live_rss)
		l->untouched_bytes = w->live_virt - w->live_rss;
	move(all, &l->line[LEDGER_LIVE], w->live_virt, w->live_rss);
	move(all, own, w->live_own_virt, w->live_own_rss);
	own->mappings = all->mappings;
	/* of an estimate the resident part may be too small for its share: no line is resident
	 * beyond its size */
	if (all->rss_bytes > all->virt_bytes) {
		l->line[LEDGER_LIVE].rss_bytes += all->rss_bytes - all->virt_bytes;
		all->rss_bytes = all->virt_bytes;
	}
	l->line[LEDGER_OLD] = *all;
}

static void describe_walk(struct ledger *l, const struct ledger_heap *heap)
{
	const struct glibc_heap *w = heap->walk;

	if (!w) {
		snprintf(l->walk.note, sizeof(l->walk.note), "%s",
			 heap->why_not ? heap->why_not : "");
		return;
	}
	l->walk = (struct ledger_walk){.done = true,
				       .partial = w->failed,
				       .chunks = w->chunks,
				       .arenas = w->arenas,
				       .heaps = w->heaps,
				       .retries = w->retries,
				       .used = w->used.virt,
				       .mmapped = w->mmapped.virt,
				       .tcache = w->tcache.virt,
				       .fastbin = w->fastbin.virt,
				       .binned = w->binned.virt,
				       .top = w->top.virt,
				       .own = w->own.virt};
	snprintf(l->walk.note, sizeof(l->walk.note), "%s", w->note);
}

static void add_line(struct ledger_line *l, uint64_t virt, uint64_t rss, uint64_t swap)
{
	l->virt_bytes += virt;
	l->rss_bytes += rss;
	l->swap_bytes += swap;
	l->mappings++;
}

/* Puts one mapping into its line; what was walked of it into `walked`. */
static void add_map(struct ledger *l, const struct ledger_input *in, size_t i,
		    const struct ledger_heap *rest, struct ledger_line *walked)
{
	const struct ledger_map *m = &in->map[i];
	const struct glibc_heap *w = rest->walk;
	struct ledger_bytes c = w && i < w->ncover ? w->cover[i] : (struct ledger_bytes){0};
	enum ledger_kind kind = ledger__classify(in, i, rest);
	uint64_t virt = m->end - m->start, rss = m->rss, swap = m->swap;

	if (rest->python && rest->python[i].virt) {
		struct ledger_bytes p = rest->python[i];

		p.virt = min_of(p.virt, virt);
		p.rss = min_of(p.rss, rss);
		add_line(&l->line[LEDGER_PYTHON], p.virt, p.rss, p.virt > virt / 2 ? swap : 0);
		swap = p.virt > virt / 2 ? 0 : swap;
		virt -= p.virt;
		rss -= p.rss;
		if (!virt && !rss)
			return;
	}
	c.virt = min_of(c.virt, virt);
	c.rss = min_of(c.rss, rss);
	if (c.virt) {
		add_line(walked, c.virt, c.rss, c.virt > virt / 2 ? swap : 0);
		swap = c.virt > virt / 2 ? 0 : swap;
		if (c.virt == virt && c.rss == rss)
			return;
		/* beside the heap: others' memory that the kernel joined to it */
		if (kind == LEDGER_HEAP && !has_block(m, rest))
			kind = LEDGER_OTHER;
	}
	add_line(&l->line[kind], virt - c.virt, rss - c.rss, swap);
}

void ledger__make(const struct ledger_input *in, const struct ledger_heap *heap, struct ledger *ret)
{
	struct ledger_line *diff = &ret->line[LEDGER_DIFFERENCE], walked = {0};
	struct ledger_heap rest = heap ? *heap : (struct ledger_heap){0};
	int64_t rss = 0, virt = 0;

	memset(ret, 0, sizeof(*ret));
	ret->rss_bytes = in->rss_bytes;
	ret->virt_bytes = in->virt_bytes;
	ret->swap_bytes = in->swap_bytes;
	ret->pgtables_bytes = in->pgtables_bytes;
	ret->steady = in->steady;
	ret->unix_ms = in->unix_ms;
	if (rest.walk) { /* blocks in walked heaps are accounted for by the walk */
		rest.block = rest.walk->stray;
		rest.nblocks = rest.walk->nstray;
	}
	for (size_t i = 0; i < in->n; i++) {
		const struct ledger_map *m = &in->map[i];

		add_map(ret, in, i, &rest, &walked);
		virt += m->end - m->start;
		rss += m->rss;
		ret->hugetlb_bytes += m->hugetlb;
		add_reservation(ret, m);
	}
	if (rest.walk)
		split_walked(ret, &rest, &walked);
	if (rest.known) {
		ret->has_heap = true;
		ret->from_start = rest.from_start;
		split_heap(ret, &rest);
	}
	describe_walk(ret, &rest);
	diff->rss_bytes = (int64_t)in->rss_bytes - rss;
	diff->virt_bytes = (int64_t)in->virt_bytes - virt;
}
