/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * view_table.c - the table of the live view. Its columns give way by priority where the screen is
 * narrow: a row's name and its flat value are always there.
 */
#include <math.h>
#include <ncurses.h>
#include <string.h>

#include "core/units.h"
#include "tui/tui_priv.h"

#define CELL UNITS_LEN

enum view_column {
	COL_FLAT,
	COL_FLAT_SHARE,
	COL_CUM,
	COL_CUM_SHARE,
	COL_RATE,
	COL_VERDICT,
	COLUMNS
};

static const struct {
	const char *head;
	int width;
} columns[COLUMNS] = {
	[COL_FLAT] = {"flat", 10},    [COL_FLAT_SHARE] = {"flat%", 6},
	[COL_CUM] = {"cum", 10},      [COL_CUM_SHARE] = {"cum%", 6},
	[COL_RATE] = {"per min", 11}, [COL_VERDICT] = {"verdict", -8},
};

/* What is given up first stands last. Of a stack flat and cum are the same. */
static const enum view_column of_stacks[] = {COL_FLAT, COL_FLAT_SHARE, COL_VERDICT, COL_RATE,
					     COLUMNS};
static const enum view_column of_functions[] = {
	COL_FLAT, COL_CUM, COL_FLAT_SHARE, COL_VERDICT, COL_CUM_SHARE, COL_RATE, COLUMNS};

static int width_of(enum view_column c)
{
	return abs(columns[c].width) + 1;
}

/* The columns that there is room for beside a name of a useful length. */
static unsigned shown_columns(bool stack)
{
	int name = stack ? max_of(COLS * 45 / 100, 20) : max_of(COLS / 4, 16), left = COLS - name;
	unsigned shown = 0;

	for (const enum view_column *c = stack ? of_stacks : of_functions; *c != COLUMNS; c++) {
		left -= width_of(*c);
		if (shown && left < 0)
			break;
		shown |= 1u << *c;
	}
	return shown;
}

static bool is_bytes(const struct tui *t)
{
	return t->type == PROFILE_ALLOC_SPACE || t->type == PROFILE_INUSE_SPACE;
}

/* buf: CELL - 2 bytes or more */
static const char *value_text(const struct tui *t, double v, char *buf)
{
	if (is_bytes(t))
		return units__size(buf, CELL - 2, (int64_t)v);
	if (fabs(v) >= 1e7)
		snprintf(buf, CELL - 2, "%.1fM", v / 1e6);
	else
		snprintf(buf, CELL - 2, "%.0f", v);
	return buf;
}

static void rate_text(const struct tui *t, double per_s, char buf[CELL])
{
	char v[CELL - 2];

	if (fabs(per_s) * 60 < 0.5)
		snprintf(buf, CELL, "0");
	else
		snprintf(buf, CELL, "%s%s", per_s > 0 ? "+" : "", value_text(t, per_s * 60, v));
}

static void cell_text(const struct tui *t, const struct row *r, const struct trend *tr,
		      enum view_column c, char buf[CELL])
{
	double total = (double)max_of(t->rows.total, (int64_t)1);

	switch (c) {
	case COL_FLAT: value_text(t, (double)r->shown_flat, buf); break;
	case COL_CUM: value_text(t, (double)r->shown_cum, buf); break;
	case COL_FLAT_SHARE:
		snprintf(buf, CELL, "%.1f%%", 100 * (double)r->shown_flat / total);
		break;
	case COL_CUM_SHARE:
		snprintf(buf, CELL, "%.1f%%", 100 * (double)r->shown_cum / total);
		break;
	case COL_RATE: rate_text(t, r->rate, buf); break;
	default: snprintf(buf, CELL, "%s", trend__short(tr)); break;
	}
}

static enum draw_colour colour_of(const struct row *r, const struct trend *tr, enum view_column c)
{
	if (c == COL_RATE)
		return r->rate * 60 > 0.5    ? DRAW_YELLOW
		       : r->rate * 60 < -0.5 ? DRAW_GREEN
					     : DRAW_PLAIN;
	if (c != COL_VERDICT)
		return DRAW_PLAIN;
	if (tr->likely_leak)
		return DRAW_RED;
	switch (tr->kind) {
	case TREND_LINEAR:
	case TREND_STEP: return DRAW_YELLOW;
	case TREND_SATURATING:
	case TREND_STARTUP:
	case TREND_RELEASED: return DRAW_GREEN;
	case TREND_CHURN: return DRAW_CYAN;
	default: return DRAW_PLAIN;
	}
}

/* Trend of a row's stack or function. */
static void row_trend(const struct tui *t, const struct row *r, bool stack, struct trend *ret)
{
	const struct watch *w = stack ? &t->past.stacks : &t->past.functions;
	const struct watch_entry *e = watch__find(w, r->key);

	if (e)
		watch__trend(w, e, ret);
	else
		trend__classify(NULL, 0, ret);
}

static void put_place(const struct row *r, bool selected)
{
	if (!selected)
		attron(A_DIM);
	draw__rest("  %.100s:%lld", r->file, (long long)r->line);
	if (!selected)
		attroff(A_DIM);
}

void view_table__row(const struct tui *t, int y, const struct row *r, bool stack, bool selected)
{
	unsigned shown = shown_columns(stack);
	struct trend tr;

	row_trend(t, r, stack, &tr);
	if (selected)
		attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	for (enum view_column c = 0; c < COLUMNS; c++) {
		char text[CELL];

		if (!(shown & 1u << c))
			continue;
		cell_text(t, r, &tr, c, text);
		draw__colour(colour_of(r, &tr, c), true);
		printw("%*s ", columns[c].width, text);
		draw__colour(colour_of(r, &tr, c), false);
	}
	draw__name(r->name, COLS - getcurx(stdscr));
	if (*r->file && getcury(stdscr) == y && COLS - getcurx(stdscr) > 10)
		put_place(r, selected);
	attroff(A_REVERSE);
}

void view_table__head(const struct tui *t, int y, bool stack, const char *what)
{
	unsigned shown = shown_columns(stack);

	attron(A_BOLD);
	move(y, 0);
	for (enum view_column c = 0; c < COLUMNS; c++) {
		if (shown & 1u << c)
			printw("%*s ", columns[c].width, columns[c].head);
	}
	draw__name(what, COLS - getcurx(stdscr));
	attroff(A_BOLD);
}

static const char *why_empty(const struct tui *t)
{
	if (t->filter)
		return "nothing matches the filter";
	if (!t->profile)
		return "waiting for the first snapshot";
	return t->profile->totals.alloc_objects > 0
		       ? "nothing that was allocated is in use; Tab: what was allocated"
		       : "nothing was allocated yet";
}

void view_table__rows(struct tui *t, const struct rows *r, int y, int height, bool stack)
{
	t->page = max_of(height, 1);
	t->selected = max_of(min_of(t->selected, (int)r->n - 1), 0);
	if (t->selected < t->top)
		t->top = t->selected;
	if (t->selected >= t->top + t->page)
		t->top = t->selected - t->page + 1;
	t->top = max_of(min_of(t->top, (int)r->n - t->page), 0);
	for (int i = 0; i < height && t->top + i < (int)r->n; i++)
		view_table__row(t, y + i, &r->row[t->top + i], stack, t->top + i == t->selected);
	if (r->n)
		return;
	move(y, 2);
	draw__name(why_empty(t), COLS - 3);
}

static const char *place_of(const struct row *r, char *buf, size_t len)
{
	if (*r->file)
		snprintf(buf, len, "%.80s:%lld %.120s", r->file, (long long)r->line, r->name);
	else
		snprintf(buf, len, "%.200s", r->name);
	return buf;
}

void view_table__verdict(const struct tui *t, int y)
{
	const struct row *r = &t->rows.row[t->selected];
	char text[512], where[256];
	struct trend tr;

	if (t->selected >= (int)t->rows.n)
		return;
	row_trend(t, r, !t->functions_mode, &tr);
	trend__verdict(text, sizeof(text), &tr, place_of(r, where, sizeof(where)));
	move(y, 0);
	draw__colour(tr.likely_leak ? DRAW_RED : DRAW_PLAIN, true);
	draw__name(text, COLS);
	draw__colour(tr.likely_leak ? DRAW_RED : DRAW_PLAIN, false);
}
