/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/procmap.h"

#define CALLS 200
#define ROUNDS 3

/* Each does next to nothing with a pointer that no allocator hands out. */
#if defined(__x86_64__)
__attribute__((naked, noinline)) static void at_push(void *p)
{
	__asm__("push %rbx\n\tpop %rbx\n\tret");
}

__attribute__((naked, noinline)) static void at_mov(void *p)
{
	__asm__("mov %rdi,%rax\n\tret");
}
#else
__attribute__((noinline)) static void at_push(void *p)
{
	__asm__ volatile("" ::"r"(p));
}

__attribute__((noinline)) static void at_mov(void *p)
{
	__asm__ volatile("" ::"r"(p));
}
#endif

/* The least of a few rounds: what disturbs only adds. */
static double time_calls(void (*fn)(void *))
{
	uint64_t best = UINT64_MAX;

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t t = util__now_ns();

		for (int i = 0; i < CALLS; i++)
			fn((void *)16);
		t = util__now_ns() - t;
		best = min_of(best, t);
	}
	return (double)best / CALLS;
}

int calibrate__run(struct alloc_probe *p, struct calibration *ret)
{
	void (*const fn[2])(void *) = {at_push, at_mov};
	cleanup_fd int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct site sites[2];
	struct procmap *maps;
	double before[2];
	size_t n;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (exe < 0)
		return -errno;
	err = procmap__read(getpid(), &maps);
	if (err)
		return err;
	memset(sites, 0, sizeof(sites));
	for (int i = 0; i < 2; i++) {
		const struct procmap_entry *e = procmap__find(maps, (uintptr_t)fn[i]);

		sites[i].func.fn = MW_FN_FREE;
		sites[i].kind = SITE_EMULATED;
		sites[i].off = e ? (uintptr_t)fn[i] - e->start + e->offset : 0;
		err = e ? err : -ENOENT;
		before[i] = time_calls(fn[i]);
	}
	procmap__free(maps);
	if (!err)
		err = alloc_probe__attach(p, getpid(), CALIBRATE_TARGET, exe, sites, 2, NULL, 0,
					  &n);
	if (!err) {
		ret->emulated_ns = max_of(time_calls(at_push) - before[0], 0);
		ret->stepped_ns = max_of(time_calls(at_mov) - before[1], 0);
	}
	return err;
}
