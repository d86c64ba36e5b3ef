/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elfobj_priv.h - one open file as elfobj.c (headers, segments), elfobj_sections.c and
 * elfobj_symbols.c share it.
 */
#ifndef ELF_ELFOBJ_PRIV_H
#define ELF_ELFOBJ_PRIV_H

#include <elf.h>

#include "elf/elfobj.h"

struct elfobj_part {
	Elf64_Shdr hdr;
	const char *known_name; /* of one that the dynamic segment tells of; NULL: in .shstrtab */
	uint8_t *data;		/* owned copy with a NUL behind it; NULL until asked for */
	size_t len;
	int err; /* why data cannot be had; remembered */
};

struct elfobj {
	int fd;
	char *name;
	uint64_t file_size;
	uint64_t *loaded; /* owned: bytes of sections in memory, a cache like these themselves */
	Elf *elf;	  /* opened on demand */
	Elf64_Ehdr ehdr;
	struct elfobj_segment *segments;
	size_t nsegments;
	struct elfobj_part *sections;
	size_t nsections;
	struct elfobj_part *names; /* .shstrtab, NULL if unusable */
	bool has_interp, has_dynamic;
	Elf64_Phdr dynamic, eh_frame_hdr; /* p_type PT_NULL: none */
	bool sections_bad;		  /* the section table is there but cannot be read */
	uint8_t build_id[ELFOBJ_MAX_BUILD_ID];
	size_t build_id_len;
};

/* Reads exactly len bytes at off; -EBADMSG if the file ends before. */
int elfobj__read_at(const struct elfobj *e, void *buf, size_t len, uint64_t off);
/* Reads a table of n entries of size bytes into fresh memory, owned by the caller. */
int elfobj__read_table(const struct elfobj *e, uint64_t off, size_t n, size_t size, void **ret);
bool elfobj__in_file(const struct elfobj *e, uint64_t off, uint64_t len);

/* The section table, if there is one. 0, -EBADMSG or another negative errno. */
int elfobj__read_section_table(struct elfobj *e);
/* Of a file without one: what the dynamic segment and the unwind header tell of. 0 or -ENOMEM. */
int elfobj__make_sections(struct elfobj *e);
/* The bytes of a section into memory, once; gnu: one of .zdebug_*, which has no flag of it. */
int elfobj__load(const struct elfobj *e, struct elfobj_part *s, bool gnu);

#endif
