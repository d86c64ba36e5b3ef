/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chooser.h - looks at processes for a selector: who it means now. Kernel threads, this program and
 * what it started are never meant.
 */
#ifndef SYS_CHOOSER_H
#define SYS_CHOOSER_H

#include <stdbool.h>
#include <sys/types.h>

#include "sys/selector.h"

/* Is this process meant? Reads the files that the selector needs, three at most. One that is gone
 * is not. */
bool chooser__means(const struct selector *s, pid_t pid);

/* Calls fn for every process that is meant, by PID; fn returns 0 to go on. 0, what fn returned, or
 * -errno. */
int chooser__each(const struct selector *s, int (*fn)(void *arg, pid_t pid), void *arg);

#endif
