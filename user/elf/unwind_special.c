/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/unwind_special.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/gobin.h"

/*
 * musl has no unwind information: main returns into libc_start_main_stage2, a local function right
 * before or after __libc_start_main, the one whose name a stripped library keeps.
 */
#define MUSL_STAGE2 64

/* mov %rbx, %rsp; mov (%rsp), %rdi; test %rdi, %rdi: glibc's __start_context, where the function of
 * a ucontext fibre returns to. No symbol of a stripped library tells it. */
static const uint8_t start_context[] = {0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff};
#define START_CONTEXT_BYTES 26
#define SCAN_BYTES (8u << 20) /* of text; glibc's is below 2 MiB */

/* How much of pthread_create and of the function a thread starts in is looked at. */
#define MAX_CREATE 4096
#define MAX_THREAD_START 256

struct found_special {
	struct unwind_special *list;
	size_t n;
	bool fibres;
	uint64_t create, create_len; /* pthread_create */
};

static void add(struct found_special *f, uint64_t vaddr, uint64_t size, enum mw_unwind_special what,
		uint16_t more)
{
	if (f->n < UNWIND_MAX_SPECIALS)
		f->list[f->n++] = (struct unwind_special){
			.vaddr = vaddr, .size = size, .what = what, .more = more};
}

static int add_root(void *arg, const struct elfobj_symbol *sym)
{
	bool entry = !strcmp(sym->name, "__libc_start_main");
	struct found_special *f = arg;

	f->fibres |= !strcmp(sym->name, "makecontext");
	if (!strcmp(sym->name, "pthread_create")) {
		f->create = sym->vaddr;
		f->create_len = min_of(sym->size, (uint64_t)MAX_CREATE);
	}
	if ((entry || !strcmp(sym->name, "libc_start_main_stage2")) && f->n < UNWIND_MAX_SPECIALS) {
		add(f, sym->vaddr - (entry ? MUSL_STAGE2 : 0),
		    sym->size + (entry ? 2 * MUSL_STAGE2 : 0), MW_UNWIND_STOP, 0);
		f->list[f->n - 1].only_gap = true;
	}
	return f->n == UNWIND_MAX_SPECIALS;
}

static bool names_makecontext(struct elfobj *e)
{
	static const char name[] = "makecontext";
	const uint8_t *names;
	uint64_t vaddr;
	size_t len;

	return !elfobj__section(e, ".dynstr", &names, &len, &vaddr) &&
	       memmem(names, len, name, sizeof(name));
}

/* Return addresses are looked up at pc-1, which here is before the function. */
static void find_start_context(struct elfobj *e, struct found_special *f)
{
	const struct elfobj_segment *segs;
	size_t n = elfobj__segments(e, &segs);

	for (size_t i = 0; i < n; i++) {
		size_t len = min_of(segs[i].filesz, (uint64_t)SCAN_BYTES);
		cleanup_free uint8_t *text = segs[i].flags & PF_X ? malloc(len + 1) : NULL;
		const uint8_t *p;

		if (!text)
			continue;
		len = elfobj__read(e, segs[i].vaddr, text, len);
		p = memmem(text, len, start_context, sizeof(start_context));
		if (p && p > text)
			add(f, segs[i].vaddr + (p - text) - 1, START_CONTEXT_BYTES + 1,
			    MW_UNWIND_FIBRE, 0);
	}
}

/* Does a call through a register or through memory that one points to end at code[at]? */
static bool calls_pointer(const uint8_t *code, size_t at)
{
	static const uint8_t lens[] = {2, 3, 6, 2}; /* by the operand's mode; none has a SIB byte */

	for (uint8_t mode = 0; mode < ARRAY_SIZE(lens); mode++) {
		const uint8_t *insn = code + at - lens[mode];
		uint8_t base = at < lens[mode] ? 4 : insn[1] & 7;

		if (mode != 3 && (base == 4 || (!mode && base == 5)))
			continue;
		if (at >= lens[mode] && insn[0] == 0xff && insn[1] >> 3 == (mode << 3 | 2))
			return true;
	}
	return false;
}

size_t unwind_special__thread_start(const uint8_t *code, size_t len)
{
	/* what comes back (mov %rax, %rdi; C11: movslq %eax, %rdi) goes to pthread_exit at once */
	static const uint8_t pass[][4] = {{0x48, 0x89, 0xc7, 0xe8}, {0x48, 0x63, 0xf8, 0xe8}};

	for (size_t at = 2; at + sizeof(pass[0]) <= len; at++) {
		for (size_t i = 0; i < ARRAY_SIZE(pass); i++) {
			if (!memcmp(code + at, pass[i], sizeof(pass[i])) && calls_pointer(code, at))
				return at;
		}
	}
	return 0;
}

/*
 * musl's threads start in local functions without unwind information: those whose addresses
 * pthread_create takes (lea OFF(%rip), %reg). The frame that such a function calls the program's
 * function from is the thread's first.
 */
static void find_thread_start(struct elfobj *e, struct found_special *f)
{
	cleanup_free uint8_t *code = f->create ? malloc(MAX_CREATE) : NULL;
	size_t len = code ? elfobj__read(e, f->create, code, f->create_len) : 0;

	for (size_t i = 0; i + 7 <= len; i++) {
		uint8_t start[MAX_THREAD_START];
		uint64_t at;
		int32_t rel;
		size_t ret;

		if ((code[i] & ~4) != 0x48 || code[i + 1] != 0x8d || (code[i + 2] & 0xc7) != 5)
			continue;
		memcpy(&rel, code + i + 3, sizeof(rel));
		at = f->create + i + 7 + (int64_t)rel;
		ret = unwind_special__thread_start(start,
						   elfobj__read(e, at, start, sizeof(start)));
		if (!ret || f->n == UNWIND_MAX_SPECIALS)
			continue;
		add(f, at + ret - 1, 2, MW_UNWIND_STOP, 0); /* looked up at pc-1 */
		f->list[f->n - 1].only_gap = true;
	}
}

/* mov OFF(%rsp), %rdi and sub OFF(%rsp), %rsi, without a displacement where OFF is 0; between them
 * mov 8(%rdi), %rsi, the upper end of the goroutine's stack. */
static size_t slot(const uint8_t *p, const uint8_t *end, uint8_t opcode, uint8_t reg, uint8_t *ret)
{
	if (end - p < 5 || p[0] != 0x48 || p[1] != opcode || p[3] != 0x24)
		return 0;
	if (p[2] == (0x04 | reg << 3)) {
		*ret = 0;
		return 4;
	}
	*ret = p[4];
	return p[2] == (0x44 | reg << 3) ? 5 : 0;
}

bool unwind_special__go_call(const uint8_t *code, size_t len, uint16_t *ret)
{
	static const uint8_t stack_hi[] = {0x48, 0x8b, 0x77, 0x08};
	const uint8_t *end = code + len;

	for (const uint8_t *p = code; p < end; p++) {
		uint8_t g, depth;
		size_t n = slot(p, end, 0x8b, 7, &g);

		if (!n || (size_t)(end - p) < n + sizeof(stack_hi) ||
		    memcmp(p + n, stack_hi, sizeof(stack_hi)))
			continue;
		if (!slot(p + n + sizeof(stack_hi), end, 0x2b, 6, &depth) || g & 7 || depth & 7)
			continue;
		*ret = g / 8 | depth / 8 << 8;
		return true;
	}
	return false;
}

/* A function of the runtime; those in assembly have a second name since Go 1.17. */
static bool go_func(const struct gobin *g, const char *name, struct gotab_func *ret)
{
	char abi0[64];

	snprintf(abi0, sizeof(abi0), "%s.abi0", name);
	return !gotab__func_named(&g->tab, abi0, ret) || !gotab__func_named(&g->tab, name, ret);
}

static void add_go(struct found_special *f, const struct gobin *g, const char *name,
		   enum mw_unwind_special what)
{
	struct gotab_func fn;

	if (go_func(g, name, &fn))
		add(f, fn.entry, fn.end - fn.entry, what, 0);
}

/* Go's own frames keep their frame pointers; these lead from stack to stack or end one. */
static void find_go(struct elfobj *e, struct found_special *f)
{
	uint8_t code[512];
	struct gobin g;
	struct gotab_func fn;
	uint16_t where;

	if (gobin__open(e, &g))
		return;
	add_go(f, &g, "runtime.goexit", MW_UNWIND_STOP);
	add_go(f, &g, "runtime.mstart", MW_UNWIND_STOP);
	add_go(f, &g, "runtime.rt0_go", MW_UNWIND_STOP);
	add_go(f, &g, "runtime.cgocallback", MW_UNWIND_FIBRE);
	add_go(f, &g, "runtime.mcall", MW_UNWIND_FIBRE);     /* the scheduler's stack begins here */
	add_go(f, &g, "runtime.morestack", MW_UNWIND_FIBRE); /* and here */
	add_go(f, &g, "runtime.systemstack", MW_UNWIND_FP_FAR);
	/* they align the stack for C, which .debug_frame does not tell */
	add_go(f, &g, "runtime.callCgoMmap", MW_UNWIND_FP_FAR);
	add_go(f, &g, "runtime.callCgoMunmap", MW_UNWIND_FP_FAR);
	if (go_func(&g, "runtime.asmcgocall", &fn) &&
	    unwind_special__go_call(code, elfobj__read(e, fn.entry, code, sizeof(code)), &where))
		add(f, fn.entry, fn.end - fn.entry, MW_UNWIND_GO_CALL, where);
	gobin__close(&g);
}

size_t unwind_special__find(struct elfobj *e, struct unwind_special ret[UNWIND_MAX_SPECIALS])
{
	struct found_special f = {.list = ret};
	char version[64];

	if (!elfobj__has_interp(e)) /* a C library is a library, or inside a static program */
		elfobj__each_symbol(e, add_root, &f);
	find_thread_start(e, &f);
	if (f.fibres || names_makecontext(e))
		find_start_context(e, &f);
	if (gobin__is_go(e, version))
		find_go(e, &f);
	return f.n;
}
