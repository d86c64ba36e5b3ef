/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pager.h - a text of several paragraphs, wrapped to the screen, a page at a time: help. */
#ifndef TUI_PAGER_H
#define TUI_PAGER_H

/* Draws `height` rows from row y on, beginning with line *top of the wrapped text (kept inside it).
 * A line of `text` (ends with NULL) that is too wide goes on below, indented like its second column
 * (what follows the first two blanks in a row). Returns how many lines there are in all. */
int pager__draw(const char *const *text, int *top, int y, int height);

#endif
