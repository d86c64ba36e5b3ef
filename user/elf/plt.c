/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/plt.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/allocs.h"

#define MAX_RELOCS (1u << 22) /* of one section; beyond, calls through stubs stay unknown */

static int by_slot(const void *a, const void *b)
{
	const struct plt_entry *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

struct loader {
	Elf *elf;
	struct plt *plt;
	size_t cap;
	bool all;
};

static int add_entry(struct loader *l, const GElf_Rela *rela, const GElf_Sym *sym, const char *name,
		     enum mw_fn fn)
{
	struct plt_entry *e;
	int err = array_reserve(l->plt->entries, l->cap, l->plt->n + 1);

	if (err)
		return err;
	e = &l->plt->entries[l->plt->n++];
	memset(e, 0, sizeof(*e));
	e->slot = rela->r_offset;
	e->vaddr = sym->st_shndx == SHN_UNDEF ? 0 : sym->st_value;
	e->fn = fn;
	snprintf(e->name, sizeof(e->name), "%s", name);
	return 0;
}

static int load_section(struct loader *l, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL), *syms = NULL;
	Elf_Scn *symscn = elf_getscn(l->elf, sh->sh_link);
	GElf_Shdr symsh;
	size_t n;

	if (!data || !sh->sh_entsize || !symscn || !gelf_getshdr(symscn, &symsh) ||
	    symsh.sh_type != SHT_DYNSYM)
		return 0;
	syms = elf_getdata(symscn, NULL);
	n = min_of(data->d_size / sh->sh_entsize, (size_t)MAX_RELOCS);
	for (size_t i = 0; syms && i < n; i++) {
		GElf_Rela rela;
		GElf_Sym sym;
		const char *name;
		enum mw_fn fn;
		uint32_t type;
		int err;

		if (!gelf_getrela(data, i, &rela))
			break;
		type = GELF_R_TYPE(rela.r_info);
		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
			continue;
		if (!gelf_getsym(syms, GELF_R_SYM(rela.r_info), &sym))
			continue;
		name = elf_strptr(l->elf, symsh.sh_link, sym.st_name);
		fn = name ? allocs__classify(name) : MW_FN_NONE;
		if (!fn && (!l->all || !name))
			continue;
		err = add_entry(l, &rela, &sym, name, fn);
		if (err)
			return err;
	}
	return 0;
}

int plt__load(struct elfobj *e, bool all, struct plt *ret)
{
	struct loader l = {.elf = elfobj__elf(e), .plt = ret, .all = all};
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	if (elfobj__machine(e) != EM_X86_64)
		return 0;
	while (!err && (scn = elf_nextscn(l.elf, scn))) {
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_RELA)
			err = load_section(&l, scn, &sh);
	}
	if (err) {
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

const struct plt_entry *plt__resolve(const struct plt *p, const struct elfobj *e, uint64_t vaddr)
{
	struct plt_entry key = {0};
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
	key.slot = vaddr + at + 6 + disp;
	return bsearch(&key, p->entries, p->n, sizeof(key), by_slot);
}
