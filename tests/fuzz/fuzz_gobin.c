/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Go binaries of any bytes: build information, function table, inline trees, the disassembly of
 * the runtime; and any bytes as the memory that the heap profile is read from.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/gobin.h"
#include "go/go_heap.h"
#include "go/layout.h"

#define BASE 0x10000
#define MAX_PCS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t len;
};

static int read_bytes(void *arg, uint64_t addr, void *buf, size_t len)
{
	const struct bytes *b = arg;

	if (addr < BASE || addr - BASE > b->len || len > b->len - (addr - BASE))
		return -14;
	memcpy(buf, b->p + (addr - BASE), len);
	return 0;
}

static void use_table(const struct gotab *t)
{
	struct gotab_frame frames[GOTAB_MAX_INLINE];
	struct gotab_func f;
	int32_t d;

	for (uint32_t i = 0; i < t->nfunc && i < MAX_PCS; i++) {
		if (gotab__func_at(t, i, &f))
			continue;
		gotab__sp_delta(t, &f, f.entry + 1, &d);
		for (int k = 0; k < 4; k++) {
			int n = gotab__frames(t, f.entry + (uint64_t)k * 5, frames,
					      GOTAB_MAX_INLINE);

			if (n < 0 || n > GOTAB_MAX_INLINE)
				abort();
			for (int j = 0; j < n; j++) {
				if (!frames[j].name || !frames[j].file)
					abort();
			}
		}
	}
	gotab__func_named(t, "no such function", &f);
}

static void use_elf(const uint8_t *data, size_t size)
{
	const struct gobin_code_layout cl = {8, 16, 24, 512, 32, 40, 44};
	struct gobin_symbols sym;
	struct elfobj *elf;
	struct gobin g;
	char version[64];
	uint64_t off;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, data, size) == (ssize_t)size && !elfobj__open_fd(fd, "fuzz", &elf)) {
		gobin__is_go(elf, version);
		if (!gobin__open(elf, &g)) {
			use_table(&g.tab);
			gobin__set_module(&g, g.tab.text ? g.tab.text : 0x1000, g.tab_vaddr);
			use_table(&g.tab);
			gobin__symbols(&g, &sym);
			gobin__symbols_by_code(&g, &cl, &sym);
			gobin__probe_site(&g, "runtime.mProf_Flush", &off);
		}
		gobin__close(&g);
		elfobj__close(elf);
	}
	close(fd);
}

static void use_heap(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size};
	struct go_heap_source src = {
		.fresh = {read_bytes, &b},
		.mbuckets = BASE,
		.mprof_cycle = BASE + 8,
		.mem_profile_rate = BASE + 24,
		.rec = go_layout__of(size & 1 ? 27 : 19)->rec,
		.max_stack = 1026,
	};
	struct go_heap h;

	if (!go_heap__read(&src, &h)) {
		for (size_t i = 0; i < h.nbuckets; i++) {
			const struct go_bucket *k = &h.buckets[i];

			if (k->stack0 + (size_t)k->nstack > h.nstack)
				abort();
		}
	}
	go_heap__free(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gotab t;

	if (size >= 4 && !memcmp(data,
				 "\x7f"
				 "ELF",
				 4)) {
		use_elf(data, size);
		return 0;
	}
	if (!gotab__open(data, size, 0x1000, &t)) {
		t.gofunc = data;
		t.gofunc_len = size;
		use_table(&t);
		return 0;
	}
	use_heap(data, size);
	return 0;
}
