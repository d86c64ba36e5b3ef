/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * screen.c - top on a terminal. Keys as in htop: arrows and pages move, M V A S G P O N U C sort by
 * a column, I turns the order, t or F5 tree, \ or F4 filter, K kernel threads, p command lines,
 * space or Z stop the clock, q or F10 end.
 */
#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "top/screen.h"
#include "top/top.h"
#include "tui/term.h"

#define HEAD_ROWS 4
#define MIN_ROWS_STACKS 20 /* of the screen, for stacks to be shown */

struct screen {
	struct top *t;
	size_t first, at; /* first row shown; the row under the cursor */
	uint32_t pid;	  /* the process under the cursor: it stays there when rows move */
	int left;	  /* columns scrolled to the right */
	bool paused, help, quit, filtering;
	char filter[64], message[128];
};

static const struct {
	int key;
	enum view_sort sort;
} sort_keys[] = {
	{'M', SORT_RSS},   {'V', SORT_VIRT}, {'A', SORT_ANON},	 {'F', SORT_FILE},
	{'H', SORT_SHMEM}, {'S', SORT_SWAP}, {'G', SORT_GROWTH}, {'P', SORT_PEAK},
	{'O', SORT_OOM},   {'N', SORT_PID},  {'U', SORT_USER},	 {'C', SORT_COMMAND},
};

static const char *const help_text[] = {
	"Keys",
	"",
	"  arrows, PgUp, PgDn, Home, End   move (left, right: columns)",
	"  M V A F H S   sort by RSS, VIRT, anonymous, file, shared memory, swap",
	"  G P O         sort by growth, peak, OOM score",
	"  N U C         sort by PID, user, command",
	"  I             turn the order round",
	"  t, F5         tree",
	"  \\, F4         filter by command, user, cgroup, container (empty: none)",
	"  K             kernel threads",
	"  p             command lines or names",
	"  space, Z      stop, go on",
	"  h, F1         this help",
	"  q, F10        end",
	"",
	"GROWTH/min is over the last two minutes. TREND: growing (steadily), sawtooth, flat, step,",
	"filling (growth dies away), released. PEAK is the highest RSS of the process's life.",
	NULL,
};

static void put(int y, int left, const char *text, int attr)
{
	size_t len = strlen(text);
	int width = getmaxx(stdscr);

	move(y, 0);
	clrtoeol();
	attrset(attr);
	if (len > (size_t)left)
		addnstr(text + left, width);
	attrset(A_NORMAL);
}

static void draw_help(void)
{
	for (int i = 0; help_text[i] && i < getmaxy(stdscr); i++)
		mvaddnstr(i, 0, help_text[i], getmaxx(stdscr));
}

/* Keeps the cursor on its process and inside the rows, and the rows around it in view. */
static void follow_cursor(struct screen *s, size_t rows)
{
	const struct top_view *v = &s->t->view;

	for (size_t i = 0; s->pid && i < v->n; i++) {
		if (v->row[i]->row.tgid == s->pid) {
			s->at = i;
			break;
		}
	}
	if (s->at >= v->n)
		s->at = v->n ? v->n - 1 : 0;
	if (s->at < s->first)
		s->first = s->at;
	if (rows && s->at >= s->first + rows)
		s->first = s->at - rows + 1;
}

void screen__draw(struct screen *s)
{
	struct top *t = s->t;
	int height = getmaxy(stdscr);
	size_t nstacks =
		s->t->stacks && height >= MIN_ROWS_STACKS ? top_stacks__lines(s->t->stacks) : 0;
	size_t rows = height > HEAD_ROWS + 1 ? height - HEAD_ROWS - 1 - nstacks : 0;
	char line[1024], dropped[64] = "";

	erase();
	if (s->help) {
		draw_help();
		refresh();
		return;
	}
	top_view__machine_line1(line, sizeof(line), &t->machine, &t->table);
	put(0, 0, line, A_NORMAL);
	top_view__machine_line2(line, sizeof(line), &t->machine);
	put(1, 0, line, A_NORMAL);
	if (t->dropped)
		snprintf(dropped, sizeof(dropped), "(timeline: %llu ended processes dropped) ",
			 (unsigned long long)t->dropped);
	snprintf(line, sizeof(line), "by %s%s%s%s%s%s  %s%s", top_view__sort_name(t->view.sort),
		 t->view.reverse ? ", lowest first" : "", t->view.tree ? ", tree" : "",
		 t->view.has_filter ? ", filter " : "", t->view.has_filter ? s->filter : "",
		 s->paused ? ", stopped" : "", dropped,
		 t->gap_seconds ? "(a gap before this refresh)" : s->message);
	put(2, 0, line, A_DIM);
	top_view__heading(line, sizeof(line), &t->view);
	put(3, s->left, line, A_REVERSE);
	follow_cursor(s, rows);
	for (size_t i = 0; i < rows && s->first + i < t->view.n; i++) {
		top_view__row(line, sizeof(line), &t->view, &t->table, t->view.row[s->first + i]);
		put(HEAD_ROWS + i, s->left, line, s->first + i == s->at ? A_BOLD : A_NORMAL);
	}
	for (size_t i = 0; i < nstacks; i++) {
		top_stacks__line(t->stacks, i, line, sizeof(line));
		put(HEAD_ROWS + rows + i, s->left, line, i ? A_NORMAL : A_REVERSE);
	}
	if (s->filtering)
		snprintf(line, sizeof(line), "Filter: %s_", s->filter);
	else
		snprintf(line, sizeof(line),
			 "F1 Help  F4 Filter  F5 Tree  M V G P O Sort  F10 Quit");
	put(height - 1, 0, line, A_REVERSE);
	refresh();
}

static void filter_key(struct screen *s, int key)
{
	size_t len = strlen(s->filter);

	if (key == '\n' || key == KEY_ENTER || key == 27) {
		if (key == 27)
			s->filter[0] = 0;
		s->filtering = false;
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		s->filter[len ? len - 1 : 0] = 0;
	} else if (key >= 32 && key < 127 && len + 1 < sizeof(s->filter)) {
		s->filter[len] = key;
		s->filter[len + 1] = 0;
	}
	s->message[0] = 0;
	if (top_view__set_filter(&s->t->view, s->filter))
		snprintf(s->message, sizeof(s->message), "(not yet a regular expression)");
}

static void move_cursor(struct screen *s, long by)
{
	const struct top_view *v = &s->t->view;
	long to = (long)s->at + by;

	s->at = to < 0 ? 0 : (size_t)to < v->n ? (size_t)to : v->n ? v->n - 1 : 0;
	s->pid = v->n ? v->row[s->at]->row.tgid : 0;
}

static bool move_key(struct screen *s, int key)
{
	long page = max_of(getmaxy(stdscr) - HEAD_ROWS - 2, 1);

	switch (key) {
	case KEY_UP: move_cursor(s, -1); return true;
	case KEY_DOWN: move_cursor(s, 1); return true;
	case KEY_PPAGE: move_cursor(s, -page); return true;
	case KEY_NPAGE: move_cursor(s, page); return true;
	case KEY_HOME: move_cursor(s, -(long)s->t->view.n); return true;
	case KEY_END: move_cursor(s, s->t->view.n); return true;
	case KEY_LEFT: s->left = max_of(s->left - 8, 0); return true;
	case KEY_RIGHT: s->left = min_of(s->left + 8, 512); return true;
	}
	return false;
}

static void on_key(struct screen *s, int key)
{
	struct top_view *v = &s->t->view;

	if (s->filtering) {
		filter_key(s, key);
		return;
	}
	if (s->help) {
		s->help = false;
		return;
	}
	if (move_key(s, key))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sort_keys); i++) {
		if (sort_keys[i].key == key)
			v->sort = sort_keys[i].sort;
	}
	switch (key) {
	case 'q':
	case KEY_F(10): s->quit = true; break;
	case 'h':
	case '?':
	case KEY_F(1): s->help = true; break;
	case 't':
	case KEY_F(5): v->tree = !v->tree; break;
	case 'I': v->reverse = !v->reverse; break;
	case 'p': v->full_command = !v->full_command; break;
	case 'K': v->hide_kthreads = !v->hide_kthreads; break;
	case ' ':
	case 'Z': s->paused = !s->paused; break;
	case '\\':
	case '/':
	case KEY_F(4): s->filtering = true; break;
	}
}

int screen__open(struct top *t, struct screen **ret)
{
	struct screen *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->t = t;
	t->view.hide_kthreads = !t->kthreads;
	err = term__open();
	if (err) {
		free(s);
		return err;
	}
	timeout(0);
	keypad(stdscr, TRUE);
	t->is_screen = true;
	*ret = s;
	return 0;
}

void screen__close(struct screen *s)
{
	if (!s)
		return;
	s->t->is_screen = false;
	term__close();
	free(s);
}

bool screen__keys(struct screen *s)
{
	int key;

	while ((key = getch()) != ERR)
		on_key(s, key);
	return !s->quit;
}

bool screen__paused(const struct screen *s)
{
	return s->paused;
}
