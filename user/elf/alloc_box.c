/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/alloc_box.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "elf/exits.h"

#define MAX_THROWING 64
#define MAX_ANSWER_BYTES (4u << 20)
#define MAX_WHY 120

enum { ALLOC_FIND = 1, ALLOC_NAME };

/* The memory file: a wire_head, then nsites wire_sites, nexits uint64_t, ninner inner_ranges, nusdt
 * usdt_sites. */
struct wire_head {
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	uint8_t has_symbols, starts_programs, is_library, malformed, exits_missing;
	uint32_t nsites, nexits, ninner, nusdt;
	char usdt_why[USDT_WHY];
};

enum { WIRE_WRAPPER = 1, WIRE_CALLS_FAMILY = 2, WIRE_NULL_GOES_ON = 4, WIRE_UNPROVED = 8 };

struct wire_site {
	char name[sizeof(((struct alloc_func *)0)->name)];
	char insn[sizeof(((struct site *)0)->insn)];
	char why[MAX_WHY];
	char calls[sizeof(((struct site *)0)->calls)];
	uint32_t fn, kind, flags, align_goes_on, ncallers;
	uint64_t func_vaddr, func_size, vaddr, off;
	uint32_t nlayer, pad;
	int64_t caller[SITE_CALLERS][2], layer[LAYER_RANGES][2];
};

/* A field more in struct site is one more to be sent. */
_Static_assert(sizeof(struct site) == 792, "wire_site holds all of struct site");

void alloc_found__free(struct alloc_found *f)
{
	free(f->sites);
	free(f->exits);
	free(f->inner);
	free(f->usdt);
	memset(f, 0, sizeof(*f));
}

/* The helper's side. */

struct symbol_facts {
	bool any, starts_programs;
};

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct symbol_facts *f = arg;

	f->any = true;
	f->starts_programs |= !strcmp(sym->name, "__libc_start_main");
	return 0;
}

/* The ways out of the functions that throw. */
static int find_exits(struct elfobj *elf, struct alloc_found *out)
{
	struct exits_function fn[MAX_THROWING];
	cleanup_free struct exits *x = calloc(1, sizeof(*x));
	size_t n = 0;
	int err;

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < out->nsites && n < ARRAY_SIZE(fn); i++) {
		const struct site *s = &out->sites[i];

		if (allocs__signature(s->func.fn)->does == MW_DOES_THROW && !s->wrapper &&
		    s->kind != SITE_NONE)
			fn[n++] = (struct exits_function){s->func.vaddr, s->func.size};
	}
	err = n ? exits__find(elf, fn, n, x) : 0;
	if (err)
		return err;
	out->exits_missing = x->incomplete;
	out->exits = malloc((x->n + 1) * sizeof(*out->exits));
	if (!out->exits)
		return -ENOMEM;
	memcpy(out->exits, x->off, x->n * sizeof(*out->exits));
	out->nexits = x->n;
	return 0;
}

struct own_functions {
	uint64_t *vaddr;
	size_t n, cap;
};

static int add_own(struct own_functions *f, uint64_t vaddr)
{
	int err = array_reserve(f->vaddr, f->cap, f->n + 1);

	if (!err)
		f->vaddr[f->n++] = vaddr;
	return err;
}

static int on_own_name(void *arg, const struct elfobj_symbol *sym)
{
	return sym->type == STT_FUNC && allocs__names_own(sym->name) ? add_own(arg, sym->vaddr) : 0;
}

/* Of a library that is an allocator and nothing else all is the allocator's anyway. */
static int find_inner(const struct elfobj *elf, struct alloc_found *out)
{
	struct own_functions f = {0};
	int err = 0;

	if (!out->nsites || (out->is_library && !out->starts_programs))
		return 0;
	for (size_t i = 0; i < out->nsites && !err; i++) {
		const struct site *s = &out->sites[i];

		if (s->kind != SITE_NONE && !s->unproved && !s->wrapper)
			err = add_own(&f, s->func.vaddr);
	}
	if (!err && allocs__is_allocator(elf) &&
	    elfobj__each_symbol(elf, on_own_name, &f) == -ENOMEM)
		err = -ENOMEM;
	if (!err)
		err = inner__find(elf, f.vaddr, f.n, &out->inner, &out->ninner);
	free(f.vaddr);
	return err;
}

static int look_through(struct elfobj *elf, struct alloc_found *out)
{
	cleanup_free struct alloc_func *funcs = NULL;
	struct symbol_facts facts = {0};
	size_t n = 0;
	int err;

	elfobj__each_symbol(elf, on_symbol, &facts);
	out->has_symbols = facts.any;
	out->starts_programs = facts.starts_programs;
	out->is_library = elfobj__type(elf) == ET_DYN && !elfobj__has_interp(elf);
	err = allocs__find(elf, &funcs, &n);
	out->malformed = err == -EBADMSG;
	if (out->malformed)
		err = 0;
	if (!err && n)
		err = site__choose(elf, funcs, n, &out->sites);
	out->nsites = err ? 0 : n;
	if (!err)
		err = usdt__find(elf, &out->usdt, &out->nusdt, out->usdt_why);
	if (!err)
		err = find_inner(elf, out);
	return err ? err : find_exits(elf, out);
}

static void pack_site(const struct site *s, struct wire_site *w)
{
	memset(w, 0, sizeof(*w));
	memcpy(w->name, s->func.name, sizeof(w->name));
	memcpy(w->insn, s->insn, sizeof(w->insn));
	memcpy(w->calls, s->calls, sizeof(w->calls));
	snprintf(w->why, sizeof(w->why), "%s", s->why);
	w->fn = s->func.fn;
	w->kind = s->kind;
	w->flags = (s->wrapper ? WIRE_WRAPPER : 0) | (s->calls_family ? WIRE_CALLS_FAMILY : 0) |
		   (s->null_goes_on ? WIRE_NULL_GOES_ON : 0) | (s->unproved ? WIRE_UNPROVED : 0);
	w->align_goes_on = s->align_goes_on;
	w->func_vaddr = s->func.vaddr;
	w->func_size = s->func.size;
	w->vaddr = s->vaddr;
	w->off = s->off;
	w->ncallers = s->ncallers;
	for (size_t i = 0; i < s->ncallers; i++) {
		w->caller[i][0] = s->caller[i].lo;
		w->caller[i][1] = s->caller[i].hi;
	}
	w->nlayer = s->nlayer;
	for (size_t i = 0; i < s->nlayer; i++) {
		w->layer[i][0] = s->layer[i].lo;
		w->layer[i][1] = s->layer[i].hi;
	}
}

static int write_found(int fd, const struct alloc_found *f)
{
	struct wire_head h = {
		.has_symbols = f->has_symbols,
		.starts_programs = f->starts_programs,
		.is_library = f->is_library,
		.malformed = f->malformed,
		.exits_missing = f->exits_missing,
		.nsites = f->nsites,
		.nexits = f->nexits,
		.ninner = f->ninner,
		.nusdt = f->nusdt,
	};
	int err;

	memcpy(h.build_id, f->build_id, sizeof(h.build_id));
	memcpy(h.usdt_why, f->usdt_why, sizeof(h.usdt_why));
	err = util__write_all(fd, &h, sizeof(h));
	for (size_t i = 0; i < f->nsites && !err; i++) {
		struct wire_site w;

		pack_site(&f->sites[i], &w);
		err = util__write_all(fd, &w, sizeof(w));
	}
	if (!err)
		err = util__write_all(fd, f->exits, f->nexits * sizeof(*f->exits));
	if (!err)
		err = util__write_all(fd, f->inner, f->ninner * sizeof(*f->inner));
	return err ? err : util__write_all(fd, f->usdt, f->nusdt * sizeof(*f->usdt));
}

void alloc_box__serve(struct box_conn *c, struct box_request *r)
{
	struct alloc_found found = {0};
	struct elfobj *e = NULL;
	bool known = r->op == ALLOC_FIND || r->op == ALLOC_NAME;
	int err = known && r->fds[0] >= 0 && r->fds[1] >= 0 ? elfobj__open_fd(r->fds[0], "", &e)
							    : -EINVAL;

	if (!err)
		elfobj__build_id_hex(e, found.build_id);
	if (!err && r->op == ALLOC_FIND)
		err = look_through(e, &found);
	if (!err)
		err = write_found(r->fds[1], &found);
	box_conn__answer(c, err, NULL, 0, false);
	elfobj__close(e);
	alloc_found__free(&found);
}

/* This side. */

static int unpack_site(const struct wire_site *w, struct site *s, char *why)
{
	if (!util__is_text(w->name, sizeof(w->name)) || !util__is_text(w->insn, sizeof(w->insn)) ||
	    !util__is_text(w->why, sizeof(w->why)) || !util__is_text(w->calls, sizeof(w->calls)) ||
	    w->fn >= MW_FN_COUNT || w->kind > SITE_NONE || w->ncallers > SITE_CALLERS ||
	    w->nlayer > LAYER_RANGES)
		return -EBADMSG;
	memset(s, 0, sizeof(*s));
	memcpy(s->func.name, w->name, sizeof(w->name));
	memcpy(s->insn, w->insn, sizeof(w->insn));
	memcpy(s->calls, w->calls, sizeof(w->calls));
	memcpy(why, w->why, sizeof(w->why));
	/* a file's names are for terminals and logs as little as a process's */
	textbuf__printable(s->func.name);
	textbuf__printable(s->insn);
	textbuf__printable(s->calls);
	textbuf__printable(why);
	s->why = why;
	s->func.fn = w->fn;
	s->func.vaddr = w->func_vaddr;
	s->func.size = w->func_size;
	s->kind = w->kind;
	s->wrapper = w->flags & WIRE_WRAPPER;
	s->calls_family = w->flags & WIRE_CALLS_FAMILY;
	s->null_goes_on = w->flags & WIRE_NULL_GOES_ON;
	s->unproved = w->flags & WIRE_UNPROVED;
	s->align_goes_on = w->align_goes_on;
	s->vaddr = w->vaddr;
	s->off = w->off;
	s->ncallers = w->ncallers;
	for (size_t i = 0; i < s->ncallers; i++) {
		s->caller[i].lo = w->caller[i][0];
		s->caller[i].hi = w->caller[i][1];
	}
	s->nlayer = w->nlayer;
	for (size_t i = 0; i < s->nlayer; i++) {
		s->layer[i].lo = w->layer[i][0];
		s->layer[i].hi = w->layer[i][1];
	}
	return 0;
}

/* The sites and, behind them in the same memory, their reasons. */
static int unpack_sites(const char *p, size_t n, struct alloc_found *ret)
{
	char *why;

	if (!n)
		return 0;
	ret->sites = calloc(n, sizeof(*ret->sites) + MAX_WHY);
	if (!ret->sites)
		return -ENOMEM;
	why = (char *)(ret->sites + n);
	for (size_t i = 0; i < n; i++) {
		struct wire_site w;
		int err;

		memcpy(&w, p + i * sizeof(w), sizeof(w));
		err = unpack_site(&w, &ret->sites[i], why + i * MAX_WHY);
		if (err)
			return err;
	}
	ret->nsites = n;
	return 0;
}

static bool sound_ranges(const struct inner_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (r[i].off >= r[i].end || (i && r[i].off <= r[i - 1].end))
			return false;
	}
	return true;
}

/* The ways out, the inner code and the USDT probes. */
static int unpack_rest(const char *p, const struct wire_head *h, struct alloc_found *ret)
{
	size_t exits = h->nexits * sizeof(*ret->exits), inner = h->ninner * sizeof(*ret->inner);
	size_t usdt = h->nusdt * sizeof(*ret->usdt);

	ret->exits = malloc(exits + 1);
	ret->inner = malloc(inner + 1);
	ret->usdt = malloc(usdt + 1);
	if (!ret->exits || !ret->inner || !ret->usdt)
		return -ENOMEM;
	memcpy(ret->exits, p, exits);
	ret->nexits = h->nexits;
	memcpy(ret->inner, p + exits, inner);
	ret->ninner = h->ninner;
	memcpy(ret->usdt, p + exits + inner, usdt);
	if (!sound_ranges(ret->inner, ret->ninner))
		return -EBADMSG;
	for (size_t i = 0; i < h->nusdt; i++) {
		if (!usdt__sound(&ret->usdt[i]))
			return -EBADMSG;
	}
	ret->nusdt = h->nusdt;
	return 0;
}

/* What is in the helper's memory file, decoded: apart for tests. 0, -EBADMSG or -ENOMEM. */
int alloc_box__decode(const void *data, size_t len, struct alloc_found *ret)
{
	const char *p = data;
	struct wire_head h;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (len < sizeof(h))
		return -EBADMSG;
	memcpy(&h, p, sizeof(h));
	p += sizeof(h);
	if (h.nsites > ALLOCS_MAX || h.nexits > EXITS_MAX || h.ninner > INNER_MAX ||
	    h.nusdt > USDT_MAX_SITES ||
	    len != sizeof(h) + h.nsites * sizeof(struct wire_site) + h.nexits * sizeof(uint64_t) +
			    h.ninner * sizeof(struct inner_range) +
			    h.nusdt * sizeof(struct usdt_site) ||
	    !util__is_text(h.usdt_why, sizeof(h.usdt_why)) ||
	    !util__is_text(h.build_id, sizeof(h.build_id)) ||
	    strspn(h.build_id, "0123456789abcdef") != strlen(h.build_id))
		return -EBADMSG;
	memcpy(ret->build_id, h.build_id, sizeof(h.build_id));
	ret->has_symbols = h.has_symbols;
	ret->starts_programs = h.starts_programs;
	ret->is_library = h.is_library;
	ret->malformed = h.malformed;
	ret->exits_missing = h.exits_missing;
	err = unpack_sites(p, h.nsites, ret);
	memcpy(ret->usdt_why, h.usdt_why, sizeof(h.usdt_why));
	textbuf__printable(ret->usdt_why);
	if (!err)
		err = unpack_rest(p + h.nsites * sizeof(struct wire_site), &h, ret);
	if (err)
		alloc_found__free(ret);
	return err;
}

struct alloc_request {
	struct box_helper *h;
	int out; /* what it found, in memory */
};

void alloc_request__free(struct alloc_request *r)
{
	if (!r)
		return;
	box_helper__free(r->h);
	util__close_fd(&r->out);
	free(r);
}

int alloc_request__new(int fd, const struct box_target *whose, bool name_only,
		       struct alloc_request **ret)
{
	struct alloc_request *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->out = box__memory();
	err = r->out < 0 ? r->out : box_helper__new(BOX_ALLOCS, fd, whose, &r->h);
	if (!err) {
		const int fds[] = {fd, r->out};

		err = box_helper__send(r->h, name_only ? ALLOC_NAME : ALLOC_FIND, NULL, 0, fds,
				       ARRAY_SIZE(fds));
	}
	if (err)
		alloc_request__free(r);
	else
		*ret = r;
	return err;
}

bool alloc_request__await(struct alloc_request *r, uint64_t until_ns)
{
	return box_helper__await(r->h, until_ns);
}

int alloc_request__finish(struct alloc_request *r, struct alloc_found *ret)
{
	cleanup_free void *data = NULL;
	struct box_answer a;
	size_t len = 0;
	int err = box_helper__receive(r->h, &a);

	if (!err)
		err = a.result;
	if (!err)
		err = box__take(r->out, MAX_ANSWER_BYTES, &data, &len);
	if (!err)
		err = alloc_box__decode(data, len, ret);
	err = box_helper__verdict(r->h, err > 0 ? -EFAULT : err);
	alloc_request__free(r);
	return err;
}
