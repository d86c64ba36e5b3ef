/* SPDX-License-Identifier: GPL-2.0-or-later */
/* view.c - draws the live view: header with sparklines, table, stack, callers and callees, help. */
#include "tui/tui_priv.h"

#include "core/shortname.h"
#include "core/units.h"
#include "core/util.h"
#include "core/textbuf.h"
#include "format/hist_out.h"
#include "format/text.h"
#include "tui/term.h"

#include <math.h>
#include <ncurses.h>
#include <string.h>
#include <wchar.h>

void view__colour(int pair, bool on)
{
	if (!term__has_colour())
		return;
	if (on)
		attron(COLOR_PAIR(pair));
	else
		attroff(COLOR_PAIR(pair));
}

void view__put_name(const char *name, int width)
{
	struct textbuf b = {0};
	wchar_t *wide = NULL;
	size_t n;
	int used = 0, x, y;

	textbuf__plain(&b, name, "");
	if (width <= 0 || b.err)
		goto out;
	wide = calloc(b.len + 1, sizeof(*wide));
	if (!wide)
		goto out;
	n = term__is_utf8() ? mbstowcs(wide, b.text, b.len) : (size_t)-1;
	if (n == (size_t)-1) { /* not this terminal's encoding: bytes outside ASCII as '?' */
		for (n = 0; n < b.len; n++)
			wide[n] = b.text[n] > 0 ? (wchar_t)b.text[n] : L'?';
	}
	getyx(stdscr, y, x);
	for (size_t i = 0; i < n; i++) {
		int w = max_of(wcwidth(wide[i]), 0);

		if (used + w > width) {
			if (width > 4)
				mvaddstr(y, x + width - 2, "..");
			break;
		}
		addnwstr(&wide[i], 1);
		used += w;
	}
out:
	textbuf__free(&b);
	free(wide);
}

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

static const char *type_name(const struct tui *t)
{
	static const char *const name[] = {"alloc_objects", "alloc_space", "inuse_objects",
					   "inuse_space"};

	return name[t->type];
}

static bool is_bytes(const struct tui *t)
{
	return t->type == PROFILE_ALLOC_SPACE || t->type == PROFILE_INUSE_SPACE;
}

/* buf: UNITS_LEN - 2 bytes or more */
static const char *value_text(const struct tui *t, double v, char *buf)
{
	if (is_bytes(t))
		return units__size(buf, UNITS_LEN - 2, (int64_t)v);
	if (fabs(v) >= 1e7)
		snprintf(buf, UNITS_LEN - 2, "%.1fM", v / 1e6);
	else
		snprintf(buf, UNITS_LEN - 2, "%.0f", v);
	return buf;
}

static const char *rate_text(const struct tui *t, double per_s, char buf[UNITS_LEN])
{
	char v[UNITS_LEN - 2];

	if (fabs(per_s) * 60 < 0.5)
		return "0";
	value_text(t, per_s * 60, v);
	snprintf(buf, UNITS_LEN, "%s%s", per_s > 0 ? "+" : "", v);
	return buf;
}

static void history_trend(const struct tui *t, int which, struct trend *ret)
{
	struct trend_point p[TUI_HISTORY];

	for (int i = 0; i < t->nhistory; i++)
		p[i] = (struct trend_point){t->history_t[i], t->history[which][i], -1, -1};
	trend__classify(p, t->nhistory, ret);
}

static void meter(const struct tui *t, int y, const char *name, int which, double bytes)
{
	char b[UNITS_LEN], r[UNITS_LEN];
	struct trend tr;
	int room = max_of(min_of(COLS - 46, TUI_HISTORY), 8);

	mvprintw(y, 0, "%-7s %10s ", name, units__size(b, sizeof(b), (int64_t)bytes));
	view__colour(which == 0 ? VIEW_YELLOW : which == 1 ? VIEW_MAGENTA : VIEW_CYAN, true);
	sparkline(t->history[which], t->nhistory, room);
	view__colour(which == 0 ? VIEW_YELLOW : which == 1 ? VIEW_MAGENTA : VIEW_CYAN, false);
	history_trend(t, which, &tr);
	if (tr.kind == TREND_TOO_EARLY)
		return;
	move(y, 20 + room);
	if (tr.kind == TREND_LINEAR) {
		view__colour(VIEW_RED, true);
		printw("%s%s/min %s", tr.slope_bytes_s >= 0 ? "+" : "",
		       units__size(r, sizeof(r), (int64_t)(tr.slope_bytes_s * 60)), "growing");
		view__colour(VIEW_RED, false);
	} else {
		printw("%s", trend__kind_name(tr.kind));
	}
}

static void header(const struct tui *t)
{
	const struct tui_numbers *n = &t->numbers;
	char a[UNITS_LEN], b[UNITS_LEN], right[64];

	snprintf(right, sizeof(right), "PID %d%s  watched %s", n->pid, n->ended ? " (ended)" : "",
		 units__time(a, sizeof(a), n->watched_ns));
	attron(A_BOLD);
	move(0, 0);
	view__put_name(t->name, COLS - (int)strlen(right) - 2);
	attroff(A_BOLD);
	mvaddstr(0, max_of(COLS - (int)strlen(right), 0), right);
	meter(t, 1, "RSS", 0, (double)n->rss_bytes);
	meter(t, 2, "VIRT", 1, (double)n->virt_bytes);
	meter(t, 3, "in use", 2, n->inuse_bytes);
	mvprintw(4, 0, "allocating %s/s in %.0f blocks/s",
		 units__size(a, sizeof(a), (int64_t)t->alloc_rate), t->alloc_count_rate);
	printw("  total %s  lost ", units__size(b, sizeof(b), (int64_t)n->alloc_bytes));
	if (n->lost) {
		view__colour(VIEW_RED, true);
		printw("%llu", (unsigned long long)n->lost);
		view__colour(VIEW_RED, false);
	} else {
		addstr("0");
	}
	if (t->cost[0] && COLS - getcurx(stdscr) > (int)strlen(t->cost) + 8)
		printw("  cost %s", t->cost);
}

static void state_line(const struct tui *t, int y)
{
	static const char *const sorts[] = {"flat", "cum", "rate", "name"};

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	mvprintw(y, 0, " %s of %s by %s ", t->functions_mode ? "functions" : "stacks", type_name(t),
		 sorts[t->sort]);
	if (t->since_mark)
		printw("| since mark %.0fs ago ", t->stacks.now_s - t->mark_t);
	if (t->paused)
		addstr("| PAUSED ");
	if (t->has_filter) {
		addstr("| /");
		view__put_name(t->filter_text, max_of(COLS - getcurx(stdscr) - 2, 0));
	}
	attroff(A_REVERSE);
}

/* Trend of a row's stack or function. */
static void row_trend(const struct tui *t, const struct row *r, bool stack, struct trend *ret)
{
	const struct watch *w = stack ? &t->stacks : &t->functions;
	const struct watch_entry *e = watch__find(w, r->key);

	if (e)
		watch__trend(w, e, ret);
	else
		trend__classify(NULL, 0, ret);
}

static void put_row(const struct tui *t, int y, const struct row *r, bool stack, bool selected)
{
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN];
	double total = (double)max_of(t->rows.total, (int64_t)1);
	struct trend tr;

	row_trend(t, r, stack, &tr);
	if (selected)
		attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	mvprintw(y, 0, "%10s %5.1f%% %10s %5.1f%% %11s ", value_text(t, (double)r->shown_flat, a),
		 100 * (double)r->shown_flat / total, value_text(t, (double)r->shown_cum, b),
		 100 * (double)r->shown_cum / total, rate_text(t, r->rate, c));
	if (tr.likely_leak)
		view__colour(VIEW_RED, true);
	printw("%-8s ", trend__short(&tr));
	if (tr.likely_leak)
		view__colour(VIEW_RED, false);
	view__put_name(r->name, COLS - getcurx(stdscr));
	if (*r->file && getcury(stdscr) == y && COLS - getcurx(stdscr) > 10) {
		char where[128];

		snprintf(where, sizeof(where), "  %.100s:%lld", r->file, (long long)r->line);
		if (!selected)
			attron(A_DIM);
		view__put_name(where, COLS - getcurx(stdscr));
		attroff(A_DIM);
	}
	attroff(A_REVERSE);
}

static void table_head(const struct tui *t, int y, const char *what)
{
	attron(A_BOLD);
	mvprintw(y, 0, "%10s %6s %10s %6s %11s %-8s ", "flat", "flat%", "cum", "cum%", "per min",
		 "verdict");
	view__put_name(what, COLS - getcurx(stdscr));
	attroff(A_BOLD);
}

static void rows_window(struct tui *t, const struct rows *r, int y, int height, bool stack)
{
	t->page = max_of(height, 1);
	t->selected = max_of(min_of(t->selected, (int)r->n - 1), 0);
	if (t->selected < t->top)
		t->top = t->selected;
	if (t->selected >= t->top + t->page)
		t->top = t->selected - t->page + 1;
	t->top = max_of(min_of(t->top, (int)r->n - t->page), 0);
	for (int i = 0; i < height && t->top + i < (int)r->n; i++)
		put_row(t, y + i, &r->row[t->top + i], stack, t->top + i == t->selected);
	if (!r->n)
		mvaddstr(y + 1, 2,
			 t->has_filter ? "nothing matches the filter"
			 : t->profile  ? "nothing was allocated yet"
				       : "waiting for the first snapshot");
}

static const char *place_of(const struct row *r, char *buf, size_t len)
{
	if (*r->file)
		snprintf(buf, len, "%.80s:%lld %.120s", r->file, (long long)r->line, r->name);
	else
		snprintf(buf, len, "%.200s", r->name);
	return buf;
}

/* One line on the selected row, in words. */
static void verdict_line(const struct tui *t, int y)
{
	const struct row *r = &t->rows.row[t->selected];
	char text[512], where[256];
	struct trend tr;

	if (t->selected >= (int)t->rows.n)
		return;
	row_trend(t, r, !t->functions_mode, &tr);
	trend__verdict(text, sizeof(text), &tr, place_of(r, where, sizeof(where)));
	move(y, 0);
	if (tr.likely_leak)
		view__colour(VIEW_RED, true);
	view__put_name(text, COLS);
	if (tr.likely_leak)
		view__colour(VIEW_RED, false);
}

static void table_screen(struct tui *t)
{
	state_line(t, 5);
	table_head(t, VIEW_HEADER_ROWS, t->functions_mode ? "function" : "stack");
	rows_window(t, &t->rows, VIEW_HEADER_ROWS + 1, LINES - VIEW_HEADER_ROWS - 3,
		    !t->functions_mode);
	verdict_line(t, LINES - 2);
}

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

/* The whole stack of the selected row, innermost first, with the verdict above. */
static void stack_screen(struct tui *t)
{
	const struct profile *p = t->profile;
	const struct row *row = entered_row(t);
	const struct profile_sample *s = row ? &p->samples[row->sample] : NULL;
	int y = VIEW_HEADER_ROWS + 2, at = 0;

	state_line(t, 5);
	if (!s) {
		mvaddstr(y, 2, "this stack is no longer there");
		return;
	}
	table_head(t, VIEW_HEADER_ROWS, "");
	put_row(t, VIEW_HEADER_ROWS + 1, row, true, false);
	for (uint32_t k = 0; k < s->nstack; k++) {
		const struct profile_location *l = &p->locations[p->stack[s->stack0 + k]];

		for (uint32_t j = 0; j < max_of(l->nlines, 1u); j++, at++) {
			const struct profile_line *ln =
				j < l->nlines ? &p->lines[l->line0 + j] : NULL;
			char text[600];

			if (at < t->top_stack || y >= LINES - 2)
				continue;
			if (ln && ln->function < p->nfunctions)
				snprintf(text, sizeof(text), "%.300s  %.200s:%lld",
					 profile__text(p, p->functions[ln->function].name),
					 profile__text(p, p->functions[ln->function].file),
					 (long long)ln->line);
			else
				snprintf(text, sizeof(text), "%.200s+0x%llx",
					 l->mapping < p->nmappings
						 ? profile__text(p, p->mappings[l->mapping].file)
						 : "",
					 (unsigned long long)l->address);
			mvprintw(y++, 0, "%4d  ", at);
			view__put_name(text, COLS - 6);
		}
	}
	t->page = max_of(LINES - VIEW_HEADER_ROWS - 4, 1);
	t->top_stack = max_of(min_of(t->top_stack, at - t->page), 0);
	verdict_line(t, LINES - 2);
}

/* Sizes and lifetimes of all blocks, or of one stack's, with what became of each age. */
static void hist_screen(struct tui *t)
{
	bool one = t->back == TUI_STACK;
	const struct row *row = one ? entered_row(t) : NULL;
	char *text = NULL, *line, *rest;
	int at = 0, y = VIEW_HEADER_ROWS + 2, bar = max_of(min_of(COLS - 62, 60), 8);
	size_t len;
	FILE *f = open_memstream(&text, &len);

	state_line(t, 5);
	if (!f)
		return;
	if (row)
		hist_out__stack_text(f, t->profile, row->sample, bar);
	else if (!one)
		hist_out__text(f, t->profile, bar);
	if (fclose(f))
		return;
	table_head(t, VIEW_HEADER_ROWS, one ? "" : "all stacks");
	if (row)
		put_row(t, VIEW_HEADER_ROWS + 1, row, true, false);
	if (!len)
		mvaddstr(y, 2,
			 one ? "nothing is known of this stack's blocks" : "no block was seen yet");
	/* (each section begins with an empty line; the first needs none) */
	for (rest = text + (len && *text == '\n'); (line = strsep(&rest, "\n")) && rest; at++) {
		if (at < t->top_stack || y >= LINES - 2)
			continue;
		move(y++, 0);
		view__put_name(line, COLS);
	}
	free(text);
	t->page = max_of(LINES - VIEW_HEADER_ROWS - 4, 1);
	t->top_stack = max_of(min_of(t->top_stack, at - t->page), 0);
	if (one)
		verdict_line(t, LINES - 2);
}

static void neighbours_screen(struct tui *t)
{
	int half = max_of((LINES - VIEW_HEADER_ROWS - 4) / 2, 1);

	state_line(t, 5);
	attron(A_BOLD);
	mvaddstr(VIEW_HEADER_ROWS, 0, "called by");
	attroff(A_BOLD);
	for (int i = 0; i < half && i < (int)t->callers.n; i++)
		put_row(t, VIEW_HEADER_ROWS + 1 + i, &t->callers.row[i], false, false);
	attron(A_BOLD | A_REVERSE);
	mvhline(VIEW_HEADER_ROWS + 1 + half, 0, ' ', COLS);
	move(VIEW_HEADER_ROWS + 1 + half, 0);
	view__put_name(t->focus, COLS - 12);
	addstr(" calls");
	attroff(A_BOLD | A_REVERSE);
	rows_window(t, &t->rows, VIEW_HEADER_ROWS + 2 + half, LINES - VIEW_HEADER_ROWS - 3 - half,
		    false);
}

static void help_screen(void)
{
	static const char *const text[] = {
		"t Tab     next sample type      1-4  alloc objects, space; in use objects, space",
		"f         functions or stacks   o    sort by flat, cum, rate, name",
		"Enter     into a stack, or a function's callers and callees",
		"Esc b     back                  /    filter by a regular expression (empty: none)",
		"p Space   pause, go on          n    next process, where several are watched",
		"m         mark this moment      d    differences since the mark, or values",
		"i         sizes, lifetimes and ages of the blocks: of all, or of the stack gone "
		"into",
		"s         save the profile      up down j k PgUp PgDn Home End",
		"l         where RSS belongs: the ledger; l, Esc back to the table",
		"h ?       this help             q    leave (the target goes on untouched)",
		"",
		"flat: in the function itself; cum: in it and what it calls; per min: growth",
		"verdict: LEAK grows steadily, old blocks stay (leak?: not for long yet); cache",
		"         fills and levels off; startup grew early only; step grew once; flat;",
		"         churn comes and goes; released was given back; ... too early to say",
	};

	for (size_t i = 0; i < ARRAY_SIZE(text) && VIEW_HEADER_ROWS + (int)i < LINES - 1; i++) {
		move(VIEW_HEADER_ROWS + (int)i, 1);
		view__put_name(text[i], COLS - 2);
	}
}

static void foot(const struct tui *t)
{
	move(LINES - 1, 0);
	if (t->asking) {
		attron(A_BOLD);
		addstr("/");
		view__put_name(t->input, COLS - 3);
		attroff(A_BOLD);
		addch('_' | A_BLINK);
		return;
	}
	if (t->message[0]) {
		view__put_name(t->message, COLS - 1);
		return;
	}
	attron(A_DIM);
	if (t->screen == TUI_STACK || t->screen == TUI_HIST)
		view__put_name("q quit b back i sizes, lifetimes, ages p pause s save h help",
			       COLS - 1);
	else
		view__put_name("q quit t type o sort f funcs l ledger / filter p pause m mark s "
			       "save h help",
			       COLS - 1);
	attroff(A_DIM);
}

void view__draw(struct tui *t)
{
	erase();
	if (LINES < 10 || COLS < 40) {
		mvaddstr(0, 0, "terminal too small");
		refresh();
		return;
	}
	header(t);
	if (t->screen == TUI_HELP)
		help_screen();
	else if (t->screen == TUI_STACK && t->profile)
		stack_screen(t);
	else if (t->screen == TUI_HIST && t->profile)
		hist_screen(t);
	else if (t->screen == TUI_LEDGER)
		view__ledger(t);
	else if (t->screen == TUI_NEIGHBOURS)
		neighbours_screen(t);
	else
		table_screen(t);
	foot(t);
	refresh();
}
