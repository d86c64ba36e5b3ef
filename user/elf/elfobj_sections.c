/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elfobj_sections.c - the sections of a file, by its table or, where that is gone, as segments tell
 * of them. Their bytes are read (and unpacked) when they are first asked for.
 */
#include "elf/elfobj_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/unpack.h"

#define MAX_SHDRS (1u << 20)
#define MAX_SECTION_BYTES (1ULL << 30) /* of all sections in memory, after decompression */

static int unpack_section(const struct elfobj *e, struct elfobj_part *s, const uint8_t *raw,
			  size_t len, bool gnu)
{
	cleanup_free uint8_t *out = NULL;
	struct unpack u;
	int err = unpack__header(raw, len, gnu, &u);

	if (err)
		return err;
	if (u.size > MAX_SECTION_BYTES - *e->loaded)
		return -EBADMSG;
	out = malloc(u.size + 1);
	if (!out)
		return -ENOMEM;
	err = unpack__all(&u, raw, len, out);
	if (err)
		return err;
	out[u.size] = 0;
	s->data = take_ptr(out);
	s->len = u.size;
	return 0;
}

/* gnu: one of .zdebug_*, which has no flag of it. */
int elfobj__load(const struct elfobj *e, struct elfobj_part *s, bool gnu)
{
	cleanup_free uint8_t *raw = NULL;
	int err;

	if (s->data || s->err)
		return s->err;
	if (s->hdr.sh_type == SHT_NOBITS || s->hdr.sh_type == SHT_NULL)
		err = -ENOENT;
	else if (s->hdr.sh_size > MAX_SECTION_BYTES - *e->loaded)
		err = -EBADMSG;
	else
		err = elfobj__read_table(e, s->hdr.sh_offset, s->hdr.sh_size, 1, (void **)&raw);
	if (!err && (gnu || (s->hdr.sh_flags & SHF_COMPRESSED))) {
		err = unpack_section(e, s, raw, s->hdr.sh_size, gnu);
	} else if (!err) {
		raw[s->hdr.sh_size] = 0;
		s->data = take_ptr(raw);
		s->len = s->hdr.sh_size;
	}
	if (!err)
		*e->loaded += s->len;
	if (err != -ENOMEM)
		s->err = err;
	return err;
}

int elfobj__read_section_table(struct elfobj *e)
{
	cleanup_free Elf64_Shdr *hdrs = NULL;
	uint64_t n = e->ehdr.e_shnum, strndx = e->ehdr.e_shstrndx;
	Elf64_Shdr first;
	int err;

	if (!e->ehdr.e_shoff)
		return 0;
	if (e->ehdr.e_shentsize != sizeof(Elf64_Shdr))
		return -EBADMSG;
	err = elfobj__read_at(e, &first, sizeof(first), e->ehdr.e_shoff);
	if (err)
		return err;
	if (!n)
		n = first.sh_size;
	if (strndx == SHN_XINDEX)
		strndx = first.sh_link;
	if (!n || n > MAX_SHDRS)
		return -EBADMSG;
	err = elfobj__read_table(e, e->ehdr.e_shoff, n, sizeof(Elf64_Shdr), (void **)&hdrs);
	if (err)
		return err;
	e->sections = calloc(n, sizeof(*e->sections));
	if (!e->sections)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		e->sections[i].hdr = hdrs[i];
	e->nsections = n;
	if (strndx && strndx < n)
		e->names = &e->sections[strndx];
	return e->names ? elfobj__load(e, e->names, false) : 0;
}

static const char *section_name(const struct elfobj *e, const struct elfobj_part *s)
{
	if (s->known_name)
		return s->known_name;
	if (!e->names || elfobj__load(e, e->names, false) || s->hdr.sh_name >= e->names->len)
		return "";
	return (const char *)e->names->data + s->hdr.sh_name;
}

/*
 * What the loader needs of a file without section table: the dynamic symbols and relocations, as
 * sections of the usual names. The number of symbols is told by a hash table only; they end where
 * their names begin in every linker's output, which bounds them.
 */
enum { NO_SECTION, DYNSYM, DYNSTR, RELA_DYN, RELA_PLT, EH_HDR, EH_FRAME, MADE_SECTIONS };

static void make_section(struct elfobj *e, size_t i, const char *name, uint32_t type,
			 uint64_t vaddr, uint64_t len, uint64_t entsize)
{
	struct elfobj_part *s = &e->sections[i];
	uint64_t off;

	s->known_name = name;
	if (!vaddr || !elfobj__vaddr_to_off(e, vaddr, &off) || !elfobj__in_file(e, off, len))
		return;
	s->hdr.sh_type = type;
	s->hdr.sh_addr = vaddr;
	s->hdr.sh_offset = off;
	s->hdr.sh_size = len;
	s->hdr.sh_entsize = entsize;
	s->hdr.sh_link = type == SHT_DYNSYM ? DYNSTR : type == SHT_RELA ? DYNSYM : 0;
}

/* How many bytes of its segment follow vaddr in the file. */
static uint64_t rest_of_segment(const struct elfobj *e, uint64_t vaddr)
{
	for (size_t i = 0; i < e->nsegments; i++) {
		const struct elfobj_segment *s = &e->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz)
			return min_of(s->filesz - (vaddr - s->vaddr),
				      elfobj__in_file(e, s->off, 0) ? e->file_size - s->off : 0);
	}
	return 0;
}

static void unwind_sections(struct elfobj *e)
{
	const Elf64_Phdr *ph = &e->eh_frame_hdr;
	uint8_t head[8];
	uint64_t vaddr;
	int32_t rel;

	if (ph->p_type != PT_GNU_EH_FRAME ||
	    elfobj__read(e, ph->p_vaddr, head, sizeof(head)) < sizeof(head))
		return;
	make_section(e, EH_HDR, ".eh_frame_hdr", SHT_PROGBITS, ph->p_vaddr, ph->p_filesz, 0);
	if (head[0] != 1 || head[1] != 0x1b) /* DW_EH_PE_pcrel | DW_EH_PE_sdata4, as always */
		return;
	memcpy(&rel, head + 4, sizeof(rel));
	vaddr = ph->p_vaddr + 4 + rel;
	make_section(e, EH_FRAME, ".eh_frame", SHT_PROGBITS, vaddr, rest_of_segment(e, vaddr), 0);
}

int elfobj__make_sections(struct elfobj *e)
{
	uint64_t d[DT_JMPREL + 1] = {0};
	Elf64_Dyn dyn;

	if (!e->has_dynamic && e->eh_frame_hdr.p_type != PT_GNU_EH_FRAME)
		return 0;
	e->sections = calloc(MADE_SECTIONS, sizeof(*e->sections));
	if (!e->sections)
		return -ENOMEM;
	e->nsections = MADE_SECTIONS;
	for (size_t i = 0; i < MADE_SECTIONS; i++)
		e->sections[i].known_name = "";
	for (uint64_t at = 0; e->dynamic.p_filesz - at >= sizeof(dyn); at += sizeof(dyn)) {
		if (elfobj__read_at(e, &dyn, sizeof(dyn), e->dynamic.p_offset + at) ||
		    dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag > 0 && (size_t)dyn.d_tag < ARRAY_SIZE(d))
			d[dyn.d_tag] = dyn.d_un.d_val;
	}
	make_section(e, DYNSTR, ".dynstr", SHT_STRTAB, d[DT_STRTAB], d[DT_STRSZ], 0);
	if (d[DT_STRTAB] > d[DT_SYMTAB])
		make_section(e, DYNSYM, ".dynsym", SHT_DYNSYM, d[DT_SYMTAB],
			     (d[DT_STRTAB] - d[DT_SYMTAB]) / sizeof(Elf64_Sym) * sizeof(Elf64_Sym),
			     sizeof(Elf64_Sym));
	make_section(e, RELA_DYN, ".rela.dyn", SHT_RELA, d[DT_RELA], d[DT_RELASZ],
		     sizeof(Elf64_Rela));
	if (d[DT_PLTREL] == DT_RELA)
		make_section(e, RELA_PLT, ".rela.plt", SHT_RELA, d[DT_JMPREL], d[DT_PLTRELSZ],
			     sizeof(Elf64_Rela));
	unwind_sections(e);
	return 0;
}

static bool is_gnu_packed(const char *name)
{
	return !strncmp(name, ".zdebug_", 8);
}

/* Is it the section of this name, perhaps as the older GNU tools compressed it? */
static bool is_named(const char *is, const char *name, bool *ret_gnu)
{
	*ret_gnu = is_gnu_packed(is);
	return !strcmp(is, name) ||
	       (*ret_gnu && !strncmp(name, ".debug_", 7) && !strcmp(is + 2, name + 1));
}

int elfobj__section(const struct elfobj *e, const char *name, const uint8_t **ret, size_t *ret_len,
		    uint64_t *ret_vaddr)
{
	for (size_t i = 0; i < e->nsections; i++) {
		struct elfobj_part *s = &e->sections[i];
		bool gnu;
		int err;

		if (!is_named(section_name(e, s), name, &gnu))
			continue;
		err = elfobj__load(e, s, gnu);
		if (err)
			return err;
		*ret = s->data;
		*ret_len = s->len;
		if (ret_vaddr)
			*ret_vaddr = s->hdr.sh_addr;
		return 0;
	}
	return e->sections_bad ? -EBADMSG : -ENOENT;
}

bool elfobj__has_section(const struct elfobj *e, const char *name)
{
	for (size_t i = 0; i < e->nsections; i++) {
		const struct elfobj_part *s = &e->sections[i];
		bool gnu;

		if (s->hdr.sh_type != SHT_NOBITS && s->hdr.sh_size &&
		    is_named(section_name(e, s), name, &gnu))
			return true;
	}
	return false;
}

static enum elfobj_packing packing_of(const struct elfobj *e, const struct elfobj_part *s)
{
	uint8_t first[UNPACK_HEADER];
	struct unpack u;

	if (is_gnu_packed(section_name(e, s)))
		return ELFOBJ_GNU_ZLIB;
	if (!(s->hdr.sh_flags & SHF_COMPRESSED))
		return ELFOBJ_PLAIN;
	if (s->hdr.sh_size < sizeof(first) ||
	    elfobj__read_at(e, first, sizeof(first), s->hdr.sh_offset) ||
	    unpack__header(first, sizeof(first), false, &u))
		return ELFOBJ_UNKNOWN;
	return u.how == UNPACK_ZSTD ? ELFOBJ_ZSTD : ELFOBJ_ZLIB;
}

int elfobj__each_section(const struct elfobj *e, elfobj_section_fn fn, void *arg)
{
	int err = 0;

	for (size_t i = 0; i < e->nsections && !err; i++) {
		const struct elfobj_part *s = &e->sections[i];

		if (s->hdr.sh_type != SHT_NOBITS && s->hdr.sh_size)
			err = fn(arg, section_name(e, s), packing_of(e, s));
	}
	return err;
}

size_t elfobj__bytes(const struct elfobj *e)
{
	size_t sum = sizeof(*e) + e->nsections * sizeof(*e->sections);

	for (size_t i = 0; i < e->nsections; i++)
		sum += e->sections[i].data ? e->sections[i].len : 0;
	return sum;
}

void elfobj__drop(struct elfobj *e)
{
	for (size_t i = 0; i < e->nsections; i++) {
		struct elfobj_part *s = &e->sections[i];

		if (s == e->names)
			continue;
		free(s->data);
		*e->loaded -= s->len;
		s->data = NULL;
		s->len = 0;
	}
	if (e->elf)
		elf_end(e->elf);
	e->elf = NULL;
}
