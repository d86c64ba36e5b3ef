/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of losses: every cause can be reached (by the program or the table that counts it, or
 * the row says where else), and the documentation has the same rows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "bpf_programs.h"
#include "core/util.h"
#include "model/anon.h"
#include "model/heap.h"
#include "model/losses.h"

#define SP NATIVE_SP
#define BLOCK 0x10000

static void machine(u64 sample_bytes)
{
	native__reset();
	native.read_user = native_read_trampoline;
	native.signal.live.counter = 0;
	alloc_config.sample_bytes = sample_bytes;
	native_watch(0);
}

static bool enter(u64 size)
{
	return native_enter(0, MW_FN_MALLOC, 1, 0,
			    &(struct pt_regs){.ip = 0x500000, .sp = SP, .parm = {size}});
}

static void leave(u64 addr)
{
	native_leave(0, MW_FN_MALLOC, 1, &(struct pt_regs){.sp = SP + 8, .rc = addr});
}

static void call(u64 size, u64 addr)
{
	enter(size);
	leave(addr);
}

static void give(u64 addr)
{
	native.cookie = MW_COOKIE(0, MW_FN_FREE, 1);
	mw_alloc_free(&(struct pt_regs){.sp = SP, .parm = {addr}});
}

static u64 reach_ALLOC_RING(void)
{
	machine(1);
	native.ring_full = true;
	call(100, BLOCK);
	assert_int_equal(native_count(0, MW_C_LOST_BYTES + MW_LOSS_ALLOC_RING), 100);
	return native_lost(0, MW_LOSS_ALLOC_RING);
}

static u64 reach_LIVE_FULL(void)
{
	machine(2);
	native__limit(&alloc_live, 1);
	call(1 << 20, BLOCK);
	call(1 << 20, 2 * BLOCK);
	assert_int_equal(native_count(0, MW_C_LOST_BYTES + MW_LOSS_LIVE_FULL), 1 << 20);
	return native_lost(0, MW_LOSS_LIVE_FULL);
}

static u64 reach_FREE_RING(void)
{
	machine(1);
	call(100, BLOCK);
	native.ring_full = true;
	give(BLOCK);
	return native_lost(0, MW_LOSS_FREE_RING);
}

/* realloc takes its old block out of the table, another thread takes the place, realloc fails. */
static u64 reach_FREE_LIVE(void)
{
	struct pt_regs r = {.ip = 0x500000, .sp = SP, .parm = {BLOCK, 1 << 20}};

	machine(2);
	native__limit(&alloc_live, 1);
	call(1 << 20, BLOCK);
	assert_true(native_enter(0, MW_FN_REALLOC, 1, 0, &r));
	native.task.pid++;
	call(1 << 20, 3 * BLOCK);
	native.task.pid--;
	native_leave(0, MW_FN_REALLOC, 1, &(struct pt_regs){.sp = SP + 8});
	return native_lost(0, MW_LOSS_FREE_LIVE);
}

static u64 reach_STACK_RING(void)
{
	machine(1);
	native.ring_full = true;
	call(100, BLOCK);
	return native_lost(0, MW_LOSS_STACK_RING);
}

static void map_call(u64 prot, u64 flags)
{
	native.user_regs = (struct pt_regs){.parm = {0, 4096, prot, flags}};
	mw_proc_map_exit(&(struct sys_exit_args){.nr = __NR_mmap, .ret = 0x700000});
}

static u64 reach_MAP_RING(void)
{
	machine(1);
	native.ring_full = true;
	map_call(3, MW_MAP_ANONYMOUS);
	return native_lost(0, MW_LOSS_MAP_RING);
}

static u64 reach_PROC_RING(void)
{
	machine(1);
	native.ring_full = true;
	mw_proc_exit(&native.task);
	return native_lost(0, MW_LOSS_PROC_RING);
}

static u64 reach_CODE_RING(void)
{
	machine(1);
	native.ring_full = true;
	map_call(MW_PROT_EXEC, 2);
	return native_lost(0, MW_LOSS_CODE_RING);
}

static u64 reach_THREAD_FULL(void)
{
	machine(1);
	native__limit(&alloc_threads, 1);
	call(100, BLOCK);
	native.task.pid++;
	call(100, 2 * BLOCK);
	return native_lost(0, MW_LOSS_THREAD_FULL);
}

static int read_nothing(void *to, size_t size, u64 from)
{
	memset(to, 0, size);
	return 0;
}

static u64 reach_PENDING(void)
{
	machine(1);
	enter(100);
	native.read_user = read_nothing; /* the slot of the return address was used again */
	enter(100);
	return native_lost(0, MW_LOSS_PENDING);
}

static int read_trampolines(void *to, size_t size, u64 from)
{
	memcpy(to, &native.xol.vaddr, 8);
	return 0;
}

/* Each handler's stack is above the one before. */
static u64 reach_DEPTH(void)
{
	machine(1);
	native.read_user = read_trampolines;
	for (u64 i = 0; i <= MAX_PENDING; i++)
		native_enter(0, MW_FN_MALLOC, 1, 0,
			     &(struct pt_regs){.sp = SP + i * 4096, .parm = {8}});
	return native_lost(0, MW_LOSS_DEPTH);
}

static u64 reach_ADDRESS(void)
{
	char bits[32];

	snprintf(bits, sizeof(bits), "above the %d bits", MW_ADDR_BITS);
	assert_non_null(strstr(losses_rows[MW_LOSS_ADDRESS].means, bits));
	machine(1);
	call(100, 1ULL << 50);
	return native_lost(0, MW_LOSS_ADDRESS);
}

/* A pointer taken for a size. What the machine's memory can hold is counted. */
static u64 reach_SIZE(void)
{
	machine(1);
	native.mm.total_vm = 1000;
	call(1000 << 12, BLOCK);
	assert_int_equal(native_lost(0, MW_LOSS_SIZE), 0);
	call(0x555555554000, BLOCK);
	native.mm.total_vm = 0;
	return native_lost(0, MW_LOSS_SIZE);
}

/* Of a process that is no target: counted, and not to the account of another. */
static u64 reach_FAULT_RING(void)
{
	machine(1);
	native.ring_full = true;
	mw_fault_sample(&(struct bpf_perf_event_data){.addr = 0x1000});
	assert_int_equal(native_lost(0, MW_LOSS_FAULT_RING), 1);
	*(volatile bool *)&fault_all = true;
	native.task.tgid = 200;
	mw_fault_sample(&(struct bpf_perf_event_data){.addr = 0x1000});
	*(volatile bool *)&fault_all = false;
	assert_int_equal(native_lost(0, MW_LOSS_FAULT_RING), 1);
	assert_int_equal(native_count(MW_STRANGER, MW_C_STACK_END + MW_STACK_FP_END), 1);
	return native_lost(MW_STRANGER, MW_LOSS_FAULT_RING);
}

/* Nothing of a 32-bit program is counted: no page faults, no mappings by 64-bit calls of it. */
static u64 reach_FAULT_32BIT(void)
{
	machine(1);
	native.mm.context.flags = MM_CONTEXT_32BIT;
	mw_fault_sample(&(struct bpf_perf_event_data){.addr = 0x1000});
	assert_int_equal(native_lost(0, MW_LOSS_FAULT_RING), 0);
	native.ring_full = true;
	map_call(3, MW_MAP_ANONYMOUS);
	assert_int_equal(native_lost(0, MW_LOSS_MAP_RING), 0);
	for (u32 i = MW_C_STACK_END; i < MW_C_STACK_END + MW_STACK_ENDS; i++)
		assert_int_equal(native_count(0, i), 0);
	return native_lost(0, MW_LOSS_FAULT_32BIT);
}

static struct heap *some_heap(size_t max_blocks)
{
	struct heap_opts o = {.sample_bytes = 1, .max_blocks = max_blocks};
	struct heap *h = NULL;

	assert_int_equal(heap__new(&o, &h), 0);
	return h;
}

static void put(struct heap *h, u64 addr, u64 stack)
{
	heap__alloc(h, &(struct mw_ev_alloc){.hdr = {.type = MW_EV_ALLOC, .tid = 1},
					     .addr = addr,
					     .size = 10,
					     .stack = stack});
}

static u64 reach_BLOCKS_FULL(void)
{
	struct heap *h = some_heap(1);
	u64 n;

	for (u64 i = 1; i < 5000; i++)
		put(h, i * 16, 0);
	n = h->targets[0].lost_blocks;
	heap__free(h);
	return n;
}

/* The table has room for a million regions, so the test makes a million holes. */
static u64 reach_REGIONS_FULL(void)
{
	struct heap *h = some_heap(0);
	struct anon *a = NULL;
	u64 n;

	assert_int_equal(anon__new(h, &a), 0);
	for (u64 i = 1; !a->targets[0].lost && i < 1 << 22; i++)
		anon__event(a, &(struct mw_ev_map){.hdr = {.kind = MW_MAP_MMAP},
						   .addr = i * 8192,
						   .size = 4096});
	n = a->targets[0].lost;
	anon__free(a);
	heap__free(h);
	return n;
}

static u64 reach_STACK_LATE(void)
{
	struct heap *h = some_heap(0);
	u64 n;

	put(h, BLOCK, 77);
	n = h->targets[0].late_stacks;
	heap__free(h);
	return n;
}

static u64 reach_STACKS_FULL(void)
{
	struct heap *h;
	uint32_t frame = 1, site;
	u64 n;

	assert_int_equal(heap__new(&(struct heap_opts){.sample_bytes = 1, .max_sites = 2}, &h), 0);
	for (u64 stack = 1; stack <= 3; stack++) {
		int err = heap__stack(h, 0, stack, MW_STACK_OK, &frame, 1, &site);

		assert_int_equal(err, stack < 3 ? 0 : -ENOSPC);
		put(h, BLOCK * stack, stack);
	}
	n = h->targets[0].roomless_stacks;
	assert_int_equal(h->targets[0].late_stacks, 0);
	assert_int_equal(n, 1);
	heap__free(h);
	return n;
}

static u64 reach_IMPLIED_FREE(void)
{
	struct heap *h = some_heap(0);
	u64 n;

	put(h, BLOCK, 0);
	put(h, BLOCK, 0);
	n = h->targets[0].implied_frees;
	heap__free(h);
	return n;
}

static u64 reach_UNKNOWN_FREE(void)
{
	struct heap *h = some_heap(0);
	u64 n;

	heap__dealloc(h, &(struct mw_ev_free){.addr = BLOCK});
	n = h->targets[0].unknown_frees;
	heap__free(h);
	return n;
}

static u64 reach_UNKNOWN_UNFREE(void)
{
	struct heap *h = some_heap(0);
	u64 n;

	heap__undealloc(h, &(struct mw_ev_free){.addr = BLOCK});
	n = h->targets[0].unknown_unfrees;
	heap__free(h);
	return n;
}

/* Where a cause is reached by a test with processes, or why by none. */
#define IN_E2E(name)                                             \
	static u64 reach_##name(void)                            \
	{                                                        \
		return in_e2e(losses_rows[MW_LOSS_##name].text); \
	}
#define BY_NONE(name, why)                                                        \
	static u64 reach_##name(void)                                             \
	{                                                                         \
		print_message("%s: %s\n", losses_rows[MW_LOSS_##name].text, why); \
		return sizeof(why) > 1;                                           \
	}

static u64 in_e2e(const char *text)
{
	static const char *const files[] = {"tests/e2e/test_badinput.py", "tests/e2e/test_alloc.py",
					    "tests/e2e/test_losses.py", "tests/e2e/test_sharers.py"};
	u64 found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *source = NULL;

		if (util__read_file(files[i], 1 << 20, &source) > 0)
			found += strstr(source, text) != NULL;
		free(source);
	}
	return found;
}

BY_NONE(HISTOGRAMS, "only without memory: a test would have to take it away from memwatch")
IN_E2E(FOLLOW_GAP)
IN_E2E(CHILD_GONE)
IN_E2E(CHILD_MISSED)
IN_E2E(SHARER)
IN_E2E(PROBES_ENDED)
BY_NONE(FAULT_ROOM, "takes two million samples, or a thousand processes at once")
IN_E2E(FAULT_GONE)
IN_E2E(FAULT_DENIED)
BY_NONE(FAULT_BUSY,
	"takes seconds of CPU time spent on new processes: test_allowance has the arithmetic")

static void every_cause_can_be_reached(void **state)
{
	static const struct {
		const char *text;
		u64 (*reach)(void);
	} causes[] = {
#define X(name, unit, told, text, frame, means) {text, reach_##name},
		MW_LOSSES(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		if (!causes[i].reach())
			fail_msg("'%s' was not reached", causes[i].text);
	}
	native__reset();
}

/* Rows of a table in Markdown between its head and the next empty line. */
static size_t rows_of(const char *text, const char *head)
{
	const char *at = strstr(text, head), *end;
	size_t n = 0;

	assert_non_null(at);
	end = strstr(at, "\n\n");
	for (at = strchr(at, '\n'); at && at < end; at = strchr(at + 1, '\n'))
		n++;
	return n - 1; /* the line under the head */
}

static char *page(const char *path)
{
	char *text = NULL;

	assert_true(util__read_file(path, 1 << 20, &text) > 0);
	return text;
}

static void expect(const char *text, const char *row)
{
	if (!strstr(text, row))
		fail_msg("the page lacks: %s", row);
}

static void the_page_has_the_same_rows(void **state)
{
	static const char *const told[] = {
		[LOSSES_SUM] = "events lost",
		[LOSSES_WARN] = "a line of its own",
		[LOSSES_NOTE] = "profiles only",
	};
	cleanup_free char *text = page("docs/losses.md"), *stacks = page("docs/stacks.md");
	char row[1024];
	size_t n = 0;

	for (int i = 0; i < MW_LOSS_COUNT; i++) {
		const struct losses_row *r = &losses_rows[i];

		snprintf(row, sizeof(row), "\n| `%s` | %s | %s | %s%s%s%s |\n", r->text, r->unit,
			 told[r->told], r->means, r->frame[0] ? "; frame `" : "", r->frame,
			 r->frame[0] ? "`" : "");
		expect(text, row);
	}
	assert_int_equal(rows_of(text, "| cause | counted in |"), MW_LOSS_COUNT);
	for (int i = 0; i < MW_STACK_ENDS; i++) {
		const struct losses_ending *e = &losses_endings[i];

		if (!e->text[0])
			continue;
		n++;
		snprintf(row, sizeof(row), "\n| `%s` | `%s` | %s |\n", e->text, e->frame, e->means);
		expect(stacks, row);
	}
	assert_int_equal(rows_of(stacks, "| cause | frame |"), n);
}

static void the_last_line_names_every_cause(void **state)
{
	static struct losses l;
	char line[4096];

	assert_string_equal(losses__line(&l, line, sizeof(line)),
			    "0 events lost, 0 stacks truncated");
	for (int i = 0; i < MW_LOSS_COUNT; i++)
		l.count[i] = 1;
	l.ending[MW_STACK_OK] = l.ending[MW_STACK_FP_END] = 5;
	l.ending[MW_STACK_JIT] = 2;
	losses__line(&l, line, sizeof(line));
	for (int i = 0; i < MW_LOSS_COUNT; i++)
		assert_int_equal(strstr(line, losses_rows[i].text) != NULL,
				 losses_rows[i].told == LOSSES_SUM);
	assert_non_null(strstr(line, "), 2 stacks truncated"));
	losses__line(&l, line, 40); /* cut, and whole as a string */
	assert_int_equal(strlen(line), 39);
}

static void no_two_causes_have_one_name(void **state)
{
	for (int i = 0; i < MW_LOSS_COUNT; i++) {
		for (int k = 0; k < i; k++)
			assert_string_not_equal(losses_rows[i].text, losses_rows[k].text);
	}
}

/* All are in a profile; those with a frame count in what was allocated, and nothing in use. */
static void profiles_have_every_cause(void **state)
{
	static struct losses l;
	struct profile *p = NULL;

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	for (int i = 0; i < MW_LOSS_COUNT; i++)
		losses__add(&l, i, 1, losses_rows[i].frame[0] ? 100 : 0);
	assert_int_equal(losses__into_profile(&l, 1, p), 0);
	assert_int_equal(p->nlosses, MW_LOSS_COUNT);
	for (size_t i = 0; i < p->nsamples; i++) {
		assert_int_equal(p->samples[i].value[PROFILE_ALLOC_SPACE], 100);
		assert_int_equal(p->samples[i].value[PROFILE_ALLOC_OBJECTS], 1);
		assert_int_equal(p->samples[i].value[PROFILE_INUSE_SPACE], 0);
	}
	assert_int_equal(p->nsamples, 3);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cause_can_be_reached),
		cmocka_unit_test(the_page_has_the_same_rows),
		cmocka_unit_test(the_last_line_names_every_cause),
		cmocka_unit_test(no_two_causes_have_one_name),
		cmocka_unit_test(profiles_have_every_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
