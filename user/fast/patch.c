/* SPDX-License-Identifier: GPL-2.0-or-later */
/* patch.c - makes functions lead to stubs and takes that back, all threads stopped. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/util.h"
#include "fast/inject_priv.h"
#include "sys/proc_task.h"

#define STOP_NS 500000000ULL
#define TRIES 20
#define LATE_TRIES 3
#define TRACER_ENDS_NS 1000000000ULL
#define STACK_LOOK (256 << 10)

/* Are the stubs mapped there, as they were made? The process may do with them what it likes. */
static bool is_mapped(struct procmem *mem, const struct stub_header *h)
{
	struct stub_header now;

	return !procmem__read(mem, h->base, &now, sizeof(now)) && !memcmp(&now, h, sizeof(now));
}

int fast__try_often(const struct remote_host *host, int (*fn)(void *arg), void *arg)
{
	int err = -EAGAIN;

	for (int i = 0, late = 0; i < TRIES && late < LATE_TRIES; i++) {
		if (i)
			nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
		err = remote__run(host, fn, arg);
		late += err == -ETIMEDOUT; /* which holds the others up */
		if (err != -EAGAIN && err != -ETIMEDOUT && err != -ETXTBSY)
			break;
	}
	return err;
}

struct patching {
	int pid;
	const struct remote_host *host;
	struct procmem *mem;
	const struct stub_header *h;
	bool in;
};

static bool in_patch(const struct stub_header *h, uint64_t word)
{
	for (size_t i = 0; i < h->n; i++) {
		if (word > h->patch[i].addr && word < h->patch[i].addr + h->patch[i].len)
			return true;
	}
	return false;
}

/* Is a thread inside the bytes, or will a signal handler of its return there? */
static bool is_inside(const struct patching *p, const struct remote_thread *t, uint64_t *stack)
{
	uint64_t ip, sp;
	ssize_t n;

	if (remote__where(t, &ip, &sp) || in_patch(p->h, ip))
		return true;
	n = procmem__read_some(p->mem, (sp - 128) & ~7ULL, stack, STACK_LOOK);
	if (n < 0) /* at the lower end of its stack */
		n = procmem__read_some(p->mem, sp & ~7ULL, stack, STACK_LOOK);
	for (ssize_t i = 0; i < n / 8; i++) {
		if (in_patch(p->h, stack[i]))
			return true;
	}
	return false;
}

static bool any_inside(const struct patching *p, const struct remote_threads *t)
{
	cleanup_free uint64_t *stack = malloc(STACK_LOOK);

	for (size_t i = 0; stack && i < t->n; i++) {
		if (is_inside(p, &t->t[i], stack))
			return true;
	}
	return !stack;
}

/* Writes one entry, if what is there is what must be there. */
static int write_entry(const struct patching *p, const struct stub_patch *e, bool in)
{
	uint8_t now[ENTRY_PATCH];
	int err = procmem__read(p->mem, e->addr, now, sizeof(now));

	if (err)
		return err;
	if (memcmp(now, in ? e->was : e->is, sizeof(now)))
		return memcmp(now, in ? e->is : e->was, sizeof(now)) ? -EBUSY : 0;
	err = procmem__write(p->mem, e->addr, in ? e->is : e->was, ENTRY_PATCH);
	remote__step(in ? "a jump written" : "a jump taken out");
	return err;
}

/* In the address space that the header was read from, whatever the process runs by now. */
static int write_entries(const struct patching *p)
{
	int err, first = 0;

	if (!is_mapped(p->mem, p->h))
		return -ESTALE;
	for (size_t i = 0; i < p->h->n; i++) {
		err = write_entry(p, &p->h->patch[i], p->in);
		first = first ? first : err;
		if (err && p->in) { /* all or nothing */
			while (i-- > 0)
				write_entry(p, &p->h->patch[i], false);
			break;
		}
	}
	return first;
}

/* One that was killed while it held the process takes a moment to let go of all of its threads. */
static int stop_all(const struct patching *p, struct remote_threads *ret, uint64_t *ret_start)
{
	uint64_t until = util__now_ns() + TRACER_ENDS_NS;
	int err;

	for (;;) {
		*ret_start = util__now_ns();
		err = remote__stop(p->host, p->pid, 0, STOP_NS, ret);
		if (err != -EPERM || util__now_ns() > until)
			return err;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
}

static bool any_asleep(const struct remote_threads *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!t->t[i].stopped)
			return true;
	}
	return false;
}

static int patch_in_thread(void *arg)
{
	struct patching *p = arg;
	struct remote_threads t;
	uint64_t start;
	int err = proc_task__is_shared(p->pid, false) ? -ETXTBSY : stop_all(p, &t, &start);

	if (err)
		return err;
	if (any_asleep(&t) && proc_task__is_shared(p->pid, true)) /* by vfork, just now */
		err = -ETXTBSY;
	else
		err = p->in && any_inside(p, &t) ? -EAGAIN : write_entries(p);
	log_debug("fast: PID %d: %zu threads were stopped for %.2f ms", p->pid, t.n,
		  (double)(util__now_ns() - start) / 1e6);
	remote__go(&t);
	return err;
}

int fast__write(const struct fast *f, const struct stub_header *h, bool in, char why[FAST_WHY])
{
	struct patching p = {.pid = f->pid,
			     .host = remote__host_of(f->host, f->pid),
			     .mem = f->mem,
			     .h = h,
			     .in = in};
	int err = fast__try_often(p.host, patch_in_thread, &p);

	*why = 0;
	if (err == -EBUSY)
		snprintf(why, FAST_WHY, "somebody else has written into its allocator");
	else if (err == -EPERM)
		snprintf(why, FAST_WHY, "it is traced by another process");
	else if (err == -ETIMEDOUT)
		snprintf(why, FAST_WHY, "a thread of it does not stop");
	else if (err == -ETXTBSY)
		snprintf(why, FAST_WHY, "another process runs in its memory (vfork, clone)");
	else if (err == -EAGAIN)
		snprintf(why, FAST_WHY, "a thread of it is always at an allocator's entry");
	else if (err == -ESTALE)
		snprintf(why, FAST_WHY, "the stubs are not mapped there any more");
	else if (err)
		snprintf(why, FAST_WHY, "%s", strerror(-err));
	return err;
}

int fast__patch(const struct fast *f, char why[FAST_WHY])
{
	return fast__write(f, &f->image.hdr, true, why);
}

int fast__unpatch(const struct fast *f, char why[FAST_WHY])
{
	return fast__write(f, &f->image.hdr, false, why);
}

size_t fast__count(struct procmem *mem, const struct stub_header *h)
{
	uint8_t now[ENTRY_PATCH];
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += !procmem__read(mem, h->patch[i].addr, now, sizeof(now)) &&
		     !memcmp(now, h->patch[i].is, sizeof(now));
	return n;
}

size_t fast__patched(const struct fast *f)
{
	return fast__count(f->mem, &f->image.hdr);
}

bool fast__mapped(const struct fast *f)
{
	return is_mapped(f->mem, &f->image.hdr);
}
