/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tui.c - snapshots in, keys in; view.c draws. See tui.h. */
#include "tui/tui.h"

#include "core/util.h"
#include "format/output.h"
#include "sys/outfile.h"
#include "tui/term.h"
#include "tui/tui_priv.h"

#include <ncurses.h>
#include <string.h>
#include <time.h>

#define ESCAPE 27

int tui__open(const struct tui_source *source, int type, struct tui **ret)
{
	struct tui *t;
	int err;

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->source = *source;
	t->past.stacks.leak_after_s = t->past.functions.leak_after_s = source->leak_after_s;
	t->mappings = source->mappings;
	t->act.allowed = source->allow_signals;
	t->type = type >= 0 && type < WATCH_VALUES ? type : PROFILE_INUSE_SPACE;
	err = term__open();
	if (err) {
		free(t);
		return err;
	}
	view__draw(t);
	*ret = t;
	return 0;
}

static void update_ledger(struct tui *t)
{
	bool frozen = t->paused && t->ledger.ledger;

	if (t->screen == TUI_LEDGER && t->source.ledger && !frozen)
		t->source.ledger(t->source.arg, &t->ledger);
}

void tui__show_ledger(struct tui *t)
{
	if (t->source.ledger)
		t->screen = TUI_LEDGER;
}

static void clear_past(struct tui_past *p)
{
	watch__clear(&p->stacks);
	watch__clear(&p->functions);
	p->id = 0;
	p->nhistory = 0;
	p->last_t = p->alloc_rate = p->alloc_count_rate = 0;
}

/* Nothing is on show. */
static void clear_view(struct tui *t)
{
	profile__free(t->profile);
	t->profile = NULL;
	rows__clear(&t->rows);
	rows__clear(&t->callers);
	t->selected = t->top = 0;
	t->since_mark = false;
	t->ledger = (struct tui_ledger){0};
	t->top_ledger = 0;
}

void tui__forget(struct tui *t)
{
	clear_view(t);
	clear_past(&t->past);
}

/* The past of the process on show is put aside; without memory for that it is gone. */
static void keep_past(struct tui *t)
{
	struct tui_past fresh = {0};

	fresh.stacks.leak_after_s = fresh.functions.leak_after_s = t->source.leak_after_s;
	if (t->nkept == TUI_KEPT) {
		clear_past(&t->kept[0]);
		memmove(t->kept, t->kept + 1, --t->nkept * sizeof(*t->kept));
	}
	if (!t->past.id || array_reserve(t->kept, t->kept_cap, t->nkept + 1)) {
		clear_past(&t->past);
		return;
	}
	t->kept[t->nkept++] = t->past;
	t->past = fresh;
}

/* The first snapshot of a process: it goes on where it was left, or began with nothing. */
static void begin_past(struct tui *t, double now)
{
	for (size_t i = 0; i < t->nkept; i++) {
		if (t->kept[i].id != t->numbers.id)
			continue;
		clear_past(&t->past);
		t->past = t->kept[i];
		t->kept[i] = t->kept[--t->nkept];
		return;
	}
	t->past.id = t->numbers.id;
	watch__begin(&t->past.stacks, now - (double)t->numbers.watched_ns / 1e9);
	watch__begin(&t->past.functions, now - (double)t->numbers.watched_ns / 1e9);
}

void tui__close(struct tui *t)
{
	if (!t)
		return;
	act__end(&t->act);
	term__close();
	tui__forget(t);
	for (size_t i = 0; i < t->nkept; i++)
		clear_past(&t->kept[i]);
	free(t->kept);
	rx__free(t->filter);
	free(t);
}

static void remember(struct tui *t, double now)
{
	const struct tui_numbers *n = &t->numbers;
	double dt = now - t->past.last_t;

	if (t->past.nhistory == TUI_HISTORY) {
		memmove(t->past.history_t, t->past.history_t + 1,
			sizeof(t->past.history_t) - sizeof(double));
		for (int i = 0; i < 3; i++)
			memmove(t->past.history[i], t->past.history[i] + 1,
				sizeof(t->past.history[i]) - sizeof(double));
		t->past.nhistory--;
	}
	t->past.history_t[t->past.nhistory] = now;
	t->past.history[0][t->past.nhistory] = (double)n->rss_bytes;
	t->past.history[1][t->past.nhistory] = (double)n->virt_bytes;
	t->past.history[2][t->past.nhistory++] = n->inuse_bytes;
	if (t->past.last_t > 0 && dt > 0) {
		t->past.alloc_rate = (n->alloc_bytes - t->past.last_alloc_bytes) / dt;
		t->past.alloc_count_rate = (n->alloc_objects - t->past.last_alloc_objects) / dt;
	}
	t->past.last_t = now;
	t->past.last_alloc_bytes = n->alloc_bytes;
	t->past.last_alloc_objects = n->alloc_objects;
}

/* The table for the snapshot on show; the selection stays on what it was on. */
static int arrange(struct tui *t)
{
	struct rows_options o = {.mode = t->functions_mode ? ROWS_FUNCTIONS : ROWS_STACKS,
				 .sort = t->sort,
				 .type = t->type,
				 .since_mark = t->since_mark,
				 .reverse = t->reverse,
				 .filter = t->filter,
				 .focus = t->focus};
	int err;

	if (!t->profile)
		return 0;
	if (t->screen == TUI_NEIGHBOURS) {
		o.filter = NULL;
		o.mode = ROWS_CALLERS;
		o.sort = ROWS_BY_CUM;
		err = rows__fill(&t->callers, t->profile, &o, &t->past.stacks, &t->past.functions);
		if (err)
			return err;
		o.mode = ROWS_CALLEES;
	}
	err = rows__fill(&t->rows, t->profile, &o, &t->past.stacks, &t->past.functions);
	for (size_t i = 0; i < t->rows.n && t->selected_key; i++) {
		if (t->rows.row[i].key == t->selected_key) {
			/* the first row stays the first: the top of the table is what is watched */
			if (t->selected)
				t->selected = (int)i;
			break;
		}
	}
	return err;
}

int tui__update(struct tui *t)
{
	struct profile *p = NULL;
	double now = (double)util__now_ns() / 1e9;
	int err;

	if (t->paused)
		return 0;
	err = t->source.snapshot(t->source.arg, t->screen == TUI_HIST, t->mappings, &p,
				 &t->numbers);
	if (!err && !t->profile)
		begin_past(t, now);
	if (!err)
		err = watch__profile(&t->past.stacks, p, now);
	if (!err)
		err = rows__watch_functions(p, &t->past.functions, now);
	if (err) {
		profile__free(p);
		return err;
	}
	rows__clear(&t->rows); /* names are borrowed from the profile that goes */
	rows__clear(&t->callers);
	profile__free(t->profile);
	t->profile = p;
	snprintf(t->name, sizeof(t->name), "%s", t->numbers.name ? t->numbers.name : "");
	snprintf(t->cost, sizeof(t->cost), "%s", t->numbers.cost ? t->numbers.cost : "");
	remember(t, now);
	update_ledger(t);
	err = arrange(t);
	if (!err)
		view__draw(t);
	return err;
}

static void save(struct tui *t)
{
	char path[64], clock[16];
	time_t now = time(NULL);
	struct tm tm;
	int err;

	if (!t->profile)
		return;
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H%M%S", &tm);
	snprintf(path, sizeof(path), "memwatch-%d-%s.pb.gz", t->numbers.pid, clock);
	err = output__write(t->profile, path);
	snprintf(t->message, sizeof(t->message), err ? "failed to write %s: %s" : "wrote %s", path,
		 outfile__strerror(err));
}

static void set_filter(struct tui *t, const char *text)
{
	struct rx *rx = NULL;
	char why[128];

	if (text[0] && rx__new(text, &rx, why, sizeof(why))) {
		snprintf(t->message, sizeof(t->message), "no regular expression: %.120s: %.100s",
			 text, why);
		return;
	}
	rx__free(t->filter);
	t->filter = rx;
	t->selected = t->top = 0;
	t->selected_key = 0;
	arrange(t); /* the next key may be here already, and means a row of these */
}

static void note_selected(struct tui *t)
{
	if (t->selected >= 0 && t->selected < (int)t->rows.n)
		t->selected_key = t->rows.row[t->selected].key;
}

/* The next row, round the end, with the text in its name. */
static void search(struct tui *t, const char *text)
{
	struct rx *rx;
	size_t n = t->rows.n;
	char why[128];

	if (*text)
		snprintf(t->searched, sizeof(t->searched), "%s", text);
	if (!t->searched[0] || !n)
		return;
	if (rx__new(t->searched, &rx, why, sizeof(why))) {
		snprintf(t->message, sizeof(t->message), "no regular expression: %s", why);
		return;
	}
	for (size_t i = 1; i <= n; i++) {
		size_t at = ((size_t)t->selected + i) % n;

		if (!rx__match(rx, t->rows.row[at].name))
			continue;
		t->selected = (int)at;
		note_selected(t);
		rx__free(rx);
		return;
	}
	snprintf(t->message, sizeof(t->message), "not found: %.200s", t->searched);
	rx__free(rx);
}

static void prompt_key(struct tui *t, int key)
{
	char what = t->prompt.what;

	if (ask__key(&t->prompt, key) != ASK_DONE)
		return;
	if (what == '/')
		search(t, t->prompt.text);
	else
		set_filter(t, t->prompt.text);
}

static void menu_key(struct tui *t, int key)
{
	if (menu__key(&t->menu, key) == MENU_CHOSEN)
		t->sort = (enum rows_sort)t->menu.at;
}

static void go_into(struct tui *t)
{
	if (t->selected >= (int)t->rows.n || t->screen == TUI_STACK || t->screen == TUI_HIST ||
	    t->screen == TUI_LEDGER)
		return;
	note_selected(t);
	if (t->screen == TUI_TABLE && !t->functions_mode) {
		t->screen = TUI_STACK;
		t->top_stack = 0;
		return;
	}
	snprintf(t->focus, sizeof(t->focus), "%s", t->rows.row[t->selected].name);
	t->screen = TUI_NEIGHBOURS;
	t->selected = t->top = 0;
	t->selected_key = 0;
}

/* Snapshots have sizes and lifetimes while they are on show. */
static void show_histograms(struct tui *t)
{
	if (t->paused && !(t->profile && t->profile->hist_total)) {
		snprintf(t->message, sizeof(t->message), "paused: p goes on, then i shows sizes");
		return;
	}
	t->back = t->screen == TUI_STACK ? TUI_STACK : TUI_TABLE;
	t->screen = TUI_HIST;
	t->top_stack = 0;
	tui__update(t);
}

/* False: there is nothing to go back to in this view. */
static bool go_back(struct tui *t)
{
	if (t->screen == TUI_HIST || t->screen == TUI_HELP) {
		t->screen = t->back;
		t->top_stack = 0;
		return true;
	}
	if (t->screen == TUI_TABLE) {
		if (!t->filter)
			return false;
		set_filter(t, "");
	}
	t->screen = TUI_TABLE;
	return true;
}

static bool move_key(struct tui *t, int key)
{
	bool scrolls = t->screen == TUI_STACK || t->screen == TUI_HIST;
	int *at = t->screen == TUI_LEDGER ? &t->top_ledger
		  : t->screen == TUI_HELP ? &t->top_help
		  : scrolls		  ? &t->top_stack
					  : &t->selected;

	switch (key) {
	case KEY_UP:
	case 'k': --*at; break;
	case KEY_DOWN:
	case 'j': ++*at; break;
	case KEY_PPAGE: *at -= t->page; break;
	case KEY_NPAGE: *at += t->page; break;
	case KEY_HOME: *at = 0; break;
	case KEY_END: *at = 1 << 20; break;
	default: return false;
	}
	*at = max_of(*at, 0);
	if (at == &t->selected) {
		t->selected = max_of(min_of(t->selected, (int)t->rows.n - 1), 0);
		note_selected(t);
	}
	return true;
}

static void mark(struct tui *t)
{
	watch__mark(&t->past.stacks);
	watch__mark(&t->past.functions);
	t->past.mark_t = t->past.stacks.now_s;
	snprintf(t->message, sizeof(t->message), "marked; d shows the difference since now");
}

static void diff(struct tui *t)
{
	if (!t->past.stacks.marked)
		snprintf(t->message, sizeof(t->message), "no mark yet: m sets one");
	else
		t->since_mark = !t->since_mark;
}

static void toggle_ledger(struct tui *t)
{
	if (!t->source.ledger)
		return;
	t->screen = t->screen == TUI_LEDGER ? TUI_TABLE : TUI_LEDGER;
	update_ledger(t);
}

static void toggle_help(struct tui *t)
{
	if (t->screen == TUI_HELP) {
		go_back(t);
		return;
	}
	t->back = t->screen == TUI_HIST ? TUI_TABLE : t->screen;
	t->screen = TUI_HELP;
	t->top_help = 0;
}

static void toggle_mappings(struct tui *t)
{
	t->mappings = !t->mappings;
	if (t->paused)
		snprintf(t->message, sizeof(t->message), "paused: from the next snapshot on");
	tui__update(t);
}

static void next_process(struct tui *t)
{
	if (!t->source.next)
		return;
	t->source.next(t->source.arg);
	keep_past(t);
	clear_view(t);
	if (t->screen != TUI_LEDGER)
		t->screen = TUI_TABLE;
	t->paused = false;
	tui__update(t);
}

static void toggle_histograms(struct tui *t)
{
	if (t->screen == TUI_HIST)
		go_back(t);
	else
		show_histograms(t);
}

static void toggle_functions(struct tui *t)
{
	t->functions_mode = !t->functions_mode;
	t->screen = TUI_TABLE;
	t->selected = t->top = 0;
}

/* Keys that ask for something more. */
static bool asking_key(struct tui *t, int key)
{
	enum ask_key asks = ask__opens(&t->prompt, key, t->searched);

	if (asks == ASK_AGAIN)
		search(t, "");
	if (asks)
		return true;
	if (key != 'o' && key != KEY_F(6))
		return false;
	menu__open(&t->menu, "Sort by", rows_sorts, ROWS_SORTS, t->sort);
	return true;
}

/* Keys that change what is shown. */
static void view_key(struct tui *t, int key)
{
	switch (key) {
	case '\t': t->type = (t->type + 1) % WATCH_VALUES; break;
	case '1' ... '4': t->type = key - '1'; break;
	case 'I': t->reverse = !t->reverse; break;
	case 'f': toggle_functions(t); break;
	case 'p':
	case ' ': t->paused = !t->paused; break;
	case 'a': toggle_mappings(t); break;
	case 'm': mark(t); break;
	case 'd': diff(t); break;
	case 's': save(t); break;
	case 'i': toggle_histograms(t); break;
	case 'l': toggle_ledger(t); break;
	case 'n': next_process(t); break;
	case 'h':
	case '?':
	case KEY_F(1): toggle_help(t); break;
	case '\n':
	case '\r':
	case KEY_ENTER: go_into(t); break;
	}
}

static enum tui_wish on_key(struct tui *t, int key)
{
	t->message[0] = 0;
	if (t->prompt.what) {
		prompt_key(t, key);
	} else if (t->menu.on) {
		menu_key(t, key);
	} else if (act__is_on(&t->act)) {
		act__key(&t->act, key, t->message, sizeof(t->message));
	} else if (key == 'q' || key == KEY_F(10)) {
		return TUI_LEAVE;
	} else if (key == ESCAPE || key == 'b' || key == KEY_BACKSPACE || key == 127) {
		return go_back(t) || !t->source.has_caller ? TUI_STAY : TUI_BACK;
	} else if (act__is_key(key)) {
		act__begin(&t->act, key, t->source.process, t->source.arg, t->message,
			   sizeof(t->message));
	} else if (!move_key(t, key) && !asking_key(t, key)) {
		view_key(t, key);
	}
	return TUI_STAY;
}

enum tui_wish tui__input(struct tui *t)
{
	bool any = false;
	int key;

	while ((key = term__key()) != ERR) {
		enum tui_wish wish;

		any = true;
		if (key == KEY_RESIZE)
			continue;
		wish = on_key(t, key);
		if (wish != TUI_STAY)
			return wish;
	}
	if (any || term__is_stale()) {
		arrange(t);
		view__draw(t);
	}
	return TUI_STAY;
}
