/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/inject.h"

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
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/safeopen.h"

#define NAME "/memfd:memwatch-fast"
#define STOP_NS 500000000ULL
#define TRIES 20
#define LATE_TRIES 3
#define TRACER_ENDS_NS 1000000000ULL
#define REACH (1ULL << 30)
#define LOWEST (1ULL << 20)
#define STACK_LOOK (256 << 10)
#define PAGE 4096

void fast__fini(struct fast *f)
{
	if (f->fd > 0)
		close(f->fd);
	f->fd = -1;
	stub_image__fini(&f->image);
}

static uint64_t data_of(const struct fast *f)
{
	return f->image.hdr.base + f->image.hdr.code_bytes;
}

/* Are the stubs mapped? After exec something else may be there. */
static bool is_mapped(struct procmem *mem, const struct stub_header *h)
{
	uint64_t now[2]; /* magic, base */

	return !procmem__read(mem, h->base, now, sizeof(now)) && now[0] == h->magic &&
	       now[1] == h->base;
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
	uint8_t slots[N_SLOTS * SLOT_BYTES];
	struct procmem *mem;
	int err = procmem__open(f->pid, &mem);

	if (err)
		return err;
	err = is_mapped(mem, &f->image.hdr) ? 0 : -ESTALE;
	procmem__close(mem);
	if (!err)
		err = procmem__write(f->pid, data_of(f) + DATA_RATE, &rate, sizeof(rate));
	if (err)
		return err;
	stub__slots(slots, rate, seed());
	return procmem__write(f->pid, data_of(f) + DATA_SLOTS, slots, sizeof(slots));
}

uint64_t fast__full(const struct fast *f)
{
	struct procmem *mem;
	uint64_t n = 0;

	if (procmem__open(f->pid, &mem))
		return 0;
	if (procmem__read_u64(mem, data_of(f) + DATA_FULL, &n))
		n = 0;
	procmem__close(mem);
	return n;
}

/* A hole within reach of all functions, as near as can be; 0: none. */
static uint64_t find_hole(const struct procmap *maps, uint64_t lo, uint64_t hi, uint64_t bytes)
{
	uint64_t best = 0, best_far = UINT64_MAX, end = LOWEST;

	for (size_t i = 0; i <= maps->n; i++) {
		uint64_t next = i < maps->n ? maps->entries[i].start : (1ULL << 47) - PAGE;
		/* a page is left free on both sides: guard pages and stacks that grow */
		uint64_t from = end + 16 * PAGE, to = next - 256 * PAGE, at, far;

		end = i < maps->n ? maps->entries[i].end : 0;
		if (next < 257 * PAGE || to < from || to - from < bytes)
			continue;
		at = from > hi ? from : to - bytes;
		far = at > hi ? at + bytes - lo : hi - at;
		if (far < REACH && far < best_far) {
			best = at;
			best_far = far;
		}
	}
	return best;
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

static bool is_ours(const struct procmap_entry *e)
{
	return e->kind == PROCMAP_FILE && (e->prot & PROCMAP_X) && !strcmp(e->path, NAME);
}

/* Is that in the file? Another may be mapped there by now. */
static bool holds(int fd, uint64_t off, const uint8_t *code, size_t n)
{
	cleanup_free uint8_t *in_file = fd < 0 ? NULL : malloc(n);

	return in_file && pread(fd, in_file, n, off) == (ssize_t)n && !memcmp(in_file, code, n);
}

/* Stubs of an earlier run that are the very ones wanted. */
static bool reuse(const struct procmap *maps, struct procmem *mem, const struct stub_func *funcs,
		  size_t n, struct fast *f)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		const struct procmap_entry *data = procmap__find(maps, e->end);
		cleanup_free uint8_t *now = NULL;

		if (!is_ours(e) || e->end - e->start != stub__code_bytes(n) || !data ||
		    !(data->prot & PROCMAP_W) || data->end < e->end + DATA_BYTES)
			continue;
		if (stub__build(funcs, n, e->start, &f->image))
			continue;
		now = malloc(f->image.hdr.code_bytes);
		if (now && !procmem__read(mem, e->start, now, f->image.hdr.code_bytes) &&
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
static int clear_data(const struct fast *f, struct procmem *mem, uint64_t rate)
{
	static const uint8_t zero[PAGE];
	cleanup_free uint8_t *head = malloc(DATA_FILTER);
	uint64_t owner[2];
	uint8_t page[PAGE];

	if (!head)
		return -ENOMEM;
	if (!is_mapped(mem, &f->image.hdr))
		return -ESTALE;
	for (uint64_t at = DATA_FILTER; at < DATA_BYTES; at += PAGE) {
		if (procmem__read(mem, data_of(f) + at, page, PAGE))
			return -EFAULT;
		if (memcmp(page, zero, PAGE) && procmem__write(f->pid, data_of(f) + at, zero, PAGE))
			return -EFAULT;
	}
	stub__data(head, rate, seed());
	owner[0] = getpid();
	owner[1] = proc_task__start_ns(getpid());
	memcpy(head + DATA_OWNER, owner, sizeof(owner));
	return procmem__write(f->pid, data_of(f), head, DATA_FILTER);
}

/*
 * Does it in the thread that can, again and again as long as no thread of the process is where it
 * must be. Each time that thread comes to whatever else it has to do.
 */
static int try_often(const struct remote_host *host, int (*fn)(void *arg), void *arg)
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

/* The calls by which a thread of the process maps the stubs. */
struct mapping {
	struct fast *f;
	const struct remote_host *host; /* that traces the process */
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

static int map_by(struct mapping *m, struct remote *r)
{
	struct fast *f = m->f;
	const struct stub_header *h = &f->image.hdr;
	bool data = false;
	uint64_t fd, at;
	int err, denied;

	err = call(m, r, SYS_memfd_create, remote__text(r), MFD_CLOEXEC, 0, 0, 0, &fd);
	if (err)
		return err;
	f->fd = safeopen__memfd(r->tid, fd); /* what the call returned the target may have chosen */
	if (f->fd < 0)
		err = f->fd;
	if (!err)
		err = util__write_all(f->fd, f->image.code, h->code_bytes);
	/* data first: no code without it */
	if (!err)
		err = call(m, r, SYS_mmap, data_of(f), DATA_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			   (uint64_t)-1, &at);
	data = !err;
	if (!err && at != data_of(f))
		err = -EEXIST;
	if (!err)
		err = call(m, r, SYS_mmap, h->base, h->code_bytes, PROT_READ | PROT_EXEC,
			   MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, &at);
	if (!err && at != h->base)
		err = -EEXIST;
	denied = m->denied;
	if (err && data) /* nothing is left where it cannot be whole */
		call(m, r, SYS_munmap, data_of(f), DATA_BYTES, 0, 0, 0, &at);
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
	err = has_filter(tid) ? -EAGAIN : remote__begin(m->f->pid, &t.t[0], &m->code, &r);
	if (!err) {
		err = map_by(m, &r);
		end = remote__end(&r);
		err = err ? err : end;
		if (r.stop_sig) {
			t.t[0].sig = r.stop_sig;
			t.t[0].status = W_STOPCODE(r.stop_sig);
		}
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

static int map_new(struct procmem *mem, const struct procmap *maps, const struct stub_func *funcs,
		   size_t n, struct fast *f, char why[FAST_WHY])
{
	struct mapping m = {.f = f, .host = remote__host_of(f->host, f->pid)};
	uint64_t lo = UINT64_MAX, hi = 0, base;
	int err = remote__find_code(mem, maps, &m.code);

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
	err = try_often(m.host, map_in_thread, &m);
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

int fast__map(int pid, const struct remote_host *host, const struct fast_plan *plan, uint64_t rate,
	      struct fast *f, char why[FAST_WHY])
{
	struct stub_func *funcs = calloc(plan->hooked, sizeof(*funcs));
	struct procmap *maps = NULL;
	struct procmem *mem = NULL;
	size_t n;
	int err = funcs ? procmem__open(pid, &mem) : -ENOMEM;

	memset(f, 0, sizeof(*f));
	f->pid = pid;
	f->host = host;
	f->fd = -1;
	*why = 0;
	if (!err)
		err = procmap__read(pid, &maps);
	if (!err) {
		n = gather(plan, funcs);
		if (!reuse(maps, mem, funcs, n, f))
			err = map_new(mem, maps, funcs, n, f, why);
	}
	if (!err)
		err = clear_data(f, mem, rate);
	if (err && err != -EINPROGRESS && !*why)
		snprintf(why, FAST_WHY, "its memory cannot be written: %s", strerror(-err));
	procmap__free(maps);
	procmem__close(mem);
	free(funcs);
	if (err)
		fast__fini(f);
	return err;
}

struct patching {
	int pid;
	const struct remote_host *host;
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
static bool any_inside(const struct patching *p, const struct remote_threads *t)
{
	cleanup_free uint64_t *stack = malloc(STACK_LOOK);
	struct procmem *mem;
	bool inside = !stack;

	if (procmem__open(p->pid, &mem))
		return true;
	for (size_t i = 0; i < t->n && !inside; i++) {
		size_t len = STACK_LOOK;
		uint64_t ip, sp;

		if (remote__where(&t->t[i], &ip, &sp)) {
			inside = true;
			break;
		}
		inside = in_patch(p->h, ip);
		while (len >= PAGE && procmem__read(mem, (sp - 128) & ~7ULL, stack, len))
			len /= 2;
		for (size_t k = 0; len >= PAGE && k < len / 8 && !inside; k++)
			inside = in_patch(p->h, stack[k]);
	}
	procmem__close(mem);
	return inside;
}

/* Writes one entry, if what is there is what must be there. */
static int write_entry(const struct patching *p, struct procmem *mem, const struct stub_patch *e,
		       bool in)
{
	uint8_t now[ENTRY_PATCH];
	int err = procmem__read(mem, e->addr, now, sizeof(now));

	if (err)
		return err;
	if (memcmp(now, in ? e->was : e->is, sizeof(now)))
		return memcmp(now, in ? e->is : e->was, sizeof(now)) ? -EBUSY : 0;
	err = procmem__write(p->pid, e->addr, in ? e->is : e->was, ENTRY_PATCH);
	remote__step(in ? "a jump written" : "a jump taken out");
	return err;
}

static int write_entries(const struct patching *p)
{
	struct procmem *mem;
	int err = procmem__open(p->pid, &mem), first = 0;

	if (err)
		return err;
	/* no jump into what is not there: the process may have called exec since */
	if (p->in && !is_mapped(mem, p->h))
		err = first = -ESTALE;
	for (size_t i = 0; i < p->h->n && first != -ESTALE; i++) {
		err = write_entry(p, mem, &p->h->patch[i], p->in);
		first = first ? first : err;
		if (err && p->in) { /* all or nothing */
			while (i-- > 0)
				write_entry(p, mem, &p->h->patch[i], false);
			break;
		}
	}
	procmem__close(mem);
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
	int err = remote__is_shared(p->pid, false) ? -ETXTBSY : stop_all(p, &t, &start);

	if (err)
		return err;
	if (any_asleep(&t) && remote__is_shared(p->pid, true)) /* by vfork, just now */
		err = -ETXTBSY;
	else
		err = p->in && any_inside(p, &t) ? -EAGAIN : write_entries(p);
	log_debug("fast: PID %d: %zu threads were stopped for %.2f ms", p->pid, t.n,
		  (double)(util__now_ns() - start) / 1e6);
	remote__go(&t);
	return err;
}

static int patch(int pid, const struct remote_host *host, const struct stub_header *h, bool in,
		 char why[FAST_WHY])
{
	struct patching p = {.pid = pid, .host = remote__host_of(host, pid), .h = h, .in = in};
	int err = try_often(p.host, patch_in_thread, &p);

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
	else if (err)
		snprintf(why, FAST_WHY, "%s", strerror(-err));
	return err;
}

int fast__patch(const struct fast *f, char why[FAST_WHY])
{
	return patch(f->pid, f->host, &f->image.hdr, true, why);
}

int fast__unpatch(const struct fast *f, char why[FAST_WHY])
{
	return patch(f->pid, f->host, &f->image.hdr, false, why);
}

static size_t count_patched(struct procmem *mem, const struct stub_header *h)
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
	struct procmem *mem;
	size_t n;

	if (procmem__open(f->pid, &mem))
		return 0;
	n = count_patched(mem, &f->image.hdr);
	procmem__close(mem);
	return n;
}

/* A jump that does not lead into the stubs is none of ours, whatever the header says. */
static bool header_is_sound(const struct stub_header *h, const struct procmap_entry *e)
{
	if (h->magic != STUB_MAGIC || h->base != e->start || h->n > STUB_MAX_FUNCS)
		return false;
	for (size_t i = 0; i < h->n; i++) {
		int32_t rel;
		uint64_t to;

		memcpy(&rel, h->patch[i].is + 1, 4);
		to = h->patch[i].addr + ENTRY_PATCH + (int64_t)rel;
		if (h->patch[i].is[0] != 0xe9 || to < e->start || to >= e->end)
			return false;
	}
	return true;
}

/* Has the process that file open? What may not be known counts as so. */
static bool has_open(pid_t pid, const struct procmap_entry *e)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *d;
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES || errno == EPERM;
	while ((d = readdir(dir))) {
		if (d->d_name[0] != '.' && !fstatat(dirfd(dir), d->d_name, &st, 0) &&
		    st.st_ino == e->ino && major(st.st_dev) == e->dev_major &&
		    minor(st.st_dev) == e->dev_minor)
			return true;
	}
	return false;
}

/* Who is at work there, 0: nobody. The target may have written there whom it likes: it is one with
 * root's rights or this user's, and has the file of that code open. */
static int owner_of(struct procmem *mem, const struct procmap_entry *e)
{
	uint64_t owner[2];
	struct proc_status s;

	if (procmem__read(mem, e->end + DATA_OWNER, owner, sizeof(owner)) || !owner[0] ||
	    owner[0] > INT32_MAX || !owner[1] || proc_task__start_ns(owner[0]) != owner[1] ||
	    proc_status__read(owner[0], &s) || (s.euid && s.euid != geteuid()))
		return 0;
	return has_open(owner[0], e) ? (int)owner[0] : 0;
}

int fast__clean(int pid, const struct remote_host *host, bool look, struct fast_left *ret,
		char why[FAST_WHY])
{
	struct procmap *maps = NULL;
	struct procmem *mem = NULL;
	int err = procmem__open(pid, &mem);

	memset(ret, 0, sizeof(*ret));
	*why = 0;
	if (!err)
		err = procmap__read(pid, &maps);
	for (size_t i = 0; !err && i < maps->n; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct stub_header h;
		size_t n;

		if (!is_ours(e) || procmem__read(mem, e->start, &h, sizeof(h)) ||
		    !header_is_sound(&h, e))
			continue;
		n = count_patched(mem, &h);
		ret->regions++;
		if (n && !ret->owner)
			ret->owner = owner_of(mem, e);
		ret->patched += n;
		ret->bytes += e->end - e->start + DATA_BYTES;
		if (n && !look)
			err = patch(pid, host, &h, false, why);
	}
	procmap__free(maps);
	procmem__close(mem);
	return err;
}
