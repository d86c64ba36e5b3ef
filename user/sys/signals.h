/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.h - the signals that a run takes by itself: SIGINT, SIGTERM and SIGHUP end it in good
 * order, SIGUSR1 asks for its files now. SIGPIPE is ignored: who writes sees the error, and what
 * was collected is not lost.
 */
#ifndef SYS_SIGNALS_H
#define SYS_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* From now on they wait for signals__fd. Call before threads and children are made. */
void signals__block(void);
/* As a program expects them at its start: for a child before exec. */
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

#endif
