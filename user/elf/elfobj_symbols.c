/* SPDX-License-Identifier: GPL-2.0-or-later */
/* elfobj_symbols.c - the symbol tables of a file, and the relocations that name symbols. */
#include "elf/elfobj_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

/* One symbol table entry to the callback's form; false if it names no address in the file. */
static bool symbol_of(const Elf64_Sym *sym, const struct elfobj_part *strtab,
		      struct elfobj_symbol *ret)
{
	uint8_t type = ELF64_ST_TYPE(sym->st_info);

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS || sym->st_shndx == SHN_COMMON)
		return false;
	if (type == STT_SECTION || type == STT_FILE || !sym->st_name || sym->st_name >= strtab->len)
		return false;
	*ret = (struct elfobj_symbol){
		.name = (const char *)strtab->data + sym->st_name, /* a NUL follows the section */
		.vaddr = sym->st_value,
		.size = sym->st_size,
		.type = type,
		.bind = ELF64_ST_BIND(sym->st_info),
	};
	return *ret->name;
}

static int each_in_table(const struct elfobj *e, struct elfobj_part *tab, elfobj_symbol_fn fn,
			 void *arg)
{
	struct elfobj_part *strtab;
	int err;

	if (tab->hdr.sh_type == SHT_NOBITS)
		return 0;
	if (tab->hdr.sh_entsize != sizeof(Elf64_Sym) || tab->hdr.sh_link >= e->nsections)
		return -EBADMSG;
	strtab = &e->sections[tab->hdr.sh_link];
	err = elfobj__load(e, tab, false);
	if (!err)
		err = elfobj__load(e, strtab, false);
	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t at = 0; tab->len - at >= sizeof(Elf64_Sym); at += sizeof(Elf64_Sym)) {
		struct elfobj_symbol out;
		Elf64_Sym sym;

		memcpy(&sym, tab->data + at, sizeof(sym));
		if (!symbol_of(&sym, strtab, &out))
			continue;
		err = fn(arg, &out);
		if (err)
			return err;
	}
	return 0;
}

int elfobj__each_symbol(const struct elfobj *e, elfobj_symbol_fn fn, void *arg)
{
	static const uint32_t order[] = {SHT_DYNSYM, SHT_SYMTAB};
	int bad = e->sections_bad ? -EBADMSG : 0;

	for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
		for (size_t i = 0; i < e->nsections; i++) {
			int err;

			if (e->sections[i].hdr.sh_type != order[k])
				continue;
			err = each_in_table(e, &e->sections[i], fn, arg);
			if (err == -EBADMSG || err == -EOPNOTSUPP)
				bad = -EBADMSG; /* the other table may still be good */
			else if (err)
				return err;
			break; /* there is at most one of each */
		}
	}
	return bad;
}

static int relocs_in(const struct elfobj *e, struct elfobj_part *tab, elfobj_reloc_fn fn, void *arg)
{
	struct elfobj_part *syms, *names;
	int err;

	if (tab->hdr.sh_entsize != sizeof(Elf64_Rela) || tab->hdr.sh_link >= e->nsections)
		return 0;
	syms = &e->sections[tab->hdr.sh_link];
	if (syms->hdr.sh_type != SHT_DYNSYM || syms->hdr.sh_link >= e->nsections)
		return 0;
	names = &e->sections[syms->hdr.sh_link];
	err = elfobj__load(e, tab, false);
	err = err ? err : elfobj__load(e, syms, false);
	err = err ? err : elfobj__load(e, names, false);
	for (size_t at = 0; !err && tab->len - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
		struct elfobj_reloc r;
		Elf64_Rela rela;
		Elf64_Sym sym;
		uint64_t i;

		memcpy(&rela, tab->data + at, sizeof(rela));
		i = ELF64_R_SYM(rela.r_info);
		if (!i || i >= syms->len / sizeof(sym))
			continue;
		memcpy(&sym, syms->data + i * sizeof(sym), sizeof(sym));
		if (sym.st_name >= names->len)
			continue;
		r.slot = rela.r_offset;
		r.type = ELF64_R_TYPE(rela.r_info);
		r.name = (const char *)names->data + sym.st_name;
		r.vaddr = sym.st_shndx == SHN_UNDEF ? 0 : sym.st_value;
		err = *r.name ? fn(arg, &r) : 0;
	}
	return err;
}

int elfobj__each_reloc(const struct elfobj *e, elfobj_reloc_fn fn, void *arg)
{
	int bad = e->sections_bad ? -EBADMSG : 0;

	for (size_t i = 0; i < e->nsections; i++) {
		int err = e->sections[i].hdr.sh_type == SHT_RELA
				  ? relocs_in(e, &e->sections[i], fn, arg)
				  : 0;

		if (err == -EBADMSG || err == -EOPNOTSUPP || err == -ENOENT)
			bad = -EBADMSG;
		else if (err)
			return err;
	}
	return bad;
}
