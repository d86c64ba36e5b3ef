/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans for every kernel that the README's table can mean: each feature comes with a release, and a
 * kernel has all up to its own, less what it was built or mounted without. What must hold for every
 * combination of those and of wishes, and that the lists name all of the BPF object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "memwatch/wire.h"
#include "probe/bpfobj_priv.h"
#include "probe/plan.h"

#define RING (1u << 24)

/* From 5.8 on; each row has the ones before it. */
static const enum feature_id since[][3] = {
	{FEATURE_BTF, FEATURE_RINGBUF, FEATURE_TP_BTF}, /* 5.8 */
	{FEATURE_TASK_ITER, FEATURE_TASK_ITER, FEATURE_TASK_ITER},
	{FEATURE_VMA_ITER, FEATURE_VMA_ITER, FEATURE_VMA_ITER},			  /* 5.12 */
	{FEATURE_COOKIE, FEATURE_COOKIE, FEATURE_COOKIE},			  /* 5.15 */
	{FEATURE_FIND_VMA, FEATURE_FIND_VMA, FEATURE_FIND_VMA},			  /* 5.17 */
	{FEATURE_UPROBE_MULTI, FEATURE_UPROBE_MULTI, FEATURE_UPROBE_MULTI},	  /* 6.6 */
	{FEATURE_UPROBE_SESSION, FEATURE_UPROBE_SESSION, FEATURE_UPROBE_SESSION}, /* 6.13 */
};

/* What a kernel of any release may lack: not built, not mounted, not yet or no longer so. */
enum { NO_SYSCALL_TP = 1, NO_VMA_ITER = 2, NO_FIND_VMA = 4, SPARSE = 8, PREPARE = 16, LACKS = 32 };

static void kernel(size_t release, unsigned lacks, struct features *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < FEATURE_COUNT; i++)
		ret->f[i].err = -EOPNOTSUPP;
	for (size_t i = 0; i <= release; i++) {
		for (size_t k = 0; k < 3; k++)
			ret->f[since[i][k]].have = true;
	}
	ret->f[FEATURE_SYSCALL_TP].have = !(lacks & NO_SYSCALL_TP);
	if (lacks & NO_VMA_ITER)
		ret->f[FEATURE_VMA_ITER].have = false;
	if (lacks & NO_FIND_VMA)
		ret->f[FEATURE_FIND_VMA].have = false;
	ret->sparse_rss_stat = lacks & SPARSE;
	ret->prepare_exec = lacks & PREPARE;
	for (size_t i = 0; i < FEATURE_COUNT; i++)
		ret->f[i].err = ret->f[i].have ? 0 : -EOPNOTSUPP;
}

static bool has(const struct features *fs, enum feature_id id)
{
	return fs->f[id].have;
}

static size_t programs(const struct plan *p)
{
	size_t n = 0;

	for (int i = 0; i < PLAN_NPROGS; i++)
		n += p->prog[i].on;
	return n;
}

static size_t maps(const struct plan *p)
{
	size_t n = 0;

	for (int i = 0; i < PLAN_NMAPS; i++)
		n += p->map[i].on;
	return n;
}

/* Exactly one way from an allocator's entry to its return, and links of one kind for all. */
static void check_allocators(const struct features *fs, const struct plan_want *w,
			     const struct plan *p)
{
	static const struct {
		enum plan_prog prog;
		enum { ALWAYS, FAST, USDT } when;
	} uprobes[] = {
		{PROG_mw_alloc_free, ALWAYS},  {PROG_mw_alloc_ret, ALWAYS},
		{PROG_mw_alloc_entry, ALWAYS}, {PROG_mw_fast_alloc, FAST},
		{PROG_mw_fast_free, FAST},     {PROG_mw_fast_unfree, FAST},
		{PROG_mw_usdt_alloc, USDT},    {PROG_mw_usdt_free, USDT},
	};
	const bool when[] = {true, w->fast, w->sample_bytes > 1};
	bool session = p->prog[PROG_mw_alloc_session].on;

	assert_true(has(fs, FEATURE_COOKIE));
	assert_int_equal(session, !p->prog[PROG_mw_alloc_return].on);
	assert_int_equal(session, p->method == PLAN_SESSION);
	assert_true(p->method >= w->tuning.method);
	assert_true(!session || has(fs, FEATURE_UPROBE_SESSION));
	assert_true(p->method == PLAN_SINGLE || has(fs, FEATURE_UPROBE_MULTI));
	/* no worse than it must be */
	assert_true(p->method == w->tuning.method || p->method == plan__best_method(fs));
	for (size_t i = 0; i < ARRAY_SIZE(uprobes); i++) {
		assert_int_equal(p->prog[uprobes[i].prog].on, when[uprobes[i].when]);
		assert_int_equal(p->prog[uprobes[i].prog].attach_type,
				 p->method == PLAN_SINGLE ? 0 : MW_BPF_TRACE_UPROBE_MULTI);
	}
	assert_int_equal(p->map[MAP_usdt_rows].on, when[USDT]);
	assert_int_equal(p->prog[PROG_mw_alloc_session].attach_type,
			 session ? MW_BPF_TRACE_UPROBE_SESSION : 0);
	assert_true(p->prog[PROG_mw_alloc_thread_exit].on);
	assert_true(p->map[MAP_alloc_live].on && p->map[MAP_alloc_sites].on &&
		    p->map[MAP_alloc_threads].on && p->map[MAP_alloc_callers].on);
	assert_int_equal(p->map[MAP_alloc_live].entries, w->sample_bytes <= 1);
	assert_int_equal(p->sample_bytes, w->sample_bytes);
	assert_true(p->wake_bytes && p->wake_bytes < w->ring_bytes);
}

static void check_targets(const struct features *fs, const struct plan_want *w,
			  const struct plan *p)
{
	bool calls = w->mappings && has(fs, FEATURE_SYSCALL_TP);
	bool stacks = w->allocators || w->mappings || w->faults;

	assert_true(p->prog[PROG_mw_proc_fork].on && p->prog[PROG_mw_proc_exec].on &&
		    p->prog[PROG_mw_proc_exit].on);
	assert_int_equal(p->prog[PROG_mw_proc_map_exit].on, calls);
	assert_int_equal(p->map[MAP_events].entries, RING);
	assert_int_equal(p->map[MAP_counters].entries, MW_STRANGER + 1);
	assert_true(p->map[MAP_targets].on && p->map[MAP_epochs].on && p->map[MAP_proc_brks].on);
	for (int i = MAP_stack_scratch; i <= MAP_unwind_spent; i++)
		assert_int_equal(p->map[i].on, stacks);
	assert_int_equal(p->tables, stacks && !w->tuning.no_tables && has(fs, FEATURE_FIND_VMA) &&
					    has(fs, FEATURE_VMA_ITER));
	assert_int_equal(p->prog[PROG_mw_unwind_vmas].on, p->tables);
	assert_int_equal(p->max_depth, stacks ? w->max_depth : 0);
	assert_int_equal(p->prog[PROG_mw_fault_sample].on, w->faults);
	assert_int_equal(p->faults_of_all, w->faults && w->faults_of_all);
	assert_int_equal(p->all_processes, w->all_processes);
}

static void check_rows(const struct features *fs, const struct plan_want *w, const struct plan *p)
{
	bool rss = fs->sparse_rss_stat || w->exact_peaks;

	assert_true(p->prog[PROG_mw_task_rows].on);
	for (int i = MAP_mm_percpu; i <= MAP_mm_counters; i++)
		assert_true(p->map[i].on);
	assert_int_equal(p->prog[PROG_mw_mm_rss].on, w->peaks && rss);
	assert_int_equal(p->prog[PROG_mw_mm_tick].on, w->peaks && !rss);
	assert_int_equal(p->prog[PROG_mw_mm_exit].on, w->peaks);
	assert_int_equal(p->prog[PROG_mw_mm_prepare_exec].on, w->peaks && fs->prepare_exec);
	assert_int_equal(p->map[MAP_mm_events].on, w->peaks);
	assert_int_equal(p->map[MAP_mm_slots].entries, w->peaks ? w->slots : 1);
	assert_int_equal(p->peaks_of_all, !w->peaks || w->peaks_of_all);
	assert_int_equal(p->kthreads, w->kthreads);
	if (w->peaks) { /* a ring's size is a power of two */
		uint32_t bytes = p->map[MAP_mm_events].entries;

		assert_true(bytes && !(bytes & (bytes - 1)));
	}
}

static void check_go(const struct features *fs, const struct plan *p)
{
	assert_true(p->prog[PROG_mw_go_cycle_end].on && p->map[MAP_go_cycles].on &&
		    p->map[MAP_go_config].on && p->map[MAP_go_counters].on);
	assert_int_equal(p->prog[PROG_mw_go_cycle_end].attach_type,
			 has(fs, FEATURE_UPROBE_MULTI) ? MW_BPF_TRACE_UPROBE_MULTI : 0);
}

static void check(const struct features *fs, const struct plan_want *w)
{
	bool targets = w->processes || w->mappings || w->allocators || w->faults;
	struct plan p;
	int err = plan__make(fs, w, &p);

	if (((w->allocators || w->mappings || w->faults) && !has(fs, FEATURE_COOKIE)) ||
	    (w->rows && !has(fs, FEATURE_TASK_ITER))) {
		assert_true(err < 0);
		assert_non_null(p.lacks);
		assert_int_equal(programs(&p) + maps(&p), 0);
		return;
	}
	assert_int_equal(err, 0);
	assert_null(p.lacks);
	if (w->allocators)
		check_allocators(fs, w, &p);
	for (int i = PROG_mw_alloc_free; i <= PROG_mw_usdt_free; i++)
		assert_true(!p.prog[i].on || w->allocators);
	if (targets)
		check_targets(fs, w, &p);
	else
		assert_false(p.map[MAP_events].on || p.prog[PROG_mw_proc_fork].on ||
			     p.all_processes);
	if (w->rows)
		check_rows(fs, w, &p);
	else
		assert_false(p.prog[PROG_mw_task_rows].on || p.map[MAP_mm_slots].on || p.kthreads);
	if (w->go_cycles)
		check_go(fs, &p);
	assert_int_equal(p.prog[PROG_mw_oom_mark].on, w->kills);
	assert_int_equal(p.prog[PROG_mw_oom_score].on, w->kills && w->kill_causes);
	assert_int_equal(p.map[MAP_oom_events].on, w->kills);
	for (int i = 0; i < PLAN_NPROGS; i++)
		assert_true(p.prog[i].on || !p.prog[i].attach_type || w->allocators);
}

/* Wishes that mean something beside others only. */
enum { ALL_PROCESSES = 1, BY_STUBS = 2, KTHREADS = 4, BESIDE = 8 };

static void wish(unsigned bits, unsigned beside, enum plan_method method, struct plan_want *ret)
{
	*ret = (struct plan_want){
		.all_processes = beside & ALL_PROCESSES,
		.fast = beside & BY_STUBS,
		.kthreads = beside & KTHREADS,
		.processes = bits & 1,
		.mappings = bits & 2,
		.allocators = bits & 4,
		.faults = bits & 8,
		.faults_of_all = bits & 16,
		.go_cycles = bits & 32,
		.rows = bits & 64,
		.peaks = bits & 128,
		.peaks_of_all = bits & 256,
		.exact_peaks = bits & 512,
		.kills = bits & 1024,
		.kill_causes = bits & 1024 && bits & 1,
		.sample_bytes = bits & 2048 ? 1 : 512 << 10,
		.ring_bytes = RING,
		.counter_rows = MW_STRANGER + 1,
		.max_depth = bits & 2 ? 100 : 0,
		.slots = bits & 16 ? 16384 : 1 << 18,
		.tuning = {.method = method, .no_tables = bits & 4096},
	};
}

static void test_every_combination(void **state)
{
	struct plan_want w;
	struct features fs;

	for (size_t release = 0; release < ARRAY_SIZE(since); release++) {
		for (unsigned lacks = 0; lacks < LACKS; lacks++) {
			kernel(release, lacks, &fs);
			for (unsigned i = 0; i < 8192 * BESIDE; i++) {
				wish(i / BESIDE, i % BESIDE, i / BESIDE % 3, &w);
				check(&fs, &w);
			}
		}
	}
}

static void test_nothing_wanted(void **state)
{
	struct plan_want none = {0};
	struct features fs;
	struct plan p;

	kernel(ARRAY_SIZE(since) - 1, 0, &fs);
	assert_int_equal(plan__make(&fs, &none, &p), 0);
	assert_int_equal(programs(&p) + maps(&p), 0);
}

/* The reason of the kernel's refusal goes through: not permitted is not unsupported. */
static void test_refusal(void **state)
{
	struct plan_want w = {.rows = true};
	struct features fs;
	struct plan p;

	kernel(0, 0, &fs);
	fs.f[FEATURE_TASK_ITER].err = -EPERM;
	assert_int_equal(plan__make(&fs, &w, &p), -EPERM);
}

static bool is_listed(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(list[i], name))
			return true;
	}
	return false;
}

/* What a plan does not name nobody could switch on, and nobody would know. */
static void test_lists_are_whole(void **state)
{
	static const char *const progs[] = {
#define X(name) #name,
		PLAN_PROGS(X)};
	static const char *const plan_maps[] = {PLAN_MAPS(X)};
#undef X
	struct memwatch_bpf *k = memwatch_bpf__open();
	struct bpf_program *prog;
	struct bpf_map *map;

	assert_non_null(k);
	bpf_object__for_each_program(prog, k->obj)
	{
		if (!is_listed(bpf_program__name(prog), progs, ARRAY_SIZE(progs)))
			fail_msg("program %s is in no plan", bpf_program__name(prog));
	}
	bpf_object__for_each_map(map, k->obj)
	{
		if (!bpf_map__is_internal(map) &&
		    !is_listed(bpf_map__name(map), plan_maps, ARRAY_SIZE(plan_maps)))
			fail_msg("map %s is in no plan", bpf_map__name(map));
	}
	memwatch_bpf__destroy(k);
}

/* A plan applied: on is what it says, and nothing else. */
static void test_applied(void **state)
{
	struct plan_want w;
	struct features fs;
	struct bpf_map *map;
	struct bpf_program *prog;
	struct bpfobj *o;
	struct plan p;
	size_t nprogs = 0, nmaps = 0;

	kernel(ARRAY_SIZE(since) - 1, 0, &fs);
	wish(7, 0, PLAN_SESSION, &w);
	assert_int_equal(plan__make(&fs, &w, &p), 0);
	assert_int_equal(bpfobj__open(&p, &o), 0);
	bpf_object__for_each_program(prog, o->skel->obj) nprogs += bpf_program__autoload(prog);
	bpf_object__for_each_map(map, o->skel->obj) nmaps +=
		!bpf_map__is_internal(map) && bpf_map__autocreate(map);
	assert_int_equal(nprogs, programs(&p));
	assert_int_equal(nmaps, maps(&p));
	assert_true(bpf_program__autoload(o->skel->progs.mw_alloc_session));
	assert_int_equal(bpf_map__max_entries(o->skel->maps.events), RING);
	assert_int_equal(o->skel->rodata->unwind_on, p.tables);
	bpfobj__free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination), cmocka_unit_test(test_nothing_wanted),
		cmocka_unit_test(test_refusal),		  cmocka_unit_test(test_lists_are_whole),
		cmocka_unit_test(test_applied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
