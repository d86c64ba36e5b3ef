/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The symbolizer on this very program, on damaged copies of it, and with its reader killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "elf/dwarfbox.h"
#include "elf/elfobj.h"
#include "elf/jitmap.h"
#include "elf/strpool.h"
#include "elf/symbolizer.h"

int test_symbolizer_here(int x);
__attribute__((noinline)) int test_symbolizer_here(int x)
{
	return x * 3;
}
enum { HERE_LINE = __LINE__ - 4 };

static uint64_t own_vaddr(void)
{
	Dl_info info;
	struct link_map *map;

	dladdr1((void *)test_symbolizer_here, &info, (void **)&map, RTLD_DL_LINKMAP);
	return (uint64_t)(uintptr_t)test_symbolizer_here - map->l_addr;
}

static uint64_t own_off(int fd)
{
	struct elfobj *e = NULL;
	uint64_t off = 0;

	assert_int_equal(elfobj__open_fd(fd, "self", &e), 0);
	assert_true(elfobj__vaddr_to_off(e, own_vaddr(), &off));
	elfobj__close(e);
	return off;
}

static int own_fd(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool ends_with(const char *s, const char *end)
{
	return s && strlen(s) >= strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

static void own_function(void **state)
{
	struct symbolizer *s = NULL;
	struct symbolizer_module *m = NULL, *again = NULL;
	struct symbolizer_frame f[4];
	int fd = own_fd();
	uint64_t off = own_off(fd);

	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", NULL, &m), 0);
	assert_int_equal(symbolizer__module(s, fd, "/other/name", NULL, &again), 0);
	assert_ptr_equal(m, again);
	assert_int_equal(strlen(symbolizer_module__build_id(m)), 40);
	for (int round = 0; round < 2; round++) { /* found, then remembered */
		assert_int_equal(symbolizer__lookup(s, m, off, f, 4), 1);
		assert_string_equal(f[0].name, "test_symbolizer_here");
		assert_true(ends_with(f[0].file, "tests/unit/test_symbolizer.c"));
		assert_true(f[0].line >= HERE_LINE && f[0].line <= HERE_LINE + 3);
		assert_int_equal(f[0].start_line, HERE_LINE);
		assert_false(f[0].inlined);
	}
	assert_string_equal(symbolizer_module__note(m), "");
	assert_int_equal(symbolizer__lookup(s, m, UINT64_MAX, f, 4), 0);
	symbolizer__free(s);
	close(fd);
}

static void names_only(void **state)
{
	const struct symbolizer_opts opts = {.no_lines = true};
	struct symbolizer *s = NULL;
	struct symbolizer_module *m = NULL;
	struct symbolizer_frame f[1];
	int fd = own_fd();

	assert_int_equal(symbolizer__new(&opts, &s), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", NULL, &m), 0);
	assert_int_equal(symbolizer__lookup(s, m, own_off(fd), f, 1), 1);
	assert_string_equal(f[0].name, "test_symbolizer_here");
	assert_null(f[0].file);
	symbolizer__free(s);
	close(fd);
}

/* A budget that nothing fits into: modules are dropped and read again, answers stay right. */
static void small_budget(void **state)
{
	const struct symbolizer_opts opts = {.budget_bytes = 64 << 10};
	struct symbolizer *s = NULL;
	struct symbolizer_module *m[2] = {0};
	struct symbolizer_frame f[4];
	struct symbolizer_stats st;
	int fds[2] = {own_fd(), open("/proc/self/exe", O_RDONLY)};
	uint64_t off = own_off(fds[0]);
	struct elfobj *e = NULL;

	close(fds[1]);
	fds[1] = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	if (fds[1] < 0 || elfobj__open_fd(fds[1], "libc", &e)) {
		close(fds[0]);
		skip();
	}
	elfobj__close(e);
	assert_int_equal(symbolizer__new(&opts, &s), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(symbolizer__module(s, fds[i], "/x", NULL, &m[i]), 0);
	for (int round = 0; round < 4; round++) {
		assert_int_equal(symbolizer__lookup(s, m[0], off + round, f, 4), 1);
		assert_string_equal(f[0].name, "test_symbolizer_here");
		symbolizer__lookup(s, m[1], 0x30000 + round, f, 4);
	}
	symbolizer__stats(s, &st);
	assert_true(st.evictions > 0);
	symbolizer__free(s);
	close(fds[0]);
	close(fds[1]);
}

static void count_frames(void *arg, size_t i, const struct dwarfinfo_frame *f, int n)
{
	int *total = arg;

	*total += n;
	for (int k = 0; k < n; k++)
		*total += f[k].name ? strlen(f[k].name) * 0 : 0;
}

static void reader_is_confined(void **state)
{
	struct dwarfbox *b = NULL;
	char path[64], *text = NULL;
	int fd = own_fd(), total = 0;
	uint64_t vaddr = own_vaddr();

	assert_int_equal(dwarfbox__new(64 << 20, &b), 0);
	assert_int_equal(dwarfbox__lookup(b, 0, fd, -1, &vaddr, 1, count_frames, &total), 0);
	assert_int_equal(total, 1);
	snprintf(path, sizeof(path), "/proc/%d/status", dwarfbox__pid(b));
	assert_true(util__read_file(path, 65536, &text) > 0);
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	assert_non_null(strstr(text, "Seccomp:\t2"));
	assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
	if (geteuid() == 0)
		assert_non_null(strstr(text, "Uid:\t65534\t65534\t65534\t65534"));
	free(text);
	dwarfbox__free(b);
	close(fd);
}

static void reader_dies(void **state)
{
	static const struct {
		int sig, err;
	} ways[] = {{SIGKILL, -EFAULT}, {SIGSEGV, -EFAULT}, {SIGPROF, -ETIMEDOUT}};
	struct dwarfbox *b = NULL;
	int fd = own_fd(), total = 0;
	uint64_t vaddr = own_vaddr();

	assert_int_equal(dwarfbox__new(64 << 20, &b), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int pid = dwarfbox__pid(b);

		assert_int_equal(dwarfbox__lookup(b, i, fd, -1, &vaddr, 1, count_frames, &total),
				 0);
		kill(pid, SIGSTOP); /* so that it is certain to die before it answers */
		kill(pid, ways[i].sig);
		kill(pid, SIGCONT);
		/* ASan turns a segmentation fault into an exit; that too is a death. */
		assert_int_equal(dwarfbox__lookup(b, i, fd, -1, &vaddr, 1, count_frames, &total),
				 ways[i].err);
		total = 0;
		assert_int_equal(
			dwarfbox__lookup(b, 100 + i, fd, -1, &vaddr, 1, count_frames, &total), 0);
		assert_int_equal(total, 1);
		assert_int_not_equal(dwarfbox__pid(b), pid);
	}
	/* what the terminal and service managers send does not end it */
	kill(dwarfbox__pid(b), SIGINT);
	kill(dwarfbox__pid(b), SIGTERM);
	assert_int_equal(dwarfbox__lookup(b, 100, fd, -1, &vaddr, 1, count_frames, &total), 0);
	dwarfbox__free(b);
	close(fd);
}

/* Debug sections of this program with bytes changed: the parent lives, other files are served. */
static void damaged_dwarf(void **state)
{
	static const char *const names[] = {".debug_info",     ".debug_abbrev", ".debug_line",
					    ".debug_rnglists", ".debug_str",	".debug_aranges"};
	int fd = own_fd(), bad = memfd_create("damaged", MFD_CLOEXEC);
	struct elfobj *e = NULL;
	struct stat st;
	struct dwarfbox *b = NULL;
	uint64_t rng = 88172645463325252ULL, vaddrs[64];
	uint8_t *image;
	int total = 0, failed = 0;

	assert_int_equal(fstat(fd, &st), 0);
	image = malloc(st.st_size);
	assert_int_equal(pread(fd, image, st.st_size, 0), st.st_size);
	assert_int_equal(elfobj__open_fd(fd, "self", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(vaddrs); i++)
		vaddrs[i] = own_vaddr() + i * 97;
	assert_int_equal(dwarfbox__new(64 << 20, &b), 0);
	for (uint32_t round = 0; round < 60; round++) {
		const uint8_t *p, *at;
		size_t len;

		assert_int_equal(pwrite(bad, image, st.st_size, 0), st.st_size);
		if (elfobj__section(e, names[round % ARRAY_SIZE(names)], &p, &len, NULL) || !len)
			continue;
		at = memmem(image, st.st_size, p, min_of(len, (size_t)4096));
		assert_non_null(at);
		for (int i = 0; i < 100; i++) {
			uint8_t v;

			rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
			v = i & 1 ? 0xff : rng >> 56;
			assert_int_equal(pwrite(bad, &v, 1, at - image + rng % len), 1);
		}
		if (dwarfbox__lookup(b, round, bad, -1, vaddrs, ARRAY_SIZE(vaddrs), count_frames,
				     &total))
			failed++;
		dwarfbox__forget(b, round);
		total = 0;
		assert_int_equal(dwarfbox__lookup(b, 1000, fd, -1, vaddrs, 1, count_frames, &total),
				 0);
		assert_int_equal(total, 1);
	}
	dwarfbox__free(b);
	elfobj__close(e);
	free(image);
	close(fd);
	close(bad);
}

static void vdso(void **state)
{
	uint64_t start = getauxval(AT_SYSINFO_EHDR);
	struct symbolizer *s = NULL;
	struct symbolizer_jit *j = NULL, *again = NULL;
	struct symbolizer_frame f[2];
	int found = 0;

	if (!start)
		skip();
	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__jit(s, getpid(), NULL, &j), 0);
	assert_int_equal(symbolizer__jit(s, getpid(), NULL, &again), 0);
	assert_ptr_equal(j, again);
	for (uint64_t pc = start; pc < start + 0x4000; pc += 16) {
		if (symbolizer_jit__lookup(j, pc, f, 2) == 1)
			found += strstr(f[0].name, "gettime") != NULL;
	}
	assert_true(found > 0);
	assert_int_equal(symbolizer__jit(s, 0x7ffffff, NULL, &again), -ESRCH);
	symbolizer__free(s);
}

static void perf_map_grows(void **state)
{
	static const char a[] = "1000 100 first\n1100 100 second one\nbad line\n1080 10 in";
	static const char b[] = "1080 10 inner\n1000 100 first again\n";
	struct jitmap m = {0};

	assert_int_equal(jitmap__add_perf(&m, a, sizeof(a) - 1), strrchr(a, '\n') + 1 - a);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "first");
	assert_string_equal(jitmap__find(&m, 0x11ff).name, "second one");
	assert_null(jitmap__find(&m, 0x1200).name);
	assert_null(jitmap__find(&m, 0xfff).name);
	assert_int_equal(m.skipped, 1);
	assert_int_equal(jitmap__add_perf(&m, b, strcspn(b, "\n") + 1), strcspn(b, "\n") + 1);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "inner");
	assert_string_equal(jitmap__find(&m, 0x1090).name, "first");
	jitmap__add_perf(&m, b, sizeof(b) - 1);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "first again"); /* written last */
	jitmap__clear(&m);
}

static void string_pool(void **state)
{
	struct strpool *p = NULL;
	char text[32];
	const char *first;

	assert_int_equal(strpool__new(10000, &p), 0);
	first = strpool__add(p, "one");
	assert_ptr_equal(strpool__add(p, "one"), first);
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "name%d", i);
		strpool__add(p, text);
	}
	assert_true(strpool__refused(p) > 0);
	assert_ptr_equal(strpool__add(p, "one"), first);
	assert_null(strpool__add(p, NULL));
	strpool__free(p);
}

static void demangling(void **state)
{
	static const char *const names[][2] = {
		{"_ZN3foo3barEi", "foo::bar(int)"},
		{"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"},
		{"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
		{"main", "main"},
		{"_start", "_start"},
		{"_ZZZZ", "_ZZZZ"},
		{"", ""},
	};
	char *owned, *bomb;
	const char *out;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(symbolizer__demangle(names[i][0], &owned), names[i][1]);
		free(owned);
	}
	/* each argument is a pair of the one before, twice: the text doubles 100 times */
	bomb = strdup("_Z1fSt4pairIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_E"
		      "S_IS6_S6_ES_IS7_S7_ES_IS8_S8_ES_IS9_S9_ES_ISA_SA_ES_ISB_SB_ES_ISC_SC_E"
		      "S_ISD_SD_ES_ISE_SE_ES_ISF_SF_ES_ISG_SG_ES_ISH_SH_ES_ISI_SI_ES_ISJ_SJ_E");
	out = symbolizer__demangle(bomb, &owned);
	assert_true(strlen(out) <= 16384);
	free(owned);
	free(bomb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_function), cmocka_unit_test(names_only),
		cmocka_unit_test(small_budget), cmocka_unit_test(reader_is_confined),
		cmocka_unit_test(reader_dies),	cmocka_unit_test(damaged_dwarf),
		cmocka_unit_test(vdso),		cmocka_unit_test(perf_map_grows),
		cmocka_unit_test(string_pool),	cmocka_unit_test(demangling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
