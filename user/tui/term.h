/* SPDX-License-Identifier: GPL-2.0-or-later */
/* term.h - taking the terminal over and giving it back as it was, whatever happens. */
#ifndef TUI_TERM_H
#define TUI_TERM_H

#include <stdbool.h>

/* 0, -ENOTTY, -ENOTSUP. Messages to stderr are held back until term__close if it is a terminal. */
int term__open(void);
void term__close(void);
bool term__is_utf8(void);
bool term__has_colour(void);

#endif
