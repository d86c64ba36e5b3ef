/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * view_ledger.c - the page of the live view that shows where RSS and VIRT belong: the lines of the
 * ledger, which scroll if they do not fit, their sum, and what stands apart.
 */
#include "core/units.h"
#include "core/util.h"
#include "tui/draw.h"
#include "tui/term.h"
#include "tui/tui_priv.h"

#include <math.h>
#include <ncurses.h>
#include <string.h>
#include <time.h>

#define VIRT_COLS 60 /* from there on VIRT is shown: the names matter more */
#define BAR_MIN 8
#define BAR_MAX 32

static int bar_columns(void)
{
	return COLS < 80 ? 0 : min_of(BAR_MIN + (COLS - 80) / 2, BAR_MAX);
}

/* `share` of `width` columns, to an eighth of a column where the terminal can. */
static void bar(double share, int width)
{
	static const wchar_t eighths[] = L"▏▎▍▌▋▊▉";
	int x = getcurx(stdscr), y = getcury(stdscr);
	int n = (int)lround(fmin(fmax(share, 0), 1) * width * 8);

	draw__colour(DRAW_CYAN, true);
	for (int i = 0; i < n / 8; i++) {
		if (term__is_utf8())
			addwstr(L"█");
		else
			addch('#');
	}
	if (n % 8 && term__is_utf8())
		addnwstr(&eighths[n % 8 - 1], 1);
	else if (n % 8 >= 4)
		addch('#');
	draw__colour(DRAW_CYAN, false);
	move(y, x + width + 1);
}

static void put_line(int y, int64_t virt, int64_t rss, double total, const char *what)
{
	char a[UNITS_LEN], b[UNITS_LEN];
	double share = total > 0 ? (double)rss / total : 0;

	move(y, 0);
	if (COLS >= VIRT_COLS)
		printw("%9s ", units__size(a, sizeof(a), virt));
	printw("%9s %6.1f%% ", units__size(b, sizeof(b), rss), 100 * share);
	if (bar_columns())
		bar(share, bar_columns());
	draw__name(what, COLS - getcurx(stdscr));
}

static void state_line(const struct tui *t, int y)
{
	const struct ledger *l = t->ledger.ledger;
	time_t at = l ? l->unix_ms / 1000 : 0;
	char clock[32] = "", text[TUI_TEXT], took[UNITS_LEN], pause[UNITS_LEN];
	struct tm tm;

	if (l && localtime_r(&at, &tm))
		strftime(clock, sizeof(clock), " as of %H:%M:%S %z", &tm);
	snprintf(text, sizeof(text), " ledger%s%s%s%s%s", clock,
		 l && !l->steady ? " | memory changed meanwhile" : "", t->ledger.why ? " | " : "",
		 t->ledger.why ? t->ledger.why : "", t->paused ? " | PAUSED" : "");
	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	draw__name(text, COLS);
	if (l && !t->ledger.why && !t->paused) {
		snprintf(text, sizeof(text), "| read in %s, pause %s",
			 units__time(took, sizeof(took), t->ledger.took_ns),
			 units__time(pause, sizeof(pause), t->ledger.pause_ns));
		if (COLS - getcurx(stdscr) > (int)strlen(text) + 1)
			printw(" %s", text);
	}
	attroff(A_REVERSE);
}

static void sums(const struct ledger *l, int y)
{
	char a[UNITS_LEN], text[TUI_TEXT];
	int n;

	attron(A_BOLD);
	put_line(y, (int64_t)l->virt_bytes, (int64_t)l->rss_bytes, (double)l->rss_bytes,
		 "total, as the kernel counts");
	attroff(A_BOLD);
	n = snprintf(text, sizeof(text), "apart: page tables %s",
		     units__size(a, sizeof(a), (int64_t)l->pgtables_bytes));
	if (l->swap_bytes)
		n += snprintf(text + n, sizeof(text) - n, ", in swap %s",
			      units__size(a, sizeof(a), (int64_t)l->swap_bytes));
	if (l->hugetlb_bytes)
		n += snprintf(text + n, sizeof(text) - n, ", hugetlbfs %s",
			      units__size(a, sizeof(a), (int64_t)l->hugetlb_bytes));
	if (l->untouched_bytes)
		snprintf(text + n, sizeof(text) - n, ", live heap never touched %s",
			 units__size(a, sizeof(a), (int64_t)l->untouched_bytes));
	move(y + 1, 0);
	draw__name(text, COLS);
}

static void reservation(int y, const struct ledger_reservation *r)
{
	char text[TUI_TEXT], a[UNITS_LEN], b[UNITS_LEN];

	snprintf(text, sizeof(text), "reserved at 0x%llx: %s, %s touched%s",
		 (unsigned long long)r->start, units__size(a, sizeof(a), (int64_t)r->virt_bytes),
		 units__size(b, sizeof(b), (int64_t)r->rss_bytes),
		 r->accessible ? "" : ", not accessible");
	move(y, 2);
	draw__name(text, COLS - 2);
}

void view__ledger(struct tui *t)
{
	const struct ledger *l = t->ledger.ledger;
	enum ledger_kind shown[LEDGER_KINDS];
	int first = VIEW_HEADER_ROWS + 1, height = LINES - first - 3, lines = 0, all;

	state_line(t, VIEW_HEADER_ROWS - 1);
	if (!l) {
		move(first, 2);
		draw__name(t->ledger.why ? "there is no ledger: see above"
					 : "waiting for the first reading",
			   COLS - 2);
		return;
	}
	attron(A_BOLD);
	move(VIEW_HEADER_ROWS, 0);
	if (COLS >= VIRT_COLS)
		printw("%9s ", "VIRT");
	printw("%9s %7s ", "RSS", "of RSS");
	mvaddstr(VIEW_HEADER_ROWS, getcurx(stdscr) + (bar_columns() ? bar_columns() + 1 : 0),
		 "what");
	attroff(A_BOLD);
	for (int k = 0; k < LEDGER_KINDS; k++) {
		if (ledger__is_shown(l, k))
			shown[lines++] = k;
	}
	all = lines + (int)l->nreservations;
	t->page = max_of(height, 1);
	t->top_ledger = max_of(min_of(t->top_ledger, all - t->page), 0);
	for (int i = 0; i < height && t->top_ledger + i < all; i++) {
		int at = t->top_ledger + i;

		if (at < lines)
			put_line(first + i, l->line[shown[at]].virt_bytes,
				 l->line[shown[at]].rss_bytes, (double)l->rss_bytes,
				 ledger__name(shown[at]));
		else
			reservation(first + i, &l->reservation[at - lines]);
	}
	/* the sum stands right below, or, where the lines scroll, above the keys */
	if (height > 0)
		sums(l, first + min_of(all, height));
}
