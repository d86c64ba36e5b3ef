// SPDX-License-Identifier: GPL-2.0-only
/*
 * probe_layers.bpf.c - whether a file that this process has open may be of a file system that
 * another user provides, though statfs() names an overlay. Run by hand (BPF_PROG_TEST_RUN, 5.10).
 *
 * Whoever mounts an overlay in a user namespace of his own chooses what lies below it, and a file
 * may come from any of that at any time: it is ours if none of it is FUSE, nor stacked itself by
 * somebody else. One that was mounted in the first user namespace, or in this process's, is that
 * administrator's.
 */
#include "kernel.h"
#include "memwatch/overlay.h"

#define FUSE_MAGIC 0x65735546
#define OVERLAY_MAGIC 0x794c7630
#define MAX_LAYERS 16 /* file systems, not directories */

static __always_inline bool is_administrators(struct super_block *sb)
{
	struct task_struct *self = (struct task_struct *)bpf_get_current_task();
	struct user_namespace *ns = BPF_CORE_READ(sb, s_user_ns);

	return !BPF_CORE_READ(ns, level) || ns == BPF_CORE_READ(self, cred, user_ns);
}

/* One below another. */
static __always_inline bool is_kernels(struct super_block *sb)
{
	if (BPF_CORE_READ(sb, s_magic) == FUSE_MAGIC)
		return false;
	return !BPF_CORE_READ(sb, s_stack_depth) || is_administrators(sb);
}

static __always_inline int look_below(struct super_block *sb, const u64 *arg)
{
	char *ovl = BPF_CORE_READ(sb, s_fs_info), *array = NULL;
	u32 n = 0;

	if (bpf_probe_read_kernel(&n, sizeof(n), ovl + arg[MW_LAYERS_COUNT_AT]) ||
	    bpf_probe_read_kernel(&array, sizeof(array), ovl + arg[MW_LAYERS_ARRAY_AT]) || !n ||
	    n > MAX_LAYERS)
		return MW_LAYERS_ANOTHERS;
	for (u32 i = 0; i < MAX_LAYERS && i < n; i++) {
		struct super_block *below = NULL;

		if (bpf_probe_read_kernel(&below, sizeof(below),
					  array + i * arg[MW_LAYERS_SIZE] + arg[MW_LAYERS_SB_AT]))
			return MW_LAYERS_ANOTHERS;
		if (below && !is_kernels(below)) /* none: nothing is to be written to */
			return MW_LAYERS_ANOTHERS;
	}
	return MW_LAYERS_OURS;
}

SEC("raw_tp/sys_enter")
int mw_layers(struct bpf_raw_tracepoint_args *ctx)
{
	const u64 arg[MW_LAYERS_ARGS] = {ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3],
					 ctx->args[4]};
	struct task_struct *self = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(self, files, fdt);
	struct file **fds = BPF_CORE_READ(table, fd), *f = NULL;
	struct super_block *sb;

	if (arg[MW_LAYERS_FD] >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&f, sizeof(f), fds + arg[MW_LAYERS_FD]) || !f)
		return MW_LAYERS_ANOTHERS;
	sb = BPF_CORE_READ(f, f_path.dentry, d_sb);
	if (BPF_CORE_READ(sb, s_magic) != OVERLAY_MAGIC)
		return MW_LAYERS_ANOTHERS;
	if (is_administrators(sb))
		return MW_LAYERS_OURS;
	return arg[MW_LAYERS_SIZE] ? look_below(sb, arg) : MW_LAYERS_BELOW;
}

char LICENSE[] SEC("license") = "GPL";
