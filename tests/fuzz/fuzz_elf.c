/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ELF reader, symbol tables, PLT stubs, MiniDebugInfo, links and USDT notes of any bytes. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/debugfile.h"
#include "elf/elfobj.h"
#include "elf/symtab.h"
#include "elf/usdt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_usdt(struct elfobj *e)
{
	struct usdt_site *sites;
	char why[USDT_WHY];
	size_t n;

	if (usdt__find(e, &sites, &n, why))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!usdt__sound(&sites[i]))
			abort();
	}
	free(sites);
}

static void use(struct elfobj *e)
{
	static const char *const names[] = {".text", ".eh_frame", ".debug_frame", ".gopclntab"};
	const struct elfobj_segment *seg;
	struct symtab tab = {0};
	struct elfobj *mini = NULL;
	char path[DEBUGFILE_NAME], link[256], hex[2 * ELFOBJ_MAX_BUILD_ID + 1];
	uint32_t crc;
	uint8_t buf[64];
	const uint8_t *p;
	size_t n, len;
	uint64_t v;

	use_usdt(e);
	symtab__add(&tab, e, e);
	symtab__add_plt(&tab, e);
	if (!debugfile__mini(e, &mini)) {
		symtab__add(&tab, mini, e);
		symtab__sort(&tab);
	}
	symtab__sort(&tab);
	for (size_t i = 0; i < tab.n && i < 256; i++) {
		const struct symtab_symbol *s = symtab__find(&tab, tab.syms[i].start);

		if (s && !symtab__has_alias(&tab, s, s->name))
			abort();
		symtab__find(&tab, tab.syms[i].end);
	}
	symtab__clear(&tab);
	elfobj__close(mini);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		elfobj__section(e, names[i], &p, &len, &v);
	n = elfobj__segments(e, &seg);
	for (size_t i = 0; i < n && i < 256; i++) {
		uint64_t off;

		elfobj__read(e, seg[i].vaddr, buf, sizeof(buf));
		if (elfobj__vaddr_to_off(e, seg[i].vaddr, &off))
			elfobj__off_to_vaddr(e, off, &v);
	}
	elfobj__build_id_hex(e, hex);
	debugfile__link(e, link, sizeof(link), &crc);
	debugfile__alt_link(e, path, hex);
	debugfile__belongs(e, e, NULL);
	elfobj__bytes(e);
	elfobj__drop(e);
	elfobj__section(e, ".text", &p, &len, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct elfobj *e = NULL;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (!elfobj__open_fd(fd, "fuzz", &e)) {
		use(e);
		elfobj__close(e);
	}
	return 0;
}
