/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold.c - the command of `run` under ptrace, by a thread of its own: the kernel lets only the
 * thread that traces a process go on with it, and a signal must not wait for a report that is
 * being written. The thread stops the command at each exec, at each library that the dynamic
 * linker maps, and at its end, asks the loop to look at it (hold__serve), and lets it go on. When
 * memwatch ends, however it does, the kernel lets all of them go.
 *
 * What else is to be done to a process that is traced (the stubs of --fast) the thread does for the
 * loop, at any moment (run_in_tracer).
 */
#include "run/hold.h"

#include <elf.h>
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
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "fast/remote.h"
#include "run/attach.h"
#include "run/linker.h"
#include "sys/privilege.h"
#include "sys/proc_status.h"
#include "sys/signals.h"

#define MAX_HOLD_SECONDS 5
#define SERVE_POLLS 64 /* readings of events before a look at a held process */
#define WAKE SIGRTMIN  /* interrupts the thread where it waits */
#define WAKE_NS 1000000
/* The status of a stop at which system calls can be made by a thread. */
#define AT_REST (PTRACE_EVENT_STOP << 16 | SIGTRAP << 8 | 0x7f)

enum hold_state { HOLD_FORKED, HOLD_FIRST, HOLD_RUNS, HOLD_ENDED };

struct stop {
	pid_t tid; /* 0: none */
	int status;
};

struct hold {
	pid_t pid;
	const char *name;
	int go, report; /* pipes to and from the child, of use until exec */
	bool follow, thread_runs;
	pthread_t thread;
	struct remote_host host; /* the thread */
	struct linker *linkers;	 /* processes inside their dynamic linkers */
	size_t n_linkers, linkers_cap;
	pid_t *seen; /* processes that were held at their first instruction */
	size_t n_seen, seen_cap;
	struct stop now;   /* being looked into */
	struct stop *late; /* that were taken notice of meanwhile */
	size_t n_late, late_cap;

	int ask; /* eventfd: the thread waits for an answer */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum hold_state state;
	pid_t asked; /* the process to look at; 0: none */
	bool ends;   /* it is asked because it ends */
	bool deaf;   /* nobody answers any more */
	bool over;   /* the thread has ended */
	struct {     /* what the thread is to do; see run_in_tracer */
		int (*fn)(void *arg);
		void *arg;
		bool begun;
		int result;
	} task;
	int status; /* of waitpid, at the end */
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

/* Called with the lock. */
static void do_task(struct hold *h)
{
	int result;

	if (!h->task.fn)
		return;
	h->task.begun = true;
	pthread_mutex_unlock(&h->lock);
	result = h->task.fn(h->task.arg);
	pthread_mutex_lock(&h->lock);
	h->task.result = result;
	h->task.fn = NULL;
	pthread_cond_broadcast(&h->changed);
}

static void wait_moment(struct hold *h)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WAKE_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&h->changed, &h->lock, &until);
}

/* The loop has something done by the thread, which waits for news of processes or for the loop. */
static int run_in_tracer(void *arg, int (*fn)(void *fn_arg), void *fn_arg)
{
	struct hold *h = arg;
	int result = -ESRCH;

	pthread_mutex_lock(&h->lock);
	h->task.begun = false;
	h->task.arg = fn_arg;
	h->task.fn = fn;
	pthread_cond_broadcast(&h->changed);
	while (h->task.fn && (h->task.begun || !h->over)) {
		if (h->task.begun) {
			pthread_cond_wait(&h->changed, &h->lock);
			continue;
		}
		pthread_kill(h->thread, WAKE); /* it may be just about to wait: again then */
		wait_moment(h);
	}
	if (!h->task.fn)
		result = h->task.result;
	h->task.fn = NULL;
	pthread_mutex_unlock(&h->lock);
	return result;
}

/* In the thread, for a task. */
static bool take_stop(void *arg, pid_t tid, int *ret_status)
{
	struct hold *h = arg;

	if (h->now.tid == tid) {
		*ret_status = h->now.status;
		return true;
	}
	for (size_t i = 0; i < h->n_late; i++) {
		if (h->late[i].tid != tid)
			continue;
		*ret_status = h->late[i].status;
		h->late[i] = h->late[--h->n_late];
		return true;
	}
	return false;
}

static void give_stop_back(void *arg, pid_t tid, int status)
{
	struct hold *h = arg;

	if (h->now.tid == tid)
		h->now.status = status;
	else if (!array_reserve(h->late, h->late_cap, h->n_late + 1))
		h->late[h->n_late++] = (struct stop){tid, status};
	else
		ptrace(PTRACE_CONT, tid, NULL, (void *)(long)remote__signal_of(status));
}

/* Has the loop look at a process that is stopped; returns when it has. */
static void ask(struct hold *h, pid_t pid, bool ends)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += MAX_HOLD_SECONDS; /* a report may be being written; the first hold waits */
	pthread_mutex_lock(&h->lock);
	h->asked = pid;
	h->ends = ends;
	pthread_cond_broadcast(&h->changed);
	eventfd_write(h->ask, 1);
	while (h->asked && !h->deaf && !err) {
		if (h->task.fn)
			do_task(h);
		else if (h->state == HOLD_FIRST && pid == h->pid)
			pthread_cond_wait(&h->changed, &h->lock);
		else
			err = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	}
	h->asked = 0;
	pthread_mutex_unlock(&h->lock);
}

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

/* It is held when exec has returned, before the first instruction: then it can make other system
 * calls, too. */
static void on_exec(struct hold *h, pid_t pid)
{
	struct linker *l = linker_of(h, pid);

	if (pid == h->pid && h->state == HOLD_FORKED)
		set_state(h, HOLD_FIRST);
	if (!l && !array_reserve(h->linkers, h->linkers_cap, h->n_linkers + 1))
		l = &h->linkers[h->n_linkers++];
	if (l) {
		*l = (struct linker){.pid = pid, .in_exec = true, .in_call = true};
		return;
	}
	ask(h, pid, false);
	if (pid == h->pid && h->state == HOLD_FIRST)
		set_state(h, HOLD_RUNS);
}

static void on_exec_returned(struct hold *h, struct linker *l)
{
	pid_t pid = l->pid;

	l->in_exec = l->in_call = false;
	ask(h, pid, false);
	if (!linker__find(pid, l)) /* a static program */
		leave_linker(h, pid);
}

static void on_call(struct hold *h, pid_t pid)
{
	struct linker *l = linker_of(h, pid);
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};

	if (!l)
		return;
	if (l->in_call)
		h->now.status = AT_REST;
	if (l->in_exec) {
		on_exec_returned(h, l);
		return;
	}
	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov))
		return;
	if (!l->in_call && linker__left(l, &regs)) {
		leave_linker(h, pid);
		return;
	}
	if (l->in_call &&
	    ((REG_NR(regs) == SYS_mmap && (REG_PROT(regs) & 4)) || REG_NR(regs) == SYS_mprotect))
		ask(h, pid, false);
	l->in_call = !l->in_call;
}

/* A process, not a thread: those are in their process's look. */
static bool is_process(pid_t pid)
{
	struct proc_status s;

	return !proc_status__read(pid, &s) && s.tgid == pid;
}

static bool was_seen(const struct hold *h, pid_t pid)
{
	for (size_t i = 0; i < h->n_seen; i++) {
		if (h->seen[i] == pid)
			return true;
	}
	return pid == h->pid;
}

static void forget(struct hold *h, pid_t pid)
{
	leave_linker(h, pid);
	for (size_t i = 0; i < h->n_seen; i++) {
		if (h->seen[i] == pid)
			h->seen[i--] = h->seen[--h->n_seen];
	}
}

/* At the first instruction of a child, or interrupted for a task. False: it is let go for good. */
static bool on_trap(struct hold *h, pid_t pid)
{
	if (was_seen(h, pid) || !is_process(pid))
		return true;
	if (!h->follow)
		return false; /* of clone() without a signal at its end */
	if (!array_reserve(h->seen, h->seen_cap, h->n_seen + 1))
		h->seen[h->n_seen++] = pid;
	ask(h, pid, false);
	return true;
}

static void on_stop(struct hold *h, pid_t pid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;
	bool stays = true;

	h->now = (struct stop){pid, status};
	if (event == PTRACE_EVENT_STOP && sig == SIGTRAP) {
		stays = on_trap(h, pid);
	} else if (event == PTRACE_EVENT_STOP && sig != SIGCONT) {
		h->now.tid = 0;
		ptrace(PTRACE_LISTEN, pid, NULL, NULL); /* stopped, as without us */
		return;
	} else if (event == PTRACE_EVENT_EXEC) {
		on_exec(h, pid);
	} else if (event == PTRACE_EVENT_EXIT && is_process(pid)) {
		ask(h, pid, true);
	} else if (!event && sig == (SIGTRAP | 0x80)) {
		on_call(h, pid);
	}
	sig = remote__signal_of(h->now.status);
	h->now.tid = 0;
	ptrace(!stays		   ? PTRACE_DETACH
	       : linker_of(h, pid) ? PTRACE_SYSCALL
				   : PTRACE_CONT,
	       pid, NULL, (void *)(long)sig);
}

static void on_news(struct hold *h, pid_t pid, int status)
{
	if (WIFSTOPPED(status)) {
		on_stop(h, pid, status);
		return;
	}
	forget(h, pid);
	if (pid == h->pid) {
		h->status = status;
		set_state(h, HOLD_ENDED);
	}
}

/* Until nothing is traced any more. */
static void trace_all(struct hold *h)
{
	for (;;) {
		pid_t pid;
		int status;

		pthread_mutex_lock(&h->lock);
		do_task(h);
		pthread_mutex_unlock(&h->lock);
		if (h->n_late) {
			pid = h->late[--h->n_late].tid;
			status = h->late[h->n_late].status;
		} else {
			pid = waitpid(-1, &status, __WALL | __WNOTHREAD);
		}
		if (pid > 0)
			on_news(h, pid, status);
		else if (errno != EINTR)
			return;
	}
}

/* Wakes up, nothing else. */
static void on_wake(int sig)
{
}

static void *trace(void *arg)
{
	/* threads, too: any of them may call exec */
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |
		       PTRACE_O_TRACECLONE;
	struct hold *h = arg;
	sigset_t wake;
	int err;

	h->host.tracer = gettid();
	sigemptyset(&wake);
	sigaddset(&wake, WAKE);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	if (h->follow)
		options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	err = ptrace(PTRACE_SEIZE, h->pid, NULL, (void *)options) ? errno : 0;
	if (err)
		log_debug("failed to trace the command: %s", strerror(err));
	if (err || write(h->go, "", 1) != 1) {
		set_state(h, HOLD_ENDED);
	} else {
		trace_all(h);
	}
	pthread_mutex_lock(&h->lock);
	h->over = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int hold__start(struct hold *h, bool follow)
{
	const struct sigaction woken = {.sa_handler = on_wake};
	sigset_t all, old;
	int err = 0;

	h->follow = follow;
	h->host = (struct remote_host){
		.run = run_in_tracer, .take = take_stop, .give_back = give_stop_back, .arg = h};
	sigaction(WAKE, &woken, NULL);
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
	bool ends;
	pid_t pid;

	eventfd_read(h->ask, &asks);
	pthread_mutex_lock(&h->lock);
	pid = h->asked;
	ends = h->ends;
	h->deaf = !a;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	if (!a)
		return;
	if (!pid) { /* it was let go for want of an answer */
		observer__set_children_held(a->observer, false);
		return;
	}
	/* what it has done to be held is among the events */
	for (int i = 0; i < SERVE_POLLS && attach__poll(a) > 0; i++)
		;
	t = observer__find(a->observer, pid);
	if (t && !t->ended) {
		int err = ends ? 0 : observer__rescan(a->observer, t);

		if (err && err != -ESRCH)
			log_debug("rescan: %s", strerror(-err));
		/* held here, the first stacks need not be cut short; nor those after its last
		 * dlopen, whose files can be had as long as it is there */
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

static int not_attached(int err)
{
	log_error("failed to attach to the command: %s",
		  observer__error()[0] ? observer__error() : strerror(-err));
	return err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

int hold__attach(struct hold *h, struct attach *a)
{
	const struct target *t;
	int err;

	wait_for_ask(h);
	observer__set_host(a->observer, &h->host);
	err = observer__add(a->observer, h->pid, &t);
	if (err)
		return not_attached(err);
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
