/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/feature.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <unistd.h>

#include "core/util.h"
#include "probe/uprobe_link.h"
#include "sys/pagemap.h"

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static int probe_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) ? -errno : 0;
}

static int probe_ringbuf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "mw_probe", 0, 0, 4096, NULL);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* r0 = 0; exit */
static const struct bpf_insn return_zero[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
	{.code = BPF_JMP | BPF_EXIT},
};

static int load(enum bpf_prog_type type, int attach_type, int btf_id, const struct bpf_insn *insns,
		size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type,
		    .attach_btf_id = btf_id);
	int fd = bpf_prog_load(type, "mw_probe", "GPL", insns, n, &opts);

	return fd < 0 ? -errno : fd;
}

static int loads(enum bpf_prog_type type, int attach_type, int btf_id)
{
	int fd = load(type, attach_type, btf_id, return_zero, ARRAY_SIZE(return_zero));

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* The kernel's types, while features are probed: reading them takes longer than all probes. */
static struct btf *types;

static int type_id(const char *name, uint32_t kind)
{
	return types ? btf__find_by_name_kind(types, name, kind) : -ENOENT;
}

static int probe_tp_btf(void)
{
	int id = type_id("btf_trace_sched_process_exec", BTF_KIND_TYPEDEF);

	return id < 0 ? id : loads(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, id);
}

static int probe_iter(const char *name)
{
	int id = type_id(name, BTF_KIND_FUNC);

	return id < 0 ? id : loads(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, id);
}

static int probe_task_iter(void)
{
	return probe_iter("bpf_iter_task");
}

static int probe_vma_iter(void)
{
	return probe_iter("bpf_iter_task_vma");
}

static int probe_helper(enum bpf_prog_type type, enum bpf_func_id id)
{
	int r = libbpf_probe_bpf_helper(type, id, NULL);

	return r == 1 ? 0 : r == 0 ? -EOPNOTSUPP : r;
}

static int probe_cookie(void)
{
	return probe_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie);
}

static int probe_find_vma(void)
{
	return probe_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_find_vma);
}

/* A kernel that knows the link type complains of the path (it is no regular file), one that does
 * not of the arguments. */
static int probe_link(int attach_type)
{
	cleanup_fd int prog =
		load(BPF_PROG_TYPE_KPROBE, attach_type, 0, return_zero, ARRAY_SIZE(return_zero));
	uint64_t offset = 0;
	int fd;

	if (prog < 0)
		return prog;
	fd = uprobe_link__create(prog, attach_type, "/", &offset, NULL, NULL, 1, 0, 0);
	if (fd >= 0)
		close(fd);
	return fd == -EBADF || fd >= 0 ? 0 : fd == -EINVAL ? -EOPNOTSUPP : fd;
}

static int probe_multi(void)
{
	return probe_link(MW_BPF_TRACE_UPROBE_MULTI);
}

static int probe_session(void)
{
	return probe_link(MW_BPF_TRACE_UPROBE_SESSION);
}

static int tracepoint(const char *name)
{
	static const char *const roots[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[256];
	int err = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		snprintf(path, sizeof(path), "%s/events/%s/id", roots[i], name);
		if (!access(path, R_OK))
			return 0;
		if (errno != ENOENT)
			err = -errno;
	}
	return err;
}

static int probe_syscall_tp(void)
{
	return tracepoint("syscalls/sys_exit_mmap");
}

static int probe_rss_stat(void)
{
	return tracepoint("kmem/rss_stat");
}

static int probe_page_fault(void)
{
	return tracepoint("exceptions/page_fault_user");
}

static int probe_mark_victim(void)
{
	return tracepoint("oom/mark_victim");
}

static int probe_reclaim(void)
{
	int err = tracepoint("vmscan/mm_vmscan_direct_reclaim_end");

	return err ? err : tracepoint("vmscan/mm_vmscan_memcg_reclaim_end");
}

static int probe_compaction(void)
{
	return tracepoint("compaction/mm_compaction_end");
}

static int probe_score(void)
{
	return tracepoint("oom/oom_score_adj_update");
}

static int probe_pagemap_scan(void)
{
	struct pagemap m;
	int err = pagemap__open(getpid(), &m);

	if (err)
		return err;
	pagemap__close(&m);
	return m.scans ? 0 : -EOPNOTSUPP;
}

static const struct {
	struct feature f;
	int (*probe)(void);
} table[FEATURE_COUNT] = {
	[FEATURE_BTF] = {{"btf", "5.4", "finds kernel structures at run time",
			  "none: memwatch needs a kernel with CONFIG_DEBUG_INFO_BTF", true},
			 probe_btf},
	[FEATURE_RINGBUF] = {{"ringbuf", "5.8", "carries events to userspace in order",
			      "none: memwatch needs Linux 5.8 or later", true},
			     probe_ringbuf},
	[FEATURE_TP_BTF] = {{"tp_btf", "5.5", "fork, exec, exit, RSS changes, OOM kills", "none",
			     true},
			    probe_tp_btf},
	[FEATURE_COOKIE] = {{"attach-cookie", "5.15", "tells the allocator functions apart",
			     "allocator probes are not available; timelines, faults and OOM are",
			     false},
			    probe_cookie},
	[FEATURE_UPROBE_MULTI] = {{"uprobe-multi", "6.6", "attaches all probes of a file at once",
				   "one perf event per probe: slower to attach", false},
				  probe_multi},
	[FEATURE_UPROBE_SESSION] = {{"uprobe-session", "6.13",
				     "return probes only for sampled allocations",
				     "a return probe on every allocation: about 0.2 us more each",
				     false},
				    probe_session},
	[FEATURE_FIND_VMA] = {{"find-vma", "5.17", "unwinds stacks by table in the kernel",
			       "frame-pointer stacks only", false},
			      probe_find_vma},
	[FEATURE_TASK_ITER] = {{"iter-task", "5.8", "reads all processes in one pass",
				"/proc is read instead", false},
			       probe_task_iter},
	[FEATURE_VMA_ITER] = {{"iter-task-vma", "5.12", "keys of mapped files for unwinding",
			       "frame-pointer stacks only", false},
			      probe_vma_iter},
	[FEATURE_SYSCALL_TP] = {{"syscall-tracepoints", "3.0",
				 "anonymous mappings, libraries loaded later",
				 "no mmap class; mappings are looked at once per interval", false},
				probe_syscall_tp},
	[FEATURE_RSS_STAT] = {{"kmem:rss_stat", "5.5", "RSS timelines by event", "RSS is polled",
			       false},
			      probe_rss_stat},
	[FEATURE_PAGE_FAULT_TP] = {{"exceptions:page_fault_user", "3.13", "page-fault profiles",
				    "kmem:rss_stat is used", false},
				   probe_page_fault},
	[FEATURE_MARK_VICTIM] = {{"oom:mark_victim", "4.13", "OOM kills at the moment of the kill",
				  "the kernel log is read instead", false},
				 probe_mark_victim},
	[FEATURE_RECLAIM_TP] = {{"vmscan:reclaim", "2.6.36",
				 "stalls in direct reclaim before an OOM kill",
				 "kills are reported without", false},
				probe_reclaim},
	[FEATURE_COMPACTION_TP] = {{"compaction:compaction", "3.14",
				    "stalls in compaction before an OOM kill",
				    "kills are reported without", false},
				   probe_compaction},
	[FEATURE_SCORE_TP] = {{"oom:oom_score_adj_update", "3.4",
			       "who set the oom_score_adj of an OOM victim",
			       "kills are reported without", false},
			      probe_score},
	[FEATURE_PAGEMAP_SCAN] = {{"pagemap-scan", "6.7", "residency of live blocks",
				   "pagemap is read", false},
				  probe_pagemap_scan},
};

void features__probe(struct features *fs)
{
	libbpf_print_fn_t old = libbpf_set_print(silent);

	types = btf__load_vmlinux_btf();
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		fs->f[i] = table[i].f;
		fs->f[i].err = table[i].probe();
		fs->f[i].have = !fs->f[i].err;
	}
	fs->sparse_rss_stat = type_id("mm_rss_stat", BTF_KIND_STRUCT) > 0;
	fs->prepare_exec = type_id("btf_trace_sched_prepare_exec", BTF_KIND_TYPEDEF) > 0;
	btf__free(types);
	types = NULL;
	fs->may_bpf = fs->f[FEATURE_RINGBUF].err != -EPERM;
	libbpf_set_print(old);
}

static bool has_cap(cap_t caps, cap_value_t cap)
{
	cap_flag_value_t v = CAP_CLEAR;

	return !cap_get_flag(caps, cap, CAP_EFFECTIVE, &v) && v == CAP_SET;
}

bool features__privileged(void)
{
	cap_t caps = cap_get_proc();
	bool ok = caps && (has_cap(caps, CAP_SYS_ADMIN) ||
			   (has_cap(caps, CAP_BPF) && has_cap(caps, CAP_PERFMON) &&
			    has_cap(caps, CAP_SYS_PTRACE)));

	cap_free(caps);
	return ok;
}

const char *features__missing(const struct features *fs)
{
	static char line[256];

	if (!fs->may_bpf)
		return "not permitted to load BPF programs: run as root (sudo), or with CAP_BPF "
		       "and "
		       "CAP_PERFMON";
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (!fs->f[i].required || fs->f[i].have)
			continue;
		if (fs->f[i].err == -EPERM || fs->f[i].err == -EACCES) {
			snprintf(line, sizeof(line),
				 "not permitted to use %s: run as root (sudo), or with CAP_BPF and "
				 "CAP_PERFMON",
				 fs->f[i].name);
			return line;
		}
		snprintf(line, sizeof(line), "this kernel lacks %s (Linux %s; %s)", fs->f[i].name,
			 fs->f[i].since, strerror(-fs->f[i].err));
		return line;
	}
	return NULL;
}
