/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/inject_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/safeopen.h"

#define STOP_NS 500000000ULL
#define REACH (1ULL << 30)
#define LOWEST (1ULL << 20)
#define BRK_ROOM (128ULL << 20)
#define PAGE 4096

void fast__fini(struct fast *f)
{
	if (f->fd > 0)
		close(f->fd);
	f->fd = -1;
	procmem__close(f->mem);
	f->mem = NULL;
	stub_image__fini(&f->image);
}

struct gap {
	uint64_t from, to;
};

struct hole_search {
	struct gap funcs;
	uint64_t bytes, best, best_far;
};

static uint64_t data_of(const struct fast *f)
{
	return f->image.hdr.base + f->image.hdr.code_bytes;
}

/* Where random numbers begin. */
static uint64_t seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_nsec ^ (uint64_t)now.tv_sec << 30;
}

/* Gaps are drawn anew and not stretched: a thread may have drawn its next one, at the new rate,
 * before its slot could be read. */
int fast__set_rate(const struct fast *f, uint64_t rate)
{
	cleanup_free uint8_t *slots = malloc(SLOTS_BYTES);
	int err = !slots ? -ENOMEM : fast__mapped(f) ? 0 : -ESTALE;

	if (!err)
		err = procmem__write(f->mem, data_of(f) + DATA_RATE, &rate, sizeof(rate));
	if (err)
		return err;
	stub__slots(slots, rate, seed());
	return procmem__write(f->mem, data_of(f) + DATA_SLOTS, slots, SLOTS_BYTES);
}

uint64_t fast__full(const struct fast *f)
{
	uint64_t n;

	return procmem__read_u64(f->mem, data_of(f) + DATA_FULL, &n) ? 0 : n;
}

/* The brk area, which grows upwards when the program wants it to. Where nothing is in it yet, its
 * beginning may lie a gigabyte above the program. */
static struct gap brk_area(const struct procmap *maps)
{
	struct gap brk = {.from = proc_task__start_brk(maps->pid)};

	brk.to = max_of(brk.from, procmap__brk_end(maps));
	if (!brk.from)
		brk.from = brk.to;
	return brk;
}

/* The place in a hole that is nearest to all functions, if any is within reach. A page is left free
 * on both sides, and more: guard pages, and stacks that grow. */
static void look_in_hole(struct hole_search *s, struct gap hole, bool from_above)
{
	uint64_t from = hole.from + 16 * PAGE, to = hole.to - 256 * PAGE, at, far;

	if (hole.to < 257 * PAGE)
		return;
	if (from_above)
		to = min_of(to, (s->funcs.from + REACH) & ~(PAGE - 1ULL));
	if (to < from || to - from < s->bytes)
		return;
	at = from > s->funcs.to && !from_above ? from : to - s->bytes;
	far = at > s->funcs.to ? at + s->bytes - s->funcs.from : s->funcs.to - at;
	if (far <= REACH && far < s->best_far) {
		s->best = at;
		s->best_far = far;
	}
}

/* A hole within reach of all functions, as near as can be, but far from where the brk area grows;
 * 0: none. */
static uint64_t find_hole(const struct procmap *maps, uint64_t lo, uint64_t hi, uint64_t bytes)
{
	struct hole_search s = {.funcs = {lo, hi}, .bytes = bytes, .best_far = UINT64_MAX};
	struct gap brk = brk_area(maps);
	uint64_t end = LOWEST;

	for (size_t i = 0; i <= maps->n; i++) {
		uint64_t next = i < maps->n ? maps->entries[i].start : (1ULL << 47) - PAGE;

		if (brk.to >= end && brk.to < next) { /* below it, or high above */
			if (brk.from > end)
				look_in_hole(&s, (struct gap){end, brk.from}, false);
			look_in_hole(&s, (struct gap){brk.to + BRK_ROOM, next}, true);
		} else {
			look_in_hole(&s, (struct gap){end, next}, false);
		}
		end = i < maps->n ? maps->entries[i].end : 0;
	}
	return s.best;
}

static size_t gather(const struct fast_plan *p, struct stub_func *funcs)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->funcs[i].hooked)
			funcs[n++] = p->funcs[i].stub;
	}
	return n;
}

/* Is that in the file? Another may be mapped there by now. */
static bool holds(int fd, uint64_t off, const uint8_t *code, size_t n)
{
	cleanup_free uint8_t *in_file = fd < 0 ? NULL : malloc(n);

	return in_file && pread(fd, in_file, n, off) == (ssize_t)n && !memcmp(in_file, code, n);
}

/* Stubs of an earlier run that are the very ones wanted. */
static bool reuse(const struct procmap *maps, const struct stub_func *funcs, size_t n,
		  struct fast *f)
{
	struct fast_regions all = {.maps = maps};
	const struct procmap_entry *e;

	while ((e = fast_regions__next(&all))) {
		cleanup_free uint8_t *now = NULL;

		if (e->end - e->start != stub__code_bytes(n) || !fast__has_data(maps, e))
			continue;
		if (stub__build(funcs, n, e->start, &f->image))
			continue;
		now = malloc(f->image.hdr.code_bytes);
		if (now && !procmem__read(f->mem, e->start, now, f->image.hdr.code_bytes) &&
		    !memcmp(now, f->image.code, f->image.hdr.code_bytes)) {
			f->fd = procmap__open(maps, e);
			if (holds(f->fd, e->offset, now, f->image.hdr.code_bytes))
				return true;
			util__close_fd(&f->fd);
			f->fd = -1;
		}
		stub_image__fini(&f->image);
	}
	return false;
}

/* Tables as at the start: what is there of the last run would pass for sampled blocks. */
static int clear_data(const struct fast *f, uint64_t rate)
{
	static const uint8_t zero[PAGE];
	cleanup_free uint8_t *head = malloc(DATA_FILTER);
	uint64_t owner[3];
	uint8_t page[PAGE];

	if (!head)
		return -ENOMEM;
	if (!fast__mapped(f))
		return -ESTALE;
	for (uint64_t at = DATA_FILTER; at < DATA_BYTES; at += PAGE) {
		if (procmem__read(f->mem, data_of(f) + at, page, PAGE))
			return -EFAULT;
		if (memcmp(page, zero, PAGE) && procmem__write(f->mem, data_of(f) + at, zero, PAGE))
			return -EFAULT;
	}
	stub__data(head, rate, seed());
	owner[0] = getpid();
	owner[1] = proc_task__start_ns(getpid());
	owner[2] = f->pid;
	memcpy(head + DATA_OWNER, owner, sizeof(owner));
	return procmem__write(f->mem, data_of(f), head, DATA_FILTER);
}

/* The calls by which a thread of the process maps the stubs. */
struct mapping {
	struct fast *f;
	const struct remote_host *host; /* that traces the process */
	const struct procmap *maps;
	struct remote_code code;
	int denied; /* errno of a system call that failed in the process (-ECANCELED) */
};

static int call(struct mapping *m, struct remote *r, long nr, uint64_t a, uint64_t b, uint64_t c,
		uint64_t d, uint64_t e, uint64_t *ret)
{
	const uint64_t args[6] = {a, b, c, d, e, 0};
	int64_t v;
	int err = remote__call(r, nr, args, &v);

	if (err)
		return err;
	if (v < 0 && v > -4096) {
		m->denied = (int)-v;
		return -ECANCELED;
	}
	*ret = v;
	return 0;
}

static int map_code(struct mapping *m, struct remote *r, uint64_t fd)
{
	const struct stub_header *h = &m->f->image.hdr;
	uint64_t at;
	int err;

	m->f->fd =
		safeopen__memfd(r->tid, fd); /* what the call returned the target may have chosen */
	if (m->f->fd < 0)
		return m->f->fd;
	err = util__write_all(m->f->fd, m->f->image.code, h->code_bytes);
	if (!err)
		err = call(m, r, SYS_mmap, h->base, h->code_bytes, PROT_READ | PROT_EXEC,
			   MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, &at);
	return err ? err : at == h->base ? 0 : -EEXIST;
}

/* Stubs of a library that was closed: what is at its functions now is neither what was there nor
 * the jumps. No thread can be in them. */
static bool is_dead(struct procmem *mem, const struct procmap_entry *e)
{
	struct stub_header h;
	uint8_t now[ENTRY_PATCH];

	if (procmem__read(mem, e->start, &h, sizeof(h)) || !fast__is_sound(&h, e))
		return false;
	for (size_t i = 0; i < h.n; i++) {
		if (!procmem__read(mem, h.patch[i].addr, now, sizeof(now)) &&
		    (!memcmp(now, h.patch[i].was, sizeof(now)) ||
		     !memcmp(now, h.patch[i].is, sizeof(now))))
			return false;
	}
	return true;
}

/* Or each time that a library is opened at another address something would stay behind. */
static void unmap_dead(struct mapping *m, struct remote *r)
{
	struct fast_regions all = {.maps = m->maps};
	const struct procmap_entry *e;

	while ((e = fast_regions__next(&all))) {
		uint64_t at;

		if (!is_dead(m->f->mem, e))
			continue;
		call(m, r, SYS_munmap, e->start, e->end - e->start, 0, 0, 0, &at);
		if (fast__has_data(m->maps, e))
			call(m, r, SYS_munmap, e->end, DATA_BYTES, 0, 0, 0, &at);
	}
}

/* The code first, for it has a name: who was killed in between has left nothing that is not seen.
 */
static int map_by(struct mapping *m, struct remote *r)
{
	const struct fast *f = m->f;
	uint64_t fd, at;
	bool code;
	int err, denied;

	err = call(m, r, SYS_memfd_create, remote__text(r), MFD_CLOEXEC, 0, 0, 0, &fd);
	if (err)
		return err;
	err = map_code(m, r, fd);
	code = !err;
	if (!err)
		err = call(m, r, SYS_mmap, data_of(f), DATA_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			   (uint64_t)-1, &at);
	if (!err && at != data_of(f))
		err = -EEXIST;
	if (!err)
		unmap_dead(m, r);
	denied = m->denied;
	if (err && code) /* nothing is left where it cannot be whole */
		call(m, r, SYS_munmap, f->image.hdr.base, f->image.hdr.code_bytes, 0, 0, 0, &at);
	call(m, r, SYS_close, fd, 0, 0, 0, 0, &at);
	m->denied = denied;
	return err;
}

/* A filter is a thread's own, and might kill the process for the calls. It cannot come while the
 * thread is stopped. */
static bool has_filter(pid_t tid)
{
	struct proc_status s;

	return proc_status__read(tid, &s) || s.filters;
}

static int map_with(struct mapping *m, pid_t tid)
{
	struct remote_threads t;
	struct remote r;
	int err = remote__stop(m->host, m->f->pid, tid, STOP_NS, &t), end;

	if (err)
		return err;
	err = has_filter(tid) ? -EAGAIN
			      : remote__begin(m->f->pid, m->f->mem, &t.t[0], &m->code, &r);
	if (!err) {
		err = map_by(m, &r);
		end = remote__end(&r, &t.t[0]);
		err = err ? err : end;
	}
	remote__go(&t);
	return err;
}

/* The first thread that can be had: the main thread's stack is the surest. */
static int map_in_thread(void *arg)
{
	struct mapping *m = arg;
	int err = -EAGAIN;
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", m->f->pid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	while ((err == -EAGAIN || err == -ESRCH) && (d = readdir(dir))) {
		if (atoi(d->d_name) > 0)
			err = map_with(m, atoi(d->d_name));
	}
	closedir(dir);
	return err == -ESRCH ? -EAGAIN : err;
}

static int map_new(const struct procmap *maps, const struct stub_func *funcs, size_t n,
		   struct fast *f, char why[FAST_WHY])
{
	struct mapping m = {.f = f, .maps = maps, .host = remote__host_of(f->host, f->pid)};
	uint64_t lo = UINT64_MAX, hi = 0, base;
	int err = remote__find_code(f->mem, maps, &m.code);

	if (err) {
		snprintf(why, FAST_WHY, "it has no code to make system calls with");
		return err;
	}
	for (size_t i = 0; i < n; i++) {
		lo = min_of(lo, funcs[i].entry.addr);
		hi = max_of(hi, funcs[i].entry.addr);
	}
	base = find_hole(maps, lo, hi, stub__code_bytes(n) + DATA_BYTES);
	err = base ? stub__build(funcs, n, base, &f->image) : -ERANGE;
	if (err) {
		snprintf(why, FAST_WHY, "no room for stubs near its allocator");
		return err;
	}
	err = fast__try_often(m.host, map_in_thread, &m);
	if (err == -EINPROGRESS)
		return err;
	if (err == -EAGAIN)
		snprintf(why, FAST_WHY,
			 "no thread of it can be used: their stacks have no room, or "
			 "their system calls are filtered");
	else if (err == -ECANCELED)
		snprintf(why, FAST_WHY, "stubs cannot be mapped: %s", strerror(m.denied));
	else if (err == -EPERM)
		snprintf(why, FAST_WHY, "it is traced by another process");
	else if (err == -ESTALE)
		snprintf(why, FAST_WHY, "it has called exec meanwhile");
	else if (err)
		snprintf(why, FAST_WHY, "stubs cannot be mapped: %s", strerror(-err));
	return err;
}

static bool is_file(const struct procmap *maps, const struct procmap_entry *e, int text)
{
	cleanup_fd int fd = procmap__open(maps, e);
	struct stat a, b;

	return fd >= 0 && !safeopen__fstat(fd, &a) && !safeopen__fstat(text, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * Does the plan hold in the address space that was opened for writing? It was made for the one that
 * the process had before, and exec leads anywhere. maps was read after the opening: where what was
 * opened is another program than its user's own, it is what the maps are of, if it still lives.
 */
static int check_plan(struct fast *f, const struct procmap *maps, struct fast_plan *plan, int text,
		      char why[FAST_WHY])
{
	const struct procmap_entry *last = NULL, *e;
	int err = fast_plan__check(plan, f->mem);
	uint64_t offset;

	if (!err && *plan->why) {
		snprintf(why, FAST_WHY, "%s", plan->why);
		err = -EBUSY;
	}
	for (size_t i = 0; i < plan->n && !err; i++, last = e) {
		e = last;
		if (!plan->funcs[i].hooked)
			continue;
		e = fast__text_at(maps, plan->funcs[i].stub.entry.patch, &offset);
		if (!e || (e != last && !is_file(maps, e, text)))
			err = -ESTALE;
	}
	return !err && !procmem__alive(f->mem) ? -ESTALE : err;
}

int fast__map(int pid, const struct remote_host *host, struct fast_plan *plan, int text,
	      uint64_t rate, struct fast *f, char why[FAST_WHY])
{
	struct stub_func *funcs = calloc(plan->hooked, sizeof(*funcs));
	struct procmap *maps = NULL;
	size_t n;
	int err;

	*f = (struct fast){.pid = pid, .host = host, .fd = -1};
	*why = 0;
	err = funcs ? procmem__open_writable(pid, &f->mem) : -ENOMEM;
	if (!err)
		err = procmap__read(pid, &maps);
	if (!err)
		err = check_plan(f, maps, plan, text, why);
	if (!err) {
		n = gather(plan, funcs);
		if (!reuse(maps, funcs, n, f))
			err = map_new(maps, funcs, n, f, why);
	}
	if (!err)
		err = clear_data(f, rate);
	if (err == -ESTALE && !*why)
		snprintf(why, FAST_WHY, "it has called exec meanwhile");
	else if (err && err != -EINPROGRESS && !*why)
		snprintf(why, FAST_WHY, "its memory cannot be written: %s", strerror(-err));
	procmap__free(maps);
	free(funcs);
	if (err)
		fast__fini(f);
	return err;
}
