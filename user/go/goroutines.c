/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/goroutines.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "go/go_stacks.h"
#include "go/release.h"

#include <string.h>

#define MAX_GOROUTINES ((uint64_t)16 << 20)
#define MAX_PCS 1024 /* of one stack */
#define STACK_WINDOW 16384
#define CACHE_BYTES ((size_t)48 << 20) /* a helper has 256 MiB in all */

enum g_status { /* runtime2.go */
		G_IDLE,
		G_RUNNABLE,
		G_RUNNING,
		G_SYSCALL,
		G_WAITING,
		G_MORIBUND,
		G_DEAD,
		G_ENQUEUE,
		G_COPYSTACK,
		G_PREEMPTED,
		G_LEAKED,
		G_DEADEXTRA
};
#define G_SCAN 0x1000

struct g { /* what is read of a runtime.g */
	uint64_t addr, stack_hi;
	uint64_t pc, sp, syscall_pc, syscall_sp, startpc;
	uint32_t status;
	uint8_t wait_reason;
};

static const char *reason_of(int minor, uint8_t r)
{
	const struct go_release *release = go_release__of(minor);

	if (!go_layout__of(minor))
		return "waiting"; /* the numbers moved from release to release */
	return r && r < release->nwait_reasons ? release->wait_reasons[r] : "waiting";
}

static const char *state_of(const struct go_target *t, const struct g *g)
{
	switch (g->status & ~G_SCAN) {
	case G_RUNNABLE: return "runnable";
	case G_RUNNING: return "running";
	case G_SYSCALL: return "syscall";
	case G_WAITING: return reason_of(t->bin.minor, g->wait_reason);
	case G_COPYSTACK: return "copystack";
	case G_PREEMPTED: return "preempted";
	case G_LEAKED: return "leaked";
	default: return "other";
	}
}

struct reading {
	const struct go_target *t;
	struct procmem_cache *cache;
	uint64_t list, n;
};

static int start_reading(const struct go_target *t, struct reading *r)
{
	uint64_t slice[2];
	int err;

	memset(r, 0, sizeof(*r));
	r->t = t;
	if (!t->sym.allgs)
		return -ENOENT;
	err = procmem_cache__new(t->mem, CACHE_BYTES, &r->cache);
	if (!err)
		err = t->reader.read(t->reader.arg, t->sym.allgs, slice, sizeof(slice));
	if (err)
		return err;
	r->list = slice[0];
	r->n = slice[1];
	return r->n == 0 || r->n > MAX_GOROUTINES ? -EBADMSG : 0;
}

/* Reads the i-th goroutine; 1 if it is none at present (dead, being made). */
static int read_g(struct reading *r, uint64_t i, struct g *g)
{
	const struct go_layout_g *l = &r->t->layout->g;
	uint8_t raw[1024];
	int err = procmem_cache__read(r->cache, r->list + i * 8, &g->addr, 8);

	if (!err && l->size > sizeof(raw))
		err = -EINVAL;
	if (!err)
		err = procmem_cache__read(r->cache, g->addr, raw, l->size);
	if (err)
		return err;
	memcpy(&g->stack_hi, raw + 8, 8);
	memcpy(&g->pc, raw + l->sched_pc, 8);
	memcpy(&g->sp, raw + l->sched_sp, 8);
	memcpy(&g->syscall_pc, raw + l->syscall_pc, 8);
	memcpy(&g->syscall_sp, raw + l->syscall_sp, 8);
	memcpy(&g->startpc, raw + l->startpc, 8);
	memcpy(&g->status, raw + l->status, 4);
	g->wait_reason = raw[l->wait_reason];
	switch (g->status & ~G_SCAN) {
	case G_IDLE:
	case G_DEAD:
	case G_DEADEXTRA: return 1;
	}
	return (g->status & ~G_SCAN) > G_DEADEXTRA ? -EBADMSG : 0;
}

/* Goroutines of the runtime's own, which the runtime does not count either. */
static bool is_system(const struct go_target *t, const struct g *g)
{
	struct gotab_frame f;

	if (!go_target__frame(t, g->startpc, &f))
		return false;
	return !strncmp(f.name, "runtime.", 8) && strcmp(f.name, "runtime.main") &&
	       strcmp(f.name, "runtime.corostart") && strcmp(f.name, "runtime.handleAsyncEvent");
}

int go_goroutines__count(const struct go_target *t, struct go_goroutines_count *ret)
{
	struct reading r;
	struct g g;
	int err = start_reading(t, &r);

	memset(ret, 0, sizeof(*ret));
	for (uint64_t i = 0; !err && i < r.n; i++) {
		err = read_g(&r, i, &g);
		if (err == 1) {
			err = 0;
			continue;
		}
		if (err)
			break;
		if (is_system(t, &g))
			ret->system++;
		else
			ret->user++;
		if ((g.status & ~G_SCAN) == G_RUNNING)
			ret->running++;
	}
	procmem_cache__free(r.cache);
	return err;
}

struct stack_window { /* the part of a stack at hand */
	uint64_t addr;
	size_t len;
	uint8_t data[STACK_WINDOW];
};

static int stack_word(const struct go_target *t, struct stack_window *w, uint64_t addr, uint64_t hi,
		      uint64_t *ret)
{
	if (addr > hi || hi - addr < 8)
		return -EFAULT;
	if (addr < w->addr || addr - w->addr > w->len || w->len - (addr - w->addr) < 8) {
		w->addr = addr;
		w->len = min_of((size_t)(hi - addr), sizeof(w->data));
		if (t->reader.read(t->reader.arg, addr, w->data, w->len)) {
			w->len = 0;
			return -EFAULT;
		}
	}
	memcpy(ret, w->data + (addr - w->addr), 8);
	return 0;
}

/* The calls at one return address, inlined ones first, without compiler-made wrappers. */
static size_t expand(const struct go_target *t, uint64_t pc, uint64_t entry, uint8_t *callee,
		     uint64_t *out, size_t max)
{
	struct gotab_frame frames[GOTAB_MAX_INLINE];
	int k = go_target__frames(t, pc > entry ? pc - 1 : pc, frames, GOTAB_MAX_INLINE);
	size_t n = 0;

	for (int i = 0; i < k && n < max; i++) {
		if (!gotab__is_wrapper(t->bin.minor, frames[i].func_id) ||
		    gotab__shows_wrapper(t->bin.minor, *callee))
			out[n++] = frames[i].return_pc;
		*callee = frames[i].func_id;
	}
	return n;
}

/* Follows the frame sizes of the function table. Returns the number of calls; *ret_whole: reached
 * the root. */
static size_t unwind(const struct go_target *t, const struct g *g, uint64_t *pcs, bool *ret_whole)
{
	uint64_t pc = g->syscall_sp ? g->syscall_pc : g->pc;
	uint64_t sp = g->syscall_sp ? g->syscall_sp : g->sp;
	size_t limit = go_release__of(t->bin.minor)->goroutine_frames, n = 0;
	struct stack_window w = {0};
	struct gotab_func f;
	uint8_t callee = 0;
	int32_t delta;

	*ret_whole = false;
	while (n < limit) {
		uint64_t at = pc - t->bias, lr;

		if (gotab__func_of(&t->bin.tab, at, &f) ||
		    gotab__sp_delta(&t->bin.tab, &f, at, &delta) || delta < 0)
			return n;
		n += expand(t, pc, f.entry + t->bias, &callee, pcs + n, limit - n);
		if (f.flag & GOTAB_FLAG_TOP_FRAME) {
			*ret_whole = true;
			return n;
		}
		sp += (uint64_t)delta;
		if ((f.flag & GOTAB_FLAG_SP_WRITE && n > 1) ||
		    stack_word(t, &w, sp, g->stack_hi, &lr) || !lr)
			return n;
		sp += 8;
		pc = lr;
	}
	*ret_whole = true; /* as deep as the runtime itself shows */
	return n;
}

struct goroutine_group { /* goroutines of one state and stack */
	uint64_t count;
	uint32_t state;
	uint32_t locs0, nlocs;
};

struct grouping {
	struct goroutine_group *g;
	size_t cap;
	uint32_t *locs;
	size_t nlocs, locs_cap;
	struct hash_index index; /* index.n groups */
};

static int count_in(struct grouping *gr, uint32_t state, const uint32_t *locs, uint32_t n)
{
	uint64_t hash = keyhash__bytes(locs, n * sizeof(*locs)) + state * 0x9e3779b97f4a7c15ULL;
	size_t at = HASH_INDEX_START;
	uint32_t i;
	int err;

	while (hash_index__next(&gr->index, hash, &at, &i)) {
		struct goroutine_group *g = &gr->g[i];

		if (g->state == state && g->nlocs == n &&
		    !memcmp(gr->locs + g->locs0, locs, n * sizeof(*locs))) {
			g->count++;
			return 0;
		}
	}
	err = hash_index__reserve(&gr->index);
	if (!err)
		err = array_reserve(gr->g, gr->cap, gr->index.n + 1);
	if (!err)
		err = array_reserve(gr->locs, gr->locs_cap, gr->nlocs + n);
	if (err)
		return err;
	if (n)
		memcpy(gr->locs + gr->nlocs, locs, n * sizeof(*locs));
	gr->g[gr->index.n] = (struct goroutine_group){1, state, (uint32_t)gr->nlocs, n};
	gr->nlocs += n;
	hash_index__add(&gr->index, hash);
	return 0;
}

/* Did it move while its stack was read? Then what was read is of two moments. */
static bool stayed(const struct go_target *t, const struct g *g)
{
	const struct go_layout_g *l = &t->layout->g;
	uint64_t pc, sp;
	uint32_t status;

	return !go_target__u64(t, g->addr, l->sched_pc, &pc) &&
	       !go_target__u64(t, g->addr, l->sched_sp, &sp) &&
	       !go_target__u32(t, g->addr, l->status, &status) && pc == g->pc && sp == g->sp &&
	       (status & ~G_SCAN) == (g->status & ~G_SCAN);
}

static int add_g(const struct go_target *t, const struct g *g, struct go_stacks *s,
		 struct profile *p, struct grouping *gr, struct go_goroutines_count *c)
{
	uint32_t locs[GO_STACK_MAX + 1], state;
	uint64_t pcs[MAX_PCS + GOTAB_MAX_INLINE];
	bool running = (g->status & ~G_SCAN) == G_RUNNING && !g->syscall_sp, whole = true;
	size_t n = running ? 0 : unwind(t, g, pcs, &whole);
	int err, nlocs;

	if (!running && !stayed(t, g)) {
		running = true;
		n = 0;
	}
	if (running)
		c->running++;
	else if (!whole)
		c->unreadable++;
	if (n == 0)
		pcs[n++] = g->startpc + 1;
	nlocs = go_stacks__locations(s, pcs, n, false, locs + 1);
	if (nlocs < 0)
		return nlocs;
	err = profile__string(p, running ? "running" : state_of(t, g), &state);
	if (err)
		return err;
	if (!running && whole)
		return count_in(gr, state, locs + 1, (uint32_t)nlocs);
	err = profile__pseudo_location(p, running ? "[running]" : "[stack cut]", &locs[0]);
	return err ? err : count_in(gr, state, locs, (uint32_t)nlocs + 1);
}

int go_goroutines__set_types(struct profile *p)
{
	struct profile_adder a = {p, 0};

	p->sample_type[0].type = profile__add_string(&a, "goroutine");
	p->sample_type[0].unit = profile__add_string(&a, "count");
	p->period_type = p->sample_type[0];
	p->nvalues = 1;
	p->period = 1;
	return a.err;
}

static int by_count(const void *a, const void *b)
{
	const struct goroutine_group *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->locs0 < y->locs0 ? -1 : x->locs0 > y->locs0;
}

static int emit_groups(struct grouping *gr, struct profile *p)
{
	struct profile_label label = {0};
	int err = profile__string(p, "state", &label.key);

	if (gr->index.n)
		qsort(gr->g, gr->index.n, sizeof(*gr->g), by_count);
	for (size_t i = 0; !err && i < gr->index.n; i++) {
		int64_t v = (int64_t)gr->g[i].count;

		label.str = gr->g[i].state;
		err = profile__sample(p, gr->locs + gr->g[i].locs0, gr->g[i].nlocs, &v, &label, 1);
	}
	return err;
}

static int collect(struct reading *r, struct go_stacks *s, struct profile *p, struct grouping *gr,
		   struct go_goroutines_count *c)
{
	struct g g;
	int err = 0;

	for (uint64_t i = 0; !err && i < r->n; i++) {
		err = read_g(r, i, &g);
		if (err == 1 || (!err && is_system(r->t, &g))) {
			c->system += !err;
			err = 0;
			continue;
		}
		if (err)
			break;
		c->user++;
		err = add_g(r->t, &g, s, p, gr, c);
	}
	return err;
}

int go_goroutines__profile(const struct go_target *t, struct profile **ret,
			   struct go_goroutines_count *ret_count)
{
	struct grouping gr = {0};
	struct go_stacks *s = NULL;
	struct profile *p = NULL;
	struct reading r;
	int err = start_reading(t, &r);

	memset(ret_count, 0, sizeof(*ret_count));
	if (!err)
		err = profile__new(&p);
	if (!err)
		err = go_goroutines__set_types(p);
	if (!err)
		err = go_stacks__new(t, p, &s);
	if (!err)
		err = collect(&r, s, p, &gr, ret_count);
	if (!err)
		err = emit_groups(&gr, p);
	go_stacks__free(s);
	procmem_cache__free(r.cache);
	free(gr.g);
	free(gr.locs);
	hash_index__fini(&gr.index);
	if (err) {
		profile__free(p);
		return err;
	}
	*ret = p;
	return 0;
}
