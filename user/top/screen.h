/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.h - top on a terminal: what is drawn and what keys do. */
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include <stdbool.h>

struct screen;
struct top;

/* Takes the terminal. 0 or -errno (there is none that can do it). */
int screen__open(struct top *t, struct screen **ret);
/* Gives it back. NULL is fine. */
void screen__close(struct screen *s);
void screen__draw(struct screen *s);
/* Takes the keys that were pressed, without waiting. False: the user wants to leave. */
bool screen__keys(struct screen *s);
/* The user has stopped the clock. */
bool screen__paused(const struct screen *s);

#endif
