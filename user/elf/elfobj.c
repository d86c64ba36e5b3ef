/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elfobj.c - reads one untrusted ELF file through a descriptor.
 *
 * Nothing is ever mapped: a file that is truncated while it is mapped kills the reader with SIGBUS,
 * and its bytes may change between the check and the use. Headers are read with pread() into
 * private memory at open, sections when they are first asked for; what is checked is the copy that
 * is used. libelf (for libdw alone) is opened with ELF_C_READ, which also only reads.
 *
 * Not thread-safe: sections are cached on first use.
 */
#include "elf/elfobj.h"

#include "core/util.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define MAX_PHDRS 4096
#define MAX_SHDRS (1u << 20)
#define MAX_SECTION_BYTES (1ULL << 30) /* of all sections in memory, after decompression */
#define MAX_NOTES_BYTES (1u << 20)
#define ZLIB_MAX_RATIO 1032 /* a claim beyond what deflate can do is a lie */

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "only x86-64 and arm64 are supported"
#endif

struct section {
	Elf64_Shdr hdr;
	const char *known_name; /* of one that the dynamic segment tells of; NULL: in .shstrtab */
	uint8_t *data; /* owned copy with a NUL behind it; NULL until asked for */
	size_t len;
	int err; /* why data cannot be had; remembered */
};

struct elfobj {
	int fd;
	char *name;
	uint64_t file_size;
	uint64_t *loaded; /* owned: bytes of sections in memory, a cache like these themselves */
	Elf *elf; /* opened on demand */
	Elf64_Ehdr ehdr;
	struct elfobj_segment *segments;
	size_t nsegments;
	struct section *sections;
	size_t nsections;
	struct section *names; /* .shstrtab, NULL if unusable */
	bool has_interp, has_dynamic;
	Elf64_Phdr dynamic, eh_frame_hdr; /* p_type PT_NULL: none */
	bool sections_bad; /* the section table is there but cannot be read */
	uint8_t build_id[ELFOBJ_MAX_BUILD_ID];
	size_t build_id_len;
};

/* Reads exactly len bytes at off; -EBADMSG if the file ends before. */
static int read_at(int fd, void *buf, size_t len, uint64_t off)
{
	char *p = buf;

	while (len) {
		ssize_t n;

		if (off > INT64_MAX - len)
			return -EBADMSG;
		n = pread(fd, p, len, off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EBADMSG;
		p += n;
		len -= n;
		off += n;
	}
	return 0;
}

static bool in_file(const struct elfobj *e, uint64_t off, uint64_t len)
{
	return off <= e->file_size && len <= e->file_size - off;
}

/* Reads a table of n entries of size bytes into fresh memory. */
static int read_table(const struct elfobj *e, uint64_t off, size_t n, size_t size, void **ret)
{
	cleanup_free void *p = NULL;
	int err;

	if (!in_file(e, off, (uint64_t)n * size))
		return -EBADMSG;
	p = malloc(n * size + 1);
	if (!p)
		return -ENOMEM;
	err = read_at(e->fd, p, n * size, off);
	if (err)
		return err;
	*ret = take_ptr(p);
	return 0;
}

static int read_ehdr(struct elfobj *e)
{
	const unsigned char *id = e->ehdr.e_ident;

	/* The identification first: a short file that is no ELF at all is not a damaged ELF. */
	if (read_at(e->fd, e->ehdr.e_ident, EI_NIDENT, 0) || memcmp(id, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB ||
	    id[EI_VERSION] != EV_CURRENT)
		return -ENOEXEC;
	if (read_at(e->fd, &e->ehdr, sizeof(e->ehdr), 0))
		return -EBADMSG;
	if (e->ehdr.e_machine != NATIVE_MACHINE)
		return -ENOEXEC;
	return 0;
}

static int inflate_section(const struct elfobj *e, struct section *s, const uint8_t *raw,
			   size_t len)
{
	cleanup_free uint8_t *out = NULL;
	Elf64_Chdr ch;
	uLongf got;

	if (len < sizeof(ch))
		return -EBADMSG;
	memcpy(&ch, raw, sizeof(ch));
	if (ch.ch_type != ELFCOMPRESS_ZLIB)
		return -EOPNOTSUPP;
	len -= sizeof(ch);
	if (ch.ch_size > MAX_SECTION_BYTES - *e->loaded || ch.ch_size / ZLIB_MAX_RATIO > len)
		return -EBADMSG;
	out = malloc(ch.ch_size + 1);
	if (!out)
		return -ENOMEM;
	got = ch.ch_size;
	if (uncompress(out, &got, raw + sizeof(ch), len) != Z_OK || got != ch.ch_size)
		return -EBADMSG;
	out[got] = 0;
	s->data = take_ptr(out);
	s->len = got;
	return 0;
}

static int load_section(const struct elfobj *e, struct section *s)
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
		err = read_table(e, s->hdr.sh_offset, s->hdr.sh_size, 1, (void **)&raw);
	if (!err && (s->hdr.sh_flags & SHF_COMPRESSED)) {
		err = inflate_section(e, s, raw, s->hdr.sh_size);
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

static int read_section_table(struct elfobj *e)
{
	cleanup_free Elf64_Shdr *hdrs = NULL;
	uint64_t n = e->ehdr.e_shnum, strndx = e->ehdr.e_shstrndx;
	Elf64_Shdr first;
	int err;

	if (!e->ehdr.e_shoff)
		return 0;
	if (e->ehdr.e_shentsize != sizeof(Elf64_Shdr))
		return -EBADMSG;
	err = read_at(e->fd, &first, sizeof(first), e->ehdr.e_shoff);
	if (err)
		return err;
	if (!n)
		n = first.sh_size;
	if (strndx == SHN_XINDEX)
		strndx = first.sh_link;
	if (!n || n > MAX_SHDRS)
		return -EBADMSG;
	err = read_table(e, e->ehdr.e_shoff, n, sizeof(Elf64_Shdr), (void **)&hdrs);
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
	return e->names ? load_section(e, e->names) : 0;
}

static const char *section_name(const struct elfobj *e, const struct section *s)
{
	if (s->known_name)
		return s->known_name;
	if (!e->names || load_section(e, e->names) || s->hdr.sh_name >= e->names->len)
		return "";
	return (const char *)e->names->data + s->hdr.sh_name;
}

/* Finds NT_GNU_BUILD_ID in a block of notes. */
static bool find_build_id(struct elfobj *e, const uint8_t *p, size_t len)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n;
		uint64_t name_len, desc_len;

		memcpy(&n, p, sizeof(n));
		name_len = ((uint64_t)n.n_namesz + 3) & ~3ULL;
		desc_len = ((uint64_t)n.n_descsz + 3) & ~3ULL;
		p += sizeof(n);
		len -= sizeof(n);
		if (name_len > len || n.n_descsz > len - name_len)
			return false;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !memcmp(p, "GNU", 4) &&
		    n.n_descsz) {
			e->build_id_len = min_of((size_t)n.n_descsz, sizeof(e->build_id));
			memcpy(e->build_id, p + name_len, e->build_id_len);
			return true;
		}
		if (desc_len > len - name_len)
			return false;
		p += name_len + desc_len;
		len -= name_len + desc_len;
	}
	return false;
}

static void build_id_from_segment(struct elfobj *e, const Elf64_Phdr *ph)
{
	cleanup_free void *notes = NULL;

	if (e->build_id_len || ph->p_filesz > MAX_NOTES_BYTES)
		return;
	if (!read_table(e, ph->p_offset, ph->p_filesz, 1, &notes))
		find_build_id(e, notes, ph->p_filesz);
}

/*
 * Sections before segments: in a detached debug file the program headers are copied as they were
 * and point at bytes that are no longer there.
 */
static void build_id_from_sections(struct elfobj *e)
{
	for (size_t i = 0; i < e->nsections && !e->build_id_len; i++) {
		struct section *s = &e->sections[i];

		if (s->hdr.sh_type == SHT_NOTE && s->hdr.sh_size <= MAX_NOTES_BYTES &&
		    !load_section(e, s))
			find_build_id(e, s->data, s->len);
	}
}

static int add_segment(struct elfobj *e, const Elf64_Phdr *ph)
{
	if (ph->p_vaddr + ph->p_memsz < ph->p_vaddr || ph->p_offset + ph->p_filesz < ph->p_offset ||
	    ph->p_filesz > ph->p_memsz)
		return -EBADMSG;
	e->segments[e->nsegments++] = (struct elfobj_segment){
		.vaddr = ph->p_vaddr,
		.off = ph->p_offset,
		.filesz = ph->p_filesz,
		.memsz = ph->p_memsz,
		.flags = ph->p_flags,
	};
	return 0;
}

static int read_segments(struct elfobj *e)
{
	cleanup_free Elf64_Phdr *ph = NULL;
	size_t n = e->ehdr.e_phnum;
	int err;

	if (!n)
		return 0;
	if (n > MAX_PHDRS || e->ehdr.e_phentsize != sizeof(*ph))
		return -EBADMSG;
	err = read_table(e, e->ehdr.e_phoff, n, sizeof(*ph), (void **)&ph);
	if (err)
		return err;
	e->segments = calloc(n, sizeof(*e->segments));
	if (!e->segments)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		switch (ph[i].p_type) {
		case PT_LOAD: err = add_segment(e, &ph[i]); break;
		case PT_INTERP: e->has_interp = true; break;
		case PT_DYNAMIC:
			e->has_dynamic = true;
			e->dynamic = ph[i];
			break;
		case PT_GNU_EH_FRAME: e->eh_frame_hdr = ph[i]; break;
		case PT_NOTE: build_id_from_segment(e, &ph[i]); break;
		}
	}
	return err;
}

/*
 * What the loader needs of a file without section table: the dynamic symbols and relocations, as
 * sections of the usual names. The number of symbols is told by a hash table only; they end where
 * their names begin in every linker's output, which bounds them.
 */
enum { NO_SECTION, DYNSYM, DYNSTR, RELA_DYN, RELA_PLT, EH_HDR, EH_FRAME, MADE_SECTIONS };

static void make_section(struct elfobj *e, size_t i, const char *name, uint32_t type, uint64_t vaddr,
			 uint64_t len, uint64_t entsize)
{
	struct section *s = &e->sections[i];
	uint64_t off;

	s->known_name = name;
	if (!vaddr || !elfobj__vaddr_to_off(e, vaddr, &off) || !in_file(e, off, len))
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
				      in_file(e, s->off, 0) ? e->file_size - s->off : 0);
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

static int sections_from_segments(struct elfobj *e)
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
		if (read_at(e->fd, &dyn, sizeof(dyn), e->dynamic.p_offset + at) ||
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

int elfobj__open_fd(int fd, const char *name, struct elfobj **ret)
{
	struct elfobj *e = calloc(1, sizeof(*e));
	struct stat st;
	int err;

	if (!e)
		return -ENOMEM;
	e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	e->name = strdup(name ? name : "");
	e->loaded = calloc(1, sizeof(*e->loaded));
	if (e->fd < 0 || !e->name || !e->loaded || fstat(e->fd, &st)) {
		err = -errno;
		goto out;
	}
	err = -ENOEXEC;
	if (!S_ISREG(st.st_mode)) /* reading a device or a pipe has effects */
		goto out;
	e->file_size = st.st_size;
	err = read_ehdr(e);
	if (err)
		goto out;
	/* The kernel runs a file whose section table is gone; then only sections are missing. */
	err = read_section_table(e);
	if (err == -ENOMEM)
		goto out;
	e->sections_bad = err != 0;
	build_id_from_sections(e);
	err = read_segments(e);
	if (!err && !e->nsections)
		err = sections_from_segments(e);
out:
	if (err)
		elfobj__close(e);
	else
		*ret = e;
	return err;
}

void elfobj__close(struct elfobj *e)
{
	if (!e)
		return;
	if (e->elf)
		elf_end(e->elf);
	for (size_t i = 0; i < e->nsections; i++)
		free(e->sections[i].data);
	free(e->sections);
	free(e->segments);
	free(e->name);
	free(e->loaded);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
}

Elf *elfobj__elf(struct elfobj *e)
{
	if (!e->elf && elf_version(EV_CURRENT) != EV_NONE)
		e->elf = elf_begin(e->fd, ELF_C_READ, NULL);
	return e->elf;
}

int elfobj__fd(const struct elfobj *e)
{
	return e->fd;
}

const char *elfobj__name(const struct elfobj *e)
{
	return e->name;
}

uint16_t elfobj__machine(const struct elfobj *e)
{
	return e->ehdr.e_machine;
}

uint16_t elfobj__type(const struct elfobj *e)
{
	return e->ehdr.e_type;
}

uint64_t elfobj__entry(const struct elfobj *e)
{
	return e->ehdr.e_entry;
}

bool elfobj__has_interp(const struct elfobj *e)
{
	return e->has_interp;
}

bool elfobj__has_dynamic(const struct elfobj *e)
{
	return e->has_dynamic;
}

size_t elfobj__segments(const struct elfobj *e, const struct elfobj_segment **ret)
{
	*ret = e->segments;
	return e->nsegments;
}

size_t elfobj__build_id(const struct elfobj *e, uint8_t id[ELFOBJ_MAX_BUILD_ID])
{
	memcpy(id, e->build_id, e->build_id_len);
	return e->build_id_len;
}

char *elfobj__build_id_hex(const struct elfobj *e, char *buf)
{
	static const char hex[] = "0123456789abcdef";
	char *p = buf;

	for (size_t i = 0; i < e->build_id_len; i++) {
		*p++ = hex[e->build_id[i] >> 4];
		*p++ = hex[e->build_id[i] & 15];
	}
	*p = 0;
	return buf;
}

bool elfobj__vaddr_to_off(const struct elfobj *e, uint64_t vaddr, uint64_t *ret_off)
{
	for (size_t i = 0; i < e->nsegments; i++) {
		const struct elfobj_segment *s = &e->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz) {
			*ret_off = s->off + (vaddr - s->vaddr);
			return true;
		}
	}
	return false;
}

bool elfobj__off_to_vaddr(const struct elfobj *e, uint64_t off, uint64_t *ret_vaddr)
{
	const struct elfobj_segment *found = NULL;

	/* Linkers may let two segments share bytes of the file; code is what is asked for. */
	for (size_t i = 0; i < e->nsegments; i++) {
		const struct elfobj_segment *s = &e->segments[i];

		if (off >= s->off && off - s->off < s->filesz &&
		    (!found || (!(found->flags & PF_X) && (s->flags & PF_X))))
			found = s;
	}
	if (!found)
		return false;
	*ret_vaddr = found->vaddr + (off - found->off);
	return true;
}

uint64_t elfobj__segment_bytes(const struct elfobj *e, const struct elfobj_segment *seg)
{
	return seg->off < e->file_size ? min_of(seg->filesz, e->file_size - seg->off) : 0;
}

size_t elfobj__read(const struct elfobj *e, uint64_t vaddr, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const struct elfobj_segment *s = NULL;
		uint64_t skip, n;
		ssize_t got;

		for (size_t i = 0; i < e->nsegments && !s; i++) {
			if (vaddr >= e->segments[i].vaddr &&
			    vaddr - e->segments[i].vaddr < e->segments[i].filesz)
				s = &e->segments[i];
		}
		if (!s)
			break;
		skip = vaddr - s->vaddr;
		n = min_of((uint64_t)(len - done), s->filesz - skip);
		if (s->off + skip > INT64_MAX)
			break;
		got = pread(e->fd, (char *)buf + done, n, s->off + skip);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += got;
		vaddr += got;
	}
	return done;
}

/* One symbol table entry to the callback's form; false if it names no address in the file. */
static bool symbol_of(const Elf64_Sym *sym, const struct section *strtab, struct elfobj_symbol *ret)
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

static int each_in_table(const struct elfobj *e, struct section *tab, elfobj_symbol_fn fn,
			 void *arg)
{
	struct section *strtab;
	int err;

	if (tab->hdr.sh_type == SHT_NOBITS)
		return 0;
	if (tab->hdr.sh_entsize != sizeof(Elf64_Sym) || tab->hdr.sh_link >= e->nsections)
		return -EBADMSG;
	strtab = &e->sections[tab->hdr.sh_link];
	err = load_section(e, tab);
	if (!err)
		err = load_section(e, strtab);
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

static int relocs_in(const struct elfobj *e, struct section *tab, elfobj_reloc_fn fn, void *arg)
{
	struct section *syms, *names;
	int err;

	if (tab->hdr.sh_entsize != sizeof(Elf64_Rela) || tab->hdr.sh_link >= e->nsections)
		return 0;
	syms = &e->sections[tab->hdr.sh_link];
	if (syms->hdr.sh_type != SHT_DYNSYM || syms->hdr.sh_link >= e->nsections)
		return 0;
	names = &e->sections[syms->hdr.sh_link];
	err = load_section(e, tab);
	err = err ? err : load_section(e, syms);
	err = err ? err : load_section(e, names);
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

int elfobj__section(const struct elfobj *e, const char *name, const uint8_t **ret, size_t *ret_len,
		    uint64_t *ret_vaddr)
{
	for (size_t i = 0; i < e->nsections; i++) {
		struct section *s = &e->sections[i];
		int err;

		if (strcmp(section_name(e, s), name))
			continue;
		err = load_section(e, s);
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
		const struct section *s = &e->sections[i];

		if (s->hdr.sh_type != SHT_NOBITS && s->hdr.sh_size &&
		    !strcmp(section_name(e, s), name))
			return true;
	}
	return false;
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
		struct section *s = &e->sections[i];

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
