/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/exits.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/ehframe.h"
#include "elf/insn.h"
#include "elf/plt.h"

#define MAX_FUNCTIONS 128  /* bodies that the calls can pass through by jumps */
#define MAX_FUNCTION 65536 /* bytes of one */

struct exit_range {
	uint64_t start, end;
};

struct exit_finder {
	struct elfobj *elf;
	csh cs;
	struct ehframe eh;
	bool have_eh;
	struct plt plt;
	struct exit_range todo[MAX_FUNCTIONS];
	size_t n;
	struct exits *ret;
};

/* The function that holds vaddr, by its frame description. */
static bool extent(const struct exit_finder *f, uint64_t vaddr, struct exit_range *ret)
{
	for (size_t i = 0; f->have_eh && i < f->eh.n_fdes; i++) {
		const struct ehframe_fde *fde = &f->eh.fdes[i];

		if (vaddr >= fde->start && vaddr - fde->start < fde->len) {
			*ret = (struct exit_range){fde->start, fde->start + fde->len};
			return true;
		}
	}
	return false;
}

static void enqueue(struct exit_finder *f, uint64_t vaddr)
{
	const struct plt_entry *stub = plt__resolve(&f->plt, f->elf, vaddr);
	struct exit_range r;

	if (stub && stub->vaddr)
		vaddr = stub->vaddr; /* whoever defines it first; nearly always the file itself */
	for (size_t i = 0; i < f->n; i++) {
		if (vaddr >= f->todo[i].start && vaddr < f->todo[i].end)
			return;
	}
	if (f->n == MAX_FUNCTIONS || !extent(f, vaddr, &r))
		f->ret->incomplete = true;
	else
		f->todo[f->n++] = r;
}

/* A jump through a pointer: to a function of the file itself, or out of it. */
static void through_slot(struct exit_finder *f, uint64_t slot)
{
	const struct plt_entry *e = slot ? plt__slot(&f->plt, slot) : NULL;

	if (e && e->vaddr)
		enqueue(f, e->vaddr);
	else
		f->ret->incomplete = true;
}

static void look_at(struct exit_finder *f, const cs_insn *in, const struct exit_range *r)
{
	uint64_t to = insn__branch_target(in);
	struct exits *ret = f->ret;

	if (insn__in_group(in, CS_GRP_RET)) {
		if (ret->n == EXITS_MAX ||
		    !elfobj__vaddr_to_off(f->elf, in->address, &ret->off[ret->n]))
			ret->incomplete = true;
		else
			ret->n++;
		return;
	}
	if (!insn__in_group(in, CS_GRP_JUMP))
		return;
	if (!to)
		through_slot(f, insn__branch_slot(in));
	else if (to < r->start || to >= r->end)
		enqueue(f, to);
}

static int scan(struct exit_finder *f, const struct exit_range *r)
{
	size_t want = min_of(r->end - r->start, (uint64_t)MAX_FUNCTION), got;
	cleanup_free uint8_t *code = malloc(want ? want : 1);
	uint64_t addr = r->start;
	const uint8_t *p = code;
	cs_insn *in;

	if (!code)
		return -ENOMEM;
	in = cs_malloc(f->cs);
	if (!in)
		return -ENOMEM;
	got = elfobj__read(f->elf, r->start, code, want);
	if (got < r->end - r->start)
		f->ret->incomplete = true;
	while (got && cs_disasm_iter(f->cs, &p, &got, &addr, in))
		look_at(f, in, r);
	if (got) /* bytes that are no instruction */
		f->ret->incomplete = true;
	cs_free(in, 1);
	return 0;
}

static void read_frames(struct exit_finder *f)
{
	struct ehframe_section sec = {.arm64 = false};

	f->have_eh = !elfobj__section(f->elf, ".eh_frame", &sec.data, &sec.len, &sec.vaddr) &&
		     !ehframe__read(&sec, &f->eh);
}

int exits__find(struct elfobj *e, const struct exits_function *fn, size_t n, struct exits *ret)
{
	struct exit_finder f = {.elf = e, .ret = ret};
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	if (elfobj__machine(e) != EM_X86_64)
		return -EOPNOTSUPP;
	err = plt__load(e, true, &f.plt);
	if (err)
		return err;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &f.cs)) {
		plt__free(&f.plt);
		return -ENOMEM;
	}
	cs_option(f.cs, CS_OPT_DETAIL, CS_OPT_ON);
	read_frames(&f);
	for (size_t i = 0; i < n; i++) {
		if (fn[i].size && f.n < MAX_FUNCTIONS)
			f.todo[f.n++] = (struct exit_range){fn[i].vaddr, fn[i].vaddr + fn[i].size};
		else
			enqueue(&f, fn[i].vaddr);
	}
	for (size_t i = 0; i < f.n && !err; i++)
		err = scan(&f, &f.todo[i]);
	if (f.have_eh)
		ehframe__free(&f.eh);
	cs_close(&f.cs);
	plt__free(&f.plt);
	return err;
}
