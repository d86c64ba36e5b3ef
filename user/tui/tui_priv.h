/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tui_priv.h - the state of the live view, shared by what draws it and what handles keys. */
#ifndef TUI_TUI_PRIV_H
#define TUI_TUI_PRIV_H

#include "tui/rows.h"
#include "tui/tui.h"

#define TUI_HISTORY 240 /* snapshots that the sparklines remember */
#define TUI_TEXT 256

enum tui_screen { TUI_TABLE, TUI_STACK, TUI_NEIGHBOURS, TUI_HIST, TUI_LEDGER, TUI_HELP };

struct tui {
	struct tui_source source;
	struct tui_numbers numbers;
	char name[TUI_TEXT], cost[64];
	struct profile *profile; /* the snapshot on show; NULL before the first */
	struct watch stacks, functions;
	double history[3][TUI_HISTORY]; /* RSS, VIRT, in use; bytes */
	double history_t[TUI_HISTORY];
	int nhistory;
	double alloc_rate, alloc_count_rate; /* since the snapshot before */
	double last_alloc_bytes, last_alloc_objects, last_t;

	enum tui_screen screen, back; /* back: where the histograms were called from */
	bool functions_mode, paused, since_mark, asking, has_filter;
	int type;
	enum rows_sort sort;
	regex_t filter;
	char filter_text[TUI_TEXT], input[TUI_TEXT];
	struct rows rows, callers;
	struct tui_ledger ledger;
	int selected, top, top_stack, top_ledger, page; /* page: rows that fit */
	uint64_t selected_key; /* the stack of the stack screen and its histograms */
	char focus[TUI_TEXT];  /* function of the neighbours view */
	char message[TUI_TEXT];
	double mark_t;
};

/* Draws everything; the terminal is ncurses's. */
void view__draw(struct tui *t);
/* The page of the ledger, below the header. */
void view__ledger(struct tui *t);

enum { VIEW_RED = 1, VIEW_YELLOW, VIEW_GREEN, VIEW_CYAN, VIEW_MAGENTA };
#define VIEW_HEADER_ROWS 6
/* Turns a colour on or off where the terminal has colours. */
void view__colour(int pair, bool on);
/* Fits a name into `width` columns of the screen: escaped, cut with "..". */
void view__put_name(const char *name, int width);

#endif
