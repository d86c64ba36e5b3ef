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
 */
#include "maps.h"
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
	__uint(max_entries, 1 << 19);
} oom_events SEC(".maps");

/* By the sending thread. Entries are of use for microseconds; an LRU forgets the rest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct stash);
} oom_stash SEC(".maps");

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

static __always_inline struct cgroup_subsys_state___oom *memcg_of(struct task_struct___oom *task)
{
	struct cgroup_subsys_state___oom *css = NULL;
	struct css_set___oom *set = BPF_CORE_READ(task, cgroups);
	u32 id;

	if (!set || !bpf_core_enum_value_exists(enum cgroup_subsys_id___oom, memory_cgrp_id___oom))
		return NULL;
	id = bpf_core_enum_value(enum cgroup_subsys_id___oom, memory_cgrp_id___oom);
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(set->subsys) + id * sizeof(css));
	return css;
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
	u32 i;

	for (i = 0; i < MW_OOM_LEVELS; i++) {
		struct mw_oom_level *l = &e->victim_cgroup[i];
		struct mem_cgroup___oom *memcg;

		if (!css)
			break;
		memcg = (void *)css - bpf_core_field_offset(((struct mem_cgroup___oom *)0)->css);
		l->usage = BPF_CORE_READ(memcg, memory.usage.counter);
		l->max = BPF_CORE_READ(memcg, memory.max);
		l->swap_usage = BPF_CORE_READ(memcg, swap.usage.counter);
		l->swap_max = BPF_CORE_READ(memcg, swap.max);
		read_name(l->name, css);
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
	e->time_ns = bpf_ktime_get_ns();
	e->kind = kind;
	e->signal = signal;
	read_task(&e->victim, victim);
	read_task(&e->trigger, cur);
	read_victim_cgroups(e, victim);
	read_trigger_cgroups(e, cur);
	read_cmdline(e, cur, victim);
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
