/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "format/telling.h"

static void wrappers(void **state)
{
	static const char *const yes[] = {
		"malloc",
		"__libc_malloc",
		"xmalloc",
		"zmalloc",
		"zmalloc_usable",
		"ztrymalloc",
		"g_malloc0",
		"g_malloc0_n",
		"g_strdup",
		"_int_malloc",
		"je_malloc",
		"xstrdup",
		"operator new(unsigned long)",
		"operator new[](unsigned long, std::nothrow_t const&)",
		"std::vector<Row, std::allocator<Row> >::_M_realloc_insert<Row>(Row&&)",
		"void std::vector<int>::emplace_back<int>(int&&)",
		"__gnu_cxx::new_allocator<char>::allocate(unsigned long, void const*)",
		"alloc::raw_vec::RawVec<T,A>::reserve",
		"<alloc::string::String as Clone>::clone",
		"core::ops::function::FnOnce::call_once",
		"__rust_alloc",
		"PyMem_RawMalloc",
		"_PyObject_GC_NewVar",
		"runtime.mallocgc",
		"MemoryContextAllocZero",
		"palloc0",
	};
	static const char *const no[] = {
		"main",
		"leak_via_malloc",
		"session_alloc",
		"Cache::insert(std::string)",
		"std::string render<int>(int)",
		"load(std::vector<int> const&)",
		"mallocator_run",
		"(anonymous namespace)::fill(int)",
		"standard",
		"corelist",
		"pool_get",
		"malloced",
		"",
		"zmallocator",
		"Foo::malloc(unsigned long)",
		"operator==(A const&, std::B const&)",
	};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!telling__is_wrapper(yes[i]))
			fail_msg("'%s' is a wrapper", yes[i]);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		if (telling__is_wrapper(no[i]))
			fail_msg("'%s' is no wrapper", no[i]);
	}
}

static void runtimes(void **state)
{
	assert_true(telling__is_runtime("/usr/lib/x86_64-linux-gnu/libc.so.6"));
	assert_true(telling__is_runtime("/lib/ld-musl-x86_64.so.1"));
	assert_true(telling__is_runtime("libstdc++.so.6.0.30"));
	assert_false(telling__is_runtime("/usr/lib/libcairo.so.2"));
	assert_false(telling__is_runtime("/srv/libc.so.6.d/server"));
	assert_false(telling__is_runtime(""));
}

static uint32_t frame(struct profile *p, const char *name)
{
	struct profile_function fn = {0};
	struct profile_line line = {0};
	uint32_t loc;
	static uint64_t address = 0x1000;

	assert_int_equal(profile__string(p, name, &fn.name), 0);
	assert_int_equal(profile__function(p, &fn, &line.function), 0);
	assert_int_equal(profile__location(p, PROFILE_NONE, address += 16, &line, 1, &loc), 0);
	return loc;
}

static void stacks(void **state)
{
	int64_t v[4] = {1, 1, 1, 1};
	struct profile *p;
	uint32_t stack[3];

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	stack[0] = frame(p, "xmalloc");
	stack[1] = frame(p, "std::string::reserve(unsigned long)");
	stack[2] = frame(p, "read_config");
	assert_int_equal(profile__sample(p, stack, 3, v, NULL, 0), 0);
	assert_int_equal(telling__skip(p, &p->samples[0]), 2);
	assert_int_equal(profile__sample(p, stack, 2, v, NULL, 0), 0); /* nothing tells: the leaf */
	assert_int_equal(telling__skip(p, &p->samples[1]), 0);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrappers),
		cmocka_unit_test(runtimes),
		cmocka_unit_test(stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
