/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * act.h - what a view may do to a process, where --allow-signals was given: a signal out of a menu,
 * asked for once more; a nice value. The process is the one that the key was pressed for, whoever
 * has its PID when the answer comes.
 */
#ifndef TUI_ACT_H
#define TUI_ACT_H

#include <stdbool.h>
#include <stddef.h>

#include "sys/pidref.h"
#include "tui/ask.h"
#include "tui/menu.h"

struct act {
	bool allowed;
	struct pidref process; /* meant while it is asked for; owned */
	int signal;	       /* index of its name */
	struct menu menu;
	struct ask ask; /* .what: 'y' for the signal, 'n' for the nice value */
	char label[160];
};

/* Is the key one of these: F9, X; F7, F8? */
bool act__is_key(int key);
/* Begins to ask. open: the process on show or under the cursor, 0 or -errno. What there is to say
 * goes into message. */
void act__begin(struct act *a, int key, int (*open)(void *arg, struct pidref *ret), void *arg,
		char *message, size_t size);
/* Something is asked for: keys are its own. */
bool act__is_on(const struct act *a);
void act__key(struct act *a, int key, char *message, size_t size);
/* The menu over the screen from row y on, or the question on the last line. */
void act__draw(const struct act *a, int y);
/* Asks no more. */
void act__end(struct act *a);

#endif
