/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.h - the signals that a run takes by itself: SIGINT, SIGTERM and SIGHUP end it in good
 * order, SIGUSR1 asks for its files now. SIGPIPE is ignored: who writes sees the error, and what
 * was collected is not lost.
 */
#ifndef SYS_SIGNALS_H
#define SYS_SIGNALS_H

/* From now on they wait for signals__fd. Call before threads and children are made. */
void signals__block(void);
/* As a program expects them at its start: for a child before exec. */
void signals__unblock(void);
/* A descriptor to read them from (struct signalfd_siginfo; does not block), blocked now if they
 * were not. -errno. */
int signals__fd(void);

#endif
