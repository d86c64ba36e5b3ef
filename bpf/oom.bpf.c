// SPDX-License-Identifier: GPL-2.0-only
/*
 * oom.bpf.c - OOM kills, read while the victim still has its memory.
 *
 * The kernel's OOM killer sends SIGKILL to the victim and then marks it, both from the task whose
 * allocation failed: __oom_kill_process() in mm/oom_kill.c. The signal carries the victim's
 * task_struct on every kernel; oom:mark_victim carries only its pid on some and the task on others.
 * So the signal notes the victim under the sender's thread, and the mark that follows from the same
 * thread makes it a kill. A mark without the signal is a process that was dying already (a SIGKILL
 * by hand, an exit): it got memory reserves to finish, nobody was chosen, nothing is reported.
 *
 * Signals from userspace OOM daemons are told by the sender's name.
 *
 * What led to it is kept in small tables all the time, at the price of a few lookups per event:
 * direct reclaim and compaction, by process, by memory cgroup and its parents, and for the machine,
 * a second a bucket; and who wrote which oom_score_adj. These programs are optional, each pair by
 * itself.
 */
#include "maps.h"
#include "oom_kernel.h"
#include "memwatch/oom.h"

#define SIGKILL 9
#define SIGTERM 15
#define SEND_SIG_PRIV 1 /* the kernel's marker for its own signals */
#define STASH_MAX_NS 5000000000ULL

/* Order of the kernel's counters of resident pages. */
enum { FILE_PAGES, ANON_PAGES, SWAP_PAGES, SHMEM_PAGES };

struct stash {
	u64 task; /* struct task_struct *, compared and read, never trusted */
	u64 time_ns;
	u32 pid;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} oom_events SEC(".maps");

/* By the sending thread. Entries are of use for microseconds; an LRU forgets the rest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct stash);
} oom_stash SEC(".maps");

/* --- what led to it --- */

enum { STALL_RECLAIM, STALL_COMPACTION };
enum { STALL_OF_MACHINE, STALL_OF_GROUP, STALL_OF_PROCESS };

struct stall_key {
	u64 id; /* group: serial number; process: time of its start */
	u32 tgid;
	u16 of, what;
};

#define SCORE_PARENTS 8
#define STALL_SECONDS 64 /* a power of two above MW_OOM_LONG_S */

/* Two CPUs that begin a second at the same time may lose one event: no atomics that return a value
 * before 5.12. */
struct stall_second {
	u64 second, cnt, ns, pages;
};
struct stall_seconds {
	struct stall_second s[STALL_SECONDS];
};

static const struct stall_seconds no_stalls;

/* Who has not stalled for longest is forgotten: nothing of the last minute is lost before as many
 * others have stalled in it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct stall_key);
	__type(value, struct stall_seconds);
} oom_stalls SEC(".maps");

/* By thread: when it began. A thread is in one stall at a time, and its end comes always. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u64);
} oom_stalled SEC(".maps");

struct score_key {
	u64 start_ns; /* CLOCK_BOOTTIME */
	u32 tgid, pad;
};
struct score {
	struct mw_oom_writer w;
	u64 boot_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct score_key);
	__type(value, struct score);
} oom_scores SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_OOM_C_COUNT);
	__type(key, u32);
	__type(value, u64);
} oom_counters SEC(".maps");

/* Names of userspace OOM daemons, as the kernel keeps them (15 bytes and a NUL). */
const volatile char oom_daemons[MW_OOM_DAEMONS][MW_OOM_COMM] = {};

static __always_inline void oom_count(u32 i)
{
	u64 *v = bpf_map_lookup_elem(&oom_counters, &i);

	if (v)
		__sync_fetch_and_add(v, 1);
}

static __always_inline void stall_begin(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	if (bpf_map_update_elem(&oom_stalled, &tid, &now, BPF_ANY))
		oom_count(MW_OOM_C_LOST_STALL);
}

static __noinline void stall_add(const struct stall_key *key, u64 now, u64 ns, u64 pages)
{
	struct stall_seconds *v = bpf_map_lookup_elem(&oom_stalls, key);
	u64 second = now / 1000000000;
	struct stall_second *s;

	if (!v) {
		/* Another CPU may have been faster: its entry is as good. */
		bpf_map_update_elem(&oom_stalls, key, &no_stalls, BPF_NOEXIST);
		v = bpf_map_lookup_elem(&oom_stalls, key);
	}
	if (!v) {
		oom_count(MW_OOM_C_LOST_STALL);
		return;
	}
	s = &v->s[second & (STALL_SECONDS - 1)];
	if (s->second != second) {
		s->cnt = s->ns = s->pages = 0;
		s->second = second;
	}
	__sync_fetch_and_add(&s->cnt, 1);
	__sync_fetch_and_add(&s->ns, ns);
	__sync_fetch_and_add(&s->pages, pages);
}

static __always_inline u64 stall_id(struct task_struct___oom *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline struct cgroup_subsys_state___oom *memcg_of(struct task_struct___oom *task)
{
	struct cgroup_subsys_state___oom *css = NULL;
	struct css_set___oom *set = BPF_CORE_READ(task, cgroups);
	u32 id;

	if (!set || !bpf_core_enum_value_exists(enum cgroup_subsys_id___oom, memory_cgrp_id___oom))
		return NULL;
	id = bpf_core_enum_value(enum cgroup_subsys_id___oom, memory_cgrp_id___oom);
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(((struct css_set___oom *)0)->subsys) + id * sizeof(css));
	return css;
}

static __always_inline void stall_end(u16 what, u64 pages)
{
	struct task_struct___oom *cur = (void *)bpf_get_current_task();
	struct stall_key key = {.of = STALL_OF_MACHINE, .what = what};
	u64 pid_tgid = bpf_get_current_pid_tgid(), now, ns, *begin;
	struct cgroup_subsys_state___oom *css, *up;
	u32 tid = pid_tgid;

	begin = bpf_map_lookup_elem(&oom_stalled, &tid);
	if (!begin)
		return; /* it began before the probe was in */
	now = bpf_ktime_get_ns();
	ns = now - *begin;
	bpf_map_delete_elem(&oom_stalled, &tid);
	stall_add(&key, now, ns, pages);
	key.of = STALL_OF_PROCESS;
	key.tgid = pid_tgid >> 32;
	key.id = stall_id(cur);
	stall_add(&key, now, ns, pages);
	/* Compaction is the machine's matter: no group's limit asks for it. */
	if (what != STALL_RECLAIM)
		return;
	key.of = STALL_OF_GROUP;
	key.tgid = 0;
	css = memcg_of(cur);
	for (u32 i = 0; i < MW_OOM_LEVELS && css; i++) {
		up = BPF_CORE_READ(css, parent);
		if (!up)
			break; /* the root group is the machine */
		key.id = BPF_CORE_READ(css, serial_nr);
		stall_add(&key, now, ns, pages);
		css = up;
	}
}

/* Sums up the windows that end now. Without branches: one path for the verifier. */
static __noinline void stall_read(struct mw_oom_stall *to, const struct stall_key *key)
{
	struct stall_seconds *v = bpf_map_lookup_elem(&oom_stalls, key);
	u64 second = bpf_ktime_get_ns() / 1000000000;

	if (!v || !to)
		return;
	for (u32 i = 0; i < STALL_SECONDS; i++) {
		struct stall_second *s = &v->s[i];
		u64 age = second - s->second;
		u64 in_short = age < MW_OOM_SHORT_S, in_long = age < MW_OOM_LONG_S;

		to->cnt[0] += s->cnt * in_short;
		to->ns[0] += s->ns * in_short;
		to->pages[0] += s->pages * in_short;
		to->cnt[1] += s->cnt * in_long;
		to->ns[1] += s->ns * in_long;
		to->pages[1] += s->pages * in_long;
	}
}

static __always_inline void read_mm(struct mw_oom_task *t, struct mm_struct___oom *mm)
{
	if (bpf_core_type_exists(struct mm_rss_stat___old)) {
		struct mm_struct___rss_old *old = (void *)mm;

		t->file = BPF_CORE_READ(old, rss_stat.count[FILE_PAGES].counter);
		t->anon = BPF_CORE_READ(old, rss_stat.count[ANON_PAGES].counter);
		t->swap = BPF_CORE_READ(old, rss_stat.count[SWAP_PAGES].counter);
		t->shmem = BPF_CORE_READ(old, rss_stat.count[SHMEM_PAGES].counter);
	} else {
		t->file = BPF_CORE_READ(mm, rss_stat[FILE_PAGES].count);
		t->anon = BPF_CORE_READ(mm, rss_stat[ANON_PAGES].count);
		t->swap = BPF_CORE_READ(mm, rss_stat[SWAP_PAGES].count);
		t->shmem = BPF_CORE_READ(mm, rss_stat[SHMEM_PAGES].count);
	}
	t->total_vm = BPF_CORE_READ(mm, total_vm);
	t->pgtables_bytes = BPF_CORE_READ(mm, pgtables_bytes.counter);
	/* Unlocked per-CPU counters may dip below zero; the kernel's log prints zero then. */
	if ((s64)t->file < 0)
		t->file = 0;
	if ((s64)t->anon < 0)
		t->anon = 0;
	if ((s64)t->swap < 0)
		t->swap = 0;
	if ((s64)t->shmem < 0)
		t->shmem = 0;
}

static __always_inline void read_task(struct mw_oom_task *t, struct task_struct___oom *task)
{
	struct mm_struct___oom *mm;

	t->pid = BPF_CORE_READ(task, pid);
	t->tgid = BPF_CORE_READ(task, tgid);
	t->uid = BPF_CORE_READ(task, real_cred, uid.val);
	t->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	t->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	BPF_CORE_READ_STR_INTO(&t->comm, task, group_leader, comm);
	BPF_CORE_READ_STR_INTO(&t->thread, task, comm);
	mm = BPF_CORE_READ(task, mm);
	if (mm)
		read_mm(t, mm);
}

/* The path component of a cgroup; "" where there is none above it. */
static __always_inline void read_name(char *name, struct cgroup_subsys_state___oom *css)
{
	struct kernfs_node___oom *kn = BPF_CORE_READ(css, cgroup, kn), *up;
	const char *text;

	name[0] = 0;
	if (!kn)
		return;
	if (bpf_core_field_exists(((struct kernfs_node___rcu *)0)->__parent))
		up = BPF_CORE_READ((struct kernfs_node___rcu *)kn, __parent);
	else
		up = BPF_CORE_READ(kn, parent);
	if (!up)
		return;
	text = BPF_CORE_READ(kn, name);
	if (text)
		bpf_probe_read_kernel_str(name, MW_OOM_NAME, text);
}

static __always_inline void read_victim_cgroups(struct mw_ev_oom *e, struct task_struct___oom *task)
{
	struct cgroup_subsys_state___oom *css = memcg_of(task);
	struct stall_key key = {.of = STALL_OF_GROUP, .what = STALL_RECLAIM};
	u32 i;

	for (i = 0; i < MW_OOM_LEVELS; i++) {
		struct mw_oom_level *l = &e->victim_cgroup[i];
		struct mem_cgroup___oom *memcg;

		if (!css)
			break;
		__builtin_memset(&l->reclaim, 0, sizeof(l->reclaim));
		memcg = (void *)css - bpf_core_field_offset(((struct mem_cgroup___oom *)0)->css);
		l->usage = BPF_CORE_READ(memcg, memory.usage.counter);
		l->max = BPF_CORE_READ(memcg, memory.max);
		l->swap_usage = BPF_CORE_READ(memcg, swap.usage.counter);
		l->swap_max = BPF_CORE_READ(memcg, swap.max);
		read_name(l->name, css);
		key.id = BPF_CORE_READ(css, serial_nr);
		stall_read(&l->reclaim, &key);
		css = BPF_CORE_READ(css, parent);
	}
	e->victim.nlevels = i;
	e->victim.cut = css != NULL;
}

static __always_inline void read_trigger_cgroups(struct mw_ev_oom *e,
						 struct task_struct___oom *task)
{
	struct cgroup_subsys_state___oom *css = memcg_of(task);
	u32 i;

	for (i = 0; i < MW_OOM_LEVELS; i++) {
		if (!css)
			break;
		read_name(e->trigger_cgroup[i], css);
		css = BPF_CORE_READ(css, parent);
	}
	e->trigger.nlevels = i;
	e->trigger.cut = css != NULL;
}

/* Only where the victim's memory is mapped right now: it killed itself by allocating. */
static __always_inline void read_cmdline(struct mw_ev_oom *e, struct task_struct___oom *cur,
					 struct task_struct___oom *victim)
{
	struct mm_struct___oom *mm = BPF_CORE_READ(cur, mm);
	u64 start, len;

	e->cmdline_len = 0;
	if (!mm || mm != BPF_CORE_READ(victim, mm))
		return;
	start = BPF_CORE_READ(mm, arg_start);
	len = BPF_CORE_READ(mm, arg_end) - start;
	if (len == 0 || len > 1 << 21)
		return;
	if (len > MW_OOM_CMDLINE)
		len = MW_OOM_CMDLINE;
	barrier_var(len);
	if (len > MW_OOM_CMDLINE)
		return;
	if (!bpf_probe_read_user(e->cmdline, len, (void *)start))
		e->cmdline_len = len;
}

static __always_inline void read_stalls(struct mw_ev_oom *e, struct task_struct___oom *victim,
					struct task_struct___oom *cur)
{
	struct stall_key key = {.of = STALL_OF_MACHINE, .what = STALL_RECLAIM};

	stall_read(&e->machine_reclaim, &key);
	key.what = STALL_COMPACTION;
	stall_read(&e->machine_compaction, &key);
	key.of = STALL_OF_PROCESS;
	key.id = stall_id(victim);
	key.tgid = e->victim.tgid;
	stall_read(&e->victim_compaction, &key);
	key.what = STALL_RECLAIM;
	stall_read(&e->victim_reclaim, &key);
	key.id = stall_id(cur);
	key.tgid = e->trigger.tgid;
	stall_read(&e->trigger_reclaim, &key);
	key.what = STALL_COMPACTION;
	stall_read(&e->trigger_compaction, &key);
}

/* Who set the victim's oom_score_adj: that of the process itself, or of the parent that it was
 * forked from later. */
static __always_inline void read_writer(struct mw_ev_oom *e, struct task_struct___oom *victim)
{
	struct task_struct___oom *t = BPF_CORE_READ(victim, group_leader);
	u64 before = ~0ULL;

	for (u32 i = 0; i < SCORE_PARENTS && t; i++) {
		struct score_key key = {.start_ns = BPF_CORE_READ(t, start_boottime),
					.tgid = BPF_CORE_READ(t, tgid)};
		struct score *s = bpf_map_lookup_elem(&oom_scores, &key);

		if (s && s->boot_ns < before && s->w.value == e->victim.oom_score_adj) {
			e->score = s->w;
			return;
		}
		if (s && s->boot_ns < before)
			return; /* the value has changed in a way that is not told */
		if (key.start_ns < before)
			before = key.start_ns;
		t = BPF_CORE_READ(t, real_parent, group_leader);
	}
}

static __always_inline void send(u32 kind, u32 signal, struct task_struct___oom *victim)
{
	struct task_struct___oom *cur = (void *)bpf_get_current_task();
	struct mw_ev_oom *e = bpf_ringbuf_reserve(&oom_events, sizeof(*e), 0);

	oom_count(MW_OOM_C_KILLS);
	if (!e) {
		oom_count(MW_OOM_C_LOST_RING);
		return;
	}
	__builtin_memset(&e->victim, 0, sizeof(e->victim));
	__builtin_memset(&e->trigger, 0, sizeof(e->trigger));
	__builtin_memset(&e->machine_reclaim, 0,
			 sizeof(*e) - __builtin_offsetof(struct mw_ev_oom, machine_reclaim));
	e->time_ns = bpf_ktime_get_ns();
	e->kind = kind;
	e->signal = signal;
	read_task(&e->victim, victim);
	read_task(&e->trigger, cur);
	read_victim_cgroups(e, victim);
	read_trigger_cgroups(e, cur);
	read_cmdline(e, cur, victim);
	read_stalls(e, victim, cur);
	read_writer(e, victim);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline bool is_oom_daemon(void)
{
	struct task_struct___oom *cur = (void *)bpf_get_current_task();
	char comm[MW_OOM_COMM] = {};

	BPF_CORE_READ_STR_INTO(&comm, cur, group_leader, comm);
	for (u32 i = 0; i < MW_OOM_DAEMONS; i++) {
		u32 j;

		if (!oom_daemons[i][0])
			break;
		for (j = 0; j < MW_OOM_COMM; j++) {
			if (comm[j] != oom_daemons[i][j])
				break;
		}
		if (j == MW_OOM_COMM)
			return true;
	}
	return false;
}

/* signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int type, int) */
SEC("?raw_tp/signal_generate")
int mw_oom_signal(struct bpf_raw_tracepoint_args *ctx)
{
	u32 sig = ctx->args[0];
	struct task_struct___oom *task = (void *)ctx->args[2];

	if (sig != SIGKILL && sig != SIGTERM)
		return 0;
	if (sig == SIGKILL && ctx->args[1] == SEND_SIG_PRIV) {
		u32 tid = bpf_get_current_pid_tgid();
		struct stash s = {.task = (u64)task, .time_ns = bpf_ktime_get_ns()};

		s.pid = BPF_CORE_READ(task, pid);
		if (bpf_map_update_elem(&oom_stash, &tid, &s, BPF_ANY))
			oom_count(MW_OOM_C_LOST_STASH);
		return 0;
	}
	if (oom_daemons[0][0] && is_oom_daemon())
		send(MW_OOM_DAEMON, sig, task);
	return 0;
}

/* mark_victim(int pid), or since 6.10 (72ba14deb40a, and stable backports) (task, uid) */
SEC("?raw_tp/mark_victim")
int mw_oom_mark(struct bpf_raw_tracepoint_args *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct stash *s = bpf_map_lookup_elem(&oom_stash, &tid);
	u64 arg = ctx->args[0];

	if (!s || (arg != s->task && (u32)arg != s->pid) ||
	    bpf_ktime_get_ns() - s->time_ns > STASH_MAX_NS) {
		oom_count(MW_OOM_C_EXITING);
		return 0;
	}
	send(MW_OOM_KERNEL, SIGKILL, (void *)s->task);
	bpf_map_delete_elem(&oom_stash, &tid);
	return 0;
}

/* mm_vmscan_direct_reclaim_begin(int order, gfp_t gfp_flags), …_end(unsigned long nr_reclaimed),
 * and those for a memory cgroup; later kernels add arguments at the end. */
SEC("?raw_tp/mm_vmscan_direct_reclaim_begin")
int mw_oom_reclaim_begin(struct bpf_raw_tracepoint_args *ctx)
{
	stall_begin();
	return 0;
}

SEC("?raw_tp/mm_vmscan_direct_reclaim_end")
int mw_oom_reclaim_end(struct bpf_raw_tracepoint_args *ctx)
{
	stall_end(STALL_RECLAIM, ctx->args[0]);
	return 0;
}

SEC("?raw_tp/mm_vmscan_memcg_reclaim_begin")
int mw_oom_memcg_begin(struct bpf_raw_tracepoint_args *ctx)
{
	stall_begin();
	return 0;
}

SEC("?raw_tp/mm_vmscan_memcg_reclaim_end")
int mw_oom_memcg_end(struct bpf_raw_tracepoint_args *ctx)
{
	stall_end(STALL_RECLAIM, ctx->args[0]);
	return 0;
}

/* kcompactd's own work stalls nobody. */
static __always_inline bool is_kernel_thread(void)
{
	struct task_struct___oom *cur = (void *)bpf_get_current_task();

	return BPF_CORE_READ(cur, flags) & PF_KTHREAD;
}

SEC("?raw_tp/mm_compaction_begin")
int mw_oom_compaction_begin(struct bpf_raw_tracepoint_args *ctx)
{
	if (!is_kernel_thread())
		stall_begin();
	return 0;
}

SEC("?raw_tp/mm_compaction_end")
int mw_oom_compaction_end(struct bpf_raw_tracepoint_args *ctx)
{
	if (!is_kernel_thread())
		stall_end(STALL_COMPACTION, 0);
	return 0;
}

/* oom_score_adj_update(struct task_struct *task): the new value is in already */
SEC("?raw_tp/oom_score_adj_update")
int mw_oom_score(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___oom *task = (void *)ctx->args[0],
				 *cur = (void *)bpf_get_current_task();
	struct score_key key = {.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
				.tgid = BPF_CORE_READ(task, tgid)};
	struct score s = {.w = {.time_ns = bpf_ktime_get_ns(), .target = key.tgid},
			  .boot_ns = bpf_ktime_get_boot_ns()};

	s.w.pid = bpf_get_current_pid_tgid() >> 32;
	s.w.value = BPF_CORE_READ(task, signal, oom_score_adj);
	BPF_CORE_READ_STR_INTO(&s.w.comm, cur, group_leader, comm);
	if (bpf_map_update_elem(&oom_scores, &key, &s, BPF_ANY))
		oom_count(MW_OOM_C_LOST_SCORE);
	return 0;
}
