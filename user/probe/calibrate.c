/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "probe/bpfobj_priv.h"
#include "sys/procmap.h"

#define CALLS 200	 /* a round is short, or other programs are on the processor in each */
#define STEPPED_CALLS 40 /* in a virtual machine each takes tens of times as long */
#define ROUNDS 15
#define AGAIN_ROUNDS 4
#define TIMED_ROUNDS 3 /* of those rounds */
#define FIRST_NS 250000000ULL
#define LONGEST_NS 3600000000000ULL
#define PAGE 4096

/*
 * Each does next to nothing, wherever it is; what is given back is no block that an allocator has
 * handed out. The linker tells where their section begins and ends.
 */
#define TIMED __attribute__((section("mw_calibrate"), noinline))
extern const uint8_t __start_mw_calibrate[], __stop_mw_calibrate[];

#if defined(__x86_64__)
#define PUSH_AND_NULL "push %rbx\n\tpop %rbx\n\txor %eax,%eax\n\tret"
TIMED __attribute__((naked)) static void *alloc_at_push(void *size)
{
	__asm__(PUSH_AND_NULL);
}

TIMED __attribute__((naked)) static void *free_at_push(void *p)
{
	__asm__(PUSH_AND_NULL);
}

TIMED __attribute__((naked)) static void *free_at_mov(void *p)
{
	__asm__("mov %rdi,%rax\n\tret");
}
#else
TIMED static void *alloc_at_push(void *size)
{
	__asm__ volatile("" ::"r"(size));
	return NULL;
}

TIMED static void *free_at_push(void *p)
{
	__asm__ volatile("" ::"r"(p));
	return NULL;
}

TIMED static void *free_at_mov(void *p)
{
	__asm__ volatile("" ::"r"(p));
	return NULL;
}
#endif

struct timed {
	void *(*fn)(void *);
	void *arg;
	int calls;
	enum mw_fn what;
	double before; /* it is probed, ns */
};
enum { ALLOC, FREE, STEPPED, TIMES };

struct calibrator {
	struct bpfobj *obj;
	const uint8_t *code; /* the copy; NULL: there is none, those of the program are probed */
	struct timed timed[TIMES];
	bool layers; /* was known of when the last measurement was made */
	uint64_t start_ns, last_ns;
	uint8_t page[PAGE]; /* what is beside the block that is given back is there */
};

/* Of this thread: others may be on the processor in between. */
static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The least of a few rounds: what disturbs only adds. */
static double time_calls(const struct timed *l, int rounds)
{
	uint64_t best = UINT64_MAX;

	for (int r = 0; r < rounds; r++) {
		uint64_t t = thread_ns();

		for (int i = 0; i < l->calls; i++)
			l->fn(l->arg);
		t = thread_ns() - t;
		best = min_of(best, t);
	}
	return (double)best / l->calls;
}

static double added(const struct timed *l, int rounds)
{
	return max_of(time_calls(l, rounds) - l->before, 0);
}

static void least(double *a, double b)
{
	if (b > 0 && (*a <= 0 || b < *a))
		*a = b;
}

void calibrate__least(struct calibration *k, const struct calibration *measured)
{
	least(&k->alloc_ns, measured->alloc_ns);
	least(&k->free_ns, measured->free_ns);
	least(&k->stepped_ns, measured->stepped_ns);
	least(&k->timed_ns, measured->timed_ns);
	k->every_return = measured->every_return;
}

/* The free's loop, for what its program takes as well. */
static void time_frees(const struct calibrator *c, int rounds, struct calibration *ret)
{
	uint64_t then[MW_C_COUNT], now[MW_C_COUNT];
	bool known = !bpfobj__counters(c->obj, CALIBRATE_TARGET, then);

	ret->free_ns = added(&c->timed[FREE], rounds);
	if (known && !bpfobj__counters(c->obj, CALIBRATE_TARGET, now) &&
	    now[MW_C_TIMED_FREES] > then[MW_C_TIMED_FREES])
		ret->timed_ns = (double)(now[MW_C_TIMED_FREE_NS] - then[MW_C_TIMED_FREE_NS]) /
			       (double)(now[MW_C_TIMED_FREES] - then[MW_C_TIMED_FREES]);
}

static void measure(struct calibrator *c, int rounds, int timed_rounds, struct calibration *k)
{
	const struct plan *plan = bpfobj__plan(c->obj);
	struct calibration now = {.every_return =
					  plan->method != PLAN_SESSION || plan->sample_bytes <= 1};

	for (int i = 0; i < timed_rounds; i++) {
		time_frees(c, rounds, &now);
		calibrate__least(k, &now);
	}
	now.alloc_ns = added(&c->timed[ALLOC], rounds);
	now.stepped_ns = added(&c->timed[STEPPED], rounds);
	calibrate__least(k, &now);
	c->last_ns = util__now_ns();
	log_debug("a hit: %.0f ns of an allocation, %.0f of a free, %.0f where it is stepped; the "
		  "program of a free %.0f",
		  k->alloc_ns, k->free_ns, k->stepped_ns, k->timed_ns);
}

/* A copy of the code that nobody else has, for as long as memwatch runs; else the file of the
 * program (a system may forbid such copies). */
static int own_code(struct calibrator *c)
{
	size_t n = __stop_mw_calibrate - __start_mw_calibrate;
	void *code;
	int fd = memfd_create("memwatch-calibrate", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	code = n > PAGE || write(fd, __start_mw_calibrate, n) != (ssize_t)n
		       ? MAP_FAILED
		       : mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (code == MAP_FAILED) {
		close(fd);
		return -EACCES;
	}
	c->code = code;
	for (size_t i = 0; i < TIMES; i++)
		c->timed[i].fn =
			(void *(*)(void *))((uintptr_t)code + ((uintptr_t)c->timed[i].fn -
							       (uintptr_t)__start_mw_calibrate));
	return fd;
}

/* Where the timed functions are in the file. */
static int find_sites(const struct calibrator *c, struct site sites[TIMES])
{
	struct procmap *maps;
	int err = procmap__read(getpid(), &maps);

	if (err)
		return err;
	memset(sites, 0, TIMES * sizeof(*sites));
	for (size_t i = 0; i < TIMES; i++) {
		uintptr_t at = (uintptr_t)c->timed[i].fn;
		const struct procmap_entry *e = procmap__find(maps, at);

		sites[i].func.fn = c->timed[i].what;
		sites[i].kind = SITE_EMULATED;
		sites[i].off = e ? at - e->start + e->offset : 0;
		err = e ? err : -ENOENT;
	}
	procmap__free(maps);
	return err;
}

static int probe_code(struct calibrator *c, struct alloc_probe *p)
{
	struct site sites[TIMES];
	cleanup_fd int fd = own_code(c);
	size_t n;
	int err;

	if (fd < 0)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = find_sites(c, sites);
	if (err)
		return err;
	for (size_t i = 0; i < TIMES; i++)
		c->timed[i].before = time_calls(&c->timed[i], ROUNDS);
	return alloc_probe__attach(p, getpid(), CALIBRATE_TARGET, fd, sites, TIMES, NULL, 0, &n);
}

static bool knows_of_layers(const struct calibrator *c)
{
	return c->obj->skel->data->alloc_config.layers;
}

int calibrate__new(struct bpfobj *o, struct alloc_probe *p, struct calibration *k,
		   struct calibrator **ret)
{
	struct calibrator *c = calloc(1, sizeof(*c));
	void *block = c ? c->page + sizeof(c->page) / 2 : NULL;
	int err;

	memset(k, 0, sizeof(*k));
	if (!c)
		return -ENOMEM;
	c->obj = o;
	c->start_ns = util__now_ns();
	memset(c->page, 1, sizeof(c->page));
	c->timed[ALLOC] = (struct timed){alloc_at_push, NULL, CALLS, MW_FN_MALLOC, 0};
	c->timed[FREE] = (struct timed){free_at_push, block, CALLS, MW_FN_FREE, 0};
	c->timed[STEPPED] = (struct timed){free_at_mov, block, STEPPED_CALLS, MW_FN_FREE, 0};
	err = probe_code(c, p);
	if (err) {
		calibrate__free(c);
		return err;
	}
	c->layers = knows_of_layers(c);
	measure(c, ROUNDS, TIMED_ROUNDS, k);
	*ret = c;
	return 0;
}

void calibrate__free(struct calibrator *c)
{
	if (c && c->code)
		munmap((void *)c->code, PAGE);
	free(c);
}

bool calibrate__is_due(const struct calibrator *c, uint64_t now_ns)
{
	uint64_t wait = min_of(max_of(c->last_ns - c->start_ns, FIRST_NS), LONGEST_NS);

	return now_ns - c->last_ns >= wait;
}

void calibrate__again(struct calibrator *c, struct calibration *k)
{
	/* each hit has more to do from then on */
	if (c->layers != knows_of_layers(c))
		memset(k, 0, sizeof(*k));
	c->layers = knows_of_layers(c);
	measure(c, AGAIN_ROUNDS, 1, k);
}
