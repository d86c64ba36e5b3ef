/* SPDX-License-Identifier: GPL-2.0-or-later */
/* view.c - draws the live view: header with sparklines, state, the page on show, keys. */
#include "tui/tui_priv.h"

#include "core/units.h"
#include "core/util.h"
#include "tui/term.h"

#include <math.h>
#include <ncurses.h>
#include <string.h>
#include <wchar.h>

#define NARROW 60 /* columns */

/* The last `width` values, scaled from their lowest to their highest. */
static void sparkline(const double *v, int n, int width)
{
	static const wchar_t blocks[] = L"▁▂▃▄▅▆▇█";
	static const char ascii[] = "_.-=+*%#";
	double lo = INFINITY, hi = -INFINITY;
	int from = max_of(n - width, 0);

	for (int i = from; i < n; i++) {
		lo = fmin(lo, v[i]);
		hi = fmax(hi, v[i]);
	}
	for (int i = from; i < n; i++) {
		/* what moves by less than a hundredth is a flat line, not a drama */
		double range = fmax(hi - lo, fabs(hi) * 0.01);
		int k = range > 0 ? (int)((v[i] - lo) / range * 7.999) : 0;

		if (term__is_utf8())
			addnwstr(&blocks[k], 1);
		else
			addch((chtype)ascii[k]);
	}
}

static void history_trend(const struct tui *t, int which, struct trend *ret)
{
	struct trend_point p[TUI_HISTORY];

	for (int i = 0; i < t->past.nhistory; i++)
		p[i] = (struct trend_point){t->past.history_t[i], t->past.history[which][i], -1,
					    -1};
	trend__classify(p, t->past.nhistory, ret);
}

static void meter(const struct tui *t, int y, const char *name, int which, double bytes)
{
	static const enum draw_colour colours[] = {DRAW_YELLOW, DRAW_MAGENTA, DRAW_CYAN};
	char b[UNITS_LEN], r[UNITS_LEN];
	struct trend tr;
	int room = max_of(min_of(COLS - 46, TUI_HISTORY), 8);

	mvprintw(y, 0, "%-7s %10s ", name, units__size(b, sizeof(b), (int64_t)bytes));
	draw__colour(colours[which], true);
	sparkline(t->past.history[which], t->past.nhistory, room);
	draw__colour(colours[which], false);
	history_trend(t, which, &tr);
	if (tr.kind == TREND_TOO_EARLY)
		return;
	move(y, 20 + room);
	if (tr.kind == TREND_LINEAR) {
		units__size(r, sizeof(r), (int64_t)(tr.slope_bytes_s * 60));
		draw__colour(DRAW_RED, true);
		draw__rest("%s%s/min growing", tr.slope_bytes_s >= 0 ? "+" : "", r);
		draw__colour(DRAW_RED, false);
	} else {
		draw__rest("%s", trend__kind_name(tr.kind));
	}
}

/* What fits of it, the most important first. */
static void rates(const struct tui *t, int y)
{
	const struct tui_numbers *n = &t->numbers;
	char a[UNITS_LEN];

	move(y, 0);
	if (n->lost) {
		draw__colour(DRAW_RED, true);
		draw__fits("lost %llu  ", (unsigned long long)n->lost);
		draw__colour(DRAW_RED, false);
	}
	if (n->windows && *n->windows)
		draw__fits("%s  ", n->windows);
	draw__fits("allocating %s/s", units__size(a, sizeof(a), (int64_t)t->past.alloc_rate));
	draw__fits(" in %.0f blocks/s", t->past.alloc_count_rate);
	draw__fits("  total %s", units__size(a, sizeof(a), (int64_t)n->alloc_bytes));
	if (!t->mappings && n->map_bytes > 0)
		draw__fits("  mapped besides %s", units__size(a, sizeof(a), (int64_t)n->map_bytes));
	if (!n->lost)
		draw__fits("  lost 0");
	if (t->cost[0])
		draw__fits("  cost %s", t->cost);
}

/* The command line, where it is long without the folder of its program. */
static const char *short_command(const char *name, int width)
{
	size_t program = strcspn(name, " ");
	const char *slash = memrchr(name, '/', program);

	return (int)strlen(name) > width && slash && slash[1] && slash[1] != ' ' ? slash + 1 : name;
}

static void header(const struct tui *t)
{
	const struct tui_numbers *n = &t->numbers;
	char a[UNITS_LEN], right[64];

	if (!n->pid) /* nothing is known yet: zeros would be numbers */
		return;
	snprintf(right, sizeof(right), "PID %d%s  watched %s", n->pid, n->ended ? " (ended)" : "",
		 units__time(a, sizeof(a), n->watched_ns));
	attron(A_BOLD);
	move(0, 0);
	draw__name(short_command(t->name, COLS - (int)strlen(right) - 2),
		   COLS - (int)strlen(right) - 2);
	attroff(A_BOLD);
	mvaddstr(0, max_of(COLS - (int)strlen(right), 0), right);
	meter(t, 1, "RSS", 0, (double)n->rss_bytes);
	meter(t, 2, "VIRT", 1, (double)n->virt_bytes);
	if (n->inuse_unknown)
		mvprintw(3, 0, "%-7s %10s ", "in use", "not known");
	else
		meter(t, 3, "in use", 2, n->inuse_bytes);
	rates(t, 4);
}

static void state_line(const struct tui *t, int y)
{
	/* where it is narrow the order gives way to what must not be missed */
	bool short_of_room = COLS < NARROW && (t->paused || t->since_mark || t->filter);

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	draw__rest(" %s of %s", t->functions_mode ? "functions" : "stacks",
		   profile__heap_type_name(t->type));
	if (!short_of_room)
		draw__rest(" by %s%s%s", rows_sorts[t->sort], t->reverse ? ", lowest first" : "",
			   t->mappings ? ", mappings too" : "");
	if (t->paused)
		draw__fits(" | PAUSED");
	if (t->since_mark &&
	    !draw__fits(" | since mark %.0fs ago", t->past.stacks.now_s - t->past.mark_t))
		draw__fits(" | since mark");
	if (t->filter && draw__fits(" | filter "))
		draw__name(rx__pattern(t->filter), COLS - getcurx(stdscr) - 1);
	attroff(A_REVERSE);
}

static void table_screen(struct tui *t)
{
	bool stack = !t->functions_mode;

	view_table__head(t, VIEW_HEADER_ROWS, stack, stack ? "stack" : "function");
	view_table__rows(t, &t->rows, VIEW_HEADER_ROWS + 1, LINES - VIEW_HEADER_ROWS - 3, stack);
	view_table__verdict(t, LINES - 2);
}

#define TABLE_KEYS \
	"Tab type  o sort  f functions  \\ filter  / search  l ledger  p pause  m mark  s save"

static void foot(const struct tui *t)
{
	if (t->prompt.what) {
		ask__draw(&t->prompt);
	} else if (t->act.ask.what) {
		act__draw(&t->act, 0);
	} else if (t->message[0]) {
		move(LINES - 1, 0);
		draw__name(t->message, COLS - 1);
	} else if (t->screen == TUI_STACK || t->screen == TUI_HIST) {
		draw__keys("q quit  b back  h help  i sizes, lifetimes, ages  p pause  s save");
	} else {
		draw__keys(t->source.has_caller ? "q quit  b back  h help  " TABLE_KEYS
						: "q quit  h help  " TABLE_KEYS);
	}
}

static void page(struct tui *t)
{
	header(t);
	if (t->screen == TUI_LEDGER) {
		view__ledger(t);
		return;
	}
	state_line(t, VIEW_HEADER_ROWS - 1);
	if (t->screen == TUI_STACK && t->profile)
		view_pages__stack(t);
	else if (t->screen == TUI_HIST && t->profile)
		view_pages__hist(t);
	else if (t->screen == TUI_NEIGHBOURS)
		view_pages__neighbours(t);
	else
		table_screen(t);
}

void view__draw(struct tui *t)
{
	erase();
	if (LINES < TUI_MIN_ROWS || COLS < TUI_MIN_COLS) {
		mvaddnstr(0, 0, "terminal too small", COLS);
	} else if (t->screen == TUI_HELP) {
		view_pages__help(t);
	} else {
		page(t);
		foot(t);
		if (t->menu.on)
			menu__draw(&t->menu, VIEW_HEADER_ROWS - 1);
		if (t->act.menu.on)
			act__draw(&t->act, VIEW_HEADER_ROWS - 1);
	}
	term__show();
}
