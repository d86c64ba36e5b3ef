/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/ledger.h"

#include <stdio.h>
#include <string.h>

#include "core/top_n.h"
#include "core/util.h"
#include "model/contributors.h"

#define BSS_MAX (64ULL << 20)
#define RESERVATION_MIN (256ULL << 20)

#define KINDS(X)                                                                                 \
	X(LEDGER_LIVE, "live_heap", "live heap, attributed to stacks")                           \
	X(LEDGER_OLD, "heap_before_attach", "live heap without a stack: from before the attach") \
	X(LEDGER_USED, "heap_used", "live heap (no heap profile runs)")                          \
	X(LEDGER_BEFORE, "heap_before_attach_and_retained",                                      \
	  "heap from before the attach, and retained by the allocator")                          \
	X(LEDGER_RETAINED, "allocator_retained", "retained by the allocator, not in use")        \
	X(LEDGER_OVERHEAD, "allocator_overhead", "allocator's headers, rounding and tables")     \
	X(LEDGER_HEAP, "heap", "allocator's memory (no heap profile runs)")                      \
	X(LEDGER_STACK_MAIN, "stack_main", "stack of the main thread")                           \
	X(LEDGER_STACK_THREADS, "stack_threads", "stacks of other threads")                      \
	X(LEDGER_MODULE_CODE, "module_code", "code of modules")                                  \
	X(LEDGER_MODULE_DATA, "module_data", "data of modules")                                  \
	X(LEDGER_FILES, "files", "mapped files")                                                 \
	X(LEDGER_SHARED, "shared", "shared memory")                                              \
	X(LEDGER_GO, "go_heap", "Go heap and runtime")                                           \
	X(LEDGER_GO_INUSE, "go_heap_inuse", "Go heap in use")                                    \
	X(LEDGER_GO_FREE, "go_heap_free", "Go heap, free and kept")                              \
	X(LEDGER_GO_RELEASED, "go_heap_released", "Go heap, released or not used yet")           \
	X(LEDGER_GO_STACKS, "go_stacks", "goroutine stacks")                                     \
	X(LEDGER_GO_METADATA, "go_metadata", "Go spans, caches and GC tables")                   \
	X(LEDGER_GO_OFFHEAP, "go_off_heap", "Go off-heap: profile buckets and other")            \
	X(LEDGER_JIT, "jit", "anonymous code (JIT)")                                             \
	X(LEDGER_PYTHON, "python_arenas", "Python arenas")                                       \
	X(LEDGER_RESERVED, "reserved", "reserved, not accessible")                               \
	X(LEDGER_KERNEL, "kernel", "kernel's own mappings (vdso, vvar)")                         \
	X(LEDGER_OTHER, "unattributed", "unattributed anonymous memory")                         \
	X(LEDGER_DIFFERENCE, "difference", "kernel's counter minus the mappings")

static const struct {
	const char *key, *name;
} kinds[LEDGER_KINDS] = {
#define ROW(kind, key, name) [kind] = {key, name},
	KINDS(ROW)
#undef ROW
};

const char *const ledger_columns[LEDGER_KINDS] = {
#define COLUMN(kind, key, name) [kind] = "ledger_" key "_bytes",
	KINDS(COLUMN)
#undef COLUMN
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

	enum ledger_kind kind = contributors__classify(in, i);

	if (kind != LEDGER_KINDS)
		return kind;
	if (m->perms[2] == 'x')
		return LEDGER_JIT;
	if (has_block(m, heap))
		return LEDGER_HEAP;
	if (m->stack_of_thread || starts(m->path, "[stack:"))
		return LEDGER_STACK_THREADS;
	/* bss lies behind its module's data */
	if (prev && prev->end == m->start && *prev->path == '/' && is_module(in, i - 1) &&
	    m->end - m->start < BSS_MAX)
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

static int by_virt(const void *a, const void *b)
{
	const struct ledger_reservation *x = a, *y = b;

	return (x->virt_bytes < y->virt_bytes) - (x->virt_bytes > y->virt_bytes);
}

static void add_reservation(struct ledger *l, const struct ledger_map *m)
{
	struct ledger_reservation r = {m->start, m->end - m->start, m->rss,
				       !starts(m->perms, "---")};

	if (r.virt_bytes < RESERVATION_MIN || r.rss_bytes > r.virt_bytes / 2)
		return;
	l->nreservations = top_n__insert(l->reservation, l->nreservations, LEDGER_RESERVATIONS,
					 sizeof(r), &r, by_virt);
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

static void add_all(struct ledger_line *to, const struct ledger_line *from)
{
	to->virt_bytes += from->virt_bytes;
	to->rss_bytes += from->rss_bytes;
	to->swap_bytes += from->swap_bytes;
	to->mappings += from->mappings;
}

static void move_bytes(struct ledger_line *from, struct ledger_line *to,
		       const struct ledger_bytes *b)
{
	move(from, to, b->virt, b->rss);
}

/*
 * Splits the memory that a contributor covers, `all`, by what it says of it. What it read and the
 * mappings are of slightly different moments, and sampled blocks make an estimate: no line takes
 * more than there is, what is left is in use.
 */
static void split_share(struct ledger *l, const struct ledger_heap *heap,
			const struct ledger_share *w, struct ledger_line *all)
{
	struct ledger_line *kept = &l->line[LEDGER_RETAINED];
	struct ledger_line *own = &l->line[LEDGER_OVERHEAD];

	for (size_t i = 0; i < w->nparts; i++) {
		if (w->part[i].bytes.virt)
			move_bytes(all, &l->line[w->part[i].kind], &w->part[i].bytes);
	}
	if (w->own.virt) {
		move_bytes(all, own, &w->own);
		own->mappings = all->mappings;
	}
	if (w->kept.virt) {
		move_bytes(all, kept, &w->kept);
		kept->mappings = all->mappings;
	}
	if (w->rest != LEDGER_USED || !heap->known) {
		add_all(&l->line[w->rest], all);
		return;
	}
	if (w->live_rss > all->rss_bytes)
		l->over_bytes += w->live_rss - all->rss_bytes;
	if (w->live_virt > w->live_rss)
		l->untouched_bytes += w->live_virt - w->live_rss;
	move(all, &l->line[LEDGER_LIVE], w->live_virt, w->live_rss);
	move(all, own, w->live_own_virt, w->live_own_rss);
	own->mappings = all->mappings;
	/* of an estimate the resident part may be too small for its share: no line is resident
	 * beyond its size */
	if (all->rss_bytes > all->virt_bytes) {
		l->line[LEDGER_LIVE].rss_bytes += all->rss_bytes - all->virt_bytes;
		all->rss_bytes = all->virt_bytes;
	}
	add_all(&l->line[LEDGER_OLD], all);
}

/* The allocator's heap that was walked. */
static const struct ledger_share *walked(const struct ledger_heap *heap)
{
	for (size_t i = 0; i < heap->nshares; i++) {
		if (heap->share[i].walk.done)
			return &heap->share[i];
	}
	return NULL;
}

static void describe_walk(struct ledger *l, const struct ledger_heap *heap)
{
	const struct ledger_share *w = walked(heap);

	if (w)
		l->walk = w->walk;
	else
		snprintf(l->walk.note, sizeof(l->walk.note), "%s",
			 heap->why_not ? heap->why_not : "");
}

static void add_line(struct ledger_line *l, uint64_t virt, uint64_t rss, uint64_t swap)
{
	l->virt_bytes += virt;
	l->rss_bytes += rss;
	l->swap_bytes += swap;
	l->mappings++;
}

/* Puts one mapping into its line; what contributors cover of it into theirs, `covered`. */
static void add_map(struct ledger *l, const struct ledger_input *in, size_t i,
		    const struct ledger_heap *rest, struct ledger_line *covered)
{
	const struct ledger_map *m = &in->map[i];
	enum ledger_kind kind = ledger__classify(in, i, rest);
	uint64_t all = m->end - m->start, virt = all, rss = m->rss, swap = m->swap;

	for (size_t k = 0; k < rest->nshares; k++) {
		const struct ledger_share *s = &rest->share[k];
		struct ledger_bytes c = i < s->ncover ? s->cover[i] : (struct ledger_bytes){0};
		uint64_t part = min_of(c.virt, virt), resident = min_of(c.rss, rss);

		if (!part)
			continue;
		add_line(&covered[k], part, resident, part > virt / 2 ? swap : 0);
		swap = part > virt / 2 ? 0 : swap;
		virt -= part;
		rss -= resident;
	}
	if (virt < all) {
		if (!virt && !rss)
			return;
		/* beside the heap: others' memory that the kernel joined to it */
		if (kind == LEDGER_HEAP && !has_block(m, rest))
			kind = LEDGER_OTHER;
	}
	add_line(&l->line[kind], virt, rss, swap);
}

void ledger__make(const struct ledger_input *in, const struct ledger_heap *heap, struct ledger *ret)
{
	struct ledger_line *diff = &ret->line[LEDGER_DIFFERENCE];
	struct ledger_line covered[CONTRIBUTORS] = {0};
	struct ledger_heap rest = heap ? *heap : (struct ledger_heap){0};
	int64_t rss = 0, virt = 0;

	memset(ret, 0, sizeof(*ret));
	ret->rss_bytes = in->rss_bytes;
	ret->virt_bytes = in->virt_bytes;
	ret->swap_bytes = in->swap_bytes;
	ret->pgtables_bytes = in->pgtables_bytes;
	ret->steady = in->steady;
	ret->unix_ms = in->unix_ms;
	rest.nshares = min_of(rest.nshares, (size_t)CONTRIBUTORS);
	for (size_t k = 0; k < rest.nshares; k++) {
		if (!rest.share[k].walk.done)
			continue;
		/* blocks in walked heaps are accounted for by the walks; the last has what is left
		 */
		rest.block = rest.share[k].stray;
		rest.nblocks = rest.share[k].nstray;
	}
	for (size_t i = 0; i < in->n; i++) {
		const struct ledger_map *m = &in->map[i];

		add_map(ret, in, i, &rest, covered);
		virt += m->end - m->start;
		rss += m->rss;
		ret->hugetlb_bytes += m->hugetlb;
		add_reservation(ret, m);
	}
	for (size_t k = 0; k < rest.nshares; k++)
		split_share(ret, &rest, &rest.share[k], &covered[k]);
	if (rest.known) {
		ret->has_heap = true;
		ret->from_start = rest.from_start;
		split_heap(ret, &rest);
	}
	describe_walk(ret, &rest);
	diff->rss_bytes = (int64_t)in->rss_bytes - rss;
	diff->virt_bytes = (int64_t)in->virt_bytes - virt;
}
