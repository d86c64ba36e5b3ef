/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ask.h - one line that is typed at the foot of the screen: a filter, something to search. */
#ifndef TUI_ASK_H
#define TUI_ASK_H

#include <stdbool.h>

#define ASK_TEXT 256

struct ask {
	char what; /* 0: nothing is asked for; else as the caller likes */
	const char *label;
	char text[ASK_TEXT];
};

enum ask_result { ASK_GOES_ON, ASK_CHANGED, ASK_DONE, ASK_CANCELLED };

/* The keys that both full-screen views have for it: '/' and F3 search, '\\' and F4 filter. */
enum ask_key {
	ASK_NO_KEY,
	ASK_BEGUN, /* what is '/' or '\\' */
	ASK_AGAIN, /* F3, and `searched` is not empty: the next that matches it */
};
enum ask_key ask__opens(struct ask *p, int key, const char *searched);
/* label: static. */
void ask__begin(struct ask *p, char what, const char *label);
/* A key of ncurses. After DONE and CANCELLED nothing is asked for any more. */
enum ask_result ask__key(struct ask *p, int key);
/* On the last line. */
void ask__draw(const struct ask *p);

#endif
