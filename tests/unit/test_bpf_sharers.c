/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that run in a target's memory: what they do there is the target's, and from their exec
 * or their end on nothing of theirs is, whatever of their probes is still in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bpf_programs.h"

#define TARGET 5
#define SP NATIVE_SP
#define BLOCK 0x10000

enum { OWNER = 100, SHARER = 200 };

static u64 told[MW_EV_TYPES];
static u8 last_kind;

static void on_event(const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;
	const struct mw_ev_proc *ev = data;

	told[hdr->type]++;
	assert_int_equal(hdr->target, TARGET);
	if (hdr->type != MW_EV_SHARER)
		return;
	assert_int_equal(ev->pid, SHARER);
	last_kind = hdr->kind;
}

static void be(u32 tgid)
{
	native.task.tgid = native.task.pid = tgid;
}

static void begin(void)
{
	u32 pid = SHARER;
	struct mw_target row = {.index = TARGET, .sharer = 1};

	native__reset();
	native.on_event = on_event;
	native.read_user = native_read_trampoline;
	native.signal.live.counter = 0;
	memset(told, 0, sizeof(told));
	alloc_config = (struct mw_alloc_config){.sample_bytes = 1, .sharers = 1};
	be(OWNER);
	native_watch(TARGET);
	bpf_map_update_elem(&targets, &pid, &row, BPF_ANY);
}

/* malloc and free, as its links tell of them. */
static void work(u32 tgid)
{
	be(tgid);
	if (native_enter(TARGET, MW_FN_MALLOC, 0, 0,
			 &(struct pt_regs){.ip = 0x500000, .sp = SP, .parm = {100}}))
		native_leave(TARGET, MW_FN_MALLOC, 0, &(struct pt_regs){.sp = SP + 8, .rc = BLOCK});
	native.cookie = MW_COOKIE(TARGET, MW_FN_FREE, 0);
	mw_alloc_free(&(struct pt_regs){.ip = 0x500000, .sp = SP, .parm = {BLOCK}});
}

static void assert_seen(u64 calls)
{
	assert_int_equal(native_count(TARGET, MW_C_ALLOCS), calls);
	assert_int_equal(native_count(TARGET, MW_C_FREES), calls);
	assert_int_equal(told[MW_EV_ALLOC], calls);
	assert_int_equal(told[MW_EV_FREE], calls);
}

static void it_counts_for_the_target(void **state)
{
	begin();
	work(OWNER);
	work(SHARER);
	assert_seen(2);
}

static void no_more_after_its_exec(void **state)
{
	begin();
	work(SHARER);
	mw_proc_exec(&native.task, SHARER);
	assert_int_equal(told[MW_EV_SHARER], 1);
	assert_int_equal(last_kind, 1);
	assert_int_equal(told[MW_EV_EXEC], 0); /* the target has its image */
	work(SHARER);
	assert_seen(1);
	work(OWNER);
	assert_seen(2);
	mw_proc_exec(&native.task, OWNER);
	assert_int_equal(told[MW_EV_EXEC], 1);
}

static void its_end_is_not_the_targets(void **state)
{
	begin();
	be(SHARER);
	mw_proc_exit(&native.task);
	assert_int_equal(told[MW_EV_SHARER], 1);
	assert_int_equal(last_kind, 0);
	assert_int_equal(told[MW_EV_EXIT], 0);
	be(OWNER);
	mw_proc_exit(&native.task);
	assert_int_equal(told[MW_EV_EXIT], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_counts_for_the_target),
		cmocka_unit_test(no_more_after_its_exec),
		cmocka_unit_test(its_end_is_not_the_targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
