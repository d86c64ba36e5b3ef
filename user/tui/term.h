/* SPDX-License-Identifier: GPL-2.0-or-later */
/* term.h - taking the terminal over and giving it back as it was, whatever happens. */
#ifndef TUI_TERM_H
#define TUI_TERM_H

#include <stdbool.h>

/* 0, -ENOTTY, -ENOTSUP (falls back to plain text), -errno. Messages to stderr are held back until
 * term__close if it is a terminal. */
int term__open(void);
void term__close(void);
bool term__is_utf8(void);

/* Shows stdscr as it is now. Never waits: a frame that comes while the terminal has not taken the
 * one before is left out; term__is_stale says when to draw again. */
void term__show(void);
/* A frame was left out and the terminal can take one now. */
bool term__is_stale(void);
/* The next key (ncurses's codes), ERR if there is none. */
int term__key(void);
bool term__has_colour(void);

#endif
