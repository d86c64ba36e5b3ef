/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.h - the signals that a run takes by itself: SIGINT, SIGTERM and SIGHUP end it in good
 * order, SIGUSR1 asks for its files now. SIGPIPE is ignored: who writes sees the error, and what
 * was collected is not lost.
 *
 * The end comes within a second whatever the process is doing, by a thread that keeps the time
 * (signals__watch): what is still being waited for is given up by those who wait (signals__end_ns),
 * and where nobody does, the thread ends the process. It waits only for what was begun and must be
 * whole (signals__finish_first); a second signal ends that too, at once. The exit status says
 * whether something was left unfinished.
 */
#ifndef SYS_SIGNALS_H
#define SYS_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* From now on they wait for signals__fd. Call before threads and children are made. */
void signals__block(void);
/* Starts the thread; once is enough. Call it after privilege__keep, which is for one thread. 0 or
 * -errno: then the signals are taken by who reads signals__fd, and nobody keeps the time. */
int signals__watch(void);
#define SIGNALS_END_MS 900	    /* from the signal to the end by force */
#define SIGNALS_WAITING_MS 500	    /* and at least so long for who reads the last words */
#define SIGNALS_UNFINISHED_MS 30000 /* the same while something must be finished first */
/* Something that must be finished before the end has begun, is done: they count. */
void signals__finish_first(bool on);
bool signals__unfinished(void);
/* It has come further: the time until the end by force begins anew. */
void signals__goes_on(void);
/* The file that an end by force names as not finished; copied. NULL: none. */
void signals__unfinished_file(const char *path);
/* The main thread has heard and closes the run in good order (or waits for something again, for
 * which it has the second, not the ten). The loop says it. */
void signals__closing(bool on);
/* What gives the terminal back at an end by force, from another thread; NULL: nothing. */
void signals__at_forced_end(void (*fn)(void));
/* What removes a file that is half written, likewise. */
void signals__removes_file(void (*fn)(void));
/* Writes as much as can be written without waiting. Safe in signal handlers. */
void signals__last_words(int fd, const char *text);
/* SIGHUP asks for something else than the end from now on. */
void signals__hangup_is_news(void);
/* As a program expects them at its start: for a child before exec, and for who has nothing left
 * but to wait for another process. Nothing is forced any more. */
void signals__unblock(void);
/* A descriptor to read them from (struct signalfd_siginfo; does not block), blocked now if they
 * were not. -errno. */
int signals__fd(void);

/*
 * For what may take long between two readings of that descriptor. signals__end_seen is told by who
 * read a signal that ends the run. signals__end_ns: when the end was asked for (CLOCK_MONOTONIC;
 * now, if such a signal waits unread), 0: not yet. signals__end_again: it was seen, and another one
 * waits: nothing is worth waiting for any more.
 */
void signals__end_seen(void);
uint64_t signals__end_ns(void);
bool signals__end_again(void);
/* One of the signals that end a run waits to be read. */
bool signals__end_waits(void);

#endif
