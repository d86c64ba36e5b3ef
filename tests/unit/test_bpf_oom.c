/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf/oom.bpf.c against a simulated machine: processes in a tree of memory cgroups that reclaim and
 * compact, fork, are given an oom_score_adj, and are killed, by the kernel, by an OOM daemon and by
 * hand. What an event says is what the machine has kept of itself; and each cause of a loss is
 * reached, counted, and told in the table's words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "bpf_native.h"

#include "../../bpf/maps.h"
#include "../../bpf/oom_kernel.h"
#include "memwatch/oom.h"

/* The kernel that the programs find; where it keeps fields elsewhere, CO-RE alone knows: the tests
 * on other kernels see that. */
static struct {
	bool old_rss, no_memcg;
} kernel;

#define bpf_core_type_exists(type) kernel.old_rss
#define bpf_core_field_exists(field) false
#define bpf_core_enum_value_exists(type, value) (!kernel.no_memcg)
#define bpf_core_enum_value(type, value) (value)
#define bpf_core_field_offset(field) ((size_t) & (field))
#define BPF_CORE_READ_STR_INTO(to, args...) copy_text(*(to), sizeof(*(to)), BPF_CORE_READ(args))

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static long bpf_probe_read_kernel_str(char *to, u32 size, const char *from)
{
	return snprintf(to, size, "%s", from);
}

#define BOOT_AHEAD_NS 3000000000ULL /* what the machine has slept */

static u64 bpf_ktime_get_boot_ns(void)
{
	return bpf_ktime_get_ns() + BOOT_AHEAD_NS;
}

/* What is read-only data there is filled in here. */
#pragma GCC diagnostic ignored "-Wdiscarded-qualifiers"
#define const
#include "../../bpf/oom.bpf.c"
#undef const

#include "core/util.h"
#include "oom/oom_watch.h"

/* --- the machine --- */

#define PROCESSES 24
#define GROUPS 14
#define STALLS 40000
#define S 1000000000ULL

union any_mm {
	struct mm_struct___oom now;
	struct mm_struct___rss_old old;
};

struct process {
	struct task_struct___oom leader, thread;
	union any_mm mm;
	struct signal_struct___oom signal;
	struct cred___oom cred;
	struct css_set___oom set;
	u32 group;
	/* what the thread is in: 0, or when its stall began */
	u64 stalls_since;
	u16 stalls_in;
	struct mw_oom_writer writer; /* time 0: none */
	u64 writer_boot_ns;
};

struct group {
	struct mem_cgroup___oom memcg;
	struct cgroup___oom cgroup;
	struct kernfs_node___oom kn;
	char name[16];
	u32 up; /* itself: the root */
};

static struct {
	struct process process[PROCESSES];
	struct group group[GROUPS];
	struct {
		u64 end_ns, ns, pages;
		u32 process, group;
		u16 what;
	} stall[STALLS];
	size_t nstalls;
	u32 next_pid;
	u64 random, kills, exiting;
	struct mw_ev_oom got;
	bool has_got;
} sim;

static u32 rnd(u32 below)
{
	sim.random ^= sim.random << 13;
	sim.random ^= sim.random >> 7;
	sim.random ^= sim.random << 17;
	return (sim.random >> 16) % below;
}

static void on_event(const void *data, size_t size)
{
	assert_int_equal(size, sizeof(sim.got));
	assert_false(sim.has_got);
	memcpy(&sim.got, data, size);
	sim.has_got = true;
}

static u64 counted(enum mw_oom_counter which)
{
	u32 i = which;
	u64 *v = bpf_map_lookup_elem(&oom_counters, &i);

	return *v;
}

/* The tree: group 0 is the root, each below one before it; some lie deeper than an event tells. */
static void make_groups(void)
{
	for (u32 i = 0; i < GROUPS; i++) {
		struct group *g = &sim.group[i];
		bool deep = rnd(4);

		g->up = i ? (deep ? i - 1 : rnd(i)) : 0;
		snprintf(g->name, sizeof(g->name), "group%u", i);
		g->kn.name = g->name;
		g->cgroup.kn = &g->kn;
		g->memcg.css.cgroup = &g->cgroup;
		g->memcg.css.parent = i ? &sim.group[g->up].memcg.css : NULL;
		g->memcg.css.serial_nr = 1000 + i;
		g->kn.parent = i ? &sim.group[g->up].kn : NULL;
		g->memcg.memory.usage.counter = rnd(1 << 20);
		g->memcg.memory.max = rnd(2) ? ~0UL : rnd(1 << 20);
		g->memcg.swap.usage.counter = rnd(1000);
		g->memcg.swap.max = rnd(1 << 20);
	}
}

static void fill_mm(struct process *p)
{
	for (int i = 0; i < 4; i++) {
		s64 pages = (s64)rnd(1 << 20) - (rnd(8) ? 0 : 1 << 20); /* may dip below zero */

		if (kernel.old_rss)
			p->mm.old.rss_stat.count[i].counter = pages;
		else
			p->mm.now.rss_stat[i].count = pages;
	}
	if (!kernel.old_rss) {
		p->mm.now.total_vm = rnd(1 << 24);
		p->mm.now.pgtables_bytes.counter = rnd(1 << 20) * 4096;
	}
}

/* A process comes: a child of another one, with its score. */
static void fork_into(u32 i, u32 parent)
{
	struct process *p = &sim.process[i], *from = &sim.process[parent];

	*p = (struct process){.group = rnd(GROUPS)};
	p->leader = (struct task_struct___oom){.pid = sim.next_pid,
					       .tgid = sim.next_pid,
					       .mm = &p->mm.now,
					       .group_leader = &p->leader,
					       .real_parent = &from->leader,
					       .start_boottime = native.clock_ns + BOOT_AHEAD_NS,
					       .cgroups = &p->set,
					       .signal = &p->signal,
					       .real_cred = &p->cred};
	snprintf(p->leader.comm, sizeof(p->leader.comm), "process%u", i);
	p->thread = p->leader;
	p->thread.pid++;
	snprintf(p->thread.comm, sizeof(p->thread.comm), "thread%u", i);
	p->set.subsys[memory_cgrp_id___oom] = &sim.group[p->group].memcg.css;
	p->cred.uid.val = 1000 + i;
	p->signal.oom_score_adj = from->signal.oom_score_adj;
	fill_mm(p);
	sim.next_pid += 2;
	for (u32 k = 0; k < PROCESSES; k++) { /* orphans are the first one's */
		if (k != i && sim.process[k].leader.real_parent == &p->leader)
			sim.process[k].leader.real_parent = &sim.process[0].leader;
	}
}

static void start(u64 seed)
{
	native__reset();
	memset(&sim, 0, sizeof(sim));
	memset((void *)oom_daemons, 0, sizeof(oom_daemons));
	sim.random = seed * 0x9e3779b97f4a7c15ULL | 1;
	sim.next_pid = 100;
	native.on_event = on_event;
	native.clock_ns = 100 * S;
	kernel.old_rss = rnd(2);
	make_groups();
	for (u32 i = 0; i < PROCESSES; i++) {
		native.clock_ns += S / 100;
		fork_into(i, i ? rnd(i) : 0);
	}
}

static struct process *run_as(u32 i)
{
	struct process *p = &sim.process[i];

	native.current = &p->thread;
	native.task.pid = p->thread.pid;
	native.task.tgid = p->thread.tgid;
	return p;
}

#define CALL(program, args...) \
	program((struct bpf_raw_tracepoint_args *)&(struct { u64 a[4]; }){{args}})

/* --- what it does --- */

static void stall_step(u32 i)
{
	struct process *p = run_as(i);
	u64 pages = rnd(1000);

	if (!p->stalls_since) {
		p->stalls_in = rnd(3);
		p->stalls_since = native.clock_ns;
		if (p->stalls_in == 0)
			CALL(mw_oom_reclaim_begin, 0);
		else if (p->stalls_in == 1)
			CALL(mw_oom_memcg_begin, 0);
		else
			CALL(mw_oom_compaction_begin, 0);
		return;
	}
	assert_true(sim.nstalls < STALLS);
	sim.stall[sim.nstalls].end_ns = native.clock_ns;
	sim.stall[sim.nstalls].ns = native.clock_ns - p->stalls_since;
	sim.stall[sim.nstalls].pages = p->stalls_in == 2 ? 0 : pages;
	sim.stall[sim.nstalls].process = p->leader.pid;
	sim.stall[sim.nstalls].group = p->group;
	sim.stall[sim.nstalls++].what = p->stalls_in == 2 ? STALL_COMPACTION : STALL_RECLAIM;
	p->stalls_since = 0;
	if (p->stalls_in == 0)
		CALL(mw_oom_reclaim_end, pages);
	else if (p->stalls_in == 1)
		CALL(mw_oom_memcg_end, pages);
	else
		CALL(mw_oom_compaction_end, 0);
}

static void score_step(u32 by, u32 of)
{
	struct process *writer = run_as(by), *p = &sim.process[of];
	u64 now = native.clock_ns;

	p->signal.oom_score_adj = (short)(rnd(5) * 100 - 200);
	CALL(mw_oom_score, (u64)(uintptr_t)&p->thread);
	p->writer = (struct mw_oom_writer){.time_ns = now,
					   .pid = writer->leader.tgid,
					   .target = p->leader.tgid,
					   .value = p->signal.oom_score_adj};
	memcpy(p->writer.comm, writer->leader.comm, sizeof(p->writer.comm));
	p->writer_boot_ns = now + BOOT_AHEAD_NS;
}

/* --- what an event has to say --- */

/* Of the machine (process 0, group GROUPS), of a process, of a group and what is below. */
static void expect_stalls(const struct mw_oom_stall *got, u16 what, u32 process, u32 group)
{
	const u64 window[] = {MW_OOM_SHORT_S, MW_OOM_LONG_S};
	struct mw_oom_stall want = {{0}};

	for (size_t i = 0; i < sim.nstalls; i++) {
		u64 age = native.clock_ns / S - sim.stall[i].end_ns / S;
		u32 level = 0;
		bool in = sim.stall[i].what == what;

		if (group != GROUPS) {
			u32 g = sim.stall[i].group;

			/* ten levels from the leaf are counted, the root never */
			while (g != group && g && ++level < MW_OOM_LEVELS)
				g = sim.group[g].up;
			in = in && g == group && g && level < MW_OOM_LEVELS;
		}
		in = in && (!process || sim.stall[i].process == process);
		for (int w = 0; w < MW_OOM_WINDOWS && in; w++) {
			want.cnt[w] += age < window[w];
			want.ns[w] += age < window[w] ? sim.stall[i].ns : 0;
			want.pages[w] += age < window[w] ? sim.stall[i].pages : 0;
		}
	}
	assert_memory_equal(got, &want, sizeof(want));
}

static void expect_task(const struct mw_oom_task *got, const struct process *p)
{
	u64 pages[4];

	assert_int_equal(got->pid, p->thread.pid);
	assert_int_equal(got->tgid, p->thread.tgid);
	assert_int_equal(got->uid, p->cred.uid.val);
	assert_int_equal(got->oom_score_adj, p->signal.oom_score_adj);
	assert_int_equal(got->start_ns, p->leader.start_boottime);
	assert_string_equal(got->comm, p->leader.comm);
	assert_string_equal(got->thread, p->thread.comm);
	for (int i = 0; i < 4; i++) {
		s64 v = kernel.old_rss ? p->mm.old.rss_stat.count[i].counter
				       : p->mm.now.rss_stat[i].count;

		pages[i] = v < 0 ? 0 : v;
	}
	if (!kernel.old_rss) {
		assert_int_equal(got->total_vm, p->mm.now.total_vm);
		assert_int_equal(got->pgtables_bytes, p->mm.now.pgtables_bytes.counter);
	}
	assert_int_equal(got->file, pages[FILE_PAGES]);
	assert_int_equal(got->anon, pages[ANON_PAGES]);
	assert_int_equal(got->swap, pages[SWAP_PAGES]);
	assert_int_equal(got->shmem, pages[SHMEM_PAGES]);
}

/* Levels from the leaf to the root. */
static u32 depth_of(u32 group)
{
	u32 n = 1;

	for (; group; group = sim.group[group].up)
		n++;
	return n;
}

static void expect_groups(const struct mw_ev_oom *e, const struct process *victim,
			  const struct process *trigger)
{
	u32 n = depth_of(victim->group), g = victim->group;

	assert_int_equal(e->victim.cut, n > MW_OOM_LEVELS);
	assert_int_equal(e->victim.nlevels, n > MW_OOM_LEVELS ? MW_OOM_LEVELS : n);
	for (u32 i = 0; i < e->victim.nlevels; i++, g = sim.group[g].up) {
		const struct mw_oom_level *l = &e->victim_cgroup[i];

		assert_string_equal(l->name, g ? sim.group[g].name : "");
		assert_int_equal(l->usage, sim.group[g].memcg.memory.usage.counter);
		assert_int_equal(l->max, sim.group[g].memcg.memory.max);
		assert_int_equal(l->swap_usage, sim.group[g].memcg.swap.usage.counter);
		assert_int_equal(l->swap_max, sim.group[g].memcg.swap.max);
		expect_stalls(&l->reclaim, STALL_RECLAIM, 0, g);
	}
	n = depth_of(trigger->group);
	assert_int_equal(e->trigger.cut, n > MW_OOM_LEVELS);
	assert_int_equal(e->trigger.nlevels, n > MW_OOM_LEVELS ? MW_OOM_LEVELS : n);
	g = trigger->group;
	for (u32 i = 0; i < e->trigger.nlevels; i++, g = sim.group[g].up)
		assert_string_equal(e->trigger_cgroup[i], g ? sim.group[g].name : "");
}

/* Whoever wrote the value that the victim has: to itself, or to the ancestor it has it from. */
static void expect_writer(const struct mw_oom_writer *got, const struct process *victim)
{
	const struct process *p = victim;
	u64 born = UINT64_MAX;

	for (int i = 0; i < SCORE_PARENTS; i++) {
		if (p->writer.time_ns && p->writer_boot_ns < born) {
			if (p->writer.value != victim->signal.oom_score_adj)
				break;
			assert_true(got->time_ns >= p->writer.time_ns &&
				    got->time_ns < p->writer.time_ns + 1000);
			assert_int_equal(got->pid, p->writer.pid);
			assert_int_equal(got->target, p->writer.target);
			assert_int_equal(got->value, p->writer.value);
			assert_string_equal(got->comm, p->writer.comm);
			return;
		}
		born = min_of(born, p->leader.start_boottime);
		p = (const struct process *)((const char *)p->leader.real_parent -
					     offsetof(struct process, leader));
	}
	assert_int_equal(got->time_ns, 0);
	assert_int_equal(got->pid, 0);
}

static void expect_kill(u32 kind, u32 signal, const struct process *victim,
			const struct process *trigger)
{
	const struct mw_ev_oom *e = &sim.got;

	assert_true(sim.has_got);
	assert_int_equal(e->kind, kind);
	assert_int_equal(e->signal, signal);
	assert_true(native.clock_ns - e->time_ns < 100000);
	expect_task(&e->victim, victim);
	expect_task(&e->trigger, trigger);
	if (!kernel.no_memcg)
		expect_groups(e, victim, trigger);
	expect_stalls(&e->machine_reclaim, STALL_RECLAIM, 0, GROUPS);
	expect_stalls(&e->machine_compaction, STALL_COMPACTION, 0, GROUPS);
	expect_stalls(&e->victim_reclaim, STALL_RECLAIM, victim->leader.pid, GROUPS);
	expect_stalls(&e->victim_compaction, STALL_COMPACTION, victim->leader.pid, GROUPS);
	expect_stalls(&e->trigger_reclaim, STALL_RECLAIM, trigger->leader.pid, GROUPS);
	expect_stalls(&e->trigger_compaction, STALL_COMPACTION, trigger->leader.pid, GROUPS);
	expect_writer(&e->score, victim);
	sim.has_got = false;
}

static void signal_of_kernel(const struct process *victim)
{
	CALL(mw_oom_signal, SIGKILL, SEND_SIG_PRIV, (u64)(uintptr_t)&victim->thread);
}

/* By pid, as kernels before 6.10 do, or by task. */
static void mark(const struct process *victim)
{
	CALL(mw_oom_mark, rnd(2) ? (u64)(uintptr_t)&victim->thread : (u64)victim->thread.pid);
}

static void kill_step(u32 by, u32 of)
{
	struct process *trigger = run_as(by), *victim = &sim.process[of];

	switch (rnd(6)) {
	case 0: /* it was dying already, by somebody's hand */
		CALL(mw_oom_signal, SIGKILL, 0, (u64)(uintptr_t)&victim->thread);
		mark(victim);
		sim.exiting++;
		break;
	case 1: /* the kernel's signal is another's, or long ago */
		signal_of_kernel(&sim.process[(of + 1) % PROCESSES]);
		if (rnd(2)) {
			signal_of_kernel(victim);
			native.clock_ns += STASH_MAX_NS + 1;
		}
		mark(victim);
		sim.exiting++;
		native.clock_ns += STASH_MAX_NS + 1; /* nor is it this thread's next one */
		break;
	default:
		signal_of_kernel(victim);
		assert_false(sim.has_got);
		mark(victim);
		expect_kill(MW_OOM_KERNEL, SIGKILL, victim, trigger);
		sim.kills++;
	}
	assert_false(sim.has_got);
}

static void step(void)
{
	u32 a = rnd(PROCESSES), b = rnd(PROCESSES);

	native.clock_ns =
		(native.clock_ns / 1000000 + 1 + (rnd(50) ? rnd(500) : rnd(70000))) * 1000000ULL;
	switch (rnd(20)) {
	case 0:
		if (a && a != b)
			fork_into(a, b);
		break;
	case 1:
	case 2: score_step(a, b); break;
	case 3: kill_step(a, b); break;
	case 4: sim.process[a].signal.oom_score_adj = 7; break; /* in a way that is not told */
	default: stall_step(a);
	}
}

static void kills_tell_what_led_to_them(void **state)
{
	u64 kills = 0;

	for (u64 seed = 1; seed <= 40; seed++) {
		start(seed);
		for (int n = 0; n < 3000; n++)
			step();
		assert_int_equal(counted(MW_OOM_C_KILLS), sim.kills);
		assert_int_equal(counted(MW_OOM_C_EXITING), sim.exiting);
#define X(name, text, means) assert_int_equal(counted(MW_OOM_C_LOST_##name), 0);
		MW_OOM_LOSSES(X)
#undef X
		kills += sim.kills;
	}
	assert_true(kills > 1000);
}

/* Without memory cgroups there are no levels, and nothing is read from where they would be. */
static void a_kernel_without_memory_cgroups(void **state)
{
	start(1);
	kernel.no_memcg = true;
	for (int n = 0; n < 2000; n++)
		step();
	assert_true(sim.kills > 10);
	assert_int_equal(sim.got.victim.nlevels, 0);
	assert_int_equal(sim.got.trigger.nlevels, 0);
	kernel.no_memcg = false;
}

static void signals_of_oom_daemons(void **state)
{
	start(1);
	run_as(1);
	CALL(mw_oom_signal, SIGTERM, 0, (u64)(uintptr_t)&sim.process[2].thread);
	assert_false(sim.has_got); /* no daemon is named */
	strcpy((char *)oom_daemons[0], "earlyoom");
	strcpy((char *)oom_daemons[1], "process1");
	CALL(mw_oom_signal, SIGTERM, 0, (u64)(uintptr_t)&sim.process[2].thread);
	expect_kill(MW_OOM_DAEMON, SIGTERM, &sim.process[2], &sim.process[1]);
	CALL(mw_oom_signal, SIGKILL, 0, (u64)(uintptr_t)&sim.process[3].thread);
	expect_kill(MW_OOM_DAEMON, SIGKILL, &sim.process[3], &sim.process[1]);
	CALL(mw_oom_signal, 10, 0, (u64)(uintptr_t)&sim.process[3].thread);
	run_as(11); /* "process11" begins as a daemon's name does */
	CALL(mw_oom_signal, SIGKILL, 0, (u64)(uintptr_t)&sim.process[3].thread);
	assert_false(sim.has_got);
	assert_int_equal(counted(MW_OOM_C_KILLS), 2);
}

static int read_command(void *to, size_t size, u64 from)
{
	if (from != 0x7000)
		return -EFAULT;
	memset(to, 'c', size);
	return 0;
}

/* The victim's command line is read where it is mapped: the victim itself asked for memory. */
static void command_lines(void **state)
{
	static const struct {
		u64 start, end;
		u32 len;
	} lines[] = {{0x7000, 0x7005, 5},
		     {0x7000, 0x7000 + MW_OOM_CMDLINE + 1, MW_OOM_CMDLINE},
		     {0x7000, 0x7000, 0},
		     {0x7000, 0x6000, 0},
		     {0x7000, 0x7000 + (3 << 20), 0},
		     {0x9000, 0x9005, 0}};

	start(2);
	kernel.old_rss = false;
	native.read_user = read_command;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		sim.process[4].mm.now.arg_start = lines[i].start;
		sim.process[4].mm.now.arg_end = lines[i].end;
		for (int other = 0; other < 2; other++) {
			run_as(4 + other);
			signal_of_kernel(&sim.process[4]);
			mark(&sim.process[4]);
			assert_true(sim.has_got);
			sim.has_got = false;
			assert_int_equal(sim.got.cmdline_len, other ? 0 : lines[i].len);
			for (u32 k = 0; k < MW_OOM_CMDLINE; k++)
				assert_int_equal(sim.got.cmdline[k],
						 k < sim.got.cmdline_len ? 'c' : 0);
		}
	}
}

/* kcompactd's work stalls nobody; an end whose beginning was not seen is none. */
static void stalls_that_are_none(void **state)
{
	start(1);
	run_as(1)->thread.flags = PF_KTHREAD;
	CALL(mw_oom_compaction_begin, 0);
	CALL(mw_oom_compaction_end, 0);
	run_as(2);
	CALL(mw_oom_reclaim_end, 100);
	signal_of_kernel(&sim.process[3]);
	mark(&sim.process[3]);
	expect_kill(MW_OOM_KERNEL, SIGKILL, &sim.process[3], &sim.process[2]);
	assert_int_equal(counted(MW_OOM_C_LOST_STALL), 0);
}

/* --- what can be missing --- */

static void reach_RING(void)
{
	run_as(1);
	native.ring_full = true;
	signal_of_kernel(&sim.process[2]);
	mark(&sim.process[2]);
	native.ring_full = false;
	assert_false(sim.has_got);
	assert_int_equal(counted(MW_OOM_C_KILLS), 1); /* it was seen */
}

static void reach_STASH(void)
{
	run_as(1);
	signal_of_kernel(&sim.process[2]);
	native__limit(&oom_stash, 1);
	run_as(3);
	signal_of_kernel(&sim.process[2]);
	mark(&sim.process[2]);
	assert_false(sim.has_got);
}

/* A begin and an end: the thread finds no place, or what it belongs to. */
static void reach_STALL(void)
{
	run_as(1);
	CALL(mw_oom_reclaim_begin, 0);
	native__limit(&oom_stalled, 1);
	run_as(2);
	CALL(mw_oom_reclaim_begin, 0);
	assert_int_equal(counted(MW_OOM_C_LOST_STALL), 1);
	CALL(mw_oom_reclaim_end, 5); /* counted once */
	assert_int_equal(counted(MW_OOM_C_LOST_STALL), 1);
	run_as(1);
	sim.process[1].set.subsys[memory_cgrp_id___oom] = &sim.group[0].memcg.css;
	native__limit(&oom_stalls, 1);
	CALL(mw_oom_reclaim_end, 5); /* the machine's is in, the process's is not */
	assert_int_equal(counted(MW_OOM_C_LOST_STALL), 2);
	signal_of_kernel(&sim.process[1]);
	mark(&sim.process[1]);
	assert_int_equal(sim.got.machine_reclaim.pages[0], 5);
	assert_int_equal(sim.got.victim_reclaim.cnt[0], 0);
	sim.has_got = false;
}

static void reach_SCORE(void)
{
	run_as(1);
	CALL(mw_oom_score, (u64)(uintptr_t)&sim.process[2].thread);
	native__limit(&oom_scores, 1);
	CALL(mw_oom_score, (u64)(uintptr_t)&sim.process[3].thread);
}

/* Only the causes that there were, or all. */
static void expect_told(enum mw_oom_counter cause, const char *text)
{
	struct watch_stats s = {.kills = counted(MW_OOM_C_KILLS)};
	char line[WATCH_LOST], want[100];

	for (u32 i = 0; i < MW_OOM_C_COUNT; i++)
		s.lost[i] = counted(i);
	snprintf(want, sizeof(want), "%llu %s", (unsigned long long)s.lost[cause], text);
	assert_string_equal(oom_watch__lost(&s, true, line), want);
	assert_non_null(strstr(oom_watch__lost(&s, false, line), want));
#define X(name, words, means) assert_non_null(strstr(line, words));
	MW_OOM_LOSSES(X)
#undef X
}

static void every_cause_is_reached_and_told(void **state)
{
	static const struct {
		enum mw_oom_counter cause;
		const char *text;
		void (*reach)(void);
	} causes[] = {
#define X(name, text, means) {MW_OOM_C_LOST_##name, text, reach_##name},
		MW_OOM_LOSSES(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		start(1);
		causes[i].reach();
		if (!counted(causes[i].cause))
			fail_msg("'%s' was not reached", causes[i].text);
		expect_told(causes[i].cause, causes[i].text);
	}
}

static void nothing_missing_is_not_told(void **state)
{
	struct watch_stats s = {.kills = 3};
	char line[WATCH_LOST];

	assert_string_equal(oom_watch__lost(&s, true, line), "");
	for (u32 i = 0; i < MW_OOM_C_COUNT; i++)
		s.lost[i] = UINT64_MAX;
	s.lost_log_records = UINT64_MAX;
	oom_watch__lost(&s, false, line);
	assert_non_null(strstr(line, "18446744073709551615 log records overwritten"));
}

static void the_page_has_the_same_rows(void **state)
{
	cleanup_free char *page = NULL;
	char row[400];

	assert_true(util__read_file("docs/oom.md", 1 << 20, &page) > 0);
#define X(name, text, means)                                        \
	snprintf(row, sizeof(row), "\n| %s | %s |\n", text, means); \
	if (!strstr(page, row))                                     \
		fail_msg("the page lacks: %s", row);
	MW_OOM_LOSSES(X)
#undef X
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_tell_what_led_to_them),
		cmocka_unit_test(a_kernel_without_memory_cgroups),
		cmocka_unit_test(signals_of_oom_daemons),
		cmocka_unit_test(command_lines),
		cmocka_unit_test(stalls_that_are_none),
		cmocka_unit_test(every_cause_is_reached_and_told),
		cmocka_unit_test(nothing_missing_is_not_told),
		cmocka_unit_test(the_page_has_the_same_rows),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	native__reset();
	return failed;
}
