// SPDX-License-Identifier: GPL-2.0-only
/*
 * usdt.bpf.c - probes of programs that sample their own allocations (user/elf/usdt.h).
 *
 * What comes here was decided in the program: alloc tells of a sampled block and what it stands
 * for, free of the end of one. So nothing is drawn here and nothing remembered.
 */
#include "alloc_events.h"
#include "stack.h"
#include "memwatch/usdt_args.h"

#define MAX_BYTES (1ULL << 47) /* more than an address space has */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MW_USDT_ROWS);
	__type(key, u32);
	__type(value, struct mw_usdt);
} usdt_rows SEC(".maps");

static __always_inline u64 read_register(struct pt_regs *ctx, u16 off)
{
	u64 v = 0;

	if (off != MW_USDT_NO_REG)
		bpf_probe_read_kernel(&v, sizeof(v), (void *)ctx + off);
	return v;
}

/* The value of an argument; false if it is in memory that cannot be read. */
static __noinline int read_arg(struct pt_regs *ctx, u32 row, u32 n, u64 *ret)
{
	struct mw_usdt *u = bpf_map_lookup_elem(&usdt_rows, &row);
	struct mw_usdt_arg *a;
	u64 v = 0, addr;
	u32 bytes, unused;

	if (!u || n >= MW_USDT_ARGS || !ret)
		return 0;
	a = &u->arg[n];
	bytes = a->bytes;
	if (!bytes || bytes > 8)
		return 0;
	switch (a->kind) {
	case MW_USDT_CONST: v = a->value; break;
	case MW_USDT_REG: v = read_register(ctx, a->reg) >> (a->shift & 63); break;
	case MW_USDT_MEM:
		addr = read_register(ctx, a->reg) + a->value +
		       (read_register(ctx, a->index) << (a->shift & 3));
		if (bpf_probe_read_user(&v, bytes, (void *)addr))
			return 0;
		break;
	default: return 0;
	}
	unused = 64 - 8 * bytes;
	v <<= unused & 63;
	*ret = a->is_signed ? (u64)((s64)v >> (unused & 63)) : v >> (unused & 63);
	return 1;
}

static __always_inline int send_weighed(u32 target, u64 addr, u64 size, u64 weight, u64 stack,
					u64 time_ns)
{
	struct mw_ev_weighed *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev) {
		lost_bytes(target, MW_LOSS_ALLOC_RING, size);
		return -1;
	}
	ev->alloc.hdr.type = MW_EV_WEIGHED;
	ev->alloc.hdr.kind = MW_FN_MALLOC;
	ev->alloc.hdr.target = target;
	ev->alloc.hdr.tid = (u32)bpf_get_current_pid_tgid();
	ev->alloc.hdr.time_ns = time_ns;
	ev->alloc.addr = addr;
	ev->alloc.size = size;
	ev->alloc.stack = stack;
	ev->weight = weight;
	bpf_ringbuf_submit(ev, wake_flags(time_ns));
	return 0;
}

/* otel_memory:alloc(pointer, size, weight) */
SEC("?uprobe")
int mw_usdt_alloc(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), began = bpf_ktime_get_ns();
	u32 target = MW_COOKIE_TARGET(cookie), row = MW_COOKIE_SITE(cookie);
	u64 addr = 0, size = 0, weight = 0;

	if (!alloc_config.sample_bytes)
		return 0;
	count(target, MW_C_ALLOCS, 1);
	count(target, MW_C_SAMPLED_ALLOCS, 1);
	if (!read_arg(ctx, row, 0, &addr) || !addr || addr >> MW_ADDR_BITS) {
		lost(target, MW_LOSS_ADDRESS);
		return 0;
	}
	if (!read_arg(ctx, row, 1, &size) || !read_arg(ctx, row, 2, &weight) || size >= MAX_BYTES ||
	    weight >= MAX_BYTES) {
		lost(target, MW_LOSS_SIZE);
		return 0;
	}
	count(target, MW_C_ALLOC_BYTES, size);
	send_weighed(target, addr, size, weight, stack_id(ctx, target, epoch_of(target), 0), began);
	count(target, MW_C_SAMPLE_NS, bpf_ktime_get_ns() - began);
	return 0;
}

/* otel_memory:free(pointer) */
SEC("?uprobe")
int mw_usdt_free(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), addr = 0;
	u32 target = MW_COOKIE_TARGET(cookie);

	if (!alloc_config.sample_bytes)
		return 0;
	count(target, MW_C_FREES, 1);
	if (!read_arg(ctx, MW_COOKIE_SITE(cookie), 0, &addr) || !addr || addr >> MW_ADDR_BITS) {
		lost(target, MW_LOSS_ADDRESS);
		return 0;
	}
	if (send_free(target, MW_EV_FREE, MW_FN_FREE, addr, 0))
		lost(target, MW_LOSS_FREE_RING);
	else
		count(target, MW_C_SAMPLED_FREES, 1);
	return 0;
}
