/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.h - top on a terminal: what is drawn and what keys do. */
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

struct screen;
struct top;

/* What the user wants. */
enum screen_wish {
	SCREEN_STAY,
	SCREEN_LEAVE,
	SCREEN_PROFILE, /* the live profile of the process under the cursor */
	SCREEN_LEDGER,	/* the same, its ledger first */
};

/* Takes the terminal. 0 or -errno (there is none that can do it). */
int screen__open(struct top *t, struct screen **ret);
/* Gives it back. NULL is fine. */
void screen__close(struct screen *s);
void screen__draw(struct screen *s);
/* Takes the keys that were pressed, without waiting. */
enum screen_wish screen__keys(struct screen *s);
/* The process under the cursor; 0: there is none. */
uint32_t screen__pid(const struct screen *s);
/* One line for the user, until the next key; copied. */
void screen__tell(struct screen *s, const char *text);
/* The user has stopped the clock. */
bool screen__paused(const struct screen *s);

#endif
