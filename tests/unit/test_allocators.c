// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of allocators: every row reaches discovery, the arguments and the dropped frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/rx.h"
#include "core/util.h"
#include "elf/allocs.h"
#include "model/profile.h"

struct row {
	const char *name;
	enum mw_fn fn;
};

#define ROW(name, fn) {#name, MW_FN_##fn},
static const struct row names[] = {MW_ALLOC_NAMES(ROW)};
static const struct row special[] = {MW_ALLOC_SPECIAL(ROW)};
#define TEXT(prefix) prefix,
static const char *const prefixes[] = {MW_ALLOC_PREFIXES(TEXT)};

/* As a report reads it (report/filter.c). */
static struct rx *drop_frames(void)
{
	struct profile *p;
	struct rx *rx = NULL;
	char text[8192];

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	assert_in_range(snprintf(text, sizeof(text), "^(%s)$", profile__text(p, p->drop_frames)), 1,
			sizeof(text) - 1);
	assert_int_equal(rx__new(text, &rx, NULL, 0), 0);
	profile__free(p);
	return rx;
}

static void test_every_name(void **state)
{
	char name[128];
	struct rx *drop = drop_frames();

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(prefixes); p++) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			snprintf(name, sizeof(name), "%s%s", prefixes[p], names[i].name);
			assert_int_equal(allocs__classify(name), names[i].fn);
			assert_true(rx__match(drop, name));
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		assert_int_equal(allocs__classify(special[i].name), special[i].fn);
		assert_true(rx__match(drop, special[i].name));
	}
	assert_int_equal(allocs__classify("smallocx_54eaed1d"), MW_FN_MALLOC);
	assert_int_equal(allocs__classify("je_smallocx_54eaed1d"), MW_FN_MALLOC);
	assert_true(rx__match(drop, "je_smallocx_54eaed1d"));
	assert_true(rx__match(drop, "operator new[]"));
	assert_true(rx__match(drop, "operator delete"));
	assert_true(rx__match(drop, "tcmalloc::allocate_full_malloc_oom"));
	assert_true(rx__match(drop, "do_posix_memalign"));
	rx__free(drop);
}

static void test_no_other_name(void **state)
{
	static const char *const other[] = {
		"",
		"main",
		"xmalloc",
		"malloc_usable_size",
		"pool_malloc",
		"freeaddrinfo",
		"mi_stats_print",
		"operator new thing",
		"my_rpfree",
		"je_",
		"__",
	};
	struct rx *drop = drop_frames();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		assert_int_equal(allocs__classify(other[i]), MW_FN_NONE);
		assert_false(rx__match(drop, other[i]));
	}
	rx__free(drop);
}

/* A row that names no size allocates nothing; one that gives a block back names it. */
static void test_signatures(void **state)
{
	(void)state;
	for (int fn = MW_FN_NONE + 1; fn < MW_FN_COUNT; fn++) {
		const struct signature *s = allocs__signature(fn);

		assert_int_not_equal(s->does, MW_DOES_NOTHING);
		assert_int_equal(s->size == 0, s->does == MW_DOES_FREE);
		assert_int_equal(s->old != 0, s->does == MW_DOES_FREE ||
						      s->does == MW_DOES_REALLOC ||
						      s->does == MW_DOES_RESIZE);
		assert_in_range(signature__args(s), 2, 31); /* the BPF programs read four */
		assert_false(signature__args(s) & 1);
	}
	assert_int_equal(signature__args(allocs__signature(MW_FN_REALLOCARRAY)), 2 | 4 | 8);
	assert_int_equal(signature__args(allocs__signature(MW_FN_POSIX_MEMALIGN)), 2 | 8);
	assert_int_equal(signature__args(allocs__signature(MW_FN_XALLOCX)), 2 | 4 | 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name),
		cmocka_unit_test(test_no_other_name),
		cmocka_unit_test(test_signatures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
