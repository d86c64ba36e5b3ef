/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tui_priv.h - the state of the live view, shared by what draws it and what handles keys. */
#ifndef TUI_TUI_PRIV_H
#define TUI_TUI_PRIV_H

#include "tui/draw.h"
#include "tui/act.h"
#include "tui/menu.h"
#include "tui/ask.h"
#include "tui/rows.h"
#include "tui/tui.h"

#define TUI_KEPT 64	/* processes whose past is kept while others are on show */
#define TUI_HISTORY 240 /* snapshots that the sparklines remember */
#define TUI_TEXT 256
#define TUI_MIN_ROWS 8
#define TUI_MIN_COLS 30

enum tui_screen { TUI_TABLE, TUI_STACK, TUI_NEIGHBOURS, TUI_HIST, TUI_LEDGER, TUI_HELP };

/* What was seen of a process, at all snapshots: its course, and that of its stacks. */
struct tui_past {
	uint64_t id; /* tui_numbers.id; 0: not known yet */
	struct watch stacks, functions;
	double history[3][TUI_HISTORY]; /* RSS, VIRT, in use; bytes */
	double history_t[TUI_HISTORY];
	int nhistory;
	double alloc_rate, alloc_count_rate; /* since the snapshot before */
	double last_alloc_bytes, last_alloc_objects, last_t;
	double mark_t;
};

struct tui {
	struct tui_source source;
	struct tui_numbers numbers;
	char name[TUI_TEXT], cost[64];
	struct profile *profile; /* the snapshot on show; NULL before the first */
	struct tui_past past;	 /* of the process on show */
	struct tui_past *kept;	 /* of others that were: they go on where they ended */
	size_t nkept, kept_cap;

	enum tui_screen screen, back; /* back: where histograms and help were called from */
	bool functions_mode, paused, since_mark, mappings;
	int type;
	enum rows_sort sort;
	bool reverse;
	struct rx *filter; /* NULL: none */
	struct ask prompt;
	struct menu menu;
	struct act act;
	char searched[ASK_TEXT];
	struct rows rows, callers;
	struct tui_ledger ledger;
	int selected, top, top_stack, top_ledger, top_help, page; /* page: rows that fit */
	uint64_t selected_key; /* the stack of the stack screen and its histograms */
	char focus[TUI_TEXT];  /* function of the neighbours view */
	char message[TUI_TEXT];
};

/* Draws everything; the terminal is ncurses's. */
void view__draw(struct tui *t);

/* --- parts of it --- */

#define VIEW_HEADER_ROWS 6

/* Row r of the table at line y, its heading, and the row's verdict in words. */
void view_table__head(const struct tui *t, int y, bool stack, const char *what);
void view_table__row(const struct tui *t, int y, const struct row *r, bool stack, bool selected);
void view_table__verdict(const struct tui *t, int y);
/* As many rows from line y on as fit into `height`, around the selected one. */
void view_table__rows(struct tui *t, const struct rows *r, int y, int height, bool stack);

/* The pages below the header. */
void view_pages__stack(struct tui *t);
void view_pages__hist(struct tui *t);
void view_pages__neighbours(struct tui *t);
void view_pages__help(struct tui *t);
void view__ledger(struct tui *t);

#endif
