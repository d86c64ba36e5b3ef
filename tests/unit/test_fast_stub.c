/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stubs of fast mode: which first instructions are taken and which refused, and the code that is
 * put together, run in this very process on functions of its own. Breakpoints stand in for the
 * kernel's probes.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>

#include "elf/allocs.h"
#include "fast/fast_plan.h"
#include "fast/stub.h"

#if defined(__x86_64__)

struct decode_case {
	const char *name, *code;
	size_t len;
	bool ok;
	uint8_t sets;
	const char *why; /* part of it */
};
#define CODE(s) s, sizeof(s) - 1

static const struct decode_case cases[] = {
	{"push, push", CODE("\x41\x54\x55\x53\x48\x83\xec\x10\x90\xc3"), true, 0, ""},
	{"endbr64", CODE("\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x53\x90\xc3"), true, 0, ""},
	{"sub rsp", CODE("\x48\x83\xec\x18\x48\x89\xf8\x31\xd2\xc3"), true, 0, ""},
	{"test then jcc", CODE("\x48\x85\xff\x74\x20\x53\x48\x89\xfb\xc3"), true, ENTRY_FLAGS, ""},
	{"load to rax", CODE("\x48\x8b\x05\x10\x00\x00\x00\x48\x89\xfa\x48\x85\xc0\xc3"), true,
	 ENTRY_RAX, ""},
	{"argument changed", CODE("\x48\x89\xf7\x48\x89\xfa\x48\x85\xc0\xc3"), false, 0,
	 "taken back"},
	{"reads what it sets", CODE("\x48\x8b\x00\x48\x89\xfa\x48\x85\xc0\xc3"), false, 0,
	 "taken back"},
	{"store", CODE("\x48\x89\x07\x48\x89\xfa\x48\x85\xc0\xc3"), false, 0, "taken back"},
	{"call", CODE("\x53\xe8\x00\x01\x00\x00\x5b\xc3"), false, 0, "moved"},
	{"indirect jump", CODE("\x53\xff\x25\x00\x01\x00\x00\xc3"), false, 0, "moved"},
	{"ret", CODE("\x53\x5b\xc3\x90\x90\x90\x90\x90"), false, 0, "moved"},
	{"loop", CODE("\x53\xe2\x10\x48\x89\xfb\x90\x90"), false, 0, "moved"},
	{"jump and no more", CODE("\x53\xeb\x20\x53\x90\x90\x90\x90"), false, 0, "short"},
	{"jump and half of the room", CODE("\x53\xeb\x20\x66\x90\x53\x90\x90"), false, 0, "short"},
	{"jump and padding", CODE("\x53\xeb\x20\x0f\x1f\x40\x00\x90"), true, 0, ""},
	{"branch into itself", CODE("\x53\x48\x89\xfb\x75\xfb\x90\xc3"), false, 0, "leads into"},
	{"pushes what the stub uses", CODE("\x50\x48\x89\xfb\x48\x89\xfe\xc3"), false, 0,
	 "taken back"},
	{"cut off", CODE("\x53\x48\x89"), false, 0, "decoded"},
};

static void entries_are_judged(void **state)
{
	struct entry e;
	uint64_t follow;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct decode_case *c = &cases[i];
		bool ok = entry__decode((const uint8_t *)c->code, c->len, 0x401000, 1 << 1, &e,
					&follow);

		if (ok != c->ok || (ok && e.sets != c->sets) || !strstr(e.why, c->why))
			fail_msg("%s: ok %d sets %d why '%s'", c->name, ok, e.sets, e.why);
		assert_true(ok ? !*e.why && e.back - e.patch >= ENTRY_PATCH : !!*e.why);
		if (ok) /* where its own code ends, if the bytes to be written go on behind it */
			assert_int_equal(e.pad, strstr(c->name, "padding") ? 0x401003 : 0);
	}
	assert_false(entry__decode((const uint8_t *)"\xe9\xfb\x0f\x00\x00\x90\x90", 7, 0x401000, 2,
				   &e, &follow));
	assert_string_equal(e.why, "");
	assert_int_equal(follow, 0x402000);
	/* across two pages */
	assert_false(entry__decode((const uint8_t *)cases[0].code, cases[0].len, 0x401ffc, 2, &e,
				   &follow));
	assert_non_null(strstr(e.why, "two pages"));
}

static bool into(void *arg, uint64_t to)
{
	return entry__inside(arg, to);
}

static void branches_into_the_patch_are_found(void **state)
{
	struct entry e;
	uint64_t follow;
	/* a near call, from 0x500000, to the overwritten bytes, and to what is before and behind */
	uint8_t text[16] = {0x90, 0xe8};
	int32_t rel;

	assert_true(entry__decode((const uint8_t *)cases[0].code, cases[0].len, 0x401000, 2, &e,
				  &follow));
	for (uint64_t to = e.addr; to <= e.back; to++) {
		rel = (int32_t)(to - 0x500006);
		memcpy(text + 2, &rel, 4);
		assert_int_equal(entry__each_rel32(text, sizeof(text), 0x500000, into, &e),
				 to >= e.patch && to < e.back);
	}
}

#define WAS "\x55\x0f\x1f\x44\x00\x00\x53"

/* A probe is told from other code: also where the kernel has made it a call, or is about to. */
static void what_is_written_is_told_apart(void **state)
{
	static const struct {
		const char *now;
		enum fast_change change;
	} cases_of[] = {
		{WAS, FAST_SAME},
		{"\xcc\x0f\x1f\x44\x00\x00\x53", FAST_PROBED},
		{"\x55\xcc\x1f\x44\x00\x00\x53", FAST_PROBED},
		{"\x55\xe8\x01\x02\x03\x04\x53", FAST_PROBED},
		{"\x55\xcc\x01\x02\x03\x04\x53", FAST_PROBED},
		{"\x55\xe9\x01\x02\x03\x04\x53", FAST_WRITTEN},
		{"\xe8\x01\x02\x03\x04\x00\x53", FAST_WRITTEN},
		{"\x55\xe8\x01\x02\x03\x04\x54", FAST_WRITTEN},
		{"\xcc\xe8\x01\x02\x03\x04\xcc", FAST_PROBED},
	};

	for (size_t i = 0; i < sizeof(cases_of) / sizeof(cases_of[0]); i++)
		assert_int_equal(fast_plan__changed((const uint8_t *)WAS,
						    (const uint8_t *)cases_of[i].now, 7),
				 cases_of[i].change);
	/* cut off in its midst: nobody can tell */
	assert_int_equal(
		fast_plan__changed((const uint8_t *)WAS, (const uint8_t *)"\x55\xe8\x01", 3),
		FAST_WRITTEN);
}

struct body_case {
	const char *name, *code;
	size_t len;
	bool decoded, branches, leaves;
};

/* All begin with a load of 7 bytes; 'overwritten' are the 6 behind it. */
#define LOAD "\x48\x8b\x05\x10\x00\x00\x00"
#define TEST_MOV "\x48\x85\xc0\x48\x89\xc2"
#define MANY "\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90"
#define LONG MANY MANY MANY MANY MANY MANY MANY MANY MANY MANY

static const struct body_case bodies[] = {
	{"a loop that begins there", CODE(LOAD TEST_MOV "\x48\x8b\x00\xeb\xf5\xc3"), true, true,
	 false},
	{"a loop that begins with it", CODE(LOAD TEST_MOV "\xeb\xf1\xc3"), true, false, false},
	{"one behind it", CODE(LOAD TEST_MOV "\x48\x8b\x00\x75\xfb\xc3"), true, false, false},
	{"into its midst", CODE(LOAD TEST_MOV "\x74\xfb\xc3"), true, true, false},
	{"counting", CODE(LOAD TEST_MOV "\xe2\xfb\xc3"), true, true, false},
	{"by rcx", CODE(LOAD TEST_MOV "\xe3\xf8\xc3"), true, true, false},
	{"no code within reach", CODE(LOAD TEST_MOV "\x06\x74\xf8\xc3"), false, false, false},
	{"none out of reach", CODE(LOAD TEST_MOV LONG "\x06\xc3"), true, false, false},
	{"calls", CODE(LOAD TEST_MOV "\xe8\x00\x10\x00\x00\xc3"), true, false, true},
	{"calls what a register says", CODE(LOAD TEST_MOV "\xff\xd0\xc3"), true, false, true},
	{"a system call", CODE(LOAD TEST_MOV "\x0f\x05\xc3"), true, false, true},
	{"goes on elsewhere", CODE(LOAD TEST_MOV "\xe9\x00\x10\x00\x00"), true, false, true},
};

static void bodies_are_judged(void **state)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		const struct body_case *c = &bodies[i];
		struct entry_body b;
		struct entry e;
		uint64_t follow;

		if (!entry__decode((const uint8_t *)LOAD TEST_MOV "\xc3", 14, 0x401000, 0, &e,
				   &follow) ||
		    e.patch != 0x401007 || e.back != 0x40100d)
			fail_msg("%s", e.why);
		entry__look(&e, (const uint8_t *)c->code, c->len, 0x401000, &b);
		if (b.decoded != c->decoded || b.branches != c->branches || b.leaves != c->leaves)
			fail_msg("%s: decoded %d branches %d leaves %d", c->name, b.decoded,
				 b.branches, b.leaves);
	}
}

/* Functions as compilers begin them, each going on to a C function with its arguments intact. */
#define FUNCTION(name, begin, undo, to) \
	__asm__(".text\n.balign 64\n.globl " #name "\n" #name ":\n" begin undo "\tjmp " #to "\n");
FUNCTION(t_malloc, "push %r12\n push %rbp\n sub $40, %rsp\n",
	 "add $40, %rsp\n pop %rbp\n pop %r12\n", t_malloc_body)
FUNCTION(t_calloc, "endbr64\n push %r13\n mov %rdi, %rax\n xor %edx, %edx\n", "pop %r13\n",
	 t_calloc_body)
FUNCTION(t_memalign, "sub $24, %rsp\n lea t_word(%rip), %rax\n mov (%rax), %r11\n",
	 "add $24, %rsp\n", t_memalign_body)
FUNCTION(t_new, "mov t_word(%rip), %rax\n test %rax, %rax\n je 1f\n int3\n 1:\n", "", t_new_body)
/* fallback of a test that would otherwise lose its way */
FUNCTION(t_realloc, "push %r15\n push %r14\n test %rdi, %rdi\n jne 1f\n 1:\n",
	 "pop %r14\n pop %r15\n", t_realloc_body)
/* shorter than a jump: padding is overwritten with it */
FUNCTION(t_heap_realloc, "xor %ecx, %ecx\n jmp 1f\n .balign 16\n 1:\n", "", t_heap_realloc_body)
FUNCTION(t_reallocf, "push %r15\n push %r14\n push %r13\n", "pop %r13\n pop %r14\n pop %r15\n",
	 t_realloc_body)
FUNCTION(t_heap_malloc, "push %r12\n push %rbp\n sub $40, %rsp\n",
	 "add $40, %rsp\n pop %rbp\n pop %r12\n", t_heap_malloc_body)
FUNCTION(t_heap_new_n, "push %r12\n push %rbp\n sub $40, %rsp\n",
	 "add $40, %rsp\n pop %rbp\n pop %r12\n", t_heap_new_n_body)
FUNCTION(t_free, "test %rdi, %rdi\n je 1f\n mov t_word(%rip), %r10\n 1:\n", "", t_free_body)

uint64_t t_word;
void *t_malloc_body(size_t);
void *t_calloc_body(size_t, size_t);
int t_memalign_body(void **, size_t, size_t);
void *t_new_body(size_t);
void *t_realloc_body(void *, size_t);
void *t_heap_realloc_body(void *, void *, size_t);
void *t_heap_malloc_body(void *, size_t);
void *t_heap_new_n_body(void *, size_t, size_t);
void t_free_body(void *);
void *t_malloc(size_t);
void *t_calloc(size_t, size_t);
int t_memalign(void **, size_t, size_t);
void *t_new(size_t);
void *t_realloc(void *, size_t);
void *t_heap_realloc(void *, void *, size_t);
void *t_reallocf(void *, size_t);
void *t_heap_malloc(void *, size_t);
void *t_heap_new_n(void *, size_t, size_t);
void t_free(void *);

#define ARENA (64 << 20)
static uint8_t *arena, *arena_next;
static int fail_next, thrown;

void *t_malloc_body(size_t n)
{
	uint8_t *p;

	if (fail_next || n > ARENA)
		return NULL;
	p = __atomic_fetch_add(&arena_next, (n + 31) & ~15ULL, __ATOMIC_RELAXED);
	if (p + n + 32 > arena + ARENA)
		abort();
	memcpy(p, &n, sizeof(n));
	return p + 16;
}
void *t_calloc_body(size_t a, size_t b)
{
	return __builtin_mul_overflow(a, b, &a) ? NULL : t_malloc_body(a);
}
int t_memalign_body(void **p, size_t align, size_t n)
{
	if (align != 64 || fail_next)
		return 12;
	*p = t_malloc_body(n);
	return 0;
}
void *t_new_body(size_t n)
{
	thrown++;
	return NULL;
}
void *t_realloc_body(void *p, size_t n)
{
	return n ? t_malloc_body(n) : NULL;
}
void *t_heap_realloc_body(void *heap, void *p, size_t n)
{
	if (heap != &t_word)
		abort();
	return t_realloc_body(p, n);
}
void *t_heap_malloc_body(void *heap, size_t n)
{
	if (heap != &t_word)
		abort();
	return t_malloc_body(n);
}
void *t_heap_new_n_body(void *heap, size_t n, size_t size)
{
	if (heap != &t_word || n != 3 || size != 70)
		abort();
	thrown++;
	return NULL;
}
static int freed;
void t_free_body(void *p)
{
	freed++;
}

static struct stub_image *im;
static uint8_t *region;
static uint64_t n_alloc, n_free, n_unfree, sum_alloc, n_unknown;
static uint64_t live[1 << 16];
static size_t n_live;
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

static bool live_del(uint64_t p)
{
	for (size_t i = 0; i < n_live; i++) {
		if (live[i] == p) {
			live[i] = live[--n_live];
			return true;
		}
	}
	return false;
}

static void on_trap(int sig, siginfo_t *si, void *ctx)
{
	greg_t *r = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	uint64_t off = r[REG_RIP] - 1 - (uint64_t)region;

	for (size_t i = 0; i < im->n_sites; i++) {
		if (im->sites[i].off != off)
			continue;
		pthread_mutex_lock(&live_lock);
		switch (im->sites[i].kind) {
		case SITE_ALLOC:
			n_alloc++;
			sum_alloc += r[REG_RDI];
			live[n_live++ % (1 << 16)] = r[REG_R10];
			break;
		case SITE_FREE:
			n_free++;
			n_unknown += !live_del(r[REG_RDI]);
			break;
		case SITE_UNFREE:
			n_unfree++;
			live[n_live++] = r[REG_RSI];
			break;
		}
		pthread_mutex_unlock(&live_lock);
		return;
	}
	abort();
}

struct hooked {
	void *fn;
	enum mw_fn kind;
	int target;
};
static const struct hooked hooked[] = {
	{t_malloc, MW_FN_MALLOC, -1},
	{t_calloc, MW_FN_CALLOC, -1},
	{t_memalign, MW_FN_POSIX_MEMALIGN, -1},
	{t_new, MW_FN_NEW, 0},
	{t_realloc, MW_FN_REALLOC, -1},
	{t_free, MW_FN_FREE, -1},
	{t_heap_realloc, MW_FN_HEAP_REALLOC, -1},
	{t_reallocf, MW_FN_REALLOCF, -1},
	{t_heap_malloc, MW_FN_HEAP_MALLOC, -1},
	{t_heap_new_n, MW_FN_HEAP_NEW_N, 8},
};
#define N_HOOKED (sizeof(hooked) / sizeof(hooked[0]))

static void write_code(uint64_t addr, const uint8_t *b, size_t n)
{
	void *page = (void *)(addr & ~4095ULL);

	assert_int_equal(mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	memcpy((void *)addr, b, n);
	assert_int_equal(mprotect(page, 8192, PROT_READ | PROT_EXEC), 0);
}

/* A hole of the address space within reach of the functions. */
static void *near(size_t bytes)
{
	uint64_t from = ((uint64_t)t_malloc & ~0xfffffULL) - (1ULL << 30);

	for (int i = 0; i < 512; i++) {
		void *p = mmap((void *)(from + i * 0x300000ULL), bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			       -1, 0);

		if (p != MAP_FAILED)
			return p;
	}
	return NULL;
}

static void hook(uint64_t rate, bool null_goes_on)
{
	static struct stub_func f[N_HOOKED];
	size_t code = stub__code_bytes(N_HOOKED);
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	memset(f, 0, sizeof(f));
	arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	arena_next = arena;
	n_alloc = n_free = n_unfree = sum_alloc = n_unknown = n_live = 0;
	freed = thrown = fail_next = 0;
	for (size_t i = 0; i < N_HOOKED; i++) {
		const struct signature *s = allocs__signature(hooked[i].kind);
		uint64_t follow;

		if (!entry__decode(hooked[i].fn, ENTRY_LOOK, (uint64_t)hooked[i].fn,
				   signature__args(s), &f[i].entry, &follow))
			fail_msg("%zu: %s", i, f[i].entry.why);
		f[i].fn = hooked[i].kind;
		f[i].target = hooked[i].target;
		f[i].null_goes_on = null_goes_on && f[i].fn == MW_FN_REALLOC;
	}
	region = near(code + DATA_BYTES);
	assert_non_null(region);
	im = calloc(1, sizeof(*im));
	assert_int_equal(stub__build(f, N_HOOKED, (uint64_t)region, im), 0);
	memcpy(region, im->code, code);
	for (size_t i = 0; i < im->n_sites; i++) {
		assert_int_equal(region[im->sites[i].off], 0x90);
		region[im->sites[i].off] = 0xcc;
	}
	mprotect(region, code, PROT_READ | PROT_EXEC);
	stub__data(region + code, rate, 42);
	sigaction(SIGTRAP, &sa, NULL);
	for (size_t i = 0; i < N_HOOKED; i++)
		write_code(im->hdr.patch[i].addr, im->hdr.patch[i].is, ENTRY_PATCH);
}

static void unhook(void)
{
	for (size_t i = 0; i < N_HOOKED; i++)
		write_code(im->hdr.patch[i].addr, im->hdr.patch[i].was, ENTRY_PATCH);
	munmap(region, im->hdr.code_bytes + DATA_BYTES);
	munmap(arena, ARENA);
	stub_image__fini(im);
	free(im);
}

static void every_call_is_seen_at_rate_1(void **state)
{
	void *p, *q;

	hook(1, false);
	p = t_malloc(100); /* the first gap of the slot */
	p = t_malloc(100);
	assert_int_equal(((size_t *)p)[-2], 100);
	q = t_calloc(7, 11);
	assert_int_equal(((size_t *)q)[-2], 77);
	assert_true(n_alloc >= 2);
	assert_int_equal(t_memalign(&q, 64, 500), 0);
	assert_int_equal(((size_t *)q)[-2], 500);
	n_alloc = sum_alloc = 0;
	assert_int_equal(t_memalign(&q, 63, 500), 12);
	assert_int_equal(n_alloc, 0);
	q = t_new(40);
	assert_int_equal(((size_t *)q)[-2], 40);
	assert_int_equal(thrown, 0);
	assert_int_equal(sum_alloc, 40);
	/* realloc: the old block goes, the new comes */
	p = t_realloc(p, 300);
	assert_int_equal(((size_t *)p)[-2], 300);
	assert_int_equal(n_free, 1);
	assert_int_equal(sum_alloc, 340);
	/* fails: everything as before */
	fail_next = 1;
	assert_null(t_realloc(p, 400));
	assert_int_equal(n_unfree, 1);
	assert_int_equal(sum_alloc, 340);
	assert_null(t_malloc(50));
	assert_null(t_new(1));
	assert_int_equal(thrown, 1);
	fail_next = 0;
	assert_null(t_calloc(1ULL << 40, 1ULL << 40)); /* no such product: not counted */
	assert_null(t_malloc((size_t)-1));
	assert_int_equal(sum_alloc, 340);
	t_free(p);
	assert_int_equal(n_free, 3);
	t_free(p); /* is not the program's any more */
	assert_int_equal(n_free, 3);
	assert_int_equal(freed, 2);
	t_free(NULL);
	/* realloc to nothing is a free */
	p = t_malloc(60);
	assert_null(t_realloc(p, 0));
	assert_int_equal(n_free, 4);
	assert_int_equal(n_unfree, 1);
	assert_int_equal(n_unknown, 0);
	unhook();
	n_alloc = 0;
	arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arena_next = arena;
	assert_non_null(t_malloc(10));
	assert_int_equal(n_alloc, 0);
	munmap(arena, ARENA);
}

/* The block is the second argument, and what is before it stays what it is. */
static void a_heap_comes_first(void **state)
{
	void *p, *q;

	hook(1, false);
	p = t_heap_realloc(&t_word, NULL, 100); /* the first gap of the slot */
	p = t_heap_realloc(&t_word, p, 200);
	q = t_heap_realloc(&t_word, p, 300);
	assert_int_equal(((size_t *)q)[-2], 300);
	assert_int_equal(n_alloc - n_free, 1);
	assert_true(n_free >= 1);
	n_alloc = n_free = 0;
	fail_next = 1;
	assert_null(t_heap_realloc(&t_word, q, 400));
	fail_next = 0;
	assert_int_equal(n_free, 1);
	assert_int_equal(n_unfree, 1);
	assert_int_equal(n_alloc, 0);
	assert_null(t_heap_realloc(&t_word, q, 0));
	assert_int_equal(n_free, 2);
	assert_int_equal(n_unfree, 1);
	assert_int_equal(n_unknown, 0);
	unhook();
	/* nearly all calls pass by */
	hook(1 << 30, false);
	for (int i = 0; i < 1000; i++) {
		p = t_heap_realloc(&t_word, NULL, 8);
		p = t_heap_realloc(&t_word, p, 16);
		assert_int_equal(((size_t *)p)[-2], 16);
	}
	assert_true(n_alloc < 3);
	unhook();
}

/* A failure gives the old block back all the same. */
static void reallocf_restores_nothing(void **state)
{
	void *p, *q;

	hook(1, false);
	t_malloc(10);
	p = t_malloc(100);
	n_alloc = n_free = 0;
	q = t_reallocf(p, 200);
	assert_int_equal(((size_t *)q)[-2], 200);
	assert_int_equal(n_alloc, 1);
	assert_int_equal(n_free, 1);
	fail_next = 1;
	assert_null(t_reallocf(q, 300));
	assert_null(t_reallocf(NULL, 300));
	fail_next = 0;
	assert_int_equal(n_alloc, 1);
	assert_int_equal(n_free, 2);
	assert_int_equal(n_unfree, 0);
	assert_int_equal(n_unknown, 0);
	unhook();
	hook(1 << 30, false);
	for (int i = 0; i < 1000; i++) {
		p = t_reallocf(NULL, 8);
		p = t_reallocf(p, 16);
		assert_int_equal(((size_t *)p)[-2], 16);
	}
	assert_true(n_alloc < 3);
	unhook();
}

/* What throws is of a heap, and takes three arguments: the heap's malloc has its place, and it gets
 * its own arguments when that has nothing. */
static void a_heap_s_new(void **state)
{
	void *p;

	hook(1, false);
	t_malloc(10);
	n_alloc = sum_alloc = 0;
	p = t_heap_new_n(&t_word, 3, 70);
	assert_int_equal(((size_t *)p)[-2], 210);
	assert_int_equal(thrown, 0);
	assert_int_equal(n_alloc, 1);
	assert_int_equal(sum_alloc, 210);
	fail_next = 1;
	assert_null(t_heap_new_n(&t_word, 3, 70));
	fail_next = 0;
	assert_int_equal(thrown, 1);
	assert_int_equal(n_alloc, 1);
	t_free(p);
	assert_int_equal(n_free, 1);
	unhook();
}

static void null_is_left_to_malloc(void **state)
{
	hook(1, true);
	t_realloc(NULL, 1000);
	t_realloc(NULL, 1000);
	assert_int_equal(n_alloc, 0);
	unhook();
}

/* A program without thread-local storage has no thread pointer. */
static void no_thread_pointer_is_needed(void **state)
{
	hook(1, false);
	assert_null(memmem(im->code, im->hdr.code_bytes, "\x64\x48\x8b\x04\x25", 5));
	unhook();
}

static void samples_are_fair(void **state)
{
	const uint64_t rate = 4096;
	double expect = 0, var = 0, est = 0;

	hook(rate, false);
	for (int i = 0; i < 200000; i++) {
		size_t n = i % 3 ? 24 : 400;
		double p = 1 - exp(-(double)n / rate);
		uint64_t before = n_alloc;
		void *q = t_malloc(n);

		if (n_alloc != before)
			est += n / p;
		expect += n;
		var += (double)n * n * (1 - p) / p;
		t_free(q);
	}
	if (fabs(est - expect) > 5 * sqrt(var))
		fail_msg("estimate %.0f of %.0f, standard error %.0f", est, expect, sqrt(var));
	assert_true(n_alloc > 1000);
	assert_int_equal(n_free, n_alloc);
	assert_int_equal(n_unknown, 0);
	assert_int_equal(freed, 200000);
	unhook();
}

static void *churn(void *arg)
{
	void *mine[64] = {0};
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < 40000; i++) {
		int at = rand_r(&seed) % 64;
		size_t n = 16 + rand_r(&seed) % 64;

		if (mine[at] && ((size_t *)mine[at])[-2] > 80)
			abort();
		if (i & 1) {
			mine[at] = t_realloc(mine[at], n);
		} else {
			t_free(mine[at]);
			mine[at] = t_malloc(n);
		}
		if (((size_t *)mine[at])[-2] != n)
			abort();
	}
	for (int i = 0; i < 64; i++)
		t_free(mine[i]);
	return NULL;
}

static void threads_lose_nothing(void **state)
{
	pthread_t t[6];
	uint64_t *bucket;
	size_t left = 0, filter = 0;

	hook(700, false);
	for (uintptr_t i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	assert_true(n_alloc > 5000);
	assert_int_equal(n_unknown, 0);
	assert_int_equal(n_alloc, n_free);
	assert_int_equal(n_live, 0);
	bucket = (uint64_t *)(region + im->hdr.code_bytes + DATA_BUCKETS);
	for (size_t i = 0; i < N_BUCKETS * BUCKET_PLACES; i++)
		left += bucket[i] != 0;
	for (size_t i = 0; i < N_BUCKETS; i++)
		filter += region[im->hdr.code_bytes + DATA_FILTER + i] != 0;
	assert_int_equal(left, 0);
	assert_int_equal(filter, 0);
	unhook();
}

static void *allocate_once(void *arg)
{
	return t_malloc(1000);
}

/* Threads whose stacks follow each other, as those of the usual size do. */
static void threads_have_lines_of_their_own(void **state)
{
	enum { THREADS = 32, STACK = 8 << 20, SPACING = STACK + 4096 };
	uint8_t *stacks = mmap(NULL, (size_t)THREADS * SPACING, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool used[N_SLOTS / SLOTS_A_LINE] = {false};
	int64_t before[N_SLOTS], *now;

	assert_ptr_not_equal(stacks, MAP_FAILED);
	hook(1ULL << 50, false);
	now = (int64_t *)(region + im->hdr.code_bytes + DATA_SLOTS);
	for (int i = 0; i < THREADS; i++) {
		int line = -1;
		pthread_attr_t attr;
		pthread_t t;

		pthread_attr_init(&attr);
		pthread_attr_setstack(&attr, stacks + (size_t)i * SPACING, STACK);
		memcpy(before, now, sizeof(before));
		assert_int_equal(pthread_create(&t, &attr, allocate_once, NULL), 0);
		pthread_join(t, NULL);
		pthread_attr_destroy(&attr);
		for (int k = 0; k < N_SLOTS; k++) {
			if (before[k] - now[k] == 1000)
				line = k / SLOTS_A_LINE;
		}
		assert_true(line >= 0 && !used[line]);
		used[line] = true;
	}
	unhook();
	munmap(stacks, (size_t)THREADS * SPACING);
}

static void a_full_bucket_is_counted(void **state)
{
	uint64_t full;
	size_t inserted = 0;

	hook(1, false);
	for (int i = 0; i < 17 * N_BUCKETS; i++) {
		arena_next = arena + (i % 4096) * 64;
		t_malloc(16);
	}
	/* 4096 addresses, each many times: a place for each insertion, until its bucket is full */
	memcpy(&full, region + im->hdr.code_bytes + DATA_FULL, 8);
	for (size_t i = 0; i < N_BUCKETS; i++)
		inserted += region[im->hdr.code_bytes + DATA_FILTER + i];
	assert_true(full > 1000);
	assert_int_equal(inserted, n_alloc);
	unhook();
}

static void rows_follow_the_stack(void **state)
{
	hook(1, false);
	assert_true(im->n_rows > 10);
	for (size_t i = 0; i < im->n_rows; i++) {
		assert_true(im->rows[i].words >= 1 && im->rows[i].words < 16);
		assert_true(!i || im->rows[i].off > im->rows[i - 1].off);
	}
	for (size_t s = 0; s < im->n_sites; s++) {
		uint32_t words = 0;

		for (size_t i = 0; i < im->n_rows && im->rows[i].off <= im->sites[s].off; i++)
			words = im->rows[i].words;
		if (im->sites[s].kind == SITE_ALLOC)
			assert_int_equal(words, 1);
	}
	unhook();
}

static void out_of_reach_is_refused(void **state)
{
	struct stub_func f = {.fn = MW_FN_MALLOC, .target = -1};
	struct stub_image *x = calloc(1, sizeof(*x));
	uint64_t follow;

	assert_true(entry__decode((void *)t_malloc, ENTRY_LOOK, (uint64_t)t_malloc, 2, &f.entry,
				  &follow));
	assert_int_equal(stub__build(&f, 1, (uint64_t)t_malloc + (3ULL << 30), x), -ERANGE);
	assert_null(x->code);
	free(x);
}

static void set_rate(uint64_t rate)
{
	memcpy(region + im->hdr.code_bytes + DATA_RATE, &rate, 8);
}

/* The rate goes up and down, and each time a thread allocates between the two writes of a change
 * (the rate, the slots): whatever gaps it draws there, what follows is sampled as often as it is
 * at the new rate. */
static void the_rate_changes(void **state)
{
	static const uint64_t rates[] = {1 << 10, 1 << 17};
	const double bytes = 40;
	double expect[2] = {0}, var[2] = {0}, est[2] = {0};

	hook(rates[0], false);
	for (int round = 0; round < 400; round++) {
		uint64_t rate = rates[round & 1];

		set_rate(rate);
		for (int i = 0; i < 200; i++)
			t_free(t_malloc((size_t)bytes));
		stub__slots(region + im->hdr.code_bytes + DATA_SLOTS, rate, round);
		for (int i = 0; i < 1000; i++) {
			double p = 1 - exp(-bytes / (double)rate);
			uint64_t before = n_alloc;

			t_free(t_malloc((size_t)bytes));
			if (n_alloc != before)
				est[round & 1] += bytes / p;
			expect[round & 1] += bytes;
			var[round & 1] += bytes * bytes * (1 - p) / p;
		}
	}
	for (int k = 0; k < 2; k++) {
		if (fabs(est[k] - expect[k]) > 5 * sqrt(var[k]))
			fail_msg("at %lu: estimate %.0f of %.0f, standard error %.0f", rates[k],
				 est[k], expect[k], sqrt(var[k]));
	}
	assert_int_equal(n_unknown, 0);
	unhook();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_judged),
		cmocka_unit_test(branches_into_the_patch_are_found),
		cmocka_unit_test(bodies_are_judged),
		cmocka_unit_test(what_is_written_is_told_apart),
		cmocka_unit_test(every_call_is_seen_at_rate_1),
		cmocka_unit_test(a_heap_comes_first),
		cmocka_unit_test(reallocf_restores_nothing),
		cmocka_unit_test(a_heap_s_new),
		cmocka_unit_test(null_is_left_to_malloc),
		cmocka_unit_test(no_thread_pointer_is_needed),
		cmocka_unit_test(samples_are_fair),
		cmocka_unit_test(threads_lose_nothing),
		cmocka_unit_test(threads_have_lines_of_their_own),
		cmocka_unit_test(a_full_bucket_is_counted),
		cmocka_unit_test(the_rate_changes),
		cmocka_unit_test(rows_follow_the_stack),
		cmocka_unit_test(out_of_reach_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
	return 0;
}
#endif
