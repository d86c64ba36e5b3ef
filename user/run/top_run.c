/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/top_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "format/timeline_file.h"
#include "run/console.h"
#include "run/loop.h"
#include "run/top_profile.h"
#include "sys/outfile.h"
#include "sys/signals.h"
#include "top/screen.h"
#include "top/top.h"

#define IDLE_NS 250000000ULL	    /* a frame that was left out is drawn so soon */
#define PROFILE_POLL_NS 50000000ULL /* a profile's events wait at most this long */
#define FIRST_VIEW_NS 100000000ULL

struct top_run {
	struct top *t;
	struct loop *loop;
	struct screen *screen; /* NULL: text */
	struct console *console;
	struct top_profile *profile; /* NULL: the table is on show */
	const char *timeline;
	unsigned timer, view_timer;
	uint64_t next_ns;
	bool json, was_paused;
	int status;
};

int top_run__save(struct top *t, const char *path)
{
	const struct timeline *const *lines;
	size_t n = proc_timeline__all(t->timeline, &lines);
	int err = timeline_file__save(path, lines, n);

	if (err) {
		log_error("failed to write '%s': %s", path, outfile__strerror(err));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static void print_text(const struct top_run *r, FILE *f)
{
	const struct top *t = r->t;
	char line[1024];

	if (t->ticks > 1)
		putc('\n', f);
	if (console__dropped(r->console))
		fprintf(f, "(tables left out because they were not read in time: %llu)\n",
			(unsigned long long)console__dropped(r->console));
	top_view__print(f, &t->view, &t->table, &t->machine, t->rows, t->time_unix_ms);
	for (size_t i = 0; t->stacks && i < top_stacks__lines(t->stacks); i++) {
		top_stacks__line(t->stacks, i, line, sizeof(line));
		fprintf(f, "%s%s\n", i ? "" : "\n", line);
	}
}

static int print_json(struct top *t, FILE *f)
{
	struct view_extra x = {
		.gap_seconds = t->gap_seconds,
		.clock_step_ms = t->clock_step_ms,
		.lost_events = t->lost_events,
		.timeline_dropped = t->dropped,
		.timeline_rejected = t->rejected,
		.note = mm_probe__note(t->probe),
		.resident = t->stacks ? top_stacks__json(t->stacks) : NULL,
	};

	return top_view__json(f, &t->view, &t->table, &t->machine, t->rows, t->time_unix_ms, &x);
}

static void stop(struct top_run *r, int status)
{
	r->status = status;
	loop__stop(r->loop);
}

/* Stacks are sampled from the second pass on. */
static void set_poll(struct top_run *r, loop_fn fn, uint64_t max_wait_ns)
{
	loop__each_turn(r->loop, min_of(max_wait_ns, top__poll_ns(r->t)), fn, r);
}

/* SIGUSR1 */
static void write_now(void *arg)
{
	struct top_run *r = arg;

	if (r->t->timeline)
		top_run__save(r->t, r->timeline);
}

static int pass(struct top_run *r)
{
	int err = top__tick(r->t);

	if (err)
		log_error("failed to read the processes: %s", strerror(-err));
	return err;
}

/* None of -p is there any more, or ever was; what a filter hides is there. */
static bool is_over(struct top_run *r)
{
	const struct top *t = r->t;

	if (!t->view.pids || t->view.only_chosen)
		return false;
	for (size_t i = 0; i < t->view.npids; i++) {
		if (table__find(&t->table, t->view.pids[i]))
			return false;
	}
	stop(r, t->ticks > 1 ? EXIT_DONE : EXIT_NO_PROCESS);
	return true;
}

static int new_run(struct top *t, const char *timeline, struct top_run *ret)
{
	int err;

	signals__watch();
	err = loop__new(&ret->loop);
	ret->t = t;
	ret->timeline = timeline;
	if (err) {
		log_error("failed to take signals: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (timeline)
		signals__finish_first(true); /* it is written at the end */
	loop__on_write(ret->loop, write_now, ret);
	loop__set_duration(ret->loop, t->duration_ns);
	err = console__new(&ret->console);
	if (err) {
		log_error("failed to start: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static void free_run(struct top_run *r)
{
	console__free(r->console);
	loop__free(r->loop);
}

static int run(struct top_run *r, loop_fn tick)
{
	int err = loop__add_timer(r->loop, LOOP_NEVER, tick, r, &r->timer);

	if (!err) {
		r->next_ns = util__now_ns();
		tick(r);
		err = loop__run(r->loop);
	}
	if (err) {
		log_error("failed to wait: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return r->status;
}

/* --- as text --- */

/* Nobody reads any more: the end, and nothing to complain about. */
static void stdout_failed(struct top_run *r, int err)
{
	if (err != -EPIPE)
		log_error("failed to write to stdout: %s", strerror(-err));
	stop(r, err == -EPIPE ? EXIT_DONE : EXIT_FAILED);
}

static void text_turn(void *arg)
{
	struct top_run *r = arg;
	int err = console__error(r->console);

	if (err)
		stdout_failed(r, err);
	top__poll(r->t);
}

static void put_table(struct top_run *r)
{
	FILE *f = console__begin(r->console);
	int err = 0, e;

	if (!f)
		return;
	if (r->json)
		err = print_json(r->t, f);
	else
		print_text(r, f);
	e = console__end(r->console, f);
	if (err || e)
		stdout_failed(r, err ? err : e);
}

static void text_tick(void *arg)
{
	struct top_run *r = arg;
	struct top *t = r->t;

	if (pass(r)) {
		stop(r, EXIT_FAILED);
		return;
	}
	if (is_over(r))
		return;
	put_table(r);
	if (top__done(t))
		stop(r, EXIT_DONE);
	set_poll(r, text_turn, LOOP_NEVER);
	r->next_ns = max_of(r->next_ns + t->interval_ns, util__now_ns());
	loop__set_timer(r->loop, r->timer, r->next_ns);
}

int top_run__text(struct top *t, bool json, const char *timeline)
{
	struct top_run r = {.json = json};
	int status = new_run(t, timeline, &r);

	if (!status)
		status = run(&r, text_tick);
	free_run(&r);
	return status;
}

/* --- on a terminal --- */

static void on_terminal(void *arg, uint32_t events)
{
	struct top_run *r = arg;

	if (events & (EPOLLHUP | EPOLLERR))
		stop(r, EXIT_DONE);
}

static void screen_turn(void *arg);

/* The table again, or the end. */
static void close_profile(struct top_run *r)
{
	loop__drop_fd(r->loop, top_profile__fd(r->profile));
	top_profile__close(take_ptr(r->profile));
	set_poll(r, screen_turn, IDLE_NS);
}

static void open_profile(struct top_run *r, bool ledger)
{
	struct top_profile_opts o = {.pid = (int)screen__pid(r->screen),
				     .ledger = ledger,
				     .allow_signals = r->t->allow_signals,
				     .tuning = &r->t->tuning};
	char why[256];

	if (!o.pid)
		return;
	screen__tell(r->screen, "attaching...");
	screen__draw(r->screen);
	if (top_profile__open(&o, &r->profile, why, sizeof(why))) {
		screen__tell(r->screen, why);
		return;
	}
	screen__tell(r->screen, "");
	loop__add_fd(r->loop, top_profile__fd(r->profile), NULL, NULL);
	set_poll(r, screen_turn, PROFILE_POLL_NS);
	loop__set_timer(r->loop, r->view_timer, util__now_ns() + FIRST_VIEW_NS);
}

static void next_view(void *arg)
{
	struct top_run *r = arg;

	if (!r->profile)
		return;
	if (top_profile__update(r->profile))
		close_profile(r);
	else
		loop__set_timer(r->loop, r->view_timer, util__now_ns() + r->t->interval_ns);
}

static void profile_turn(struct top_run *r)
{
	enum tui_wish wish = top_profile__turn(r->profile);

	if (wish == TUI_STAY)
		return;
	close_profile(r);
	if (wish == TUI_LEAVE)
		stop(r, EXIT_DONE);
}

static void table_turn(struct top_run *r)
{
	enum screen_wish wish = screen__keys(r->screen);

	if (wish == SCREEN_LEAVE)
		stop(r, EXIT_DONE);
	else if (wish != SCREEN_STAY)
		open_profile(r, wish == SCREEN_LEDGER);
	if (r->was_paused && !screen__paused(r->screen))
		loop__set_timer(r->loop, r->timer, r->next_ns);
	r->was_paused = screen__paused(r->screen);
}

static void screen_turn(void *arg)
{
	struct top_run *r = arg;

	if (r->profile)
		profile_turn(r);
	else
		table_turn(r);
	top__poll(r->t);
	if (top_view__arrange(&r->t->view, &r->t->table))
		stop(r, EXIT_FAILED);
	if (!r->profile)
		screen__draw(r->screen);
}

static void screen_tick(void *arg)
{
	struct top_run *r = arg;

	if (screen__paused(r->screen))
		return; /* set anew when it goes on */
	if (pass(r)) {
		stop(r, EXIT_FAILED);
		return;
	}
	if (is_over(r))
		return;
	if (!r->profile)
		screen__draw(r->screen);
	if (top__done(r->t))
		stop(r, EXIT_DONE);
	set_poll(r, screen_turn, r->profile ? PROFILE_POLL_NS : IDLE_NS);
	r->next_ns = util__now_ns() + r->t->interval_ns;
	loop__set_timer(r->loop, r->timer, r->next_ns);
}

int top_run__screen(struct top *t, const char *timeline)
{
	struct top_run r = {0};
	int status = new_run(t, timeline, &r), err;

	if (status) {
		free_run(&r);
		return status;
	}
	err = screen__open(t, &r.screen);
	if (err == -ENOTTY || err == -ENOTSUP) { /* as attach does */
		free_run(&r);
		return top_run__text(t, false, timeline);
	}
	if (err) {
		log_error("failed to use the terminal: %s (--plain needs none)", strerror(-err));
		status = EXIT_FAILED;
	} else {
		err = loop__add_fd(r.loop, STDIN_FILENO, on_terminal, &r);
		if (!err)
			err = loop__add_timer(r.loop, LOOP_NEVER, next_view, &r, &r.view_timer);
		status = err ? EXIT_FAILED : run(&r, screen_tick);
	}
	top_profile__close(r.profile);
	screen__close(r.screen);
	free_run(&r);
	return status;
}
