/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/remote.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/procmap.h"
#include "sys/procmem.h"

#define FRAME_ROOM (16 << 10) /* below the stack pointer: what a signal handler would be given */
#define CHUNK (256 << 10)
#define NAME "memwatch-fast"

void remote__step(const char *what)
{
	static int step;
	const char *at = getenv("MEMWATCH_FAST_KILL");

	if (!at)
		return;
	step++;
	log_debug("fast: step %d, %s", step, what);
	if (step == atoi(at))
		raise(SIGKILL);
}

struct remote_job {
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static void *run_thread(void *arg)
{
	struct remote_job *r = arg;

	r->result = r->fn(r->arg);
	return NULL;
}

int remote__run(int (*fn)(void *arg), void *arg)
{
	struct remote_job r = {fn, arg, -EAGAIN};
	sigset_t all, old;
	pthread_t t;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = -pthread_create(&t, NULL, run_thread, &r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return err;
	pthread_join(t, NULL);
	return r.result;
}

static bool known(const struct remote_threads *t, pid_t tid)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->t[i].tid == tid)
			return true;
	}
	return false;
}

static int seize(struct remote_threads *t, pid_t tid)
{
	int err = array_reserve(t->t, t->cap, t->n + 1);

	if (err)
		return err;
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD))
		return errno == ESRCH ? 0 : -errno;
	t->t[t->n++] = (struct remote_thread){.tid = tid};
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

/* Takes in the threads that are not known yet: how many. */
static int seize_new(int pid, struct remote_threads *t)
{
	char path[64];
	struct dirent *d;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	while (n >= 0 && (d = readdir(dir))) {
		pid_t tid = atoi(d->d_name);
		int r;

		if (tid <= 0 || known(t, tid))
			continue;
		r = seize(t, tid);
		n = r < 0 ? r : n + r;
	}
	closedir(dir);
	return n;
}

/* The stop of one thread, if it has come. A thread that is gone is forgotten. */
static bool take_stop(struct remote_threads *t, size_t i)
{
	int status;
	pid_t got = waitpid(t->t[i].tid, &status, __WALL | WNOHANG);

	if (!got)
		return false;
	if (got < 0 || !WIFSTOPPED(status)) {
		t->t[i] = t->t[--t->n];
		return false;
	}
	t->t[i].stopped = true;
	if (status >> 16 != PTRACE_EVENT_STOP)
		t->t[i].sig = WSTOPSIG(status);
	return true;
}

static int wait_stopped(struct remote_threads *t, uint64_t until_ns)
{
	for (;;) {
		size_t left = 0;

		for (size_t i = 0; i < t->n; i++) {
			if (t->t[i].stopped)
				continue;
			take_stop(t, i);
			left += i < t->n && !t->t[i].stopped;
		}
		if (!left)
			return 0;
		if (util__now_ns() > until_ns)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
}

int remote__stop(int pid, pid_t only, uint64_t timeout_ns, struct remote_threads *t)
{
	uint64_t until = util__now_ns() + timeout_ns;
	int n;

	memset(t, 0, sizeof(*t));
	do {
		int err;

		n = only ? (t->n ? 0 : seize(t, only)) : seize_new(pid, t);
		err = n < 0 ? n : wait_stopped(t, until);
		if (err) {
			remote__go(t);
			return err;
		}
		remote__step("threads stopped");
	} while (n > 0);
	return t->n ? 0 : -ESRCH;
}

void remote__go(struct remote_threads *t)
{
	/* Those that have not stopped are let go by the end of this thread. */
	for (size_t i = 0; i < t->n; i++) {
		if (t->t[i].stopped)
			ptrace(PTRACE_DETACH, t->t[i].tid, NULL, (void *)(long)t->t[i].sig);
	}
	free(t->t);
	memset(t, 0, sizeof(*t));
}

static uint64_t find_bytes(struct procmem *mem, const struct procmap_entry *e, const char *bytes,
			   size_t len)
{
	cleanup_free uint8_t *buf = malloc(CHUNK);

	for (uint64_t at = e->start; buf && at < e->end; at += CHUNK - 16) {
		size_t n = min_of((uint64_t)CHUNK, e->end - at);
		uint8_t *p;

		if (procmem__read(mem, at, buf, n))
			continue;
		p = memmem(buf, n, bytes, len);
		if (p)
			return at + (p - buf);
	}
	return 0;
}

int remote__find_code(int pid, struct remote_code *ret)
{
	struct procmap *maps = NULL;
	struct procmem *mem = NULL;
	int err = procmem__open(pid, &mem);

	memset(ret, 0, sizeof(*ret));
	if (!err)
		err = procmap__read(pid, &maps);
	for (size_t i = 0; !err && i < maps->n; i++) {
		const struct procmap_entry *e = &maps->entries[i];

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE)
			continue;
		if (!ret->syscall_ret)
			ret->syscall_ret = find_bytes(mem, e, "\x0f\x05\xc3", 3);
		if (!ret->sigreturn)
			ret->sigreturn =
				find_bytes(mem, e, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	}
	procmap__free(maps);
	procmem__close(mem);
	if (!err && (!ret->syscall_ret || !ret->sigreturn))
		err = -ENOENT;
	return err;
}

/* The kernel's signal frame, as rt_sigreturn reads it. */
struct remote_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct remote_frame {
	uint64_t ret; /* where the system call's return leads: the end of a handler */
	uint64_t uc_flags, uc_link, ss_sp;
	uint32_t ss_flags, pad;
	uint64_t ss_size;
	struct remote_context c;
	uint64_t mask;
	uint8_t info[128];
	char text[32];
};
_Static_assert(sizeof(struct remote_context) == 256, "struct sigcontext");

struct sw_bytes {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};

#define XTILE ((1ull << 17) | (1ull << 18))

/* Size and parts of the extended state in a signal frame: those without a permission of their own.
 */
static uint32_t xstate_size(uint64_t *features)
{
	uint32_t a, b, c, d, size = 576;

	__cpuid_count(0xd, 0, a, b, c, d);
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	*features = (a | (uint64_t)d << 32) & ~XTILE;
	for (uint32_t i = 2; i < 63; i++) {
		if (!(*features >> i & 1))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		size = max_of(size, b + a);
	}
	return size;
}

/* The thread's extended state as a frame holds it; malloc'ed. */
static int read_xstate(pid_t tid, uint8_t **ret, size_t *ret_len)
{
	uint64_t features, bv;
	uint32_t size = xstate_size(&features), magic2 = 0x46505845;
	struct sw_bytes sw = {.magic1 = 0x46505853, .extended_size = size + 4,
			      .xfeatures = features, .xstate_size = size};
	cleanup_free uint8_t *buf = calloc(1, 65536 + 4);
	struct iovec iov = {buf, 65536};

	if (!buf)
		return -ENOMEM;
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &iov) || iov.iov_len < size)
		return -EAGAIN;
	memcpy(&bv, buf + 512, 8);
	if (bv & XTILE)
		return -EAGAIN; /* state that no frame of this size can hold */
	memcpy(buf + 464, &sw, sizeof(sw));
	memcpy(buf + size, &magic2, 4);
	*ret_len = size + 4;
	*ret = take_ptr(buf);
	return 0;
}

/* What the kernel would do at the return to the program: an interrupted system call begins anew. */
static void bake_restart(struct user_regs_struct *r)
{
	if ((int64_t)r->orig_rax >= 0) {
		switch ((int64_t)r->rax) {
		case -512: /* ERESTARTSYS */
		case -513: /* ERESTARTNOINTR */
		case -514: /* ERESTARTNOHAND */
			r->rax = r->orig_rax;
			r->rip -= 2;
			break;
		case -516: /* ERESTART_RESTARTBLOCK */
			r->rax = 219; /* restart_syscall */
			r->rip -= 2;
			break;
		}
	}
	r->orig_rax = -1;
}

/*
 * Is there room below the stack pointer, for certain? On the main thread's own stack, and on that
 * of a thread whose thread pointer lies at its top. On any other (a coroutine's, an alternate one)
 * something else might lie right below.
 */
static bool has_room(int pid, const struct user_regs_struct *r)
{
	const struct procmap_entry *e;
	struct procmap *maps;
	bool room = false;

	if (procmap__read(pid, &maps))
		return false;
	e = procmap__find(maps, r->rsp);
	if (e && (e->prot & (PROCMAP_R | PROCMAP_W)) == (PROCMAP_R | PROCMAP_W) &&
	    r->rsp - e->start >= FRAME_ROOM)
		room = e->kind == PROCMAP_STACK ||
		       (e->kind == PROCMAP_ANON && r->fs_base > r->rsp && r->fs_base < e->end);
	procmap__free(maps);
	return room;
}

static void fill_frame(struct remote_frame *f, const struct remote *r, uint64_t fpstate)
{
	const struct user_regs_struct *s = &r->saved;

	memset(f, 0, sizeof(*f));
	f->ret = r->code->sigreturn;
	f->uc_flags = 7; /* extended state; ss is meant as it stands */
	f->ss_flags = 0x7fffffff; /* not valid: the alternate stack stays what it is */
	f->c = (struct remote_context){
		.r8 = s->r8, .r9 = s->r9, .r10 = s->r10, .r11 = s->r11, .r12 = s->r12,
		.r13 = s->r13, .r14 = s->r14, .r15 = s->r15, .di = s->rdi, .si = s->rsi,
		.bp = s->rbp, .bx = s->rbx, .dx = s->rdx, .ax = s->rax, .cx = s->rcx,
		.sp = s->rsp, .ip = s->rip, .flags = s->eflags, .cs = s->cs, .ss = s->ss,
		.fpstate = fpstate};
	f->mask = r->mask;
	snprintf(f->text, sizeof(f->text), "%s", NAME);
}

uint64_t remote__text(const struct remote *r)
{
	return r->frame + offsetof(struct remote_frame, text);
}

static int write_frame(int pid, struct remote *r)
{
	cleanup_free uint8_t *xstate = NULL;
	size_t len;
	uint64_t fp;
	struct remote_frame f;
	int err = read_xstate(r->tid, &xstate, &len);

	if (err)
		return err;
	if (len + sizeof(f) + 512 > FRAME_ROOM / 2)
		return -EAGAIN;
	fp = (r->saved.rsp - 128 - len) & ~63ULL;
	/* as at a function's entry, for whoever interrupts there */
	r->frame = ((fp - sizeof(f)) & ~15ULL) - 8;
	fill_frame(&f, r, fp);
	err = procmem__write(pid, fp, xstate, len);
	return err ? err : procmem__write(pid, r->frame, &f, sizeof(f));
}

static int set_mask(pid_t tid, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, tid, (void *)8, &mask) ? -errno : 0;
}

static int set_call(struct remote *r, long nr, const uint64_t a[6])
{
	struct user_regs_struct regs = r->saved;

	regs.rip = r->code->syscall_ret;
	regs.rsp = r->frame;
	regs.rax = nr;
	regs.orig_rax = -1;
	regs.rdi = a[0];
	regs.rsi = a[1];
	regs.rdx = a[2];
	regs.r10 = a[3];
	regs.r8 = a[4];
	regs.r9 = a[5];
	regs.eflags &= ~0x500ULL; /* no single step, direction forward */
	return ptrace(PTRACE_SETREGS, r->tid, NULL, &regs) ? -errno : 0;
}

int remote__begin(int pid, const struct remote_thread *t, const struct remote_code *code,
		  struct remote *r)
{
	static const uint64_t nothing[6];
	int err;

	*r = (struct remote){.tid = t->tid, .code = code};
	if (t->sig)
		return -EAGAIN;
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &r->saved) ||
	    ptrace(PTRACE_GETSIGMASK, t->tid, (void *)8, &r->mask))
		return -errno;
	if (r->saved.cs != 0x33 || !has_room(pid, &r->saved))
		return -EAGAIN;
	bake_restart(&r->saved);
	err = write_frame(pid, r);
	if (err)
		return err;
	remote__step("frame written");
	err = set_call(r, 39 /* getpid */, nothing);
	remote__step("registers set");
	if (err)
		return err;
	err = set_mask(t->tid, ~0ULL);
	remote__step("signals blocked");
	if (err)
		remote__end(r);
	return err;
}

/* To the next stop at a system call. */
static int next_stop(struct remote *r)
{
	for (int i = 0; i < 100; i++) {
		int status;

		if (ptrace(PTRACE_SYSCALL, r->tid, NULL, NULL))
			return -errno;
		if (waitpid(r->tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
			return -ESRCH;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		/* SIGSTOP cannot be blocked: it is given to the thread at the end. */
		if (status >> 16 != PTRACE_EVENT_STOP)
			r->stop_sig = WSTOPSIG(status);
	}
	return -EAGAIN;
}

int remote__call(struct remote *r, long nr, const uint64_t args[6], int64_t *ret)
{
	struct user_regs_struct regs;
	int err = set_call(r, nr, args);

	remote__step("call set");
	if (!err)
		err = next_stop(r);
	remote__step("call entered");
	if (!err)
		err = next_stop(r);
	remote__step("call left");
	if (!err && ptrace(PTRACE_GETREGS, r->tid, NULL, &regs))
		err = -errno;
	if (!err)
		*ret = regs.rax;
	return err;
}

int remote__end(struct remote *r)
{
	int err = set_mask(r->tid, r->mask);

	remote__step("signals as before");
	if (ptrace(PTRACE_SETREGS, r->tid, NULL, &r->saved) && !err)
		err = -errno;
	remote__step("registers as before");
	return err;
}

#endif
