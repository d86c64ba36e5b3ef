/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold.h - starts a command and holds it until the probes are in.
 *
 * The child stops when its exec returns (ptrace), then at every mmap of the dynamic linker that
 * maps a file executable: each time its allocators get probes, or stubs (--fast), before it goes
 * on. At the first system call from outside the dynamic linker the libraries it was linked with are
 * all there, and it is let go. At its end it is held once more, until the unwind tables of what it
 * loaded last are built. If memwatch dies before that, the kernel lets it go.
 */
#ifndef RUN_HOLD_H
#define RUN_HOLD_H

#include "run/attach.h"

struct hold;

/* Forks a child that waits: call it while privileges, limits and descriptors are the caller's.
 * Frees nothing of `command`, which must live on. EXIT_DONE or EXIT_FAILED (message given). */
int hold__fork(char **command, struct hold **ret);
/* Has the child exec, and holds it there. follow: its children are held too. EXIT_DONE, or 126/127
 * as a shell (message given). */
int hold__start(struct hold *h, bool follow);
/* Takes the held process into the observer and lets it run. An exit status. */
int hold__attach(struct hold *h, struct attach *a);
/* Later execs are held in the same way: readable when a process waits to be looked at. a NULL:
 * nobody looks any more. */
int hold__fd(const struct hold *h);
void hold__serve(struct hold *h, struct attach *a);
/* Waits for the command's end; its status as a shell gives it. A signal that ended memwatch's loop
 * (0: none) is passed on to the command first; the next one ends memwatch itself. */
int hold__wait(struct hold *h, int sig);
/* Kills a child that was never let go; a running one goes on. NULL is fine. */
void hold__free(struct hold *h);

#endif
