/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "model/ledger.h"
#include "top/names.h"
#include "top/table.h"
#include "top/top_view.h"

#define M (1ULL << 20)

static char text_of[32][64];

static struct ledger_map row(int i, uint64_t start, uint64_t len, const char *perms,
			     const char *path, uint64_t rss)
{
	struct ledger_map m = {.start = start, .end = start + len, .rss = rss, .path = text_of[i]};

	strcpy(text_of[i], path);
	memcpy(m.perms, perms, 5);
	return m;
}

static void sums_hold(const struct ledger *l)
{
	int64_t rss = 0, virt = 0;

	for (int i = 0; i < LEDGER_KINDS; i++) {
		rss += l->line[i].rss_bytes;
		virt += l->line[i].virt_bytes;
	}
	assert_int_equal(rss, l->rss_bytes);
	assert_int_equal(virt, l->virt_bytes);
}

static void test_kinds(void **state)
{
	struct ledger_map maps[] = {
		row(0, 0x400000, 4096, "r--p", "/bin/a", 4096),
		row(1, 0x401000, 4096, "r-xp", "/bin/a", 4096),
		row(2, 0x402000, 4096, "rw-p", "/bin/a", 4096),
		row(3, 0x403000, 8192, "rw-p", "", 4096), /* bss */
		row(4, 0x1000000, M, "rw-p", "[heap]", 8192),
		row(5, 0x7f0000000000, 128 * M, "---p", "", 0),
		row(6, 0x7f1000000000, 2 * M, "rw-p", "",
		    4096), /* arena: 64 MiB aligned, reserve */
		row(7, 0x7f1000200000, 62 * M, "---p", "", 0),
		row(8, 0x7f2000001000, M, "rw-p", "", 12288),
		row(9, 0x7f3000000000, M, "rw-s", "/dev/zero (deleted)", 4096),
		row(10, 0x7f4000000000, M, "r--p", "/data/x", 4096),
		row(11, 0x7f5000000000, M, "rwxp", "", 4096),
		row(12, 0x7ffc00000000, M, "rw-p", "[stack]", 4096),
		row(13, 0x7ffd00000000, 8192, "r-xp", "[vdso]", 4096),
	};
	static const enum ledger_kind want[] = {
		LEDGER_MODULE_DATA, LEDGER_MODULE_CODE, LEDGER_MODULE_DATA, LEDGER_MODULE_DATA,
		LEDGER_HEAP,	    LEDGER_RESERVED,	LEDGER_HEAP,	    LEDGER_RESERVED,
		LEDGER_OTHER,	    LEDGER_SHARED,	LEDGER_FILES,	    LEDGER_JIT,
		LEDGER_STACK_MAIN,  LEDGER_KERNEL};
	struct ledger_input in = {
		.map = maps, .n = ARRAY_SIZE(maps), .rss_bytes = 70000, .virt_bytes = 300 * M};
	struct ledger l;

	for (size_t i = 0; i < in.n; i++)
		assert_int_equal(ledger__classify(&in, i, NULL), want[i]);
	ledger__make(&in, NULL, &l);
	sums_hold(&l);
	assert_int_equal(l.line[LEDGER_HEAP].rss_bytes, 8192 + 4096);
	assert_int_equal(l.nreservations, 0);
}

static void test_heap_split(void **state)
{
	struct ledger_map maps[] = {row(0, 0x1000000, 10 * M, "rw-p", "[heap]", 8 * M),
				    row(1, 0x7f0000001000, 4 * M, "rw-p", "", 2 * M)};
	struct ledger_block blocks[] = {{0x1000010, 3.0 * M}, {0x7f0000001010, 1.0 * M}};
	struct ledger_heap heap = {
		.known = true, .from_start = true, .block = blocks, .nblocks = 2};
	struct ledger_input in = {.map = maps, .n = 2, .rss_bytes = 10 * M, .virt_bytes = 14 * M};
	struct ledger l;

	/* the second mapping is the allocator's because a live block lies in it */
	ledger__make(&in, &heap, &l);
	sums_hold(&l);
	assert_int_equal(l.line[LEDGER_LIVE].rss_bytes, 4 * M);
	assert_int_equal(l.line[LEDGER_RETAINED].rss_bytes, 6 * M);
	assert_int_equal(l.line[LEDGER_HEAP].rss_bytes, 0);
	assert_int_equal(l.untouched_bytes, 0);
	heap.from_start = false;
	blocks[0].bytes = 20.0 * M; /* more than is resident: not all of it was touched */
	ledger__make(&in, &heap, &l);
	sums_hold(&l);
	assert_int_equal(l.line[LEDGER_LIVE].rss_bytes, 10 * M);
	assert_int_equal(l.line[LEDGER_BEFORE].rss_bytes, 0);
	assert_int_equal(l.untouched_bytes, 11 * M);
}

static void test_reservations(void **state)
{
	struct ledger_map maps[12];
	struct ledger_input in = {.map = maps, .n = 12};
	struct ledger l;

	for (int i = 0; i < 12; i++) {
		maps[i] = row(i, (uint64_t)(i + 1) << 40, (uint64_t)(i + 1) << 30, "---p", "", 0);
		in.virt_bytes += (uint64_t)(i + 1) << 30;
	}
	ledger__make(&in, NULL, &l);
	sums_hold(&l);
	assert_int_equal(l.nreservations, LEDGER_RESERVATIONS);
	for (int i = 0; i < LEDGER_RESERVATIONS; i++)
		assert_int_equal(l.reservation[i].virt_bytes, (uint64_t)(12 - i) << 30);
}

static void test_containers(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"/system.slice/"
		 "docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		 ".scope",
		 "docker:0123456789ab"},
		{"/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "docker:0123456789ab"},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234.slice/"
		 "cri-containerd-fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210."
		 "scope",
		 "cri:fedcba987654"},
		{"/kubepods/besteffort/pod12-34/"
		 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "pod:0123456789ab"},
		{"/machine.slice/"
		 "libpod-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		 ".scope",
		 "podman:0123456789ab"},
		/* containerd under cgroupfs names and colons; ECS with and without its cluster */
		{"/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:"
		 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
		 "cri:fedcba987654"},
		{"/default/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "containerd:0123456789ab"},
		{"/k8s.io/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "containerd:0123456789ab"},
		{"/system.slice/"
		 "nerdctl-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		 ".scope",
		 "containerd:0123456789ab"},
		{"/ecs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
		 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "ecs:0123456789ab"},
		{"/ecs/my-cluster/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-2456789012",
		 "ecs:bbbbbbbbbbbb"},
		{"/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/"
		 "docker/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
		 "docker:fedcba987654"}, /* the inner one */
		{"/somebody/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		 "container:0123456789ab"},
		{"/lxc.payload.web/init.scope", "lxc:web"},
		{"/machine.slice/systemd-nspawn@box.service", "nspawn:box"},
		{"/user.slice/user-0.slice", NULL},
		{"/docker/short", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *got = names__container(cases[i].path);

		if (!cases[i].want)
			assert_null(got);
		else
			assert_string_equal(got, cases[i].want);
	}
}

static void test_printable(void **state)
{
	char text[] = "a\033[31mb\xff\xc2\x85 \xc3\xa4";

	assert_string_equal(textbuf__printable(text), "a?[31mb??? \xc3\xa4");
}

static struct mw_task_row proc(uint32_t pid, uint64_t start, uint64_t rss)
{
	return (struct mw_task_row){.tgid = pid,
				    .start_ns = start,
				    .anon_bytes = rss,
				    .hiwater_rss_bytes = rss,
				    .comm = "x"};
}

static void test_table_pid_reuse(void **state)
{
	struct mw_task_row a[] = {proc(5, 1, 100 * M), proc(9, 1, M)};
	struct mw_task_row b[] = {proc(5, 2, 3 * M), proc(7, 1, M)};
	struct table t;

	table__init(&t);
	assert_int_equal(table__update(&t, a, 2, 1.0), 0);
	assert_int_equal(table__update(&t, b, 2, 2.0), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(table__find(&t, 5)->peak_bytes, 3 * M);
	assert_int_equal(table__find(&t, 5)->nhistory, 1);
	assert_null(table__find(&t, 9));
	assert_int_equal(t.born, 4);
	assert_int_equal(t.died, 2);
	table__clear(&t);
}

static void test_torn_rows_are_left_out(void **state)
{
	struct mw_task_row a[] = {proc(5, 1, M)};
	struct table t;

	a[0].flags = MW_TASK_TORN;
	table__init(&t);
	assert_int_equal(table__update(&t, a, 1, 1.0), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(t.torn_rows, 1);
	table__clear(&t);
}

/* Growth at the end of so many passes. */
static double growth_in(double window, uint64_t (*rss)(int i), int passes, double apart)
{
	double growth = -1;
	struct table t;

	table__init(&t);
	t.window_seconds = window;
	for (int i = 0; i < passes; i++) {
		struct mw_task_row r = proc(5, 1, rss(i));

		assert_int_equal(table__update(&t, &r, 1, 1.0 + i * apart), 0);
	}
	if (!table_proc__growth_lasting(table__find(&t, 5), &growth))
		growth = -1;
	table__clear(&t);
	return growth;
}

static double growth_after(uint64_t (*rss)(int i), int passes, double apart)
{
	return growth_in(TABLE_WINDOW_SECONDS, rss, passes, apart);
}

static uint64_t by_a_pass(int i)
{
	return (uint64_t)i * M;
}

static uint64_t starts_up(int i)
{
	return i < 10 ? (uint64_t)(i + 1) * 100 * M : 1000 * M;
}

/* What a program takes at its start is no growth; passes that are rare show it all the same. */
static void test_growth_that_lasts(void **state)
{
	assert_true(growth_after(by_a_pass, 60, 1) < 0);
	for (double window = 0.5; window < 300; window *= 1.7) { /* whatever is looked back on */
		double apart = window / 10;

		assert_true(growth_in(window, by_a_pass, 12, apart) < 0);
		assert_float_equal(growth_in(window, by_a_pass, 40, apart), 60 / apart * M, 1);
	}
	assert_true(growth_after(by_a_pass, 170, 1) < 0);
	assert_float_equal(growth_after(by_a_pass, 200, 1), 60 * M, M);
	assert_true(growth_after(starts_up, 170, 1) < 0);
	assert_float_equal(growth_after(starts_up, 200, 1), 0, 1);
	assert_true(growth_after(by_a_pass, 3, 3600) < 0);
	assert_float_equal(growth_after(by_a_pass, 4, 3600), M / 60.0, 1);
	assert_float_equal(growth_after(by_a_pass, 6, 90), M / 1.5, 1);
}

static const char *trend_of(uint64_t (*rss)(int i))
{
	static const char *word;
	struct table t;
	double growth;

	table__init(&t);
	for (int i = 0; i < 60; i++) {
		struct mw_task_row r = proc(5, 1, rss(i));

		assert_int_equal(table__update(&t, &r, 1, 1.0 + i), 0);
	}
	word = table_proc__trend(table__find(&t, 5));
	assert_true(table_proc__growth(table__find(&t, 5), &growth));
	table__clear(&t);
	return word;
}

static uint64_t growing(int i)
{
	return (100 + i) * M;
}
static uint64_t flat(int i)
{
	return 100 * M;
}
static uint64_t sawtooth(int i)
{
	return (100 + i % 10 * 10) * M;
}

static void test_trends(void **state)
{
	assert_string_equal(trend_of(growing), "growing");
	assert_string_equal(trend_of(flat), "flat");
	assert_string_equal(trend_of(sawtooth), "sawtooth");
}

static void test_tree_and_sort(void **state)
{
	struct mw_task_row a[] = {proc(1, 1, M), proc(2, 1, 5 * M), proc(3, 1, 9 * M),
				  proc(4, 1, 2 * M)};
	static const uint32_t by_rss[] = {3, 2, 4, 1}, as_tree[] = {1, 3, 4, 2};
	struct top_view v = {.sort = SORT_RSS};
	char why[128];
	struct table t;

	a[1].ppid = a[2].ppid = 1;
	a[3].ppid = 3;
	table__init(&t);
	assert_int_equal(table__update(&t, a, 4, 1.0), 0);
	assert_int_equal(top_view__arrange(&v, &t), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(v.row[i]->row.tgid, by_rss[i]);
	v.tree = true;
	assert_int_equal(top_view__arrange(&v, &t), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(v.row[i]->row.tgid, as_tree[i]);
	assert_int_equal(top_view__set_filter(&v, "(", why, sizeof(why)), -EINVAL);
	assert_int_equal(top_view__set_filter(&v, "nothing", why, sizeof(why)), 0);
	assert_int_equal(top_view__arrange(&v, &t), 0);
	assert_int_equal(v.n, 0);
	top_view__clear(&v);
	table__clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_heap_split),
		cmocka_unit_test(test_reservations),
		cmocka_unit_test(test_containers),
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_table_pid_reuse),
		cmocka_unit_test(test_torn_rows_are_left_out),
		cmocka_unit_test(test_growth_that_lasts),
		cmocka_unit_test(test_trends),
		cmocka_unit_test(test_tree_and_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
