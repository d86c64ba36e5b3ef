// SPDX-License-Identifier: GPL-2.0-or-later
/* Operands of USDT notes as gcc and clang write them, rows that are refused, weights in the heap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/usdt.h"
#include "model/heap.h"

#define NONE MW_USDT_NO_REG

struct expected {
	const char *spec;
	struct mw_usdt_arg arg;
};

static void check(uint16_t machine, const struct expected *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mw_usdt u;

		if (usdt__parse(NULL, machine, 0x1000, x[i].spec, &u) != 1)
			fail_msg("'%s' is not read", x[i].spec);
		if (memcmp(&u.arg[0], &x[i].arg, sizeof(u.arg[0])))
			fail_msg("'%s' is read wrongly", x[i].spec);
	}
}

static void x86_operands(void **state)
{
	static const struct expected x[] = {
		{"8@%rdi", {MW_USDT_REG, 8, 0, 0, 112, 0, 0}},
		{"-4@%eax", {MW_USDT_REG, 4, 1, 0, 80, 0, 0}},
		{"-8@%r15", {MW_USDT_REG, 8, 1, 0, 0, 0, 0}},
		{"4@%r10d", {MW_USDT_REG, 4, 0, 0, 56, 0, 0}},
		{"2@%r8w", {MW_USDT_REG, 2, 0, 0, 72, 0, 0}},
		{"1@%r9b", {MW_USDT_REG, 1, 0, 0, 64, 0, 0}},
		{"1@%sil", {MW_USDT_REG, 1, 0, 0, 104, 0, 0}},
		{"1@%ah", {MW_USDT_REG, 1, 0, 8, 80, 0, 0}},
		{"8@$5", {MW_USDT_CONST, 8, 0, 0, 0, 0, 5}},
		{"-4@$-1", {MW_USDT_CONST, 4, 1, 0, 0, 0, -1}},
		{"8@$0x10", {MW_USDT_CONST, 8, 0, 0, 0, 0, 16}},
		{"8@-16(%rbp)", {MW_USDT_MEM, 8, 0, 0, 32, NONE, -16}},
		{"8@(%rsp)", {MW_USDT_MEM, 8, 0, 0, 152, NONE, 0}},
		{"4@8(%rax,%rdx,8)", {MW_USDT_MEM, 4, 0, 3, 80, 96, 8}},
		{"4@(%rax,%rdx)", {MW_USDT_MEM, 4, 0, 0, 80, 96, 0}},
		{"8@64(,%r12,4)", {MW_USDT_MEM, 8, 0, 2, NONE, 24, 64}},
	};

	(void)state;
	check(EM_X86_64, x, ARRAY_SIZE(x));
}

static void arm64_operands(void **state)
{
	static const struct expected x[] = {
		{"8@x0", {MW_USDT_REG, 8, 0, 0, 0, 0, 0}},
		{"-4@w19", {MW_USDT_REG, 4, 1, 0, 152, 0, 0}},
		{"8@[sp, 16]", {MW_USDT_MEM, 8, 0, 0, 248, NONE, 16}},
		{"8@[x29, -8]", {MW_USDT_MEM, 8, 0, 0, 232, NONE, -8}},
		{"8@[x1]", {MW_USDT_MEM, 8, 0, 0, 8, NONE, 0}},
		{"4@[x1, x2]", {MW_USDT_MEM, 4, 0, 0, 8, 16, 0}},
		{"4@[x1, x2, lsl 2]", {MW_USDT_MEM, 4, 0, 2, 8, 16, 0}},
		{"8@5", {MW_USDT_CONST, 8, 0, 0, 0, 0, 5}},
		{"-4@-7", {MW_USDT_CONST, 4, 1, 0, 0, 0, -7}},
	};

	(void)state;
	check(EM_AARCH64, x, ARRAY_SIZE(x));
}

static void several(void **state)
{
	struct mw_usdt u;

	(void)state;
	assert_int_equal(usdt__parse(NULL, EM_X86_64, 0, "8@%rbx 8@8(%rsp) 8@%r12", &u), 3);
	assert_int_equal(u.arg[1].reg, 152);
	assert_int_equal(u.arg[2].reg, 24);
	assert_int_equal(usdt__parse(NULL, EM_AARCH64, 0, "8@[sp, 16] 8@x1 8@[x1, x2, lsl 3]", &u),
			 3);
	assert_int_equal(u.arg[1].reg, 8);
	assert_int_equal(u.arg[2].shift, 3);
	/* what follows what is needed need not be known */
	assert_int_equal(usdt__parse(NULL, EM_X86_64, 0, "8@%rbx 8@%rbx 8@%rbx 8f@%xmm0", &u), 4);
	assert_int_equal(usdt__parse(NULL, EM_X86_64, 0, "", &u), 0);
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"8@",		"8",
		"@%rax",	"8@%",
		"8@%xmm0",	"8f@%xmm0",
		"3@%rax",	"16@%rax",
		"8@%ah",	"8@%r7",
		"8@%r16",	"8@%r10dd",
		"8@%rip",	"8@%raxx",
		"8@$",		"8@$1x",
		"8@$name",	"8@16(%rip)",
		"8@name(%rip)", "8@(%rax",
		"8@()",		"8@(%rax,%rdx,3)",
		"8@(%rax)x",	"8@(%rax,%rip)",
		"8@(%ah)",	"8@99999999999999999999(%rax)",
		"8@1000",	"8@%fs:8(%rax)",
		"8@((((((((((", "8@))))",
		"-@%rax",
	};
	char long_one[4096];
	struct mw_usdt u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (usdt__parse(NULL, EM_X86_64, 0, bad[i], &u) >= 0)
			fail_msg("'%s' is taken", bad[i]);
	}
	memset(long_one, '(', sizeof(long_one));
	long_one[sizeof(long_one) - 1] = 0;
	assert_true(usdt__parse(NULL, EM_X86_64, 0, long_one, &u) < 0);
	assert_true(usdt__parse(NULL, EM_AARCH64, 0, "8@[x31]", &u) < 0);
	assert_true(usdt__parse(NULL, EM_AARCH64, 0, "8@[x1, x2, lsl 9]", &u) < 0);
	assert_true(usdt__parse(NULL, EM_RISCV, 0, "8@x1", &u) < 0);
}

/* What a helper that was taken over might answer. */
static void unsound(void **state)
{
	struct usdt_site good = {.is_free = 1}, s;

	(void)state;
	good.row.arg[0] = (struct mw_usdt_arg){MW_USDT_REG, 8, 0, 0, 112, 0, 0};
	assert_true(usdt__sound(&good));
	s = good, s.is_free = 0;
	assert_false(usdt__sound(&s)); /* two arguments are missing */
	s = good, s.is_free = 2;
	assert_false(usdt__sound(&s));
	s = good, s.semaphore = 3;
	assert_false(usdt__sound(&s));
	s = good, s.row.arg[0].kind = MW_USDT_KINDS;
	assert_false(usdt__sound(&s));
	s = good, s.row.arg[0].bytes = 9;
	assert_false(usdt__sound(&s));
	s = good, s.row.arg[0].reg = 4096;
	assert_false(usdt__sound(&s));
	s = good, s.row.arg[0].reg = 3;
	assert_false(usdt__sound(&s));
	s = good, s.row.arg[0].shift = 70;
	assert_false(usdt__sound(&s));
}

static struct mw_ev_weighed weighed(uint64_t addr, uint64_t size, uint64_t weight)
{
	return (struct mw_ev_weighed){
		.alloc = {.hdr = {.type = MW_EV_WEIGHED, .time_ns = 1}, .addr = addr, .size = size},
		.weight = weight};
}

/* The weight is the bytes, whatever memwatch's own rate. */
static void weights_as_given(void **state)
{
	struct heap_opts opts = {.sample_bytes = 512 << 10};
	const struct heap_target *t;
	struct mw_ev_weighed ev;
	struct mw_ev_free free_ev = {.addr = 0x1000};
	struct ledger_block *blocks;
	struct heap *h;
	size_t n;

	(void)state;
	assert_int_equal(heap__new(&opts, &h), 0);
	t = &h->targets[0];
	ev = weighed(0x1000, 1024, 65536);
	heap__weighed(h, &ev);
	assert_float_equal(t->alloc_bytes, 65536, 0);
	assert_float_equal(t->alloc_objects, 64, 0);
	ev = weighed(0x2000, 0, 4096); /* an empty block stands for so many bytes */
	heap__weighed(h, &ev);
	assert_float_equal(t->alloc_bytes, 65536 + 4096, 0);
	ev = weighed(0x1000, 512, 131072); /* the free of the one before was lost */
	heap__weighed(h, &ev);
	assert_int_equal(t->implied_frees, 1);
	assert_float_equal(t->free_bytes, 65536, 0);
	assert_float_equal(t->free_objects, 64, 0);
	assert_int_equal(heap__blocks(h, 0, &blocks, &n), 0);
	assert_int_equal(n, 2);
	assert_float_equal(blocks[0].bytes, 131072, 0);
	free(blocks);
	assert_int_equal(heap__fork(h, 0, 1), 0);
	assert_float_equal(h->targets[1].alloc_bytes, 131072 + 4096, 0);
	heap__dealloc(h, &free_ev);
	assert_float_equal(t->free_bytes, 65536 + 131072, 0);
	assert_float_equal(t->free_objects, 64 + 256, 0);
	heap__clear_target(h, 0);
	assert_float_equal(t->free_bytes, t->alloc_bytes, 0);
	assert_int_equal(h->given.n, 2); /* the child's */
	heap__drop_target(h, 1);
	assert_int_equal(h->given.n, 0);
	heap__free(h);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(x86_operands), cmocka_unit_test(arm64_operands),
		cmocka_unit_test(several),	cmocka_unit_test(refused),
		cmocka_unit_test(unsound),	cmocka_unit_test(weights_as_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
