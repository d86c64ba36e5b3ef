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
#include "run/loop.h"
#include "sys/outfile.h"
#include "top/screen.h"
#include "top/top.h"

struct top_run {
	struct top *t;
	struct loop *loop;
	struct screen *screen; /* NULL: text */
	const char *timeline;
	unsigned timer;
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
	if (proc_timeline__rejected(t->timeline))
		log_warn("%llu processes are not in '%s': no room for more than %zu",
			 (unsigned long long)proc_timeline__rejected(t->timeline), path, n);
	return EXIT_DONE;
}

static void print_text(const struct top *t)
{
	char line[1024];

	top_view__print(stdout, &t->view, &t->table, &t->machine, t->rows, t->time_unix_ms);
	for (size_t i = 0; t->stacks && i < top_stacks__lines(t->stacks); i++) {
		top_stacks__line(t->stacks, i, line, sizeof(line));
		printf("%s%s\n", i ? "" : "\n", line);
	}
}

static int print_json(struct top *t)
{
	struct view_extra x = {
		.gap_seconds = t->gap_seconds,
		.clock_step_ms = t->clock_step_ms,
		.lost_events = t->lost_events,
		.timeline_dropped = t->dropped,
		.note = mm_probe__note(t->probe),
		.resident = t->stacks ? top_stacks__json(t->stacks) : NULL,
	};

	return top_view__json(stdout, &t->view, &t->table, &t->machine, t->rows, t->time_unix_ms,
			      &x);
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

static int new_run(struct top *t, const char *timeline, struct top_run *ret)
{
	int err = loop__new(&ret->loop);

	ret->t = t;
	ret->timeline = timeline;
	if (err) {
		log_error("failed to take signals: %s", strerror(-err));
		return EXIT_FAILED;
	}
	loop__on_write(ret->loop, write_now, ret);
	loop__set_duration(ret->loop, t->duration_ns);
	return EXIT_DONE;
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

static void text_turn(void *arg)
{
	struct top_run *r = arg;

	top__poll(r->t);
}

static void text_tick(void *arg)
{
	struct top_run *r = arg;
	struct top *t = r->t;
	int err = 0;

	if (t->ticks && !r->json)
		putchar('\n');
	if (pass(r)) {
		stop(r, EXIT_FAILED);
		return;
	}
	if (t->view.pids && !t->view.n) {
		stop(r, t->ticks > 1 ? EXIT_DONE : EXIT_NO_PROCESS);
		return;
	}
	if (r->json)
		err = print_json(t);
	else
		print_text(t);
	if (err || fflush(stdout) || ferror(stdout)) {
		stop(r, EXIT_FAILED); /* nobody reads any more */
		return;
	}
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
	loop__free(r.loop);
	return status;
}

/* --- on a terminal --- */

static void on_terminal(void *arg, uint32_t events)
{
	struct top_run *r = arg;

	if (events & (EPOLLHUP | EPOLLERR))
		stop(r, EXIT_DONE);
}

static void screen_turn(void *arg)
{
	struct top_run *r = arg;

	if (!screen__keys(r->screen))
		stop(r, EXIT_DONE);
	if (r->was_paused && !screen__paused(r->screen))
		loop__set_timer(r->loop, r->timer, r->next_ns);
	r->was_paused = screen__paused(r->screen);
	top__poll(r->t);
	if (top_view__arrange(&r->t->view, &r->t->table))
		stop(r, EXIT_FAILED);
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
	screen__draw(r->screen);
	if (top__done(r->t))
		stop(r, EXIT_DONE);
	set_poll(r, screen_turn, LOOP_NEVER);
	r->next_ns = util__now_ns() + r->t->interval_ns;
	loop__set_timer(r->loop, r->timer, r->next_ns);
}

int top_run__screen(struct top *t, const char *timeline)
{
	struct top_run r = {0};
	int status = new_run(t, timeline, &r), err;

	if (status)
		return status;
	err = screen__open(t, &r.screen);
	if (err) {
		log_error("failed to use the terminal: %s (--plain needs none)", strerror(-err));
		status = EXIT_FAILED;
	} else {
		err = loop__add_fd(r.loop, STDIN_FILENO, on_terminal, &r);
		status = err ? EXIT_FAILED : run(&r, screen_tick);
	}
	screen__close(r.screen);
	loop__free(r.loop);
	return status;
}
