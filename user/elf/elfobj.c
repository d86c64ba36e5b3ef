/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elfobj.c - reads one untrusted ELF file through a descriptor: its headers, its segments, its
 * build-id.
 *
 * Nothing is ever mapped: a file that is truncated while it is mapped kills the reader with SIGBUS,
 * and its bytes may change between the check and the use. Headers are read with pread() into
 * private memory at open, sections when they are first asked for; what is checked is the copy that
 * is used. libelf (for libdw alone) is opened with ELF_C_READ, which also only reads.
 *
 * Not thread-safe: sections are cached on first use.
 */
#include "elf/elfobj_priv.h"

#include "core/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PHDRS 4096
#define MAX_NOTES_BYTES (1u << 20)

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "only x86-64 and arm64 are supported"
#endif

int elfobj__read_at(const struct elfobj *e, void *buf, size_t len, uint64_t off)
{
	char *p = buf;

	while (len) {
		ssize_t n;

		if (off > INT64_MAX - len)
			return -EBADMSG;
		n = pread(e->fd, p, len, off);
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

bool elfobj__in_file(const struct elfobj *e, uint64_t off, uint64_t len)
{
	return off <= e->file_size && len <= e->file_size - off;
}

int elfobj__read_table(const struct elfobj *e, uint64_t off, size_t n, size_t size, void **ret)
{
	cleanup_free void *p = NULL;
	int err;

	if (!elfobj__in_file(e, off, (uint64_t)n * size))
		return -EBADMSG;
	p = malloc(n * size + 1);
	if (!p)
		return -ENOMEM;
	err = elfobj__read_at(e, p, n * size, off);
	if (err)
		return err;
	*ret = take_ptr(p);
	return 0;
}

static int read_ehdr(struct elfobj *e)
{
	const unsigned char *id = e->ehdr.e_ident;

	/* The identification first: a short file that is no ELF at all is not a damaged ELF. */
	if (elfobj__read_at(e, e->ehdr.e_ident, EI_NIDENT, 0) || memcmp(id, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB ||
	    id[EI_VERSION] != EV_CURRENT)
		return -ENOEXEC;
	if (elfobj__read_at(e, &e->ehdr, sizeof(e->ehdr), 0))
		return -EBADMSG;
	if (e->ehdr.e_machine != NATIVE_MACHINE)
		return -ENOEXEC;
	return 0;
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
	if (!elfobj__read_table(e, ph->p_offset, ph->p_filesz, 1, &notes))
		find_build_id(e, notes, ph->p_filesz);
}

/*
 * Sections before segments: in a detached debug file the program headers are copied as they were
 * and point at bytes that are no longer there.
 */
static void build_id_from_sections(struct elfobj *e)
{
	for (size_t i = 0; i < e->nsections && !e->build_id_len; i++) {
		struct elfobj_part *s = &e->sections[i];

		if (s->hdr.sh_type == SHT_NOTE && s->hdr.sh_size <= MAX_NOTES_BYTES &&
		    !elfobj__load(e, s, false))
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
	err = elfobj__read_table(e, e->ehdr.e_phoff, n, sizeof(*ph), (void **)&ph);
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
	err = elfobj__read_section_table(e);
	if (err == -ENOMEM)
		goto out;
	e->sections_bad = err != 0;
	build_id_from_sections(e);
	err = read_segments(e);
	if (!err && !e->nsections)
		err = elfobj__make_sections(e);
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
