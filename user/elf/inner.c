/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/inner.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/insn.h"

#define MAX_TEXT (64u << 20) /* of a larger file nothing is told */
#define MAX_INSNS 200000     /* followed, in all */
#define JOIN_GAP 16	     /* between a function's parts: padding */

struct node { /* where a call leads to, or a jump to what has a name */
	uint64_t vaddr;
	bool given; /* one of the allocator's own */
	bool out;   /* others lead to it, too */
};

struct caller { /* of a node, anywhere in the text */
	uint32_t from, node;
};

struct finder {
	const struct elfobj *elf;
	csh cs;
	cs_insn *in;
	uint8_t *text;
	size_t len;
	uint64_t vaddr;
	uint8_t *
		mine; /* by byte of the text: begins an instruction that is reached, or is in one */
	struct node *nodes;
	size_t n_nodes, cap_nodes;
	struct caller *callers;
	size_t n_callers, cap_callers;
	uint64_t *names; /* where functions begin */
	size_t n_names, cap_names;
	uint64_t *todo;
	size_t n_todo, cap_todo, followed;
	int err;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int by_vaddr(const void *a, const void *b)
{
	return by_value(&((const struct node *)a)->vaddr, &((const struct node *)b)->vaddr);
}

static struct node *node_at(const struct finder *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->n_nodes; i++) {
		if (f->nodes[i].vaddr == vaddr)
			return &f->nodes[i];
	}
	return NULL;
}

static void go_to(struct finder *f, uint64_t vaddr)
{
	if (vaddr - f->vaddr >= f->len || f->mine[vaddr - f->vaddr] || f->err)
		return;
	f->err = array_reserve(f->todo, f->cap_todo, f->n_todo + 1);
	if (!f->err)
		f->todo[f->n_todo++] = vaddr;
}

static void go_to_function(struct finder *f, uint64_t vaddr, bool given)
{
	struct node *n = node_at(f, vaddr);

	if (vaddr - f->vaddr >= f->len || f->err)
		return;
	if (!n) {
		f->err = array_reserve(f->nodes, f->cap_nodes, f->n_nodes + 1);
		if (f->err)
			return;
		n = &f->nodes[f->n_nodes++];
		*n = (struct node){.vaddr = vaddr, .given = given};
	}
	if (!n->out)
		go_to(f, vaddr);
}

static bool has_name(const struct finder *f, uint64_t vaddr)
{
	return f->n_names &&
	       bsearch(&vaddr, f->names, f->n_names, sizeof(*f->names), by_value) != NULL;
}

static void follow_one(struct finder *f, uint64_t pc)
{
	while (!f->err && pc - f->vaddr < f->len && f->followed++ < MAX_INSNS) {
		size_t off = pc - f->vaddr, left = f->len - off;
		const uint8_t *p = f->text + off;
		uint64_t to;

		if (f->mine[off] || !cs_disasm_iter(f->cs, &p, &left, &pc, f->in))
			return;
		memset(f->mine + off, 1, f->in->size);
		to = insn__branch_target(f->in);
		if (to && (insn__in_group(f->in, CS_GRP_CALL) || has_name(f, to)))
			go_to_function(f, to, false);
		else if (to)
			go_to(f, to);
		if (f->in->id == X86_INS_JMP || f->in->id == X86_INS_HLT ||
		    f->in->id == X86_INS_UD2 || insn__in_group(f->in, CS_GRP_RET) ||
		    has_name(f, pc)) /* or the next function's beginning */
			return;
	}
}

static void follow(struct finder *f)
{
	memset(f->mine, 0, f->len);
	f->followed = f->n_todo = 0;
	for (size_t i = 0; i < f->n_nodes; i++) {
		if (f->nodes[i].given)
			go_to(f, f->nodes[i].vaddr);
	}
	while (f->n_todo && !f->err)
		follow_one(f, f->todo[--f->n_todo]);
}

/* Length of the relative jump or call that may be at p, 0: none. */
static size_t branch_len(const uint8_t *p)
{
	if (p[0] == 0xe8 || p[0] == 0xe9)
		return 5;
	return p[0] == 0x0f && (p[1] & 0xf0) == 0x80 ? 6 : 0;
}

/* All branches to the nodes, of which there are never more than after the first time through. */
static int find_callers(struct finder *f)
{
	if (f->n_nodes)
		qsort(f->nodes, f->n_nodes, sizeof(*f->nodes), by_vaddr);
	for (size_t i = 0; i + 6 <= f->len; i++) {
		size_t len = branch_len(f->text + i);
		const struct node *n;
		struct node key;
		int32_t rel;

		if (!len)
			continue;
		memcpy(&rel, f->text + i + len - sizeof(rel), sizeof(rel));
		key.vaddr = f->vaddr + i + len + (int64_t)rel;
		if (key.vaddr - f->vaddr >= f->len)
			continue;
		n = bsearch(&key, f->nodes, f->n_nodes, sizeof(key), by_vaddr);
		if (!n)
			continue;
		if (array_reserve(f->callers, f->cap_callers, f->n_callers + 1))
			return -ENOMEM;
		f->callers[f->n_callers++] = (struct caller){i, n - f->nodes};
	}
	return 0;
}

/* Takes out what code that is not the allocator's leads to. True if there was any. */
static bool take_out(struct finder *f)
{
	bool any = false;

	for (size_t i = 0; i < f->n_callers; i++) {
		struct node *n = &f->nodes[f->callers[i].node];

		if (n->given || n->out || f->mine[f->callers[i].from])
			continue;
		n->out = true;
		any = true;
	}
	return any;
}

static int collect_name(void *arg, const struct elfobj_symbol *sym)
{
	struct finder *f = arg;

	if (sym->type != STT_FUNC)
		return 0;
	f->err = array_reserve(f->names, f->cap_names, f->n_names + 1);
	if (f->err)
		return f->err;
	f->names[f->n_names++] = sym->vaddr;
	return 0;
}

/* What a library exports others call, whoever does in the library itself. */
static int take_out_exported(void *arg, const struct elfobj_symbol *sym)
{
	struct finder *f = arg;
	struct node *n = sym->bind == STB_LOCAL ? NULL : node_at(f, sym->vaddr);

	if (n && !n->given)
		n->out = true;
	return 0;
}

static int read_text(struct finder *f)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(f->elf, &seg);

	for (size_t i = 0; i < n; i++) {
		if (!(seg[i].flags & PF_X) || seg[i].filesz <= f->len || seg[i].filesz > MAX_TEXT)
			continue;
		f->len = seg[i].filesz;
		f->vaddr = seg[i].vaddr;
	}
	f->text = malloc(f->len + 1);
	f->mine = malloc(f->len + 1);
	if (!f->text || !f->mine)
		return -ENOMEM;
	f->len = elfobj__read(f->elf, f->vaddr, f->text, f->len);
	elfobj__each_symbol(f->elf, collect_name, f);
	if (f->n_names)
		qsort(f->names, f->n_names, sizeof(*f->names), by_value);
	return f->err;
}

static int ranges(const struct finder *f, struct inner_range **ret, size_t *ret_n)
{
	cleanup_free struct inner_range *r = calloc(INNER_MAX, sizeof(*r));
	size_t n = 0;

	if (!r)
		return -ENOMEM;
	for (size_t i = 0; i < f->len; i++) {
		uint64_t off;

		if (!f->mine[i] || !elfobj__vaddr_to_off(f->elf, f->vaddr + i, &off))
			continue;
		if (n && off - r[n - 1].end <= JOIN_GAP)
			r[n - 1].end = off + 1;
		else if (n < INNER_MAX)
			r[n++] = (struct inner_range){off, off + 1};
	}
	*ret_n = n;
	*ret = n ? take_ptr(r) : NULL;
	return 0;
}

static int find(struct finder *f, const uint64_t *funcs, size_t n)
{
	int err = read_text(f);

	for (size_t i = 0; i < n && !err; i++) {
		go_to_function(f, funcs[i], true);
		err = f->err;
	}
	if (err)
		return err;
	follow(f);
	err = f->err ? f->err : find_callers(f);
	if (err)
		return err;
	if (elfobj__type(f->elf) == ET_DYN && !elfobj__has_interp(f->elf)) {
		elfobj__each_symbol(f->elf, take_out_exported, f);
		follow(f);
	}
	while (!f->err && take_out(f))
		follow(f);
	return f->err;
}

int inner__find(const struct elfobj *e, const uint64_t *funcs, size_t n, struct inner_range **ret,
		size_t *ret_n)
{
	struct finder f = {.elf = e};
	int err;

	*ret = NULL;
	*ret_n = 0;
	if (elfobj__machine(e) != EM_X86_64 || !n)
		return 0;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &f.cs))
		return -ENOMEM;
	cs_option(f.cs, CS_OPT_DETAIL, CS_OPT_ON);
	f.in = cs_malloc(f.cs);
	err = f.in ? find(&f, funcs, n) : -ENOMEM;
	if (!err)
		err = ranges(&f, ret, ret_n);
	if (f.in)
		cs_free(f.in, 1);
	cs_close(&f.cs);
	free(f.text);
	free(f.mine);
	free(f.nodes);
	free(f.callers);
	free(f.names);
	free(f.todo);
	return err;
}
