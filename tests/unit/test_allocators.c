// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of allocators: every row reaches discovery, the arguments and the dropped frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
		"reallocf", /* libbsd's, which calls realloc */
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
		assert_int_equal(s->old != 0,
				 s->does == MW_DOES_FREE || s->does == MW_DOES_REALLOC ||
					 s->does == MW_DOES_REALLOCF || s->does == MW_DOES_RESIZE);
		assert_in_range(signature__args(s), 2, 31); /* the BPF programs read four */
		assert_false(signature__args(s) & 1);
	}
	assert_int_equal(signature__args(allocs__signature(MW_FN_REALLOCARRAY)), 2 | 4 | 8);
	assert_int_equal(signature__args(allocs__signature(MW_FN_POSIX_MEMALIGN)), 2 | 8);
	assert_int_equal(signature__args(allocs__signature(MW_FN_XALLOCX)), 2 | 4 | 8);
}

#define DIR "/usr/lib/x86_64-linux-gnu/"

/* Every function that these libraries export is in the table, or here with what it does. */
static const char *const any_allocator[][2] = {
	{"(tc_|mi_)?malloc_(usable_|good_)?size|mi_(good|usable)_size|(tc_)?nallocx|sallocx",
	 "ask"},
	{"mall(ctl.*|opt|info|oc_stats.*)|tc_mall(opt|info|oc_stats)|tc_(version|.*_new_mode)",
	 "settings and figures"},
	{"_Z(N|K|T|S|GV|[0-9]+[^_]).*", "C++ beside operator new and delete"},
	{"mi_heap_destroy", "ends blocks that it does not name (docs/losses.md)"},
	{"mi_(heap_)?(str|strn|mbs|wcs)dup|mi_(heap_)?realpath|mi_w?dupenv_s",
	 "size is that of a text (docs/losses.md)"},
	{"mi_aligned_(offset_)?recalloc|mi_new_reallocn?|(mi_)?reallocarr|reallocf|vfree|_aligned_malloc",
	 "call others by name"},
	{"mi_+expand", "hands out what it is given, in place"},
	{"mi_heap_(new(_in_arena)?|delete|collect|get_.*|set_default|contains_.*|check_.*|visit_.*)"
	 "|"
	 "mi_(check_owned|is_.*)",
	 "heaps, not blocks"},
	{"mi_(arena|collect|debug|manage|option|process|register|reserve|stats|thread|version).*",
	 "settings and figures"},
	{"(MallocExtension|MallocHook|GetHeapProfile|(Is)?HeapProfiler|Profil|TCMalloc).*|"
	 "RunningOnValgrind",
	 "hooks, profiles"},
	{"s?brk|m(un)?map(64)?|mremap", "address space: the tracepoints' (bpf/mm.bpf.c)"},
};

/* Of a C or C++ library only names of this kind are looked at. */
#define OF_MEMORY ".*(alloc|free|memalign|brk|obstack|_Zn|_Zd|pool).*"
static const char *const any_runtime[][2] = {
	{"_IO_.*|__libc_(scratch_buffer|alloc_buffer|allocate_(once|rtsig)|alloca_cutoff|freeres)."
	 "*",
	 "call malloc and free"},
	{"_*(obstack_.*|__obstack_.*)|__sched_cpu(alloc|free)", "call malloc and free"},
	{"__(free|malloc|memalign|realloc)_hook", "data"},
	{"malloc_(info|stats|trim|usable_size|[gs]et_state)", "settings and figures"},
	{"(__)?(free(addrinfo|ifaddrs|locale)|(glob|reg|word)free(64)?|if_freenameindex|xdr_free)",
	 "call free"},
	{"(posix_)?fallocate(64)?|pkey_(alloc|free)|inet6_option_alloc|(str|wcs)pbrk|"
	 "__strpbrk_c[23]",
	 "no memory"},
	{"(__)?s?brk", "address space: the tracepoints' (bpf/mm.bpf.c)"},
	{"_Z[NKTS].*", "call operator new and delete"},
	{"__cxa_(allocate|free)_(dependent_)?exception", "call malloc and free"},
};

struct audit {
	const char *path;
	struct rx *looked, *explained;
	size_t known;
};

static int on_export(void *arg, const struct elfobj_symbol *sym)
{
	struct audit *a = arg;

	if (sym->bind == STB_LOCAL || sym->type != STT_FUNC || !rx__match(a->looked, sym->name))
		return 0;
	if (allocs__classify(sym->name))
		a->known++;
	else if (!rx__match(a->explained, sym->name))
		fail_msg("%s of %s is in no table of allocators (memwatch/allocators.h), and not "
			 "explained here",
			 sym->name, a->path);
	return 0;
}

static struct rx *whole_names(const char *const (*of)[2], size_t n)
{
	char text[4096] = "^(";
	struct rx *rx;

	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "|" : "",
			 of[i][0]);
	strcat(text, ")$");
	assert_int_equal(rx__new(text, &rx, NULL, 0), 0);
	return rx;
}

static void audit_library(const char *path, const char *looked, const char *const (*why)[2],
			  size_t n)
{
	struct audit a = {.path = path, .explained = whole_names(why, n)};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *e;

	if (fd < 0) {
		fail_msg("%s is not installed", path);
		return;
	}
	assert_int_equal(elfobj__open_fd(fd, path, &e), 0);
	assert_int_equal(rx__new(looked, &a.looked, NULL, 0), 0);
	assert_int_equal(elfobj__each_symbol(e, on_export, &a), 0);
	assert_in_range(a.known, 6, 1000);
	elfobj__close(e);
	close(fd);
	rx__free(a.looked);
	rx__free(a.explained);
}

static void test_every_export(void **state)
{
	static const char *const allocators[] = {DIR "libjemalloc.so.2",
						 DIR "libmimalloc.so.2",
						 DIR "libtcmalloc.so.4",
						 DIR "libtcmalloc_minimal.so.4",
						 DIR "libtcmalloc_debug.so.4",
						 DIR "libtcmalloc_minimal_debug.so.4",
						 DIR "libtcmalloc_and_profiler.so.4"};
	static const char *const runtimes[] = {DIR "libc.so.6", DIR "libc_malloc_debug.so.0",
					       DIR "libstdc++.so.6",
					       "/usr/lib/x86_64-linux-musl/libc.so"};

	for (size_t i = 0; i < ARRAY_SIZE(allocators); i++)
		audit_library(allocators[i], ".*", any_allocator, ARRAY_SIZE(any_allocator));
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
		audit_library(runtimes[i], OF_MEMORY, any_runtime, ARRAY_SIZE(any_runtime));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name),
		cmocka_unit_test(test_no_other_name),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_every_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
