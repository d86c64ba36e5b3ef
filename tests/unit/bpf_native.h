/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf_native.h - the BPF programs as ordinary C in a test: what they take from the kernel (types,
 * maps, helpers) replaced by the simplest thing that keeps the promises of the real one. A map
 * value moves never and is gone once deleted, so that the sanitizers see what a program does with
 * it. Include this once, then the *.bpf.c files.
 *
 * The machine around the programs is the test's: the current thread, its user memory, the clock,
 * random numbers, the stack that bpf_get_stack returns, and whether the ring or a map is full.
 */
#ifndef TESTS_BPF_NATIVE_H
#define TESTS_BPF_NATIVE_H

#define BPF_KERNEL_H /* in place of bpf/kernel.h */
#define __bpf__	     /* the programs' side of the shared headers */

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Waddress"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef __u64 u64;
typedef int16_t s16;
typedef int32_t s32;
typedef __s64 s64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __ksym
#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define barrier() __asm__ volatile("" ::: "memory")
#define barrier_var(x) __asm__ volatile("" : "+r"(x))

#define PF_KTHREAD 0x200000

struct xol_area {
	unsigned long vaddr;
};
struct mm_struct {
	struct {
		struct xol_area *xol_area;
	} uprobes_state;
	struct {
		unsigned long flags;
	} context;
	unsigned long total_vm;
};
struct signal_struct {
	struct {
		int counter;
	} live;
};
struct return_instance {
	unsigned long stack, orig_ret_vaddr;
	struct return_instance *next;
};
struct uprobe_task {
	struct return_instance *return_instances;
};
struct task_struct {
	unsigned int flags;
	int pid, tgid;
	struct mm_struct *mm;
	struct uprobe_task *utask;
	struct signal_struct *signal;
};

struct pt_regs {
	u64 ip, sp, rc, parm[4];
};
#define PT_REGS_IP(ctx) ((ctx)->ip)
#define PT_REGS_SP(ctx) ((ctx)->sp)
#define PT_REGS_RC(ctx) ((ctx)->rc)
#define PT_REGS_PARM1(ctx) ((ctx)->parm[0])
#define PT_REGS_PARM2(ctx) ((ctx)->parm[1])
#define PT_REGS_PARM3(ctx) ((ctx)->parm[2])
#define PT_REGS_PARM4(ctx) ((ctx)->parm[3])
#define PT_REGS_PARM1_SYSCALL(ctx) ((ctx)->parm[0])
#define PT_REGS_PARM2_SYSCALL(ctx) ((ctx)->parm[1])
#define PT_REGS_PARM3_SYSCALL(ctx) ((ctx)->parm[2])
#define PT_REGS_PARM4_SYSCALL(ctx) ((ctx)->parm[3])

#define __LINUX_BPF_PERF_EVENT_H__ /* in place of <linux/bpf_perf_event.h> */
struct bpf_perf_event_data {
	u64 addr;
};

#define BPF_PROG(name, args...) name(args)
#define READ_2(a, b) ((a)->b)
#define READ_3(a, b, c) ((a)->b->c)
#define READ_4(a, b, c, d) ((a)->b->c->d)
#define READ_PICK(a, b, c, d, which, ...) which
#define BPF_CORE_READ(args...) READ_PICK(args, READ_4, READ_3, READ_2)(args)

/* --- the machine --- */

struct native {
	struct task_struct task;
	void *current; /* its task_struct where programs know more of it than task_struct above */
	struct mm_struct mm;
	struct pt_regs user_regs; /* the thread came into the kernel with */
	struct xol_area xol;
	struct signal_struct signal;
	u64 clock_ns, cookie, seed;
	u64 stack[8]; /* of the current user code */
	u32 nstack;
	bool is_return; /* the session probe runs at a return */
	bool ring_full;
	void (*on_event)(const void *data, size_t size); /* what the ring got; may be NULL */
	int (*read_user)(void *to, size_t size, u64 from);
};
static struct native native;

#define NATIVE_SP 0x7ffc00001000ULL

/* For read_user: at NATIVE_SP lies the return address of a call whose return is probed. */
static int native_read_trampoline(void *to, size_t size, u64 from)
{
	memset(to, 0, size);
	if (from == NATIVE_SP)
		memcpy(to, &native.xol.vaddr, size < 8 ? size : 8);
	return 0;
}

static void native__reset(void);
/* No more than so many entries from now on. */
static void native__limit(const void *map, size_t max);

struct native_entry {
	struct native_entry *next;
	unsigned char key[16], value[];
};

struct native_map {
	const void *id;
	struct native_entry *entries[1024];
	size_t n, limit; /* limit 0: the map's own */
};
static struct native_map native_maps[32];

static struct native_map *native_map_of(const void *id)
{
	for (size_t i = 0; i < sizeof(native_maps) / sizeof(*native_maps); i++) {
		if (!native_maps[i].id)
			native_maps[i].id = id;
		if (native_maps[i].id == id)
			return &native_maps[i];
	}
	abort();
}

static void native__limit(const void *map, size_t max)
{
	native_map_of(map)->limit = max;
}

static struct native_entry **native_slot(struct native_map *m, const void *key, size_t size)
{
	struct native_entry **at;
	u64 h = 0;

	assert(size <= 16);
	memcpy(&h, key, size < 8 ? size : 8);
	at = &m->entries[(h * 0x9e3779b97f4a7c15ULL) >> 54];
	while (*at && memcmp((*at)->key, key, size))
		at = &(*at)->next;
	return at;
}

static int native_update(const void *id, size_t max, bool array, size_t key_size, size_t size,
			 const void *key, const void *value, u64 flags)
{
	struct native_map *m = native_map_of(id);
	struct native_entry **at = native_slot(m, key, key_size);

	if (*at && flags == BPF_NOEXIST)
		return -EEXIST;
	if (!*at && flags == BPF_EXIST)
		return -ENOENT;
	if (!*at) {
		if (m->n >= (m->limit ? m->limit : max))
			return -E2BIG;
		*at = calloc(1, sizeof(**at) + size);
		assert(*at);
		memcpy((*at)->key, key, key_size);
		m->n++;
	}
	memcpy((*at)->value, value, size);
	return 0;
}

static void *native_lookup(const void *id, size_t max, bool array, size_t key_size, size_t size,
			   const void *key)
{
	struct native_map *m = native_map_of(id);
	struct native_entry **at = native_slot(m, key, key_size);
	u32 i = 0;

	if (!*at && array) {
		memcpy(&i, key, sizeof(i));
		if (i >= max)
			return NULL;
		*at = calloc(1, sizeof(**at) + size);
		assert(*at);
		memcpy((*at)->key, key, key_size);
		m->n++;
	}
	return *at ? (*at)->value : NULL;
}

static int native_delete(const void *id, size_t key_size, const void *key)
{
	struct native_map *m = native_map_of(id);
	struct native_entry **at = native_slot(m, key, key_size), *e = *at;

	if (!e)
		return -ENOENT;
	*at = e->next;
	m->n--;
	free(e);
	return 0;
}

static void native__reset(void)
{
	for (size_t i = 0; i < sizeof(native_maps) / sizeof(*native_maps); i++) {
		for (size_t k = 0; k < 1024; k++) {
			while (native_maps[i].entries[k]) {
				struct native_entry *e = native_maps[i].entries[k];

				native_maps[i].entries[k] = e->next;
				free(e);
			}
		}
	}
	memset(native_maps, 0, sizeof(native_maps));
	memset(&native, 0, sizeof(native));
	native.seed = 88172645463325252ULL;
	native.xol.vaddr = 0x7fff00001000;
	native.mm.uprobes_state.xol_area = &native.xol;
	native.task = (struct task_struct){
		.pid = 100, .tgid = 100, .mm = &native.mm, .signal = &native.signal};
	native.stack[0] = 0x401000;
	native.nstack = 1;
}

#define NATIVE_MAX(m) (sizeof(*(m)->max_entries) / sizeof(int))
#define NATIVE_TYPE(m) (sizeof(*(m)->type) / sizeof(int))
#define NATIVE_ARRAY(m) \
	(NATIVE_TYPE(m) == BPF_MAP_TYPE_ARRAY || NATIVE_TYPE(m) == BPF_MAP_TYPE_PERCPU_ARRAY)
/* the size of the counters' table is the plan's */
#define NATIVE_ROOM(m) (NATIVE_ARRAY(m) && NATIVE_MAX(m) == 1 ? 1 << 16 : NATIVE_MAX(m))

#define bpf_map_lookup_elem(m, k)                                                                 \
	((typeof((m)->value))native_lookup(m, NATIVE_ROOM(m), NATIVE_ARRAY(m), sizeof(*(m)->key), \
					   sizeof(*(m)->value), k))
#define bpf_map_update_elem(m, k, v, flags)                                                       \
	native_update(m, NATIVE_ROOM(m), NATIVE_ARRAY(m), sizeof(*(m)->key), sizeof(*(m)->value), \
		      k, v, flags)
#define bpf_map_delete_elem(m, k) native_delete(m, sizeof(*(m)->key), k)

/* --- helpers --- */

static inline u64 bpf_get_current_pid_tgid(void)
{
	return (u64)native.task.tgid << 32 | (u32)native.task.pid;
}

static inline u64 bpf_get_current_task(void)
{
	return (u64)(uintptr_t)(native.current ? native.current : &native.task);
}

static inline struct task_struct *bpf_get_current_task_btf(void)
{
	return &native.task;
}

static inline long bpf_task_pt_regs(struct task_struct *task)
{
	return (long)&native.user_regs;
}

static inline u32 bpf_get_smp_processor_id(void)
{
	return 0;
}

static inline u64 bpf_ktime_get_ns(void)
{
	return native.clock_ns += 100;
}

static inline u32 bpf_get_prandom_u32(void)
{
	native.seed ^= native.seed >> 12;
	native.seed ^= native.seed << 25;
	native.seed ^= native.seed >> 27;
	return (native.seed * 2685821657736338717ULL) >> 32;
}

static inline u64 bpf_get_attach_cookie(void *ctx)
{
	return native.cookie;
}

bool bpf_session_is_return(void)
{
	return native.is_return;
}

static inline long bpf_get_current_comm(void *buf, u32 size)
{
	memset(buf, 0, size);
	memcpy(buf, "native", 7);
	return 0;
}

static inline long bpf_get_stack(void *ctx, void *buf, u32 size, u64 flags)
{
	if (!native.nstack)
		return -EFAULT;
	memcpy(buf, native.stack, native.nstack * 8);
	return native.nstack * 8;
}

static inline long bpf_probe_read_user(void *to, u32 size, const void *from)
{
	int err = native.read_user ? native.read_user(to, size, (u64)(uintptr_t)from) : -EFAULT;

	if (err)
		memset(to, 0, size); /* as the kernel does */
	return err;
}

static inline long bpf_probe_read_kernel(void *to, u32 size, const void *from)
{
	memcpy(to, from, size);
	return 0;
}

/* A record is allocated alone: what is written beside it is found. */
struct native_record {
	size_t size;
	unsigned char *data;
};
static struct native_record native_records[8];

static inline void *bpf_ringbuf_reserve(void *ring, u64 size, u64 flags)
{
	if (native.ring_full)
		return NULL;
	for (size_t i = 0; i < 8; i++) {
		if (native_records[i].data)
			continue;
		native_records[i].size = size;
		native_records[i].data = malloc(size);
		memset(native_records[i].data, 0xa5, size);
		return native_records[i].data;
	}
	abort(); /* nobody keeps so many open */
}

static inline void bpf_ringbuf_submit(void *data, u64 flags)
{
	for (size_t i = 0; i < 8; i++) {
		if (native_records[i].data != data)
			continue;
		native_records[i].data = NULL;
		if (native.on_event)
			native.on_event(data, native_records[i].size);
		free(data);
		return;
	}
	abort();
}

static inline long bpf_ringbuf_output(void *ring, void *data, u64 size, u64 flags)
{
	if (native.ring_full)
		return -EAGAIN;
	if (native.on_event)
		native.on_event(data, size);
	return 0;
}

static inline u64 bpf_ringbuf_query(void *ring, u64 flags)
{
	return 0;
}

#endif
