/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - top on a terminal. Keys mean the same as in the live view (tui/), and as in htop. */
#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "core/units.h"
#include "core/util.h"
#include "top/screen.h"
#include "top/top.h"
#include "top/top_columns.h"
#include "tui/act.h"
#include "tui/ask.h"
#include "tui/draw.h"
#include "tui/menu.h"
#include "tui/pager.h"
#include "tui/term.h"

#define HEAD_ROWS 4
#define MIN_ROWS_STACKS 20 /* of the screen, for stacks to be shown */
#define MIN_ROWS 6
#define MIN_COLS 24
#define ESCAPE 27

struct screen {
	struct top *t;
	size_t first, at; /* first row shown; the row under the cursor */
	uint32_t pid;	  /* the process under the cursor: it stays there when rows move */
	int left;	  /* columns that the command is scrolled by */
	int help_top;
	bool paused, help;
	struct ask ask;
	struct menu menu;
	struct act act;
	char searched[ASK_TEXT], message[256];
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
	"Enter     the live profile of the process: which stacks hold its memory; Esc, b come back",
	"l         the same, where its RSS belongs first: the ledger",
	"o F6      sort by: a menu; I turns the order round",
	"M V A     sort by RSS, VIRT, anonymous",
	"F H S     sort by file, shared memory, swap",
	"G P O     sort by growth, peak, OOM score",
	"N U C     sort by PID, user, command",
	"\\ F4      filter as --filter: command, user, cgroup or container (empty: none)",
	"/ F3      search in the same; again, without a text: the next",
	"Esc b     without the filter",
	"t F5      tree",
	"c         command lines or names",
	"K         kernel threads",
	"p Space Z stop, go on",
	"j k arrows PgUp PgDn Home End  move (left, right: along the commands)",
	"? h F1    this help",
	"X F9      send it a signal; F7 F8: its nice value (with --allow-signals)",
	"q F10     end",
	"",
	"Columns give way where the screen is narrow. GROWTH/min is over the last two minutes. "
	"TREND: "
	"growing (steadily), sawtooth, flat, step, filling (growth dies away), released. PEAK is "
	"the "
	"highest RSS of the process's life.",
	NULL,
};

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

static enum draw_colour colour_of(const struct table_proc *p, enum top_column c)
{
	const char *trend = table_proc__trend(p);
	double growth;

	if (c == TOP_TREND)
		return !strcmp(trend, "growing")			     ? DRAW_RED
		       : !strcmp(trend, "step") || !strcmp(trend, "filling") ? DRAW_YELLOW
		       : !strcmp(trend, "released")			     ? DRAW_GREEN
		       : !strcmp(trend, "sawtooth")			     ? DRAW_CYAN
									     : DRAW_PLAIN;
	if (c == TOP_SWAP && p->row.swap_bytes)
		return DRAW_MAGENTA;
	if (c != TOP_GROWTH || !table_proc__growth_shown(p, &growth))
		return DRAW_PLAIN;
	return growth >= 1024 ? DRAW_YELLOW : growth <= -1024 ? DRAW_GREEN : DRAW_PLAIN;
}

static void put_command(const struct screen *s, const char *text)
{
	size_t len = strlen(text), width = (size_t)max_of(COLS - getcurx(stdscr), 1);
	/* what fits stands still, what does not moves as far as its end */
	size_t skip = min_of((size_t)s->left, len > width ? len - width : 0);

	while (skip && (text[skip] & 0xc0) == 0x80) /* not into a character */
		skip--;
	draw__name(text + skip, COLS - getcurx(stdscr));
}

static void put_row(const struct screen *s, int y, unsigned shown, const struct table_proc *p,
		    bool selected)
{
	char cell[TOP_CELL];

	attrset(selected ? A_REVERSE : A_NORMAL);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
		if (!(shown & 1u << c))
			continue;
		top_columns__cell(cell, c, s->t->view.full_command, &s->t->table, p);
		if (c == TOP_COMMAND) {
			put_command(s, cell);
			continue;
		}
		draw__colour(colour_of(p, c), true);
		printw("%*s ", top_columns__width(c), cell);
		draw__colour(colour_of(p, c), false);
	}
	attrset(A_NORMAL);
}

/* The column that is sorted by stands out. */
static void put_heading(const struct screen *s, int y, unsigned shown)
{
	enum top_column sorted = top_columns__of_sort(s->t->view.sort);

	attrset(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	move(y, 0);
	for (enum top_column c = 0; c < TOP_COLUMNS; c++) {
		if (!(shown & 1u << c))
			continue;
		attrset(A_REVERSE | (c == sorted ? A_BOLD | A_UNDERLINE : 0));
		printw("%*s", top_columns__width(c), top_columns__head(c));
		attrset(A_REVERSE);
		if (c != TOP_COMMAND)
			addch(' ');
	}
	attrset(A_NORMAL);
}

/* A line of groups, three blanks between them: as many as fit whole. */
static void put_groups(int y, char *line)
{
	char *group;

	move(y, 0);
	for (char *rest = line; (group = rest); rest = rest ? rest + 3 : NULL) {
		rest = strstr(group, "   ");
		if (rest)
			*rest = 0;
		if (!draw__fits("%s%s", group == line ? "" : "   ", group))
			return;
	}
}

static void put_machine(const struct top *t)
{
	const struct machine *m = &t->machine;
	char a[UNITS_LEN], b[UNITS_LEN], line[512];

	if (COLS < 100) { /* what matters most of both lines */
		move(0, 0);
		draw__rest("Mem: %s available of %s", units__size(a, sizeof(a), m->available_bytes),
			   units__size(b, sizeof(b), m->total_bytes));
		draw__fits("  Swap: %s used",
			   units__size(a, sizeof(a), m->swap_total_bytes - m->swap_free_bytes));
		draw__fits("  Processes: %zu", t->table.n);
		move(1, 0);
		if (m->has_psi)
			draw__rest("Pressure: some %.2f%%, full %.2f%% (10s)", m->some_avg10,
				   m->full_avg10);
		draw__fits("  Load: %.2f", m->load[0]);
		return;
	}
	top_view__machine_line1(line, sizeof(line), m, &t->table);
	put_groups(0, line);
	top_view__machine_line2(line, sizeof(line), m);
	put_groups(1, line);
}

static void put_state(const struct screen *s, int y)
{
	const struct top *t = s->t;

	attrset(A_DIM);
	move(y, 0);
	draw__rest("by %s%s%s", top_view__sort_name(t->view.sort),
		   t->view.reverse ? ", lowest first" : "", t->view.tree ? ", tree" : "");
	if (s->paused)
		draw__fits(", stopped");
	if (t->view.filter && draw__fits(", filter "))
		draw__name(rx__pattern(t->view.filter), COLS - getcurx(stdscr) - 1);
	if (t->dropped || t->rejected)
		draw__fits("  (timeline full: %llu gave way, %llu found no room)",
			   (unsigned long long)t->dropped, (unsigned long long)t->rejected);
	if (t->gap_seconds)
		draw__fits("  (a gap before this refresh)");
	attrset(A_NORMAL);
}

static void put_foot(const struct screen *s)
{
	if (s->ask.what) {
		ask__draw(&s->ask);
	} else if (s->act.ask.what) {
		act__draw(&s->act, 0);
	} else if (s->message[0]) {
		move(LINES - 1, 0);
		draw__name(s->message, COLS - 1);
	} else {
		draw__keys("q quit  h help  Enter profile  l ledger  o sort  \\ filter  / search  "
			   "t tree  c command lines  p stop");
	}
}

static void put_table(struct screen *s)
{
	struct top *t = s->t;
	size_t nstacks = t->stacks && LINES >= MIN_ROWS_STACKS ? top_stacks__lines(t->stacks) : 0;
	size_t rows = LINES - HEAD_ROWS - 1 - nstacks;
	unsigned shown = top_columns__fit(COLS, t->view.sort);
	char line[1024];

	put_machine(t);
	put_state(s, 2);
	put_heading(s, 3, shown);
	follow_cursor(s, rows);
	for (size_t i = 0; i < rows && s->first + i < t->view.n; i++)
		put_row(s, HEAD_ROWS + (int)i, shown, t->view.row[s->first + i],
			s->first + i == s->at);
	for (size_t i = 0; i < nstacks; i++) {
		top_stacks__line(t->stacks, i, line, sizeof(line));
		attrset(i ? A_NORMAL : A_REVERSE);
		move(HEAD_ROWS + (int)(rows + i), 0);
		draw__name(line, COLS);
		attrset(A_NORMAL);
	}
}

void screen__draw(struct screen *s)
{
	erase();
	if (LINES < MIN_ROWS || COLS < MIN_COLS) {
		mvaddnstr(0, 0, "terminal too small", COLS);
	} else if (s->help) {
		bool more = pager__draw(help_text, &s->help_top, 0, LINES - 1) > LINES - 1;

		draw__keys(more ? "h back  q end  PgDn more" : "h back  q end");
	} else {
		put_table(s);
		put_foot(s);
		if (s->menu.on)
			menu__draw(&s->menu, 2);
		if (s->act.menu.on)
			act__draw(&s->act, 2);
	}
	term__show();
}

static void move_to(struct screen *s, size_t at)
{
	const struct top_view *v = &s->t->view;

	s->at = min_of(at, v->n ? v->n - 1 : 0);
	s->pid = v->n ? v->row[s->at]->row.tgid : 0;
}

static void move_cursor(struct screen *s, long by)
{
	move_to(s, (size_t)max_of((long)s->at + by, 0L));
}

/* The next row that matches, round the end. */
static void search(struct screen *s, const char *text)
{
	const struct top_view *v = &s->t->view;
	char why[128];
	struct rx *rx;

	if (*text)
		snprintf(s->searched, sizeof(s->searched), "%s", text);
	if (!s->searched[0] || !v->n)
		return;
	if (rx__new(s->searched, &rx, why, sizeof(why))) {
		snprintf(s->message, sizeof(s->message), "no regular expression: %s", why);
		return;
	}
	for (size_t i = 1; i <= v->n; i++) {
		size_t at = (s->at + i) % v->n;

		if (!top_view__matches(rx, v->row[at]))
			continue;
		move_to(s, at);
		rx__free(rx);
		return;
	}
	snprintf(s->message, sizeof(s->message), "not found: %.200s", s->searched);
	rx__free(rx);
}

static void set_filter(struct screen *s, const char *text)
{
	char why[128];

	if (top_view__set_filter(&s->t->view, text, why, sizeof(why)))
		snprintf(s->message, sizeof(s->message), "no regular expression: %s", why);
}

static void ask_key(struct screen *s, int key)
{
	char what = s->ask.what;

	if (ask__key(&s->ask, key) != ASK_DONE)
		return;
	if (what == '/')
		search(s, s->ask.text);
	else
		set_filter(s, s->ask.text);
}

static void help_key(struct screen *s, int key)
{
	switch (key) {
	case KEY_UP:
	case 'k': s->help_top--; break;
	case KEY_DOWN:
	case 'j': s->help_top++; break;
	case KEY_PPAGE: s->help_top -= LINES - 1; break;
	case ' ':
	case KEY_NPAGE: s->help_top += LINES - 1; break;
	case KEY_HOME: s->help_top = 0; break;
	case KEY_END: s->help_top = 1 << 20; break;
	default: s->help = false;
	}
}

static bool move_key(struct screen *s, int key)
{
	long page = max_of(LINES - HEAD_ROWS - 2, 1);

	switch (key) {
	case 'k':
	case KEY_UP: move_cursor(s, -1); return true;
	case 'j':
	case KEY_DOWN: move_cursor(s, 1); return true;
	case KEY_PPAGE: move_cursor(s, -page); return true;
	case KEY_NPAGE: move_cursor(s, page); return true;
	case KEY_HOME: move_to(s, 0); return true;
	case KEY_END: move_to(s, s->t->view.n); return true;
	case KEY_LEFT: s->left = max_of(s->left - 8, 0); return true;
	case KEY_RIGHT: s->left = min_of(s->left + 8, 512); return true;
	}
	return false;
}

static bool asking_key(struct screen *s, int key)
{
	enum ask_key asks = ask__opens(&s->ask, key, s->searched);

	if (asks == ASK_AGAIN)
		search(s, "");
	if (asks)
		return true;
	if (key != 'o' && key != KEY_F(6))
		return false;
	menu__open(&s->menu, "Sort by", top_view__sort_names(), SORT_KEYS, (int)s->t->view.sort);
	return true;
}

static void view_key(struct screen *s, int key)
{
	struct top_view *v = &s->t->view;

	for (size_t i = 0; i < ARRAY_SIZE(sort_keys); i++) {
		if (sort_keys[i].key == key)
			v->sort = sort_keys[i].sort;
	}
	switch (key) {
	case 'h':
	case '?':
	case KEY_F(1):
		s->help = true;
		s->help_top = 0;
		break;
	case 't':
	case KEY_F(5): v->tree = !v->tree; break;
	case 'I': v->reverse = !v->reverse; break;
	case 'c': v->full_command = !v->full_command; break;
	case 'K': v->hide_kthreads = !v->hide_kthreads; break;
	case 'p':
	case ' ':
	case 'Z': s->paused = !s->paused; break;
	case ESCAPE:
	case 'b': set_filter(s, ""); break;
	}
}

/* The process under the cursor. */
static int open_selected(void *arg, struct pidref *ret)
{
	const struct screen *s = arg;
	const struct top_view *v = &s->t->view;

	if (s->at >= v->n)
		return -ESRCH;
	return pidref__open((pid_t)v->row[s->at]->row.tgid, v->row[s->at]->row.start_ns, ret);
}

static enum screen_wish on_key(struct screen *s, int key)
{
	s->message[0] = 0;
	if (s->ask.what) {
		ask_key(s, key);
	} else if (s->menu.on) {
		if (menu__key(&s->menu, key) == MENU_CHOSEN)
			s->t->view.sort = (enum view_sort)s->menu.at;
	} else if (act__is_on(&s->act)) {
		act__key(&s->act, key, s->message, sizeof(s->message));
	} else if (key == 'q' || key == KEY_F(10)) {
		return SCREEN_LEAVE;
	} else if (s->help) {
		help_key(s, key);
	} else if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		return SCREEN_PROFILE;
	} else if (key == 'l') {
		return SCREEN_LEDGER;
	} else if (act__is_key(key)) {
		act__begin(&s->act, key, open_selected, s, s->message, sizeof(s->message));
	} else if (!move_key(s, key) && !asking_key(s, key)) {
		view_key(s, key);
	}
	return SCREEN_STAY;
}

int screen__open(struct top *t, struct screen **ret)
{
	struct screen *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->t = t;
	s->act.allowed = t->allow_signals;
	t->view.hide_kthreads = !t->kthreads;
	err = term__open();
	if (err) {
		free(s);
		return err;
	}
	t->is_screen = true;
	*ret = s;
	return 0;
}

void screen__close(struct screen *s)
{
	if (!s)
		return;
	act__end(&s->act);
	s->t->is_screen = false;
	term__close();
	free(s);
}

enum screen_wish screen__keys(struct screen *s)
{
	int key;

	while ((key = term__key()) != ERR) {
		enum screen_wish wish = key == KEY_RESIZE ? SCREEN_STAY : on_key(s, key);

		if (wish != SCREEN_STAY)
			return wish;
	}
	return SCREEN_STAY;
}

uint32_t screen__pid(const struct screen *s)
{
	const struct top_view *v = &s->t->view;

	return s->at < v->n ? v->row[s->at]->row.tgid : 0;
}

void screen__tell(struct screen *s, const char *text)
{
	snprintf(s->message, sizeof(s->message), "%s", text);
}

bool screen__paused(const struct screen *s)
{
	return s->paused;
}
