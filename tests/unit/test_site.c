// SPDX-License-Identifier: GPL-2.0-or-later
/* Probe sites in the allocators that this machine has: the family is found, and placed well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf/site.h"
#include "elf/threadcache.h"

#define DIR "/usr/lib/x86_64-linux-gnu/"

static struct site *sites;
static size_t nsites;
static struct elfobj *elf;

static void load(const char *path)
{
	struct alloc_func *funcs = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		skip();
	assert_int_equal(elfobj__open_fd(fd, path, &elf), 0);
	close(fd);
	assert_int_equal(allocs__find(elf, &funcs, &nsites), 0);
	assert_int_equal(site__choose(elf, funcs, nsites, &sites), 0);
	free(funcs);
}

static void unload(void)
{
	free(sites);
	elfobj__close(elf);
	sites = NULL;
	elf = NULL;
	nsites = 0;
}

static const struct site *find(const char *name)
{
	for (size_t i = 0; i < nsites; i++)
		if (!strcmp(sites[i].func.name, name))
			return &sites[i];
	return NULL;
}

/* Every site: inside its function, inside the file, never a 5-byte nop, unique. */
static void check_all(void)
{
	for (size_t i = 0; i < nsites; i++) {
		const struct site *s = &sites[i];
		uint8_t code[5];

		if (s->kind == SITE_NONE)
			continue;
		/* A .cold part has no return address where a function has it. */
		assert_null(strchr(s->func.name, '.'));
		assert_true(s->vaddr >= s->func.vaddr);
		if (s->func.size)
			assert_true(s->vaddr < s->func.vaddr + s->func.size);
		assert_true(s->off);
		assert_int_equal(elfobj__read(elf, s->vaddr, code, 5), 5);
		assert_false(!memcmp(code, "\x0f\x1f\x44\x00\x00", 5));
		for (size_t j = 0; j < i; j++)
			assert_false(sites[j].kind != SITE_NONE && sites[j].vaddr == s->vaddr);
	}
}

static void check_family(const char *const *names)
{
	for (; *names; names++) {
		const struct site *s = find(*names);

		if (!s)
			fail_msg("%s not found", *names);
		assert_int_not_equal(s->kind, SITE_NONE);
	}
	check_all();
}

static void test_glibc(void **state)
{
	static const char *const names[] = {"malloc",	      "calloc", "realloc", "reallocarray",
					    "posix_memalign", "free",	"valloc",  "pvalloc",
					    "memalign",	      NULL};
	uint64_t lo, hi;

	load(DIR "libc.so.6");
	check_family(names);
	/* It goes on to realloc, wherever that is: two probes would count, and sample, twice. */
	assert_true(find("reallocarray")->wrapper);
	assert_false(find("realloc")->wrapper);
	assert_int_equal(find("malloc")->kind, SITE_EMULATED);
	assert_int_equal(find("free")->kind, SITE_EMULATED);
	/* What these leave to malloc by a jump. */
	assert_true(find("realloc")->null_goes_on);
	assert_int_equal(find("memalign")->align_goes_on, 16);
	assert_int_equal(find("posix_memalign")->align_goes_on, 16);
	assert_int_equal(find("valloc")->align_goes_on, 0);
	/* A thread's cache is emptied by calls of free: two of them, in one short function. */
	assert_true(threadcache__find(elf, find("free")->func.vaddr, &lo, &hi));
	assert_in_range(hi - lo, 20, 320);
	assert_false(threadcache__find(elf, find("malloc")->func.vaddr, &lo, &hi));
	assert_int_equal(find("free")->nlayer, 0);
	unload();
}

static void test_jemalloc(void **state)
{
	static const char *const names[] = {"malloc",	      "calloc",	  "realloc",
					    "posix_memalign", "free",	  "mallocx",
					    "rallocx",	      "sdallocx", NULL};

	load(DIR "libjemalloc.so.2");
	check_family(names);
	assert_int_equal(find("malloc")->kind, SITE_EMULATED);
	/* Through the linkage table, into the family. */
	assert_true(find("_ZdlPv")->wrapper);
	assert_true(find("_ZdlPvmSt11align_val_t")->wrapper);
	assert_false(find("_ZdlPvm")->wrapper);
	assert_false(find("realloc")->null_goes_on);
	assert_true(find("_ZnwmSt11align_val_t")->wrapper);
	assert_false(find("_Znwm")->wrapper);
	/* It looks pthread_create up, but lies over no other allocator. */
	assert_int_equal(find("malloc")->nlayer, 0);
	unload();
}

static void test_musl(void **state)
{
	static const char *const names[] = {"malloc", "calloc",	       "realloc", "posix_memalign",
					    "free",   "aligned_alloc", NULL};

	load("/usr/lib/x86_64-linux-musl/libc.so");
	check_family(names);
	assert_true(find("malloc")->ncallers >= 1); /* calloc */
	assert_true(find("memalign")->wrapper);
	unload();
}

static void test_tcmalloc(void **state)
{
	static const char *const names[] = {"malloc",	      "calloc", "realloc",
					    "posix_memalign", "free",	NULL};

	load(DIR "libtcmalloc_minimal.so.4");
	check_family(names);
	unload();
}

static void test_mimalloc(void **state)
{
	static const char *const names[] = {"malloc",	      "calloc", "realloc",
					    "posix_memalign", "free",	NULL};

	load(DIR "libmimalloc.so.2.0");
	check_family(names);
	assert_true(find("reallocarray")->wrapper);
	assert_true(find("mi_reallocarray")->wrapper);
	assert_true(find("mi_reallocn")->wrapper); /* of mi_heap_reallocn, and that of the next */
	assert_false(find("mi_heap_realloc")->wrapper);
	assert_int_equal(find("mi_heap_reallocn")->ncallers, 0); /* mi_reallocarray is no caller */
	/* returns nothing that it was not given, but for what nobody can have */
	assert_true(find("mi_pvalloc")->wrapper);
	/* calls others through a function of no name, which is nobody else's */
	assert_false(find("mi_heap_realloc_aligned")->wrapper);
	assert_true(find("mi_heap_realloc_aligned")->calls_family);
	assert_false(find("mi_heap_realloc")->calls_family);
	unload();
}

static void test_libstdcxx(void **state)
{
	/* operator new of libstdc++ calls malloc, which is seen where it is. */
	load(DIR "libstdc++.so.6");
	assert_int_equal(nsites, 0);
	unload();
}

static void test_libbsd(void **state)
{
	/* reallocf, reallocarray, recallocarray and freezero call the C library's */
	load(DIR "libbsd.so.0");
	for (size_t i = 0; i < nsites; i++)
		assert_true(sites[i].wrapper);
	unload();
}

/* `test_site FILE` prints the sites of a file. */
static int dump(const char *path)
{
	load(path);
	for (size_t i = 0; i < nsites; i++) {
		const struct site *s = &sites[i];

		printf("%-28s +%-3ld %s %s%s%s callers %zu%s align %u  %s\n", s->func.name,
		       (long)(s->vaddr - s->func.vaddr), s->insn,
		       s->kind == SITE_EMULATED	 ? "emulated"
		       : s->kind == SITE_STEPPED ? "stepped"
						 : "none",
		       s->wrapper ? " wrapper of " : "", s->calls, s->ncallers,
		       s->null_goes_on ? " null" : "", s->align_goes_on, s->why);
	}
	unload();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),	 cmocka_unit_test(test_jemalloc),
		cmocka_unit_test(test_tcmalloc), cmocka_unit_test(test_mimalloc),
		cmocka_unit_test(test_musl),	 cmocka_unit_test(test_libstdcxx),
		cmocka_unit_test(test_libbsd),
	};

	if (argc > 1)
		return dump(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
