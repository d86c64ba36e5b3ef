/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/remote.h"

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
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/procmem.h"

#define FRAME_ROOM (16 << 10) /* below the stack pointer: what a signal handler would be given */
#define CHUNK (256 << 10)
#define STACK_LOOK (256 << 10)
#define FRAME_WORDS 25 /* of the kernel's signal frame, up to the segments */
#define CALL_NS 1000000000ULL
#define NAME "memwatch-fast"

void (*remote__on_step)(const char *what);

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

int remote__run(const struct remote_host *host, int (*fn)(void *arg), void *arg)
{
	struct remote_job r = {fn, arg, -EAGAIN};
	sigset_t all, old;
	pthread_t t;
	int err;

	if (host)
		return host->run(host->arg, fn, arg);
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

const struct remote_host *remote__host_of(const struct remote_host *host, int pid)
{
	struct proc_status s;

	return host && !proc_status__read(pid, &s) && s.tracer == host->tracer ? host : NULL;
}

static void note_stop(struct remote_thread *t, int status)
{
	t->stopped = true;
	t->status = status;
	t->sig = remote__signal_of(status);
}

/* A main thread that has ended before others stays, and nobody can trace it. */
static bool is_dead(pid_t tid)
{
	struct proc_identity id;

	return proc_task__identity(tid, &id) || id.ended;
}

static int seize(struct remote_threads *t, pid_t tid)
{
	struct remote_thread one = {.tid = tid};
	int status, err = array_reserve(t->t, t->cap, t->n + 1);

	if (err)
		return err;
	if (t->host && t->host->take(t->host->arg, tid, &status)) {
		one.hosted = true;
		note_stop(&one, status);
	} else if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD)) {
		if (errno == ESRCH || is_dead(tid))
			return 0;
		if (errno != EPERM || !t->host)
			return -errno;
		one.hosted = true;
	}
	if (!one.stopped && ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) && one.hosted)
		return is_dead(tid) ? 0 : -EPERM;
	t->t[t->n++] = one;
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

/*
 * Takes the news of a thread: 1 with the status of a stop; 0: there is none yet; -ESRCH: it has
 * ended. Its end is left for its parent, which may be memwatch (`run`): waitpid would take it away.
 */
static int take_news(pid_t tid, int *status)
{
	siginfo_t info = {.si_pid = 0};

	while (waitid(P_PID, tid, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL)) {
		if (errno != EINTR)
			return -ESRCH;
	}
	if (!info.si_pid)
		return 0;
	if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
		return -ESRCH;
	return waitpid(tid, status, __WALL | WNOHANG) == tid && WIFSTOPPED(*status) ? 1 : -ESRCH;
}

/*
 * The next news of a thread that makes a call. Not in one wait: who waits for a first thread that
 * ends because another one calls exec is never woken (6.18: its number is the other's by then).
 * -ETIMEDOUT: the call takes long; the thread finds back by itself, once nobody traces it.
 */
static int await_news(const struct remote *r, int *status)
{
	uint64_t until = util__now_ns() + CALL_NS;
	int news;

	while (!(news = take_news(r->tid, status))) {
		if (!r->hosted && util__now_ns() > until)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
	return news < 0 ? news : 0;
}

/* The stop of one thread, if it has come. A thread that is gone is forgotten. */
static bool take_stop(struct remote_threads *t, size_t i)
{
	int status, news = take_news(t->t[i].tid, &status);

	if (!news)
		return false;
	if (news < 0) {
		t->t[i] = t->t[--t->n];
		return false;
	}
	note_stop(&t->t[i], status);
	return true;
}

/* Asleep in the kernel, where nothing wakes it but what it waits for (a disk, a child of vfork). */
static bool sleeps(pid_t tid)
{
	struct proc_identity id;

	return !proc_task__identity(tid, &id) && id.sleeps;
}

/*
 * Until each has stopped, or sleeps: one that does stops before it runs any code of the program
 * again, for it has been told to.
 */
static int wait_stopped(struct remote_threads *t, uint64_t until_ns)
{
	for (;;) {
		size_t left = 0, asleep = 0;

		for (size_t i = 0; i < t->n; i++) {
			if (t->t[i].stopped)
				continue;
			take_stop(t, i);
			if (i == t->n || t->t[i].stopped)
				continue;
			left++;
			asleep += sleeps(t->t[i].tid);
		}
		if (left == asleep)
			return 0;
		if (util__now_ns() > until_ns)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
}

int remote__stop(const struct remote_host *host, int pid, pid_t only, uint64_t timeout_ns,
		 struct remote_threads *t)
{
	uint64_t until = util__now_ns() + timeout_ns;
	int n;

	memset(t, 0, sizeof(*t));
	t->host = host;
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

int remote__where(const struct remote_thread *t, uint64_t *ret_ip, uint64_t *ret_sp)
{
	struct user_regs_struct r;
	__u64 ip, sp;
	int err = 0;

	if (t->stopped) {
		if (ptrace(PTRACE_GETREGS, t->tid, NULL, &r))
			return -errno;
		ip = r.rip;
		sp = r.rsp;
	} else {
		err = proc_task__where(t->tid, &ip, &sp);
	}
	if (err)
		return err;
	*ret_ip = ip;
	*ret_sp = sp;
	return 0;
}

void remote__go(struct remote_threads *t)
{
	/* Those that have not stopped are let go by the end of this thread, or by the host when
	 * they do. */
	for (size_t i = 0; i < t->n; i++) {
		const struct remote_thread *one = &t->t[i];

		if (one->stopped && one->hosted)
			t->host->give_back(t->host->arg, one->tid, one->status);
		else if (one->stopped)
			ptrace(PTRACE_DETACH, one->tid, NULL, (void *)(long)one->sig);
	}
	free(t->t);
	memset(t, 0, sizeof(*t));
}

static const struct {
	const char *bytes;
	size_t len;
} known_code[] = {{"\x0f\x05\xc3", 3}, {"\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9}, {"\x58\xc3", 2}};

static uint64_t find_bytes(struct procmem *mem, const struct procmap_entry *e, int what)
{
	cleanup_free uint8_t *buf = malloc(CHUNK);

	for (uint64_t at = e->start; buf && at < e->end; at += CHUNK - 16) {
		size_t n = min_of((uint64_t)CHUNK, e->end - at);
		uint8_t *p;

		if (procmem__read(mem, at, buf, n))
			continue;
		p = memmem(buf, n, known_code[what].bytes, known_code[what].len);
		if (p)
			return at + (p - buf);
	}
	return 0;
}

static bool has_bytes(struct procmem *mem, uint64_t at, int what)
{
	char now[16];

	return !procmem__read(mem, at, now, known_code[what].len) &&
	       !memcmp(now, known_code[what].bytes, known_code[what].len);
}

/* The code may have been found in an image that the process has left by exec since. Called when it
 * is stopped. */
static bool code_is_there(struct procmem *mem, const struct remote_code *c)
{
	return has_bytes(mem, c->syscall_ret, 0) &&
	       (c->sigreturn ? has_bytes(mem, c->sigreturn, 1) : has_bytes(mem, c->pop_rax, 2));
}

int remote__find_code(struct procmem *mem, const struct procmap *maps, struct remote_code *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < maps->n; i++) {
		const struct procmap_entry *e = &maps->entries[i];

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE)
			continue;
		if (!ret->syscall_ret)
			ret->syscall_ret = find_bytes(mem, e, 0);
		if (!ret->sigreturn)
			ret->sigreturn = find_bytes(mem, e, 1);
		if (!ret->pop_rax)
			ret->pop_rax = find_bytes(mem, e, 2);
	}
	return ret->syscall_ret && (ret->sigreturn || ret->pop_rax) ? 0 : -ENOENT;
}

/* The kernel's signal frame, as rt_sigreturn reads it. */
struct remote_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct remote_frame {
	/* The way to the end of a handler where the program has no code for it: */
	uint64_t pop_rax, rt_sigreturn;
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
	struct sw_bytes sw = {.magic1 = 0x46505853,
			      .extended_size = size + 4,
			      .xfeatures = features,
			      .xstate_size = size};
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
		case -516:	      /* ERESTART_RESTARTBLOCK */
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

/*
 * Is the thread amid a restartable sequence? The kernel would take the change of its registers for
 * a jump out of it, and at the return let it go on there as if nothing had been.
 */
static bool in_sequence(struct procmem *mem, pid_t tid, uint64_t ip)
{
	struct __ptrace_rseq_configuration area;
	uint64_t at;
	struct {
		uint32_t version, flags;
		uint64_t start, len, abort_ip;
	} cs;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof(area), &area) !=
		    sizeof(area) ||
	    !area.rseq_abi_pointer)
		return false; /* it has none, or no kernel before 5.13 tells */
	if (procmem__read_u64(mem, area.rseq_abi_pointer + 8, &at))
		return true;
	return at && (procmem__read(mem, at, &cs, sizeof(cs)) || ip - cs.start < cs.len);
}

/* What a handler's frame says of the stack on which the handler runs. */
static bool frame_says_alternate(const uint64_t *frame, uint64_t sp)
{
	uint64_t stack = frame[3], size = frame[5];

	/* the thread's segments, where the frame has them */
	return (frame[24] & 0xffff) == 0x33 && frame[24] >> 48 == 0x2b && sp - stack < size;
}

/*
 * Does a signal handler run, on a stack of its own? That may be part of the thread's ordinary one,
 * a few kilobytes of it, with something else right below. The handler's frame, above, tells.
 */
static bool on_alternate_stack(struct procmem *mem, uint64_t sp)
{
	cleanup_free uint64_t *words = malloc(STACK_LOOK);
	ssize_t n = words ? procmem__read_some(mem, sp & ~7ULL, words, STACK_LOOK) : -ENOMEM;

	for (ssize_t i = 0; i + FRAME_WORDS <= n / 8; i++) {
		if (frame_says_alternate(words + i, sp))
			return true;
	}
	return n < 0;
}

static void fill_frame(struct remote_frame *f, const struct remote *r, uint64_t fpstate)
{
	const struct user_regs_struct *s = &r->saved;

	memset(f, 0, sizeof(*f));
	f->pop_rax = r->code->pop_rax;
	f->rt_sigreturn = 15;
	f->ret = r->code->sigreturn ? r->code->sigreturn : r->code->syscall_ret;
	f->uc_flags = 7;	  /* extended state; ss is meant as it stands */
	f->ss_flags = 0x7fffffff; /* not valid: the alternate stack stays what it is */
	f->c = (struct remote_context){.r8 = s->r8,
				       .r9 = s->r9,
				       .r10 = s->r10,
				       .r11 = s->r11,
				       .r12 = s->r12,
				       .r13 = s->r13,
				       .r14 = s->r14,
				       .r15 = s->r15,
				       .di = s->rdi,
				       .si = s->rsi,
				       .bp = s->rbp,
				       .bx = s->rbx,
				       .dx = s->rdx,
				       .ax = s->rax,
				       .cx = s->rcx,
				       .sp = s->rsp,
				       .ip = s->rip,
				       .flags = s->eflags,
				       .cs = s->cs,
				       .ss = s->ss,
				       .fpstate = fpstate};
	f->mask = r->mask;
	snprintf(f->text, sizeof(f->text), "%s", NAME);
}

uint64_t remote__text(const struct remote *r)
{
	return r->frame + offsetof(struct remote_frame, text);
}

/*
 * Is the thread in this address space? A number that only we know was written there; ptrace reads
 * what the thread has at the same place. The process may have called exec since it was opened, and
 * its new program not be its user's own.
 */
static int check_space(const struct remote *r, uint64_t nonce)
{
	uint64_t at = r->frame + offsetof(struct remote_frame, info), word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, r->tid, (void *)at, NULL);
	return !errno && word == nonce ? 0 : -ESTALE;
}

static int write_frame(struct procmem *mem, struct remote *r)
{
	cleanup_free uint8_t *xstate = NULL;
	uint64_t fp, nonce;
	size_t len;
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
	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -EAGAIN;
	memcpy(f.info, &nonce, sizeof(nonce));
	err = procmem__write(mem, fp, xstate, len);
	if (!err)
		err = procmem__write(mem, r->frame, &f, sizeof(f));
	if (err == -ESRCH)
		err = -ESTALE;
	return err ? err : check_space(r, nonce);
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
	if (r->code->sigreturn)
		regs.rsp += offsetof(struct remote_frame, ret);
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

int remote__begin(int pid, struct procmem *mem, const struct remote_thread *t,
		  const struct remote_code *code, struct remote *r)
{
	static const uint64_t nothing[6];
	int err;

	*r = (struct remote){.tid = t->tid,
			     .code = code,
			     .hosted = t->hosted,
			     .was_stopped = WSTOPSIG(t->status) != SIGTRAP};
	if (t->hosted &&
	    (WSTOPSIG(t->status) == (SIGTRAP | 0x80) || t->status >> 16 == PTRACE_EVENT_EXEC))
		return -EINPROGRESS;
	if (t->status >> 16 != PTRACE_EVENT_STOP)
		return -EAGAIN;
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &r->saved) ||
	    ptrace(PTRACE_GETSIGMASK, t->tid, (void *)8, &r->mask))
		return -errno;
	if (!code_is_there(mem, code))
		return -ESTALE;
	if (r->saved.cs != 0x33 || in_sequence(mem, t->tid, r->saved.rip) ||
	    !has_room(pid, &r->saved) || on_alternate_stack(mem, r->saved.rsp))
		return -EAGAIN;
	bake_restart(&r->saved);
	err = write_frame(mem, r);
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
		ptrace(PTRACE_SETREGS, t->tid, NULL, &r->saved);
	return err;
}

/*
 * To the next stop at a system call. SIGSTOP cannot be blocked: it is given to the thread at once,
 * so that the kernel knows whether the process is stopped, also if SIGCONT follows; that the thread
 * goes on with its call meanwhile changes nothing of it.
 */
static int next_stop(struct remote *r)
{
	int sig = 0;

	for (int i = 0; i < 100; i++) {
		int status, err;

		if (ptrace(PTRACE_SYSCALL, r->tid, NULL, (void *)(long)sig))
			return -errno;
		err = await_news(r, &status);
		if (err)
			return err;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		sig = remote__signal_of(status);
		r->was_stopped |= status >> 16 == PTRACE_EVENT_STOP || sig;
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

/* Whether the process is stopped is told by a stop in which the thread runs nothing before. */
static void note_present_stop(const struct remote *r, struct remote_thread *t)
{
	int status;

	if (!ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) &&
	    !ptrace(PTRACE_CONT, t->tid, NULL, NULL) && !await_news(r, &status))
		note_stop(t, status);
}

int remote__end(struct remote *r, struct remote_thread *t)
{
	int err = set_mask(r->tid, r->mask);

	remote__step("signals as before");
	if (ptrace(PTRACE_SETREGS, r->tid, NULL, &r->saved) && !err)
		err = -errno;
	remote__step("registers as before");
	if (!err && r->was_stopped)
		note_present_stop(r, t);
	return err;
}
