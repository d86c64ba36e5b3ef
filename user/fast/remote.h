/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remote.h - threads of another process, stopped, and system calls made by one of them.
 *
 * The caller's thread becomes their tracer: call from a thread made for it, whose end lets go of
 * everything (remote__run). Nothing here leaves a thread in a state in which it could not go on by
 * itself if memwatch were killed at that moment: before a thread's registers are changed, a signal
 * frame with its true state lies on its stack, and the system call instruction used is followed by
 * a return into the code that ends signal handlers.
 */
#ifndef FAST_REMOTE_H
#define FAST_REMOTE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>

#define REMOTE_WHY 160

struct remote_thread {
	pid_t tid;
	int status; /* of its stop, as waitpid gives it */
	int sig;    /* that it was about to receive */
	bool stopped;
	bool hosted; /* traced by the host before, which lets it go on */
};

struct remote_threads {
	struct remote_thread *t;
	size_t n, cap;
	const struct remote_host *host;
};

/*
 * A thread of memwatch that traces processes already, so that nobody else can: what is to be done
 * to them is done by that thread.
 */
struct remote_host {
	pid_t tracer; /* thread ID */
	/* Runs fn in it, whatever it was waiting for, and returns the result; -ESRCH: it has ended.
	 */
	int (*run)(void *arg, int (*fn)(void *fn_arg), void *fn_arg);
	/* For fn. The stop in which a thread is, if the tracer knows of it already: it is the
	 * caller's until it is given back. */
	bool (*take)(void *arg, pid_t tid, int *ret_status);
	/* The tracer does with this stop what it does with others, after fn. */
	void (*give_back)(void *arg, pid_t tid, int status);
	void *arg;
};

/* The signal that a thread is about to receive, by the status of its stop; 0: it stopped for
 * another reason (an event, a system call). */
static inline int remote__signal_of(int status)
{
	return status >> 16 || WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
}
/* The host if it traces the process, else NULL. */
const struct remote_host *remote__host_of(const struct remote_host *host, int pid);
/* Runs fn in the host's thread, or (NULL) in a thread of its own, signals blocked, and waits for
 * it. Its result, or -errno. */
int remote__run(const struct remote_host *host, int (*fn)(void *arg), void *arg);

/* Stops every thread of the process (one: only that). host: the one in whose thread this is. A
 * thread that sleeps in the kernel is not waited for: it stops before it comes out. 0; -EPERM:
 * traced by another; -ETIMEDOUT: one would not stop; -ESRCH. */
int remote__stop(const struct remote_host *host, int pid, pid_t only, uint64_t timeout_ns,
		 struct remote_threads *ret);
/* Lets them go on. */
void remote__go(struct remote_threads *t);
/* Where one of them is in its program, or will be when it comes out of the kernel. 0 or -errno. */
int remote__where(const struct remote_thread *t, uint64_t *ret_ip, uint64_t *ret_sp);

/* Code of the process that system calls are made with. */
struct remote_code {
	uint64_t syscall_ret;
	uint64_t sigreturn; /* the end of signal handlers; 0: none, and pop_rax serves */
	uint64_t pop_rax;   /* pop %rax; ret */
};
struct procmap;
struct procmem;
/* 0; -ENOENT: it has none. */
int remote__find_code(struct procmem *mem, const struct procmap *maps, struct remote_code *ret);

struct remote {
	pid_t tid;
	const struct remote_code *code;
	struct user_regs_struct saved; /* as the thread is to go on */
	uint64_t mask, frame;
	bool was_stopped; /* the process by a signal, meanwhile */
	bool hosted;
};

/* Takes a stopped thread for calls; mem: the address space that it must be in, and the code.
 * -EAGAIN: not this one (no room on its stack, …); -EINPROGRESS: it is amid a system call at which
 * its host is about to hold it; -ESTALE: its address space is another one. */
int remote__begin(int pid, struct procmem *mem, const struct remote_thread *t,
		  const struct remote_code *code, struct remote *r);
/* A system call; its result in *ret. */
int remote__call(struct remote *r, long nr, const uint64_t args[6], int64_t *ret);
/* Address of a string that lies beside the frame, for calls. */
uint64_t remote__text(const struct remote *r);
/* Gives the thread back its own state; what stop it is in then is noted in t. */
int remote__end(struct remote *r, struct remote_thread *t);

/* Called after each step that changes anything, for tests; NULL everywhere else. */
extern void (*remote__on_step)(const char *what);
static inline void remote__step(const char *what)
{
	if (remote__on_step)
		remote__on_step(what);
}

#endif
