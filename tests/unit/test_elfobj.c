/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ELF reader on this very program, on the C library, and on damaged copies of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "elf/elfobj.h"

int test_elfobj_marker(int x);
__attribute__((noinline, visibility("default"))) int test_elfobj_marker(int x)
{
	return x + 1;
}

static struct elfobj *open_path(const char *path)
{
	struct elfobj *e = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(elfobj__open_fd(fd, path, &e), 0);
	close(fd);
	return e;
}

struct wanted {
	const char *name;
	uint64_t vaddr, size;
	int seen, total;
};

static int look_for(void *arg, const struct elfobj_symbol *sym)
{
	struct wanted *w = arg;

	w->total++;
	if (!strcmp(sym->name, w->name)) {
		w->vaddr = sym->vaddr;
		w->size = sym->size;
		w->seen++;
	}
	return 0;
}

static uint64_t load_bias(void)
{
	Dl_info info;
	struct link_map *map;

	assert_int_not_equal(
		dladdr1((void *)test_elfobj_marker, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
	return map->l_addr;
}

static void own_symbols(void **state)
{
	struct elfobj *e = open_path("/proc/self/exe");
	struct wanted w = {.name = "test_elfobj_marker"};
	uint64_t vaddr = (uint64_t)(uintptr_t)test_elfobj_marker - load_bias(), off, back;
	uint8_t code[8];

	assert_int_equal(elfobj__each_symbol(e, look_for, &w), 0);
	assert_true(w.seen >= 1);
	assert_int_equal(w.vaddr, vaddr);
	assert_true(w.size > 0);
	assert_true(elfobj__vaddr_to_off(e, vaddr, &off));
	assert_true(elfobj__off_to_vaddr(e, off, &back));
	assert_int_equal(back, vaddr);
	assert_int_equal(elfobj__read(e, vaddr, code, sizeof(code)), sizeof(code));
	assert_memory_equal(code, (void *)test_elfobj_marker, sizeof(code));
	assert_true(elfobj__has_interp(e));
	assert_true(elfobj__has_dynamic(e));
	assert_non_null(elfobj__elf(e));
	elfobj__close(e);
}

static int own_build_id(struct dl_phdr_info *info, size_t size, void *arg)
{
	char *hex = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const char *p = (const char *)info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_NOTE)
			continue;
		for (const char *end = p + ph->p_memsz; p < end;) {
			const ElfW(Nhdr) *n = (const void *)p;
			const uint8_t *d =
				(const uint8_t *)p + sizeof(*n) + ((n->n_namesz + 3) & ~3u);

			if (n->n_type == NT_GNU_BUILD_ID) {
				for (uint32_t k = 0; k < n->n_descsz; k++)
					sprintf(hex + 2 * k, "%02x", d[k]);
			}
			p = (const char *)d + ((n->n_descsz + 3) & ~3u);
		}
	}
	return 1; /* the program itself comes first */
}

static void build_id(void **state)
{
	struct elfobj *e = open_path("/proc/self/exe");
	char mine[2 * ELFOBJ_MAX_BUILD_ID + 1] = "", got[2 * ELFOBJ_MAX_BUILD_ID + 1];

	dl_iterate_phdr(own_build_id, mine);
	assert_int_equal(strlen(mine), 40);
	assert_string_equal(elfobj__build_id_hex(e, got), mine);
	elfobj__close(e);
}

static void sections(void **state)
{
	struct elfobj *e = open_path("/proc/self/exe");
	const uint8_t *p;
	size_t len;
	uint64_t vaddr;

	assert_int_equal(elfobj__section(e, ".interp", &p, &len, &vaddr), 0);
	assert_int_equal(len, strlen((const char *)p) + 1);
	assert_true(vaddr > 0);
	assert_int_equal(elfobj__section(e, ".eh_frame", &p, &len, &vaddr), 0);
	assert_true(len > 100);
	assert_int_equal(elfobj__section(e, ".bss", &p, &len, &vaddr), -ENOENT);
	assert_int_equal(elfobj__section(e, ".nothing", &p, &len, &vaddr), -ENOENT);
	elfobj__close(e);
}

static void not_elf(void **state)
{
	struct elfobj *e = NULL;
	int fds[2], fd = open("/proc/self/status", O_RDONLY);

	assert_int_equal(elfobj__open_fd(fd, "status", &e), -ENOEXEC);
	close(fd);
	fd = memfd_create("empty", MFD_CLOEXEC);
	assert_int_equal(elfobj__open_fd(fd, "empty", &e), -ENOEXEC);
	assert_int_equal(write(fd, "\177ELF", 4), 4);
	assert_int_equal(elfobj__open_fd(fd, "four bytes", &e), -ENOEXEC);
	close(fd);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(elfobj__open_fd(fds[0], "pipe", &e), -ENOEXEC);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(elfobj__open_fd(-1, "none", &e), -EBADF);
	assert_null(e);
}

static int count(void *arg, const struct elfobj_symbol *sym)
{
	*(size_t *)arg += strlen(sym->name) > 0;
	return 0;
}

/* Everything the interface offers, on a file that may be damaged: any result but a crash. */
static void use_all(int fd)
{
	static const char *const names[] = {".eh_frame", ".debug_frame", ".text", ".dynstr",
					    ".symtab"};
	struct elfobj *e = NULL;
	const struct elfobj_segment *seg;
	uint8_t buf[64], id[ELFOBJ_MAX_BUILD_ID];
	size_t n = 0, len;
	const uint8_t *p;
	uint64_t v;

	if (elfobj__open_fd(fd, "damaged", &e))
		return;
	elfobj__each_symbol(e, count, &n);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		elfobj__section(e, names[i], &p, &len, &v);
	n = elfobj__segments(e, &seg);
	for (size_t i = 0; i < n; i++) {
		elfobj__read(e, seg[i].vaddr, buf, sizeof(buf));
		elfobj__off_to_vaddr(e, seg[i].off + seg[i].filesz - 1, &v);
		elfobj__vaddr_to_off(e, seg[i].vaddr + seg[i].memsz - 1, &v);
	}
	elfobj__build_id(e, id);
	elfobj__close(e);
}

static uint8_t *slurp(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *p;

	assert_int_equal(fstat(fd, &st), 0);
	p = malloc(st.st_size);
	assert_int_equal(read(fd, p, st.st_size), st.st_size);
	close(fd);
	*len = st.st_size;
	return p;
}

static const char *small_elf(void)
{
	return access("/lib64/ld-linux-x86-64.so.2", R_OK) ? "/proc/self/exe"
							   : "/lib64/ld-linux-x86-64.so.2";
}

static void truncated(void **state)
{
	size_t len;
	uint8_t *p = slurp(small_elf(), &len);
	int fd = memfd_create("truncated", MFD_CLOEXEC);

	assert_int_equal(write(fd, p, len), len);
	for (size_t cut = len; cut > 0; cut = cut > 4096 ? cut - cut / 13 : cut - 1 - cut / 64) {
		assert_int_equal(ftruncate(fd, cut), 0);
		use_all(fd);
	}
	close(fd);
	free(p);
}

/* A file that shrinks after it was opened: errors, no signal. */
static void shrinks_while_open(void **state)
{
	size_t len, n = 0;
	uint8_t *p = slurp(small_elf(), &len);
	int fd = memfd_create("shrinks", MFD_CLOEXEC);
	struct elfobj *e = NULL;
	const uint8_t *data;

	assert_int_equal(write(fd, p, len), len);
	assert_int_equal(elfobj__open_fd(fd, "shrinks", &e), 0);
	assert_int_equal(ftruncate(fd, 512), 0);
	assert_int_equal(elfobj__section(e, ".text", &data, &len, NULL), -EBADMSG);
	assert_int_equal(elfobj__each_symbol(e, count, &n), -EBADMSG);
	elfobj__close(e);
	close(fd);
	free(p);
}

static void bit_flips(void **state)
{
	size_t len;
	uint8_t *p = slurp(small_elf(), &len);
	int fd = memfd_create("flipped", MFD_CLOEXEC);
	uint64_t rng = 0x9e3779b97f4a7c15ULL;
	uint64_t shoff = ((Elf64_Ehdr *)p)->e_shoff;

	assert_int_equal(write(fd, p, len), len);
	for (int round = 0; round < 3000; round++) {
		uint64_t at[4];
		uint8_t old[4];

		for (int i = 0; i < 4; i++) {
			rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
			/* headers, where damage matters most, and anywhere */
			at[i] = i == 0	 ? rng % 1024
				: i == 1 ? shoff + rng % (len - shoff)
					 : rng % len;
			assert_int_equal(pread(fd, &old[i], 1, at[i]), 1);
			uint8_t bad = round & 1 ? 0xff : old[i] ^ 1 << (rng >> 40 & 7);
			assert_int_equal(pwrite(fd, &bad, 1, at[i]), 1);
		}
		use_all(fd);
		for (int i = 3; i >= 0; i--)
			assert_int_equal(pwrite(fd, &old[i], 1, at[i]), 1);
	}
	close(fd);
	free(p);
}

struct dynamic_sums {
	size_t symbols, relocs;
	uint64_t hash;
};

static int add_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct dynamic_sums *d = arg;

	d->symbols++;
	d->hash += sym->vaddr * 31 + strlen(sym->name);
	return 0;
}

static int add_reloc(void *arg, const struct elfobj_reloc *r)
{
	struct dynamic_sums *d = arg;

	d->relocs++;
	d->hash += r->slot * 31 + r->vaddr * 7 + r->type + strlen(r->name);
	return 0;
}

/* Without section headers the dynamic segment tells the same symbols and relocations. */
static void no_section_headers(void **state)
{
	static const char *const files[] = {"/lib/x86_64-linux-gnu/libc.so.6",
					    "/lib/x86_64-linux-gnu/libstdc++.so.6", "/bin/sh"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct dynamic_sums sums[2] = {0};
		const uint8_t *data;
		size_t len, n;
		uint8_t *p = slurp(files[i], &len);
		Elf64_Ehdr *eh = (Elf64_Ehdr *)p;
		int fd = memfd_create("sectionless", MFD_CLOEXEC);

		for (int k = 0; k < 2; k++) {
			struct elfobj *e;

			assert_int_equal(pwrite(fd, p, len, 0), len);
			assert_int_equal(elfobj__open_fd(fd, files[i], &e), 0);
			assert_int_equal(elfobj__each_symbol(e, add_symbol, &sums[k]), 0);
			assert_int_equal(elfobj__each_reloc(e, add_reloc, &sums[k]), 0);
			assert_int_equal(elfobj__section(e, ".eh_frame", &data, &n, NULL), 0);
			assert_true(n > 100);
			elfobj__close(e);
			eh->e_shoff = eh->e_shnum = eh->e_shstrndx = 0;
		}
		assert_true(sums[0].symbols > 0 && sums[0].relocs > 10);
		assert_memory_equal(&sums[0], &sums[1], sizeof(sums[0]));
		close(fd);
		free(p);
	}
}

/* Header fields that claim more than there is. */
static void absurd_headers(void **state)
{
	size_t len;
	uint8_t *p = slurp(small_elf(), &len), *copy = malloc(len);
	Elf64_Ehdr *eh = (Elf64_Ehdr *)copy;
	struct elfobj *e = NULL;
	size_t n = 0;
	int fd = memfd_create("absurd", MFD_CLOEXEC);

	memcpy(copy, p, len);
	eh->e_phoff = UINT64_MAX - 8;
	assert_int_equal(pwrite(fd, copy, len, 0), len);
	assert_int_equal(elfobj__open_fd(fd, "phoff", &e), -EBADMSG);

	memcpy(copy, p, len);
	eh->e_shnum = 0; /* then the first section says how many there are: none */
	assert_int_equal(pwrite(fd, copy, len, 0), len);
	assert_int_equal(elfobj__open_fd(fd, "shnum", &e), 0);
	assert_int_equal(elfobj__each_symbol(e, count, &n), -EBADMSG);
	assert_true(n > 0); /* those that the loader finds without it */
	elfobj__close(e);

	memcpy(copy, p, len);
	Elf64_Shdr *sh = (Elf64_Shdr *)(copy + eh->e_shoff);
	for (int i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type == SHT_DYNSYM)
			sh[i].sh_size = 1ULL << 60;
	}
	assert_int_equal(pwrite(fd, copy, len, 0), len);
	assert_int_equal(elfobj__open_fd(fd, "sh_size", &e), 0);
	assert_int_equal(elfobj__each_symbol(e, count, &n), -EBADMSG);
	elfobj__close(e);
	close(fd);
	free(copy);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_symbols),	      cmocka_unit_test(build_id),
		cmocka_unit_test(sections),	      cmocka_unit_test(not_elf),
		cmocka_unit_test(truncated),	      cmocka_unit_test(shrinks_while_open),
		cmocka_unit_test(bit_flips),	      cmocka_unit_test(absurd_headers),
		cmocka_unit_test(no_section_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
