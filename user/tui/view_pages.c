/* SPDX-License-Identifier: GPL-2.0-or-later */
/* view_pages.c - the live view's pages beside the table: a stack, histograms, neighbours, help. */
#include <ncurses.h>
#include <string.h>

#include "format/hist_out.h"
#include "format/text.h"
#include "tui/pager.h"
#include "tui/tui_priv.h"

/* Row of the stack that was gone into; NULL: it is no longer there. */
static const struct row *entered_row(struct tui *t)
{
	for (size_t i = 0; i < t->rows.n; i++) {
		if (t->rows.row[i].key != t->selected_key)
			continue;
		t->selected = (int)i;
		return &t->rows.row[i];
	}
	return NULL;
}

static void put_frame(int y, int number, const struct profile *p, uint32_t loc, uint32_t line)
{
	const struct profile_location *l = &p->locations[loc];
	const struct profile_line *ln = line < l->nlines ? &p->lines[l->line0 + line] : NULL;
	cleanup_free char *name = text__frame_name(p, loc, line);
	const char *file = ln && ln->function < p->nfunctions
				   ? profile__text(p, p->functions[ln->function].file)
				   : "";

	mvprintw(y, 0, "%4d  ", number);
	draw__name(name ? name : "?", COLS - 6);
	if (!*file || getcury(stdscr) != y ||
	    draw__fits("  %.400s:%lld", file, (long long)ln->line))
		return;
	/* the end tells more than the beginning */
	draw__rest("  %.400s:%lld", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
		   (long long)ln->line);
}

/* The whole stack of the selected row, innermost first, with the verdict below. */
void view_pages__stack(struct tui *t)
{
	const struct profile *p = t->profile;
	const struct row *row = entered_row(t);
	const struct profile_sample *s = row ? &p->samples[row->sample] : NULL;
	int y = VIEW_HEADER_ROWS + 2, at = 0;

	if (!s) {
		mvaddstr(y, 2, "this stack is no longer there");
		return;
	}
	view_table__head(t, VIEW_HEADER_ROWS, true, "");
	view_table__row(t, VIEW_HEADER_ROWS + 1, row, true, false);
	for (uint32_t k = 0; k < s->nstack; k++) {
		uint32_t loc = p->stack[s->stack0 + k];

		for (uint32_t j = 0; j < max_of(p->locations[loc].nlines, 1u); j++, at++) {
			if (at >= t->top_stack && y < LINES - 2)
				put_frame(y++, at, p, loc, j);
		}
	}
	t->page = max_of(LINES - VIEW_HEADER_ROWS - 4, 1);
	t->top_stack = max_of(min_of(t->top_stack, at - t->page), 0);
	view_table__verdict(t, LINES - 2);
}

/* Sizes and lifetimes of all blocks, or of one stack's, with what became of each age. */
void view_pages__hist(struct tui *t)
{
	bool one = t->back == TUI_STACK;
	const struct row *row = one ? entered_row(t) : NULL;
	char *text = NULL, *line, *rest;
	int at = 0, y = VIEW_HEADER_ROWS + 2, bar = max_of(min_of(COLS - 62, 60), 8);
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	if (row)
		hist_out__stack_text(f, t->profile, row->sample, bar);
	else if (!one)
		hist_out__text(f, t->profile, bar);
	if (fclose(f))
		return;
	view_table__head(t, VIEW_HEADER_ROWS, true, one ? "" : "all stacks");
	if (row)
		view_table__row(t, VIEW_HEADER_ROWS + 1, row, true, false);
	if (!len)
		mvaddstr(y, 2,
			 one ? "nothing is known of this stack's blocks" : "no block was seen yet");
	/* (each section begins with an empty line; the first needs none) */
	for (rest = text + (len && *text == '\n'); (line = strsep(&rest, "\n")) && rest; at++) {
		if (at < t->top_stack || y >= LINES - 2)
			continue;
		move(y++, 0);
		draw__name(line, COLS);
	}
	free(text);
	t->page = max_of(LINES - VIEW_HEADER_ROWS - 4, 1);
	t->top_stack = max_of(min_of(t->top_stack, at - t->page), 0);
	if (one)
		view_table__verdict(t, LINES - 2);
}

void view_pages__neighbours(struct tui *t)
{
	int half = max_of((LINES - VIEW_HEADER_ROWS - 4) / 2, 1);
	int callers = min_of(half, max_of((int)t->callers.n, 1)), y = VIEW_HEADER_ROWS;

	attron(A_BOLD);
	mvaddstr(y, 0, "called by");
	attroff(A_BOLD);
	for (int i = 0; i < callers && i < (int)t->callers.n; i++)
		view_table__row(t, y + 1 + i, &t->callers.row[i], false, false);
	y += 1 + callers;
	attron(A_BOLD | A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	draw__name(t->focus, COLS - (t->rows.n ? 12 : 32));
	addstr(t->rows.n ? " calls" : " calls nothing that allocates");
	attroff(A_BOLD | A_REVERSE);
	if (t->rows.n)
		view_table__rows(t, &t->rows, y + 1, LINES - 2 - y - 1, false);
}

void view_pages__help(struct tui *t)
{
	static const char *const text[] = {
		"Tab       next sample type; 1-4: alloc objects, space, in use objects, space",
		"f         functions or stacks",
		"o F6      sort by flat, cum, rate or name; I turns the order round",
		"Enter     into a stack, or a function's callers and callees",
		"Esc b     back; at the table: without the filter",
		"\\ F4      filter as --focus: function, file or module (empty: none)",
		"/ F3      search in the rows; again, without a text: the next",
		"a         anonymous mappings too, marked [mmap]",
		"p Space   pause, go on",
		"m d       mark this moment; differences since the mark, or values",
		"i         sizes, lifetimes and ages of the blocks",
		"l         where RSS belongs: the ledger",
		"n         next process, where several are watched",
		"s         save the profile as it is listed",
		"j k arrows PgUp PgDn Home End  move",
		"? h F1    this help",
		"X F9      send it a signal; F7 F8: its nice value (with --allow-signals)",
		"q F10     leave (the target goes on untouched)",
		"",
		"flat      in the function itself; cum: with what it calls; per min: growth",
		"verdict   LEAK grows steadily, old blocks stay (leak?: not for long yet); cache "
		"fills "
		"and levels off; startup grew early only; step grew once; churn comes and goes; "
		"released was given back; ... too early to say",
		NULL,
	};
	int all = pager__draw(text, &t->top_help, 0, LINES - 1);

	t->page = max_of(LINES - 1, 1);
	draw__keys(all > t->page ? "h back  q leave  PgDn more" : "h back  q leave");
}
