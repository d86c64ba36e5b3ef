/* SPDX-License-Identifier: GPL-2.0-or-later */
/* draw.h - what every view draws with: colours, names that may be hostile, text that never wraps.
 */
#ifndef TUI_DRAW_H
#define TUI_DRAW_H

#include <stdbool.h>

#include "core/util.h"

enum draw_colour { DRAW_PLAIN, DRAW_RED, DRAW_YELLOW, DRAW_GREEN, DRAW_CYAN, DRAW_MAGENTA };

/* Turns a colour on or off where the terminal has colours. */
void draw__colour(enum draw_colour c, bool on);
/* Fits a name into `width` columns of the screen from the cursor on: escaped, cut with "..". */
void draw__name(const char *name, int width);
/* The rest of the line from the cursor on; cut, never wrapped. */
__attribute__((format(printf, 1, 2))) void draw__rest(const char *fmt, ...);
/* The same, if all of it fits; else nothing, and false. */
__attribute__((format(printf, 1, 2))) bool draw__fits(const char *fmt, ...);
/* The last row: "KEY what" each, two blanks between them, keys bold; what does not fit whole is
 * left out, from the end. */
void draw__keys(const char *keys);

#endif
