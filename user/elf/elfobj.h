/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elfobj.h - one ELF file, opened read-only by descriptor: segments, symbols, build-id.
 *
 * The file is untrusted: every offset is checked, every table has a cap, and what is malformed is
 * an error code, never a crash. The descriptor, not the path, is what identifies the file, so that
 * deleted files and files of other mount namespaces work (open them through /proc/PID/map_files).
 * Two address spaces appear here: `vaddr` is the ELF's own (p_vaddr), `off` is the file offset.
 * Probes and unwind tables are keyed by `off`, symbols and DWARF by `vaddr`.
 */
#ifndef ELF_ELFOBJ_H
#define ELF_ELFOBJ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libelf.h>

#define ELFOBJ_MAX_BUILD_ID 32

struct elfobj_segment { /* a PT_LOAD */
	uint64_t vaddr, off, filesz, memsz;
	uint32_t flags; /* PF_R|PF_W|PF_X */
};

struct elfobj_symbol {
	const char *name; /* borrowed from the file's image; NUL-terminated inside it */
	uint64_t vaddr, size;
	uint8_t type, bind; /* STT_*, STB_* */
};

struct elfobj; /* opaque */

/*
 * Opens the ELF behind fd (duplicated: the caller keeps its own). `name` is for messages only.
 * 0; -ENOEXEC: not an ELF of this machine's class; -EBADMSG: malformed; other negative errno.
 */
int elfobj__open_fd(int fd, const char *name, struct elfobj **ret);
void elfobj__close(struct elfobj *e);

Elf *elfobj__elf(struct elfobj *e); /* for libdw; borrowed */
int elfobj__fd(const struct elfobj *e);
const char *elfobj__name(const struct elfobj *e);
uint16_t elfobj__machine(const struct elfobj *e); /* EM_X86_64, EM_AARCH64 */
uint16_t elfobj__type(const struct elfobj *e);	  /* ET_EXEC, ET_DYN */
uint64_t elfobj__entry(const struct elfobj *e);
bool elfobj__has_interp(const struct elfobj *e); /* false and no dynamic segment: static */
bool elfobj__has_dynamic(const struct elfobj *e);
size_t elfobj__segments(const struct elfobj *e, const struct elfobj_segment **ret);

/* Build-id note: its length (0 if there is none; a longer one is cut) and the bytes. */
size_t elfobj__build_id(const struct elfobj *e, uint8_t id[ELFOBJ_MAX_BUILD_ID]);
/* The same as lower-case hex; "" if there is none. buf needs 2*ELFOBJ_MAX_BUILD_ID+1. */
char *elfobj__build_id_hex(const struct elfobj *e, char *buf);

/* Translations through the PT_LOADs; false if no segment holds the address. */
bool elfobj__vaddr_to_off(const struct elfobj *e, uint64_t vaddr, uint64_t *ret_off);
bool elfobj__off_to_vaddr(const struct elfobj *e, uint64_t off, uint64_t *ret_vaddr);

/* How many bytes of a segment are in the file, whatever its header claims. */
uint64_t elfobj__segment_bytes(const struct elfobj *e, const struct elfobj_segment *seg);

/* Copies up to len bytes of the file's image at vaddr; returns how many there were (0 if none). */
size_t elfobj__read(const struct elfobj *e, uint64_t vaddr, void *buf, size_t len);

/*
 * Calls fn for every defined symbol of .dynsym, then of .symtab (both; duplicates are the
 * caller's business); where there is no section table, for those that the dynamic segment tells of.
 * fn returns 0 to go on, anything else ends the walk and is returned.
 * -EBADMSG if a table is malformed (symbols before the damage have been given). Symbols without an
 * address in the file (absolute, common), sections, file names and nameless ones are left out.
 */
typedef int (*elfobj_symbol_fn)(void *arg, const struct elfobj_symbol *sym);
int elfobj__each_symbol(const struct elfobj *e, elfobj_symbol_fn fn, void *arg);

struct elfobj_reloc {
	uint64_t slot;	  /* vaddr of what is relocated */
	uint32_t type;	  /* R_* of the machine */
	const char *name; /* of the symbol; borrowed */
	uint64_t vaddr;	  /* of the symbol; 0 if it is another file's */
};

/* Calls fn for every dynamic relocation (RELA) against a named symbol, as elfobj__each_symbol. */
typedef int (*elfobj_reloc_fn)(void *arg, const struct elfobj_reloc *r);
int elfobj__each_reloc(const struct elfobj *e, elfobj_reloc_fn fn, void *arg);

/* Bytes of a section by name (unpacked if it is compressed; .zdebug_x goes by .debug_x), a NUL byte
 * behind them; borrowed. ret_vaddr may be NULL. -ENOENT if absent, -EBADMSG, -EOPNOTSUPP
 * (compressed in a way that unpack.h does not know). */
int elfobj__section(const struct elfobj *e, const char *name, const uint8_t **ret, size_t *ret_len,
		    uint64_t *ret_vaddr);
/* Whether there is such a section with contents in the file; reads nothing. */
bool elfobj__has_section(const struct elfobj *e, const char *name);

enum elfobj_packing { ELFOBJ_PLAIN, ELFOBJ_ZLIB, ELFOBJ_ZSTD, ELFOBJ_GNU_ZLIB, ELFOBJ_UNKNOWN };

/* Calls fn for every section with contents in the file; the name is borrowed for the call. fn
 * returns 0 to go on, anything else ends the walk and is returned. */
typedef int (*elfobj_section_fn)(void *arg, const char *name, enum elfobj_packing packing);
int elfobj__each_section(const struct elfobj *e, elfobj_section_fn fn, void *arg);

/* Memory that sections take which were asked for, bytes. */
size_t elfobj__bytes(const struct elfobj *e);
/* Gives that memory back: everything borrowed from `e` so far is gone. */
void elfobj__drop(struct elfobj *e);

#endif
