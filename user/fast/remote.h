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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#define REMOTE_WHY 160

struct remote_thread {
	pid_t tid;
	int sig; /* that it was about to receive */
	bool stopped;
};

struct remote_threads {
	struct remote_thread *t;
	size_t n, cap;
};

/* Runs fn in a thread of its own, signals blocked, and waits for it. Its result, or -errno. */
int remote__run(int (*fn)(void *arg), void *arg);

/* Stops every thread of the process (one: only that). 0; -EPERM: traced by another; -ETIMEDOUT: one
 * would not stop; -ESRCH. */
int remote__stop(int pid, pid_t only, uint64_t timeout_ns, struct remote_threads *ret);
/* Lets them go on. */
void remote__go(struct remote_threads *t);

/* Code of the process that system calls are made with. */
struct remote_code {
	uint64_t syscall_ret, sigreturn;
};
int remote__find_code(int pid, struct remote_code *ret);

struct remote {
	pid_t tid;
	const struct remote_code *code;
	struct user_regs_struct saved; /* as the thread is to go on */
	uint64_t mask, frame;
	int stop_sig;
};

/* Takes a stopped thread for calls. -EAGAIN: not this one (no room on its stack, …). */
int remote__begin(int pid, const struct remote_thread *t, const struct remote_code *code,
		  struct remote *r);
/* A system call; its result in *ret. */
int remote__call(struct remote *r, long nr, const uint64_t args[6], int64_t *ret);
/* Address of a string that lies beside the frame, for calls. */
uint64_t remote__text(const struct remote *r);
/* Gives the thread back its own state. */
int remote__end(struct remote *r);

/* For tests: memwatch kills itself at the step whose number MEMWATCH_FAST_KILL names. */
void remote__step(const char *what);

#endif
