/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unwind_table_elf.c - what of an ELF file goes into its unwind table. */
#include "elf/unwind_table.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/gobin.h"
#include "elf/unwind_special.h"

#define MAX_SEGMENTS 16
#define MAX_UNNAMED_FRAMES (64u << 20)

/* .eh_frame of a file without section headers: PT_GNU_EH_FRAME's first pointer leads to it. The
 * bytes up to the end of the segment are read into *owned; a zero length ends the records. */
static void find_by_header(struct elfobj *e, struct ehframe_section *s, uint8_t **owned)
{
	const struct elfobj_segment *segs;
	size_t n_segs = elfobj__segments(e, &segs), n = 0;
	Elf *elf = elfobj__elf(e);
	GElf_Phdr ph = {0};
	uint8_t hdr[8];
	int32_t rel;

	if (!elf || elf_getphdrnum(elf, &n))
		return;
	for (size_t i = 0; i < min_of(n, (size_t)256) && ph.p_type != PT_GNU_EH_FRAME; i++) {
		if (!gelf_getphdr(elf, i, &ph))
			return;
	}
	/* version 1, pointer as 4 bytes pc-relative: what every linker writes */
	if (ph.p_type != PT_GNU_EH_FRAME ||
	    elfobj__read(e, ph.p_vaddr, hdr, sizeof(hdr)) != sizeof(hdr) || hdr[0] != 1 ||
	    hdr[1] != 0x1b)
		return;
	memcpy(&rel, hdr + 4, 4);
	s->vaddr = ph.p_vaddr + 4 + (int64_t)rel;
	for (size_t i = 0; i < n_segs; i++) {
		uint64_t into = s->vaddr - segs[i].vaddr;
		size_t len;

		if (into >= segs[i].filesz)
			continue;
		len = min_of(segs[i].filesz - into, (uint64_t)MAX_UNNAMED_FRAMES);
		*owned = malloc(len);
		s->len = *owned ? elfobj__read(e, s->vaddr, *owned, len) : 0;
		s->data = s->len ? *owned : NULL;
		return;
	}
}

static size_t read_elf(void *arg, uint64_t vaddr, void *buf, size_t len)
{
	return elfobj__read(arg, vaddr, buf, len);
}

static int each_symbol(void *arg, elfobj_symbol_fn fn, void *fn_arg)
{
	return elfobj__each_symbol(arg, fn, fn_arg);
}

/*
 * Of a Go program those of C, and of assembly that is no package's: its linker takes the code that
 * the runtime needs for cgo in without its unwind information. Go's own code keeps frame pointers.
 */
static int each_c_function(void *arg, elfobj_symbol_fn fn, void *fn_arg)
{
	struct gobin g;
	int err = gobin__open(arg, &g);

	if (err)
		return err;
	for (uint32_t i = 0; i < g.tab.nfunc && !err; i++) {
		struct gotab_func f;

		if (gotab__func_at(&g.tab, i, &f) || strchr(f.name, '.') || f.end <= f.entry)
			continue;
		err = fn(fn_arg, &(struct elfobj_symbol){.name = f.name,
							 .vaddr = f.entry,
							 .size = f.end - f.entry,
							 .type = STT_FUNC});
	}
	gobin__close(&g);
	return err;
}

static void input_of(struct elfobj *e, struct unwind_input *in, struct unwind_segment *segs,
		     size_t max, uint8_t **owned)
{
	const struct elfobj_segment *loads;
	size_t n = elfobj__segments(e, &loads);
	uint64_t vaddr = 0;

	*in = (struct unwind_input){
		.segs = segs, .entry = elfobj__entry(e), .read = read_elf, .read_arg = e};
	for (size_t i = 0; i < n && in->n_segs < max; i++) {
		if (loads[i].flags & PF_X && loads[i].filesz)
			segs[in->n_segs++] = (struct unwind_segment){loads[i].vaddr, loads[i].off,
								     loads[i].filesz};
	}
	in->eh.arm64 = in->debug.arm64 = elfobj__machine(e) == EM_AARCH64;
	in->debug.debug_frame = true;
	if (elfobj__section(e, ".eh_frame", &in->eh.data, &in->eh.len, &in->eh.vaddr) ||
	    !in->eh.len) {
		in->eh.data = NULL;
		find_by_header(e, &in->eh, owned);
	}
	if (elfobj__section(e, ".debug_frame", &in->debug.data, &in->debug.len, &vaddr))
		in->debug.data = NULL;
}

int unwind_table__from_elf(struct elfobj *e, struct unwind_table **ret)
{
	struct unwind_segment segs[MAX_SEGMENTS];
	cleanup_free uint8_t *owned = NULL;
	struct unwind_special specials[UNWIND_MAX_SPECIALS];
	char version[64];
	struct unwind_input in;

	if (elfobj__machine(e) != EM_X86_64)
		return -EOPNOTSUPP;
	input_of(e, &in, segs, ARRAY_SIZE(segs), &owned);
	in.go = gobin__is_go(e, version);
	in.symbols = in.go ? each_c_function : each_symbol;
	in.specials = specials;
	in.n_specials = unwind_special__find(e, specials);
	return unwind_table__build(&in, ret);
}
