/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold.c - the command of `run` under ptrace, by a thread of its own: the kernel lets only the
 * thread that traces a process go on with it, and a signal must not wait for a report that is
 * being written. The thread stops the command at each exec and at each library that the dynamic
 * linker maps, asks the loop to look at it (hold__serve), and lets it go on. When memwatch ends,
 * however it does, the kernel lets all of them go.
 */
#include "run/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "run/attach.h"
#include "sys/privilege.h"
#include "sys/procmap.h"
#include "sys/signals.h"

#define MAX_LINKERS 64 /* processes inside their dynamic linkers at one time; others go on */
#define MAX_HOLD_SECONDS 5
#define SERVE_POLLS 64 /* readings of events before a look at a held process */

/* A process that is followed through its dynamic linker. */
struct linker {
	pid_t pid;
	uint64_t lo, hi; /* where the linker is mapped */
	bool in_call;	 /* the next stop is the end of a system call */
};

enum hold_state { HOLD_FORKED, HOLD_FIRST, HOLD_RUNS, HOLD_ENDED };

struct hold {
	pid_t pid;
	const char *name;
	int go, report; /* pipes to and from the child, of use until exec */
	bool follow, thread_runs;
	pthread_t thread;
	struct linker linkers[MAX_LINKERS];
	size_t n_linkers;

	int ask; /* eventfd: the thread waits for an answer */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum hold_state state;
	pid_t asked; /* the process to look at; 0: none */
	bool deaf;   /* nobody answers any more */
	int status;  /* of waitpid, at the end */
};

/* Child: until exec only what is safe after fork. Says over the pipe why exec failed. If memwatch
 * ends first, so does it. */
static void child(char **command, int go, int report)
{
	char c;
	int err;

	if (read(go, &c, 1) != 1)
		_exit(0);
	signals__unblock();
	execvp(command[0], command);
	err = errno;
	if (write(report, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(err == ENOENT ? 127 : 126);
}

int hold__fork(char **command, struct hold **ret)
{
	struct hold *h = calloc(1, sizeof(*h));
	int go[2], report[2];

	if (!h || pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
		free(h);
		log_error("failed to start '%s': %s", command[0], strerror(errno));
		return EXIT_FAILED;
	}
	h->ask = -1;
	h->pid = fork();
	if (!h->pid) {
		close(go[1]);
		child(command, go[0], report[1]);
	}
	close(go[0]);
	close(report[1]);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	h->name = command[0];
	h->go = go[1];
	h->report = report[0];
	if (h->pid < 0) {
		log_error("failed to fork: %s", strerror(errno));
		h->state = HOLD_ENDED;
		hold__free(h);
		return EXIT_FAILED;
	}
	*ret = h;
	return EXIT_DONE;
}

static void set_state(struct hold *h, enum hold_state state)
{
	pthread_mutex_lock(&h->lock);
	h->state = state;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

/* Has the loop look at a process that is stopped; returns when it has. */
static void ask(struct hold *h, pid_t pid)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += MAX_HOLD_SECONDS; /* a report may be being written; the first hold waits */
	pthread_mutex_lock(&h->lock);
	h->asked = pid;
	pthread_cond_broadcast(&h->changed);
	eventfd_write(h->ask, 1);
	while (h->asked && !h->deaf && !err) {
		if (h->state == HOLD_FIRST && pid == h->pid)
			pthread_cond_wait(&h->changed, &h->lock);
		else
			err = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	}
	h->asked = 0;
	pthread_mutex_unlock(&h->lock);
}

/* Where the dynamic linker is mapped; false in a static program (which has none). */
static bool find_linker(int pid, uint64_t *lo, uint64_t *hi)
{
	const struct procmap_entry *e;
	struct procmap *maps;
	uint64_t base = 0;
	cleanup_free char *auxv = NULL;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	n = util__read_file(path, 65536, &auxv);
	for (ssize_t i = 0; i + 16 <= n; i += 16) {
		uint64_t pair[2];

		memcpy(pair, auxv + i, sizeof(pair));
		if (pair[0] == 7) /* AT_BASE */
			base = pair[1];
	}
	if (!base || procmap__read(pid, &maps))
		return false;
	e = procmap__find(maps, base);
	*lo = *hi = 0;
	for (size_t i = 0; e && i < maps->n; i++) {
		const struct procmap_entry *x = &maps->entries[i];

		if (x->ino != e->ino || x->dev_major != e->dev_major ||
		    x->dev_minor != e->dev_minor)
			continue;
		if (!*lo)
			*lo = x->start;
		*hi = x->end;
	}
	procmap__free(maps);
	return *hi > *lo;
}

#if defined(__x86_64__)
#define REG_NR(r) ((r).orig_rax)
#define REG_IP(r) ((r).rip)
#define REG_PROT(r) ((r).rdx)
#else
#define REG_NR(r) ((r).regs[8])
#define REG_IP(r) ((r).pc)
#define REG_PROT(r) ((r).regs[2])
#endif

static struct linker *linker_of(struct hold *h, pid_t pid)
{
	for (size_t i = 0; i < h->n_linkers; i++) {
		if (h->linkers[i].pid == pid)
			return &h->linkers[i];
	}
	return NULL;
}

/* The program itself runs, or the process is gone. */
static void leave_linker(struct hold *h, pid_t pid)
{
	struct linker *l = linker_of(h, pid);

	if (!l)
		return;
	*l = h->linkers[--h->n_linkers];
	if (pid == h->pid && h->state == HOLD_FIRST)
		set_state(h, HOLD_RUNS);
}

static void on_exec(struct hold *h, pid_t pid)
{
	struct linker l = {.pid = pid, .in_call = true}; /* exec itself has yet to return */

	leave_linker(h, pid);
	if (pid == h->pid && h->state == HOLD_FORKED)
		set_state(h, HOLD_FIRST);
	ask(h, pid);
	if (h->n_linkers < MAX_LINKERS && find_linker(pid, &l.lo, &l.hi))
		h->linkers[h->n_linkers++] = l;
	else if (pid == h->pid && h->state == HOLD_FIRST)
		set_state(h, HOLD_RUNS);
}

static void on_call(struct hold *h, pid_t pid)
{
	struct linker *l = linker_of(h, pid);
	struct user_regs_struct regs;

	if (!l || ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		return;
	if (!l->in_call && (REG_IP(regs) < l->lo || REG_IP(regs) >= l->hi)) {
		leave_linker(h, pid);
		return;
	}
	if (l->in_call &&
	    ((REG_NR(regs) == SYS_mmap && (REG_PROT(regs) & 4)) || REG_NR(regs) == SYS_mprotect))
		ask(h, pid);
	l->in_call = !l->in_call;
}

/* A process, not a thread: those are in their process's look. */
static bool is_process(pid_t pid)
{
	cleanup_free char *text = NULL;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (util__read_file(path, 65536, &text) <= 0)
		return false;
	p = strstr(text, "\nTgid:\t");
	return p && strtol(p + 7, NULL, 10) == pid;
}

static void on_stop(struct hold *h, pid_t pid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;

	if (event == PTRACE_EVENT_STOP) {
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
			ptrace(PTRACE_LISTEN, pid, NULL, NULL); /* stopped, as without us */
			return;
		}
		if (sig == SIGTRAP && pid != h->pid && is_process(pid))
			ask(h, pid); /* a new child */
		sig = 0;
	} else if (event) {
		if (event == PTRACE_EVENT_EXEC)
			on_exec(h, pid);
		sig = 0;
	} else if (sig == (SIGTRAP | 0x80)) {
		on_call(h, pid);
		sig = 0;
	}
	ptrace(linker_of(h, pid) ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, (void *)(long)sig);
}

static void *trace(void *arg)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
	struct hold *h = arg;
	int status, err;
	pid_t pid;

	if (h->follow)
		options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	err = ptrace(PTRACE_SEIZE, h->pid, NULL, (void *)options) ? errno : 0;
	if (err)
		log_debug("failed to trace the command: %s", strerror(err));
	if (err || write(h->go, "", 1) != 1) {
		set_state(h, HOLD_ENDED);
		return NULL;
	}
	for (;;) {
		pid = waitpid(-1, &status, __WALL | __WNOTHREAD);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			break;
		if (WIFSTOPPED(status)) {
			on_stop(h, pid, status);
			continue;
		}
		leave_linker(h, pid);
		if (pid == h->pid) {
			h->status = status;
			set_state(h, HOLD_ENDED);
		}
	}
	return NULL;
}

int hold__start(struct hold *h, bool follow)
{
	sigset_t all, old;
	int err = 0;

	h->follow = follow;
	h->ask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->ask < 0)
		err = errno;
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (!err)
		err = pthread_create(&h->thread, NULL, trace, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		log_error("failed to run '%s': %s", h->name, strerror(err));
		return EXIT_FAILED;
	}
	h->thread_runs = true;
	pthread_mutex_lock(&h->lock);
	while (h->state == HOLD_FORKED)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
	if (h->state != HOLD_ENDED)
		return EXIT_DONE;
	if (read(h->report, &err, sizeof(err)) != sizeof(err))
		err = 0;
	log_error("failed to run '%s': %s", h->name, err ? strerror(err) : "it cannot be traced");
	return err == ENOENT ? 127 : 126;
}

int hold__fd(const struct hold *h)
{
	return h->ask;
}

void hold__serve(struct hold *h, struct attach *a)
{
	const struct target *t;
	eventfd_t asks;
	pid_t pid;

	eventfd_read(h->ask, &asks);
	pthread_mutex_lock(&h->lock);
	pid = h->asked;
	pthread_mutex_unlock(&h->lock);
	if (!pid) { /* it was let go for want of an answer */
		observer__set_children_held(a->observer, false);
		return;
	}
	/* what it has done to be held is among the events */
	for (int i = 0; i < SERVE_POLLS && attach__poll(a) > 0; i++)
		;
	t = observer__find(a->observer, pid);
	if (t && !t->ended) {
		int err = observer__rescan(a->observer, t);

		if (err && err != -ESRCH)
			log_debug("rescan: %s", strerror(-err));
		/* held here, the first stacks need not be cut short */
		observer__wait_tables(a->observer);
	}
	pthread_mutex_lock(&h->lock);
	h->asked = 0;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

/* Waits until the thread asks or the command is past its linker; the state. */
static enum hold_state wait_for_ask(struct hold *h)
{
	enum hold_state state;

	pthread_mutex_lock(&h->lock);
	while (h->state == HOLD_FIRST && !h->asked)
		pthread_cond_wait(&h->changed, &h->lock);
	state = h->state;
	pthread_mutex_unlock(&h->lock);
	return state;
}

int hold__attach(struct hold *h, struct attach *a)
{
	const struct target *t;
	int err;

	wait_for_ask(h);
	err = observer__add(a->observer, h->pid, &t);
	if (err) {
		log_error("failed to attach to the command: %s",
			  observer__error()[0] ? observer__error() : strerror(-err));
		return err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	observer__set_children_held(a->observer, h->follow);
	do
		hold__serve(h, a);
	while (wait_for_ask(h) == HOLD_FIRST);
	attach__announce(a, t);
	return EXIT_DONE;
}

int hold__wait(struct hold *h, int sig)
{
	int status;

	signals__unblock();		    /* signals work as usual again */
	privilege__raise(PRIVILEGE_SIGNAL); /* it may have become another user */
	if (h->state != HOLD_ENDED && sig)
		kill(h->pid, sig);
	privilege__lower(PRIVILEGE_SIGNAL);
	pthread_mutex_lock(&h->lock);
	h->deaf = true;
	pthread_cond_broadcast(&h->changed);
	while (h->state != HOLD_ENDED)
		pthread_cond_wait(&h->changed, &h->lock);
	status = h->status;
	pthread_mutex_unlock(&h->lock);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void hold__free(struct hold *h)
{
	if (!h)
		return;
	close(h->go); /* a child that still waits ends by this */
	privilege__raise(PRIVILEGE_SIGNAL);
	if (h->state == HOLD_FIRST)
		kill(h->pid, SIGKILL);
	privilege__lower(PRIVILEGE_SIGNAL);
	close(h->report);
	/* The thread may trace children that go on; it ends with memwatch, and what it uses with
	 * it. */
	if (h->thread_runs)
		return;
	if (h->ask >= 0)
		close(h->ask);
	free(h);
}
