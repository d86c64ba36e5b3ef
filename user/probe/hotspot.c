/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/hotspot.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define LIBRARY "/libjvm.so"
#define MAX_PHDRS 64
#define MAX_DYNAMIC 128
#define MAX_TABLE (4u << 20) /* bytes of dynamic symbols, of their names */
#define MAX_ENTRIES 10000
#define MAX_NAME 48
#define MAX_SHIFT 20
#define MAX_OFFSET 4096
#define MAX_WINDOWS_BYTES (16u << 20) /* of the library, to read it once */

/* As the tables' own descriptions of themselves say since JDK 8. */
struct vm_struct {
	uint64_t type, field, type_of_field;
	int32_t is_static, pad;
	uint64_t offset, address;
};
struct vm_type {
	uint64_t name, super;
	int32_t is_oop, is_integer, is_unsigned, pad;
	uint64_t size;
};

/* Fields by type and name. */
#define FIELDS(X)                                      \
	X(heaps, "CodeCache", "_heaps")                \
	X(array_len, "GrowableArray", "_len")          \
	X(array_data, "GrowableArray", "_data")        \
	X(memory, "CodeHeap", "_memory")               \
	X(segments, "CodeHeap", "_segmap")             \
	X(shift, "CodeHeap", "_log2_segment_size")     \
	X(low, "VirtualSpace", "_low_boundary")        \
	X(high, "VirtualSpace", "_high_boundary")      \
	X(frame_size, "CodeBlob", "_frame_size")       \
	X(interpreter, "AbstractInterpreter", "_code") \
	X(stubs, "StubQueue", "_stub_buffer")          \
	X(stubs_len, "StubQueue", "_buffer_limit")
#define FIELD_ENUM(name, type, field) FIELD_##name,
#define FIELD_NAMES(name, type, field) {type, field},

enum { FIELDS(FIELD_ENUM) N_FIELDS };
static const struct {
	const char *type, *field;
} wanted[] = {FIELDS(FIELD_NAMES)};

struct hotspot {
	struct procmem_cache *mem;
	uint64_t base; /* of the library */
	uint64_t structs, types;
	uint64_t at[N_FIELDS]; /* offset of a field, address of a static one */
	bool have[N_FIELDS];
	uint64_t block_bytes; /* head of a block */
};

static int read_word(const struct hotspot *j, uint64_t at, void *ret)
{
	return procmem_cache__read(j->mem, at, ret, 8);
}

static int read_name(const struct hotspot *j, uint64_t at, char name[MAX_NAME])
{
	int err = at ? procmem_cache__read(j->mem, at, name, MAX_NAME) : -ENOENT;

	name[MAX_NAME - 1] = 0;
	return err;
}

/* Addresses from the library's dynamic segment: symbols lie before their names. */
static int read_dynamic(const struct hotspot *j, uint64_t *ret_sym, uint64_t *ret_str,
			uint64_t *ret_len)
{
	Elf64_Phdr ph[MAX_PHDRS];
	Elf64_Dyn dyn[MAX_DYNAMIC];
	Elf64_Ehdr eh;
	size_t n = 0;

	if (procmem_cache__read(j->mem, j->base, &eh, sizeof(eh)) || eh.e_phnum > MAX_PHDRS ||
	    eh.e_phentsize != sizeof(*ph) ||
	    procmem_cache__read(j->mem, j->base + eh.e_phoff, ph, eh.e_phnum * sizeof(*ph)))
		return -EOPNOTSUPP;
	for (int i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_DYNAMIC)
			continue;
		n = min_of(ph[i].p_memsz / sizeof(*dyn), (uint64_t)MAX_DYNAMIC);
		if (procmem_cache__read(j->mem, j->base + ph[i].p_vaddr, dyn, n * sizeof(*dyn)))
			return -EOPNOTSUPP;
	}
	*ret_sym = *ret_str = *ret_len = 0;
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
		switch (dyn[i].d_tag) {
		case DT_SYMTAB: *ret_sym = dyn[i].d_un.d_ptr; break;
		case DT_STRTAB: *ret_str = dyn[i].d_un.d_ptr; break;
		case DT_STRSZ: *ret_len = dyn[i].d_un.d_val; break;
		}
	}
	if (*ret_sym < j->base) { /* musl leaves them as they are in the file */
		*ret_sym += j->base;
		*ret_str += j->base;
	}
	return *ret_str > *ret_sym && *ret_str - *ret_sym < MAX_TABLE && *ret_len < MAX_TABLE
		       ? 0
		       : -EOPNOTSUPP;
}

/* Where the library keeps the addresses of its tables. */
static int find_tables(struct hotspot *j)
{
	cleanup_free Elf64_Sym *syms = NULL;
	cleanup_free char *names = NULL;
	uint64_t sym, str, len;
	size_t n;
	int err = read_dynamic(j, &sym, &str, &len);

	if (err)
		return err;
	n = (str - sym) / sizeof(*syms);
	syms = malloc(str - sym);
	names = malloc(len + 1);
	if (!syms || !names)
		return -ENOMEM;
	if (procmem_cache__read(j->mem, sym, syms, n * sizeof(*syms)) ||
	    procmem_cache__read(j->mem, str, names, len))
		return -EOPNOTSUPP;
	names[len] = 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = syms[i].st_name < len ? names + syms[i].st_name : "";

		if (!strcmp(name, "gHotSpotVMStructs"))
			read_word(j, j->base + syms[i].st_value, &j->structs);
		else if (!strcmp(name, "gHotSpotVMTypes"))
			read_word(j, j->base + syms[i].st_value, &j->types);
	}
	return j->structs && j->types ? 0 : -EOPNOTSUPP;
}

/* Of a template any instance will do. */
static bool is_type(const char *type, const char *want)
{
	return !strcmp(type, want) || (!strcmp(want, "GrowableArray") && strstr(type, want));
}

static void note_field(struct hotspot *j, const struct vm_struct *e, const char *type,
		       const char *field)
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		if (j->have[i] || strcmp(field, wanted[i].field) || !is_type(type, wanted[i].type))
			continue;
		j->at[i] = e->is_static ? e->address : e->offset;
		j->have[i] = e->is_static || e->offset < MAX_OFFSET;
	}
}

static int read_fields(struct hotspot *j)
{
	char type[MAX_NAME], field[MAX_NAME];
	struct vm_struct e;

	for (size_t i = 0; i < MAX_ENTRIES; i++) {
		if (procmem_cache__read(j->mem, j->structs + i * sizeof(e), &e, sizeof(e)) ||
		    read_name(j, e.type, type) || read_name(j, e.field, field))
			break;
		note_field(j, &e, type, field);
	}
	for (size_t i = 0; i < N_FIELDS; i++) {
		if (!j->have[i])
			return -EOPNOTSUPP;
	}
	for (size_t i = 0; i < MAX_ENTRIES; i++) {
		struct vm_type t;

		if (procmem_cache__read(j->mem, j->types + i * sizeof(t), &t, sizeof(t)) ||
		    read_name(j, t.name, type))
			break;
		if (strcmp(type, "HeapBlock"))
			continue;
		j->block_bytes = t.size;
		return t.size < MAX_OFFSET ? 0 : -EOPNOTSUPP;
	}
	return -EOPNOTSUPP;
}

static int read_heap(const struct hotspot *j, uint64_t heap, struct mw_jvm *ret)
{
	uint64_t memory = heap + j->at[FIELD_memory], segments = heap + j->at[FIELD_segments];
	struct mw_jvm_heap *h = &ret->heap[ret->n_heaps];
	int32_t shift;

	if (read_word(j, memory + j->at[FIELD_low], &h->low) ||
	    read_word(j, memory + j->at[FIELD_high], &h->high) ||
	    read_word(j, segments + j->at[FIELD_low], &h->segments) ||
	    procmem_cache__read(j->mem, heap + j->at[FIELD_shift], &shift, sizeof(shift)))
		return -EAGAIN;
	if (shift <= 0 || shift > MAX_SHIFT || h->high < h->low)
		return -EOPNOTSUPP;
	ret->segment_shift = shift;
	ret->n_heaps++;
	return 0;
}

static int read_heaps(const struct hotspot *j, struct mw_jvm *ret)
{
	uint64_t heaps, data, heap;
	int32_t n = 0;
	int err = 0;

	if (read_word(j, j->at[FIELD_heaps], &heaps) || !heaps ||
	    procmem_cache__read(j->mem, heaps + j->at[FIELD_array_len], &n, sizeof(n)) ||
	    read_word(j, heaps + j->at[FIELD_array_data], &data) || n <= 0)
		return -EAGAIN;
	for (int32_t i = 0; i < n && i < MW_JVM_HEAPS && !err; i++) {
		err = read_word(j, data + 8 * (uint64_t)i, &heap);
		if (!err)
			err = read_heap(j, heap, ret);
	}
	return err;
}

static int read_code(const struct hotspot *j, struct mw_jvm *ret)
{
	uint64_t queue;
	int32_t len;
	int err;

	*ret = (struct mw_jvm){.frame_size = j->block_bytes + j->at[FIELD_frame_size]};
	err = read_heaps(j, ret);
	if (err)
		return err;
	if (read_word(j, j->at[FIELD_interpreter], &queue) || !queue ||
	    read_word(j, queue + j->at[FIELD_stubs], &ret->interpreter) ||
	    procmem_cache__read(j->mem, queue + j->at[FIELD_stubs_len], &len, sizeof(len)) ||
	    len < 0)
		return -EAGAIN;
	ret->interpreter_end = ret->interpreter + len;
	return 0;
}

int hotspot__read(const struct procmap *maps, struct mw_jvm *ret)
{
	const struct procmap_entry *lib = NULL;
	struct hotspot j = {0};
	struct procmem *mem;
	int err;

	for (size_t i = 0; i < maps->n && !lib; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		size_t len = strlen(e->path);

		if (!e->offset && len >= strlen(LIBRARY) &&
		    !strcmp(e->path + len - strlen(LIBRARY), LIBRARY))
			lib = e;
	}
	if (!lib)
		return -ENOENT;
	j.base = lib->start;
	err = procmem__open(maps->pid, &mem);
	if (err)
		return err;
	err = procmem_cache__new(mem, MAX_WINDOWS_BYTES, &j.mem);
	if (!err)
		err = find_tables(&j);
	if (!err)
		err = read_fields(&j);
	if (!err)
		err = read_code(&j, ret);
	procmem_cache__free(j.mem);
	procmem__close(mem);
	return err;
}

#define JVM_READ(arg, dst, n, at) procmem_cache__read(arg, at, dst, n)
#include "memwatch/jvm.h" /* again: now the function */

uint32_t hotspot__frame_words(const struct mw_jvm *j, struct procmem_cache *memory, uint64_t pc)
{
	return jvm_frame_words(j, memory, pc);
}
