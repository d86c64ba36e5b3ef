/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/plt.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/allocs.h"

#define MAX_RELOCS (1u << 22) /* of one file; beyond, calls through stubs stay unknown */

static int by_slot(const void *a, const void *b)
{
	const struct plt_entry *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

struct loader {
	struct plt *plt;
	size_t cap;
	bool all;
};

static int on_reloc(void *arg, const struct elfobj_reloc *r)
{
	struct loader *l = arg;
	enum mw_fn fn = allocs__classify(r->name);
	struct plt_entry *e;
	int err;

	if (!r->vaddr && (fn || !strcmp(r->name, "dlsym") || !strcmp(r->name, "dlvsym")))
		l->plt->imports = true;
	if ((r->type != R_X86_64_JUMP_SLOT && r->type != R_X86_64_GLOB_DAT) || (!fn && !l->all))
		return 0;
	if (l->plt->n >= MAX_RELOCS)
		return 0;
	err = array_reserve(l->plt->entries, l->cap, l->plt->n + 1);
	if (err)
		return err;
	e = &l->plt->entries[l->plt->n++];
	memset(e, 0, sizeof(*e));
	e->slot = r->slot;
	e->vaddr = r->vaddr;
	e->fn = fn;
	snprintf(e->name, sizeof(e->name), "%s", r->name);
	return 0;
}

int plt__load(struct elfobj *e, bool all, struct plt *ret)
{
	struct loader l = {.plt = ret, .all = all};
	int err;

	memset(ret, 0, sizeof(*ret));
	if (elfobj__machine(e) != EM_X86_64)
		return 0;
	err = elfobj__each_reloc(e, on_reloc, &l);
	if (err && err != -EBADMSG) {
		plt__free(ret);
		return err;
	}
	if (ret->n)
		qsort(ret->entries, ret->n, sizeof(*ret->entries), by_slot);
	return 0;
}

void plt__free(struct plt *p)
{
	free(p->entries);
	p->entries = NULL;
	p->n = 0;
}

const struct plt_entry *plt__slot(const struct plt *p, uint64_t vaddr)
{
	struct plt_entry key = {.slot = vaddr};

	return p->n ? bsearch(&key, p->entries, p->n, sizeof(key), by_slot) : NULL;
}

const struct plt_entry *plt__resolve(const struct plt *p, const struct elfobj *e, uint64_t vaddr)
{
	uint8_t code[11];
	size_t at = 0;
	int32_t disp;

	if (!p->n || elfobj__read(e, vaddr, code, sizeof(code)) < sizeof(code))
		return NULL;
	/* [endbr64] [bnd] jmp *disp(%rip) */
	if (!memcmp(code, "\xf3\x0f\x1e\xfa", 4))
		at = 4;
	if (code[at] == 0xf2)
		at++;
	if (at + 6 > sizeof(code) || code[at] != 0xff || code[at + 1] != 0x25)
		return NULL;
	memcpy(&disp, code + at + 2, sizeof(disp));
	return plt__slot(p, vaddr + at + 6 + disp);
}
