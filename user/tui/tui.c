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
	t->stacks.leak_after_s = t->functions.leak_after_s = source->leak_after_s;
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

static void forget(struct tui *t)
{
	profile__free(t->profile);
	t->profile = NULL;
	rows__clear(&t->rows);
	rows__clear(&t->callers);
	watch__clear(&t->stacks);
	watch__clear(&t->functions);
	t->nhistory = 0;
	t->last_t = 0;
	t->selected = t->top = 0;
	t->since_mark = false;
	t->ledger = (struct tui_ledger){0};
	t->top_ledger = 0;
}

void tui__close(struct tui *t)
{
	if (!t)
		return;
	term__close();
	forget(t);
	if (t->has_filter)
		regfree(&t->filter);
	free(t);
}

static void remember(struct tui *t, double now)
{
	const struct tui_numbers *n = &t->numbers;
	double dt = now - t->last_t;

	if (t->nhistory == TUI_HISTORY) {
		memmove(t->history_t, t->history_t + 1, sizeof(t->history_t) - sizeof(double));
		for (int i = 0; i < 3; i++)
			memmove(t->history[i], t->history[i] + 1,
				sizeof(t->history[i]) - sizeof(double));
		t->nhistory--;
	}
	t->history_t[t->nhistory] = now;
	t->history[0][t->nhistory] = (double)n->rss_bytes;
	t->history[1][t->nhistory] = (double)n->virt_bytes;
	t->history[2][t->nhistory++] = n->inuse_bytes;
	if (t->last_t > 0 && dt > 0) {
		t->alloc_rate = (n->alloc_bytes - t->last_alloc_bytes) / dt;
		t->alloc_count_rate = (n->alloc_objects - t->last_alloc_objects) / dt;
	}
	t->last_t = now;
	t->last_alloc_bytes = n->alloc_bytes;
	t->last_alloc_objects = n->alloc_objects;
}

/* The table for the snapshot on show; the selection stays on what it was on. */
static int arrange(struct tui *t)
{
	struct rows_options o = {.mode = t->functions_mode ? ROWS_FUNCTIONS : ROWS_STACKS,
				 .sort = t->sort,
				 .type = t->type,
				 .since_mark = t->since_mark,
				 .filter = t->has_filter ? &t->filter : NULL,
				 .focus = t->focus};
	int err;

	if (!t->profile)
		return 0;
	if (t->screen == TUI_NEIGHBOURS) {
		o.filter = NULL;
		o.mode = ROWS_CALLERS;
		o.sort = ROWS_BY_CUM;
		err = rows__fill(&t->callers, t->profile, &o, &t->stacks, &t->functions);
		if (err)
			return err;
		o.mode = ROWS_CALLEES;
	}
	err = rows__fill(&t->rows, t->profile, &o, &t->stacks, &t->functions);
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

static void note_selected(struct tui *t)
{
	if (t->selected >= 0 && t->selected < (int)t->rows.n)
		t->selected_key = t->rows.row[t->selected].key;
}

int tui__update(struct tui *t)
{
	struct profile *p = NULL;
	double now = (double)util__now_ns() / 1e9;
	int err;

	if (t->paused)
		return 0;
	err = t->source.snapshot(t->source.arg, t->screen == TUI_HIST, &p, &t->numbers);
	/* before the first snapshot everything was zero: the watch began with nothing */
	if (!err && !t->profile) {
		watch__begin(&t->stacks, now - (double)t->numbers.watched_ns / 1e9);
		watch__begin(&t->functions, now - (double)t->numbers.watched_ns / 1e9);
	}
	if (!err)
		err = watch__profile(&t->stacks, p, now);
	if (!err)
		err = rows__watch_functions(p, &t->functions, now);
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

static void set_filter(struct tui *t)
{
	regex_t re;

	if (t->input[0] && regcomp(&re, t->input, REG_EXTENDED | REG_ICASE | REG_NOSUB)) {
		snprintf(t->message, sizeof(t->message), "no regular expression: %.200s", t->input);
		return;
	}
	if (t->has_filter)
		regfree(&t->filter);
	t->has_filter = t->input[0];
	if (t->has_filter)
		t->filter = re;
	snprintf(t->filter_text, sizeof(t->filter_text), "%s", t->input);
	t->selected = t->top = 0;
	t->selected_key = 0;
	arrange(t); /* the next key may be here already, and means a row of these */
}

static void ask_key(struct tui *t, int key)
{
	size_t len = strlen(t->input);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		t->asking = false;
		set_filter(t);
	} else if (key == ESCAPE) {
		t->asking = false;
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		/* a whole character goes: its continuation bytes first */
		while (len && (t->input[--len] & 0xc0) == 0x80)
			;
		t->input[len] = 0;
	} else if (key >= 32 && key < 256 && len + 1 < sizeof(t->input)) {
		t->input[len] = (char)key;
		t->input[len + 1] = 0;
	}
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

static void go_back(struct tui *t)
{
	if (t->screen == TUI_HIST) {
		t->screen = t->back;
		t->top_stack = 0;
		return;
	}
	if (t->screen == TUI_TABLE && t->has_filter) {
		t->input[0] = 0;
		set_filter(t);
	}
	t->screen = TUI_TABLE;
}

static bool move_key(struct tui *t, int key)
{
	bool scrolls = t->screen == TUI_STACK || t->screen == TUI_HIST;
	int *at = t->screen == TUI_LEDGER ? &t->top_ledger : scrolls ? &t->top_stack : &t->selected;

	switch (key) {
	case KEY_UP:
	case 'k': --*at; break;
	case KEY_DOWN:
	case 'j': ++*at; break;
	case KEY_PPAGE: *at -= t->page; break;
	case KEY_NPAGE: *at += t->page; break;
	case KEY_HOME:
	case 'g': *at = 0; break;
	case KEY_END:
	case 'G': *at = 1 << 20; break;
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
	watch__mark(&t->stacks);
	watch__mark(&t->functions);
	t->mark_t = t->stacks.now_s;
	snprintf(t->message, sizeof(t->message), "marked; d shows the difference since now");
}

static void diff(struct tui *t)
{
	if (!t->stacks.marked)
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

/* Keys that change what is shown. */
static void view_key(struct tui *t, int key)
{
	switch (key) {
	case 't':
	case '\t': t->type = (t->type + 1) % WATCH_VALUES; break;
	case '1' ... '4': t->type = key - '1'; break;
	case 'o': t->sort = (t->sort + 1) % ROWS_SORTS; break;
	case 'f':
		t->functions_mode = !t->functions_mode;
		t->screen = TUI_TABLE;
		t->selected = t->top = 0;
		break;
	case 'p':
	case ' ': t->paused = !t->paused; break;
	case 'm': mark(t); break;
	case 'd': diff(t); break;
	case 's': save(t); break;
	case 'i':
		if (t->screen == TUI_HIST)
			go_back(t);
		else
			show_histograms(t);
		break;
	case 'l': toggle_ledger(t); break;
	case '/':
		t->asking = true;
		t->input[0] = 0;
		break;
	case 'n':
		if (t->source.next) {
			t->source.next(t->source.arg);
			forget(t);
			if (t->screen != TUI_LEDGER)
				t->screen = TUI_TABLE;
			t->paused = false;
			tui__update(t);
		}
		break;
	case 'h':
	case '?': t->screen = t->screen == TUI_HELP ? TUI_TABLE : TUI_HELP; break;
	case '\n':
	case '\r':
	case KEY_ENTER: go_into(t); break;
	case ESCAPE:
	case 'b':
	case KEY_BACKSPACE:
	case 127: go_back(t); break;
	}
}

bool tui__input(struct tui *t)
{
	bool any = false;
	int key;

	while ((key = getch()) != ERR) {
		any = true;
		if (key == KEY_RESIZE)
			continue;
		t->message[0] = 0;
		if (t->asking)
			ask_key(t, key);
		else if (key == 'q')
			return true;
		else if (!move_key(t, key))
			view_key(t, key);
	}
	if (any) {
		arrange(t);
		view__draw(t);
	}
	return false;
}
