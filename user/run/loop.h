/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - the one event loop of whatever runs for a while: descriptors, timers, signals.
 *
 * The same in every command: SIGINT, SIGTERM and SIGHUP end it, so does the duration; SIGUSR1 asks
 * for the files now, and it goes on. One thread; callbacks may change the loop.
 */
#ifndef RUN_LOOP_H
#define RUN_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_NEVER UINT64_MAX

struct loop;

typedef void (*loop_fn)(void *arg);
typedef void (*loop_fd_fn)(void *arg, uint32_t events); /* EPOLLIN, EPOLLHUP, … */

/* Takes the signals from now on. 0 or -errno. */
int loop__new(struct loop **ret);
void loop__free(struct loop *l); /* accepts NULL */

/* fn is called whenever fd is readable or hung up; NULL: it only wakes the loop. 0 or -errno
 * (-EPERM: a file that is always readable). */
int loop__add_fd(struct loop *l, int fd, loop_fd_fn fn, void *arg);
void loop__drop_fd(struct loop *l, int fd);

/* fn is called once when the time has come (CLOCK_MONOTONIC ns; LOOP_NEVER: not yet), after which
 * it is set anew with loop__set_timer. *ret_id names it. 0, -ENOSPC. */
int loop__add_timer(struct loop *l, uint64_t due_ns, loop_fn fn, void *arg, unsigned *ret_id);
void loop__set_timer(struct loop *l, unsigned id, uint64_t due_ns);

/* fn is called at every turn, after the descriptors and before the timers; a turn comes at least
 * every max_wait_ns, and when the window gets another size. */
void loop__each_turn(struct loop *l, uint64_t max_wait_ns, loop_fn fn, void *arg);
/* SIGUSR1. */
void loop__on_write(struct loop *l, loop_fn fn, void *arg);
/* Ends so long after now; 0: no end. */
void loop__set_duration(struct loop *l, uint64_t duration_ns);
/* SIGHUP does this and ends nothing: of programs that outlive their terminal. */
void loop__on_hangup(struct loop *l, loop_fn fn, void *arg);

/* Runs until it ends. 0 or -errno of the waiting. */
int loop__run(struct loop *l);
/* The turn that runs is the last. */
void loop__stop(struct loop *l);
/* The signal that ended it, 0 if none did. */
int loop__signal(const struct loop *l);

#endif
