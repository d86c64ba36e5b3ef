// SPDX-License-Identifier: GPL-2.0-only
/*
 * probe_entry.bpf.c - the peer of the benchmark: what allocation tracers on uprobes usually do.
 * Probes at the symbols themselves, a return probe on every allocation, a hash of live blocks,
 * every stack walked, nothing sampled. Stands for tools that need kernel headers to run.
 */
#include "kernel.h"

struct block {
	u64 size, time_ns;
	s32 stack;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000000);
	__type(key, u64);
	__type(value, struct block);
} blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 10240);
	__uint(key_size, sizeof(u32));
	__uint(value_size, 127 * sizeof(u64));
} stacks SEC(".maps");

SEC("uprobe")
int peer_malloc_enter(struct pt_regs *ctx)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 size = PT_REGS_PARM1(ctx);

	bpf_map_update_elem(&sizes, &tid, &size, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int peer_malloc_exit(struct pt_regs *ctx)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 *size = bpf_map_lookup_elem(&sizes, &tid), addr = PT_REGS_RC(ctx);
	struct block b = {};

	if (!size)
		return 0;
	b.size = *size;
	b.time_ns = bpf_ktime_get_ns();
	bpf_map_delete_elem(&sizes, &tid);
	if (!addr)
		return 0;
	b.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_map_update_elem(&blocks, &addr, &b, BPF_ANY);
	return 0;
}

SEC("uprobe")
int peer_free_enter(struct pt_regs *ctx)
{
	u64 addr = PT_REGS_PARM1(ctx);

	bpf_map_delete_elem(&blocks, &addr);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
