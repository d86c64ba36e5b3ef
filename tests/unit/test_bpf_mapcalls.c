/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that map memory, of which only the ends are seen: what is told of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bpf_programs.h"

#define TARGET 5
#define FD_FLAGS 2 /* MAP_PRIVATE, of a file */
#define ANON (FD_FLAGS | MW_MAP_ANONYMOUS)
#define RW 3

static struct mw_ev_map told;
static size_t n_told, n_code;

static void on_event(const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;

	n_code += hdr->type == MW_EV_EXECMAP;
	if (hdr->type != MW_EV_MAP)
		return;
	n_told++;
	memcpy(&told, data, sizeof(told));
	assert_int_equal(told.hdr.target, TARGET);
}

static void begin(void)
{
	native__reset();
	native.on_event = on_event;
	n_told = n_code = 0;
	native_watch(TARGET);
}

/* Is anything told of it? */
static bool ends(int nr, u64 a, u64 b, u64 c, u64 d, s64 ret)
{
	size_t before = n_told;

	memset(&told, 0, sizeof(told));
	native.user_regs = (struct pt_regs){.parm = {a, b, c, d}};
	mw_proc_map_exit(&(struct sys_exit_args){.nr = nr, .ret = ret});
	return n_told > before;
}

static void assert_told(enum mw_map_op op, u64 addr, u64 size, u64 old_addr, u64 old_size)
{
	assert_int_equal(told.hdr.kind, op);
	assert_int_equal(told.addr, addr);
	assert_int_equal(told.size, size);
	assert_int_equal(told.old_addr, old_addr);
	assert_int_equal(told.old_size, old_size);
	assert_int_equal(!!told.stack, op != MW_MAP_MUNMAP);
}

static void mappings_of_memory(void **state)
{
	begin();
	assert_true(ends(__NR_mmap, 0, 5000, RW, ANON, 0x700000));
	assert_told(MW_MAP_MMAP, 0x700000, 8192, 0, 0);
	assert_false(ends(__NR_mmap, 0, 5000, RW, ANON, -ENOMEM));
	assert_true(ends(__NR_munmap, 0x700000, 4097, 0, 0, 0));
	assert_told(MW_MAP_MUNMAP, 0x700000, 8192, 0, 0);
	assert_false(ends(__NR_munmap, 0x700001, 4096, 0, 0, -EINVAL));
	assert_true(ends(__NR_mremap, 0x700000, 4096, 8192, 1, 0x900000));
	assert_told(MW_MAP_MREMAP, 0x900000, 8192, 0x700000, 4096);
	assert_true(ends(__NR_mremap, 0x700000, 4096, 4096, MW_MREMAP_DONTUNMAP, 0x900000));
	assert_told(MW_MAP_MREMAP, 0x900000, 4096, 0x700000, 0);
	assert_int_equal(n_code, 0);
}

/* A file takes away what was in its place; one that may run is told as code, too. */
static void mappings_of_files(void **state)
{
	begin();
	assert_false(ends(__NR_mmap, 0, 4096, RW, FD_FLAGS, 0x700000));
	assert_true(ends(__NR_mmap, 0x700000, 4096, RW, FD_FLAGS | MW_MAP_FIXED, 0x700000));
	assert_told(MW_MAP_MUNMAP, 0x700000, 4096, 0, 0);
	assert_false(ends(__NR_mmap, 0x700000, 4096, RW,
			  FD_FLAGS | MW_MAP_FIXED | MW_MAP_FIXED_NOREPLACE, 0x700000));
	assert_int_equal(n_code, 0);
	assert_false(ends(__NR_mmap, 0, 4096, MW_PROT_EXEC, FD_FLAGS, 0x700000));
	assert_int_equal(n_code, 1);
	assert_true(ends(__NR_mmap, 0, 4096, MW_PROT_EXEC, ANON, 0x700000));
	assert_int_equal(n_code, 1); /* generated */
	assert_true(ends(__NR_mmap, 0x700000, 4096, MW_PROT_EXEC, ANON | MW_MAP_FIXED, 0x700000));
	assert_int_equal(n_code, 2); /* or moved there */
}

static void the_brk_area(void **state)
{
	u32 index = TARGET;
	u64 *known;

	begin();
	assert_false(ends(__NR_brk, 0x602000, 0, 0, 0, 0x602000)); /* from where is not known */
	assert_true(ends(__NR_brk, 0x605000, 0, 0, 0, 0x605000));
	assert_told(MW_MAP_BRK, 0x605000, 0, 0x602000, 0);
	assert_false(ends(__NR_brk, 0, 0, 0, 0, 0x605000));	   /* it only asks */
	assert_false(ends(__NR_brk, 0x900000, 0, 0, 0, 0x605000)); /* no room */
	assert_true(ends(__NR_brk, 0x603000, 0, 0, 0, 0x603000));
	assert_told(MW_MAP_BRK, 0x603000, 0, 0x605000, 0);
	/* another image, which asks first */
	mw_proc_exec(&native.task, native.task.pid);
	assert_false(ends(__NR_brk, 0, 0, 0, 0, 0x1000));
	assert_true(ends(__NR_brk, 0x3000, 0, 0, 0, 0x3000));
	assert_told(MW_MAP_BRK, 0x3000, 0, 0x1000, 0);
	/* or one whose end has been read */
	known = bpf_map_lookup_elem(&proc_brks, &index);
	*known = 0x8000;
	assert_true(ends(__NR_brk, 0xa000, 0, 0, 0, 0xa000));
	assert_told(MW_MAP_BRK, 0xa000, 0, 0x8000, 0);
}

static void whose_calls_are_not_told(void **state)
{
	begin();
	native.mm.context.flags = MM_CONTEXT_32BIT;
	assert_false(ends(__NR_mmap, 0, 4096, RW, ANON, 0x700000));
	native.mm.context.flags = 0;
	native.task.tgid = 200;
	assert_false(ends(__NR_mmap, 0, 4096, RW, ANON, 0x700000));
	assert_false(ends(__NR_mmap, 0, 4096, MW_PROT_EXEC, FD_FLAGS, 0x700000));
	assert_int_equal(n_code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mappings_of_memory),
		cmocka_unit_test(mappings_of_files),
		cmocka_unit_test(the_brk_area),
		cmocka_unit_test(whose_calls_are_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
