/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/fast_plan.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/plt.h"
#include "sys/proc_status.h"

#define MAX_FOLLOW 4
#define BREAKPOINT 0xcc
#define MAX_BODY (64 << 10)
#define UNKNOWN_BODY (4 << 10)
#define TEXT_CHUNK (1 << 20)

static bool refuse(struct fast_plan *p, const struct site *s, const char *why)
{
	snprintf(p->why, sizeof(p->why), "%s: %s", s->func.name, why);
	return false;
}

/* Functions that are left alone, and why that is right. */
static const char *left_alone(const struct site *s)
{
	if (s->unproved)
		return *s->why ? s->why : "its name is all that it has of an allocator";
	if (s->wrapper)
		return "it calls another function of the family";
	if (allocs__signature(s->func.fn)->does == MW_DOES_RESIZE)
		return "it keeps its probe";
	return NULL;
}

unsigned int fast_plan__args(const struct site *s)
{
	const struct signature *sig = allocs__signature(s->func.fn);
	unsigned int args = signature__args(sig);

	/* what is called instead is given a heap or an alignment, too */
	return sig->does == MW_DOES_THROW ? args | 1u << 1 | 1u << 2 : args;
}

/* The function's entry, behind jumps that lead to it. */
static bool find_entry(struct elfobj *e, const struct site *s, uint64_t bias, struct fast_plan *p,
		       struct plan_func *f)
{
	uint64_t vaddr = s->func.vaddr, follow;
	unsigned int args = fast_plan__args(s);
	uint8_t code[ENTRY_LOOK];

	for (int i = 0; i < MAX_FOLLOW; i++) {
		size_t n = elfobj__read(e, vaddr, code, sizeof(code));

		if (entry__decode(code, n, vaddr + bias, args, &f->stub.entry, &follow))
			return true;
		if (!follow)
			return refuse(p, s, f->stub.entry.why);
		vaddr = follow - bias;
	}
	return refuse(p, s, "its code is a chain of jumps");
}

struct free_search {
	const struct elfobj *elf;
	const struct site *sites, *self;
	size_t n;
	struct plt plt;
};

static bool is_free(void *arg, uint64_t to)
{
	const struct free_search *f = arg;
	const struct plt_entry *stub = plt__resolve(&f->plt, f->elf, to);

	if (stub)
		return stub->fn == MW_FN_FREE;
	for (size_t i = 0; i < f->n; i++) {
		const struct site *s = &f->sites[i];

		if (s != f->self && s->func.fn == MW_FN_FREE && s->func.vaddr == to)
			return true;
	}
	return false;
}

/* A check before a free: what it gives back goes through that one's stub. */
static bool leads_to_free(struct elfobj *e, const struct site *s, const struct site *sites,
			  size_t n)
{
	struct free_search f = {.elf = e, .sites = sites, .self = s, .n = n};
	uint8_t body[256];
	bool found;
	size_t len =
		elfobj__read(e, s->func.vaddr, body, min_of(s->func.size, (uint64_t)sizeof(body)));

	if (s->func.fn != MW_FN_FREE || s->func.size > sizeof(body) || !len ||
	    plt__load(e, false, &f.plt))
		return false;
	found = entry__each_branch(body, len, s->func.vaddr, is_free, &f);
	plt__free(&f.plt);
	return found;
}

struct extent {
	uint64_t in, start, end; /* start == end: not known */
};

static int on_function(void *arg, const struct elfobj_symbol *sym)
{
	struct extent *x = arg;

	if (sym->type == STT_FUNC && x->in - sym->vaddr < sym->size) {
		x->start = sym->vaddr;
		x->end = sym->vaddr + sym->size;
	}
	return x->start != x->end;
}

/* The function that an entry is of: another one than the site's, where jumps led on. */
static struct extent extent_of(const struct elfobj *e, const struct site *s, uint64_t entry)
{
	struct extent x = {.in = entry, .start = entry, .end = entry};

	if (entry == s->func.vaddr && s->func.size)
		x.end += s->func.size;
	else
		elfobj__each_symbol(e, on_function, &x);
	return x;
}

/* May the entry be overwritten, as far as its function's own code tells? */
static bool check_body(struct elfobj *e, const struct site *s, uint64_t bias, struct fast_plan *p,
		       const struct plan_func *f)
{
	struct extent x = extent_of(e, s, f->stub.entry.addr - bias);
	uint64_t size = x.end - x.start;
	size_t want = size ? min_of(size, (uint64_t)MAX_BODY) : UNKNOWN_BODY;
	cleanup_free uint8_t *body = malloc(want);
	size_t n = body ? elfobj__read(e, x.start, body, want) : 0;
	struct entry_body look;

	if (f->stub.entry.pad && (!size || x.end + bias > f->stub.entry.pad))
		return refuse(p, s, "it is too short");
	entry__look(&f->stub.entry, body, n, x.start + bias, &look);
	if (!look.decoded)
		return refuse(p, s, "its code cannot be decoded");
	if (look.branches)
		return refuse(p, s, "a branch leads into the bytes to be written");
	/* Compilers let callers that are compiled together with such a function rely on registers
	 * that its code does not change, and stubs do. */
	if (!look.leaves)
		return refuse(p, s,
			      "it calls nothing: its callers may know what it leaves unchanged");
	return true;
}

#define NOP5 "\x0f\x1f\x44\x00\x00"
#define CALL 0xe8

/* Linux from 6.18 on makes the probe on a 5-byte nop a call, in steps. */
static bool is_call_of_probe(const uint8_t *was, const uint8_t *now)
{
	return !memcmp(was, NOP5, ENTRY_PATCH) && (*now == CALL || *now == BREAKPOINT);
}

enum fast_change fast_plan__changed(const uint8_t *was, const uint8_t *now, size_t n)
{
	enum fast_change found = FAST_SAME;

	for (size_t i = 0; i < n; i++) {
		if (now[i] == was[i])
			continue;
		found = FAST_PROBED;
		if (i + ENTRY_PATCH <= n && is_call_of_probe(was + i, now + i))
			i += ENTRY_PATCH - 1;
		else if (now[i] != BREAKPOINT)
			return FAST_WRITTEN;
	}
	return found;
}

/* The file's bytes are what the process runs, and nobody else writes there. */
static bool as_in_file(const struct site *s, struct procmem *mem, struct fast_plan *p,
		       const struct plan_func *f)
{
	const struct entry *e = &f->stub.entry;
	size_t n = e->back - e->patch;
	enum fast_change change;
	uint8_t now[ENTRY_LOOK];
	int err = procmem__read(mem, e->patch, now, n);

	p->gone = err == -ESRCH;
	if (err)
		return refuse(p, s, "its memory cannot be read");
	change = fast_plan__changed(e->code + (e->patch - e->addr), now, n);
	p->written |= change == FAST_WRITTEN;
	return change == FAST_SAME ||
	       refuse(p, s,
		      change == FAST_WRITTEN ? "somebody has written other code there"
					     : "another tracer's probe is there");
}

static const struct plan_func *find(const struct fast_plan *p, uint64_t entry)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->funcs[i].hooked && p->funcs[i].stub.entry.addr == entry)
			return &p->funcs[i];
	}
	return NULL;
}

void fast_plan__begin(struct plan_func *f, const struct site *s)
{
	f->site = s;
	f->stub.fn = s->func.fn;
	f->stub.target = -1;
	f->stub.null_goes_on = s->null_goes_on;
	f->stub.align_goes_on = s->align_goes_on;
}

static bool plan_one(struct elfobj *e, const struct site *sites, size_t n, const struct site *s,
		     uint64_t bias, struct fast_plan *p, struct plan_func *f)
{
	const struct plan_func *same;

	fast_plan__begin(f, s);
	f->why = left_alone(s);
	if (f->why)
		return true;
	if (allocs__signature(s->func.fn)->old > 2)
		return refuse(p, s, "its block is behind its second argument");
	if (!find_entry(e, s, bias, p, f)) {
		if (!leads_to_free(e, s, sites, n))
			return false;
		f->why = "it goes on to another function of the family";
		*p->why = 0;
		return true;
	}
	same = find(p, f->stub.entry.addr);
	if (same) {
		f->why = "it is another name of a function above";
		return same->stub.fn == f->stub.fn ||
		       refuse(p, s, "it shares its code with a function of another kind");
	}
	if (!check_body(e, s, bias, p, f))
		return false;
	if (p->hooked == STUB_MAX_FUNCS)
		return refuse(p, s, "there are too many functions");
	f->hooked = true;
	p->hooked++;
	return true;
}

struct text_scan {
	struct fast_plan *p;
	uint64_t lo, hi;
};

static bool into_any(void *arg, uint64_t to)
{
	struct text_scan *t = arg;

	if (to < t->lo || to >= t->hi)
		return false;
	for (size_t i = 0; i < t->p->n; i++) {
		const struct plan_func *f = &t->p->funcs[i];

		if (f->hooked && entry__inside(&f->stub.entry, to))
			return !refuse(t->p, f->site,
				       "a branch leads into the bytes to be written");
	}
	return false;
}

/* Branches from anywhere in the file. */
static int scan_text(struct elfobj *e, uint64_t bias, struct fast_plan *p)
{
	struct text_scan t = {.p = p, .lo = UINT64_MAX};
	cleanup_free uint8_t *buf = malloc(TEXT_CHUNK);
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg);

	if (!buf)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++) {
		if (p->funcs[i].hooked) {
			t.lo = min_of(t.lo, p->funcs[i].stub.entry.patch);
			t.hi = max_of(t.hi, p->funcs[i].stub.entry.back);
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!(seg[i].flags & PF_X))
			continue;
		for (uint64_t at = 0; at < seg[i].filesz; at += TEXT_CHUNK - 8) {
			uint64_t vaddr = seg[i].vaddr + at;
			size_t want = min_of(seg[i].filesz - at, (uint64_t)TEXT_CHUNK);
			size_t got = elfobj__read(e, vaddr, buf, want);

			if (entry__each_rel32(buf, got, vaddr + bias, into_any, &t))
				return 0;
		}
	}
	return 0;
}

static bool throws(const struct plan_func *f)
{
	return f->hooked && allocs__signature(f->stub.fn)->does == MW_DOES_THROW;
}

/* The function that is called in the stead of one that throws: same allocator, returns NULL. */
static bool find_targets(struct fast_plan *p)
{
	int plain = -1, aligned = -1, nothrow = -1, heap = -1, index = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct plan_func *f = &p->funcs[i];
		const char *name = f->site->func.name;

		if (!f->hooked)
			continue;
		if (f->stub.fn == MW_FN_MALLOC && strstr(name, "malloc") && !strchr(name, 'Z') &&
		    !strstr(name, "aligned") && !strstr(name, "small") && plain < 0)
			plain = index;
		if (f->stub.fn == MW_FN_MEMALIGN && aligned < 0)
			aligned = index;
		if (f->stub.fn == MW_FN_MALLOC && strstr(name, "aligned_nothrow"))
			nothrow = index;
		if (f->stub.fn == MW_FN_HEAP_MALLOC && !strcmp(name, "mi_heap_malloc"))
			heap = index;
		index++;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct plan_func *f = &p->funcs[i];
		const char *name = f->site->func.name;

		if (!throws(f))
			continue;
		f->stub.aligned = strstr(name, "align");
		f->stub.target = f->stub.aligned			    ? aligned
				 : allocs__signature(f->stub.fn)->size == 2 ? heap
									    : plain;
		if (f->stub.aligned && aligned < 0) { /* mimalloc: the same arguments */
			f->stub.aligned = false;
			f->stub.target = nothrow;
		}
		if (f->stub.target < 0)
			return refuse(p, f->site, "it throws, and there is no malloc beside it");
	}
	return true;
}

/*
 * Allocators that keep account of the function that each block is from, and end the program at the
 * first that is given back by another one's pair (a debugging allocator, a sanitizer), by names.
 */
static int on_accountant(void *arg, const struct elfobj_symbol *sym)
{
	static const char *const begins[] = {"__asan_init", "__hwasan_init", "__msan_init",
					     "__tsan_init", "__interceptor_malloc"};
	bool *found = arg;

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		*found |= !strncmp(sym->name, begins[i], strlen(begins[i]));
	*found |= strstr(sym->name, "DebugMallocImplementation") != NULL;
	return *found;
}

/* May a block of this file's malloc be given back by its operator delete? One that throws is served
 * so. Of known allocators that is known. */
static bool check_pairs(const struct elfobj *e, struct fast_plan *p)
{
	bool accounts = false;

	elfobj__each_symbol(e, on_accountant, &accounts);
	if (accounts) {
		snprintf(p->why, sizeof(p->why),
			 "it checks which function each block is from (a debugging allocator, a "
			 "sanitizer)");
		return false;
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct plan_func *f = &p->funcs[i];

		if (throws(f) && !allocs__is_allocator(e))
			return refuse(p, f->site,
				      "it throws, and malloc might not do what it does");
	}
	return true;
}

int fast_plan__read(struct elfobj *e, const struct site *sites, size_t n, uint64_t bias,
		    struct fast_plan *p)
{
	bool frees = false;

	memset(p, 0, sizeof(*p));
	if (elfobj__machine(e) != EM_X86_64) {
		snprintf(p->why, sizeof(p->why), "only x86-64 programs can be sampled inside");
		return 0;
	}
	p->funcs = calloc(n ? n : 1, sizeof(*p->funcs));
	if (!p->funcs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		p->n++;
		if (!plan_one(e, sites, n, &sites[i], bias, p, &p->funcs[i]))
			return 0;
		frees |= p->funcs[i].hooked && p->funcs[i].stub.fn == MW_FN_FREE;
	}
	if (!p->hooked || !frees) {
		snprintf(p->why, sizeof(p->why), "no allocator of its own");
		return 0;
	}
	return check_pairs(e, p) ? scan_text(e, bias, p) : 0;
}

int fast_plan__check(struct fast_plan *p, struct procmem *mem)
{
	if (*p->why)
		return 0;
	for (size_t i = 0; i < p->n; i++) {
		if (!p->funcs[i].hooked || as_in_file(p->funcs[i].site, mem, p, &p->funcs[i]))
			continue;
		if (!p->gone)
			return 0;
		*p->why = 0;
		return -ESRCH;
	}
	find_targets(p);
	return 0;
}

void fast_plan__fini(struct fast_plan *p)
{
	free(p->funcs);
	free(p->texts);
	p->funcs = NULL;
	p->texts = NULL;
}

bool fast_plan__process(int pid, int tracer, char why[FAST_WHY])
{
	struct proc_status s;

	*why = 0;
	if (proc_status__read(pid, &s))
		snprintf(why, FAST_WHY, "it is gone");
	else if (s.filters)
		snprintf(why, FAST_WHY, "it filters its system calls (seccomp)");
	else if (s.tracer && s.tracer != tracer)
		snprintf(why, FAST_WHY, "PID %d traces it (a debugger)", s.tracer);
	else if (s.shadow_stack)
		snprintf(why, FAST_WHY, "it runs with a shadow stack");
	return !*why;
}
