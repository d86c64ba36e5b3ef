/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/procmap.h"

#define CALLS 200	 /* a round is short, or other programs are on the processor in each */
#define STEPPED_CALLS 40 /* in a virtual machine each takes tens of times as long */
#define ROUNDS 15
#define LOOK_ROUNDS 3 /* of those rounds */

/* Each does next to nothing; what is given back is no block that an allocator has handed out. */
#if defined(__x86_64__)
#define PUSH_AND_NULL "push %rbx\n\tpop %rbx\n\txor %eax,%eax\n\tret"
__attribute__((naked, noinline)) static void *alloc_at_push(void *size)
{
	__asm__(PUSH_AND_NULL);
}

__attribute__((naked, noinline)) static void *free_at_push(void *p)
{
	__asm__(PUSH_AND_NULL);
}

__attribute__((naked, noinline)) static void *free_at_mov(void *p)
{
	__asm__("mov %rdi,%rax\n\tret");
}
#else
__attribute__((noinline)) static void *alloc_at_push(void *size)
{
	__asm__ volatile("" ::"r"(size));
	return NULL;
}

__attribute__((noinline)) static void *free_at_push(void *p)
{
	__asm__ volatile("" ::"r"(p));
	return NULL;
}

__attribute__((noinline)) static void *free_at_mov(void *p)
{
	__asm__ volatile("" ::"r"(p));
	return NULL;
}
#endif

static struct timed {
	void *(*fn)(void *);
	void *arg;
	int calls;
	enum mw_fn what;
	double before;
} timed[] = {
	{alloc_at_push, NULL, CALLS, MW_FN_MALLOC, 0},
	{free_at_push, NULL, CALLS, MW_FN_FREE, 0},
	{free_at_mov, NULL, STEPPED_CALLS, MW_FN_FREE, 0},
};
enum { ALLOC, FREE, STEPPED };

/* The least of a few rounds: what disturbs only adds. */
static double time_calls(const struct timed *l)
{
	uint64_t best = UINT64_MAX;

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t t = util__now_ns();

		for (int i = 0; i < l->calls; i++)
			l->fn(l->arg);
		t = util__now_ns() - t;
		best = min_of(best, t);
	}
	return (double)best / l->calls;
}

static double added(const struct timed *l)
{
	return max_of(time_calls(l) - l->before, 0);
}

/* The free's loop, for what a look takes as well. */
static void time_frees(const struct bpfobj *o, struct calibration *ret)
{
	uint64_t then[MW_C_COUNT], now[MW_C_COUNT];

	for (int r = 0; r < LOOK_ROUNDS; r++) {
		double free_ns, look_ns = 0;
		bool known = !bpfobj__counters(o, CALIBRATE_TARGET, then);

		free_ns = added(&timed[FREE]);
		if (known && !bpfobj__counters(o, CALIBRATE_TARGET, now) &&
		    now[MW_C_LOOKS] > then[MW_C_LOOKS])
			look_ns = (double)(now[MW_C_LOOK_NS] - then[MW_C_LOOK_NS]) /
				  (double)(now[MW_C_LOOKS] - then[MW_C_LOOKS]);
		ret->free_ns = r ? min_of(ret->free_ns, free_ns) : free_ns;
		ret->look_ns = r ? min_of(ret->look_ns, look_ns) : look_ns;
	}
}

/* Where the timed functions are in this program's file. */
static int find_sites(struct site sites[ARRAY_SIZE(timed)])
{
	struct procmap *maps;
	int err = procmap__read(getpid(), &maps);

	if (err)
		return err;
	memset(sites, 0, ARRAY_SIZE(timed) * sizeof(*sites));
	for (size_t i = 0; i < ARRAY_SIZE(timed); i++) {
		uintptr_t at = (uintptr_t)timed[i].fn;
		const struct procmap_entry *e = procmap__find(maps, at);

		sites[i].func.fn = timed[i].what;
		sites[i].kind = SITE_EMULATED;
		sites[i].off = e ? at - e->start + e->offset : 0;
		err = e ? err : -ENOENT;
	}
	procmap__free(maps);
	return err;
}

int calibrate__run(struct bpfobj *o, struct alloc_probe *p, struct calibration *ret)
{
	cleanup_fd int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct site sites[ARRAY_SIZE(timed)];
	static char page[4096]; /* what is beside the block that is given back is there */
	size_t n;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (exe < 0)
		return -errno;
	err = find_sites(sites);
	if (err)
		return err;
	memset(page, 1, sizeof(page));
	timed[FREE].arg = timed[STEPPED].arg = page + sizeof(page) / 2;
	for (size_t i = 0; i < ARRAY_SIZE(timed); i++)
		timed[i].before = time_calls(&timed[i]);
	err = alloc_probe__attach(p, getpid(), CALIBRATE_TARGET, exe, sites, ARRAY_SIZE(timed),
				  NULL, 0, &n);
	if (err)
		return err;
	ret->alloc_ns = added(&timed[ALLOC]);
	time_frees(o, ret);
	ret->stepped_ns = added(&timed[STEPPED]);
	ret->every_return =
		bpfobj__plan(o)->method != PLAN_SESSION || bpfobj__plan(o)->sample_bytes <= 1;
	return 0;
}
