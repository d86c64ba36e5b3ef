/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: what ends it, what does not, and in which order things are done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/util.h"
#include "run/loop.h"
#include "sys/signals.h"

#define LONG_NS 100000000000ULL /* no test waits so long */

struct seen {
	struct loop *l;
	unsigned timer, n, writes, turns;
	int fds[2];
	uint32_t events;
	char order[64];
};

static void note(struct seen *s, char c)
{
	size_t n = strlen(s->order);

	if (n + 1 < sizeof(s->order))
		s->order[n] = c;
}

static int set_up(void **state)
{
	struct seen *s = calloc(1, sizeof(*s));

	*state = s;
	return !s || loop__new(&s->l) || pipe2(s->fds, O_CLOEXEC | O_NONBLOCK);
}

static int tear_down(void **state)
{
	struct seen *s = *state;

	loop__free(s->l);
	close(s->fds[0]);
	close(s->fds[1]);
	free(s);
	signals__unblock();
	return 0;
}

static void three_times(void *arg)
{
	struct seen *s = arg;

	note(s, 't');
	if (++s->n == 3)
		loop__stop(s->l);
	else
		loop__set_timer(s->l, s->timer, util__now_ns());
}

static void test_timer_is_set_anew(void **state)
{
	struct seen *s = *state;

	assert_int_equal(loop__add_timer(s->l, 0, three_times, s, &s->timer), 0);
	assert_int_equal(loop__run(s->l), 0);
	assert_int_equal(s->n, 3);
	assert_int_equal(loop__signal(s->l), 0);
}

static void ask_for_files(void *arg)
{
	raise(SIGUSR1);
}

static void end_by_signal(void *arg)
{
	raise(SIGTERM);
}

static void on_write(void *arg)
{
	struct seen *s = arg;

	s->writes++;
	loop__set_timer(s->l, s->timer, 0); /* it goes on: the next timer is run */
}

/* SIGUSR1 writes and goes on; SIGTERM ends it. */
static void test_signals(void **state)
{
	struct seen *s = *state;
	unsigned first;

	assert_int_equal(loop__add_timer(s->l, 0, ask_for_files, s, &first), 0);
	assert_int_equal(loop__add_timer(s->l, LOOP_NEVER, end_by_signal, s, &s->timer), 0);
	loop__on_write(s->l, on_write, s);
	assert_int_equal(loop__run(s->l), 0);
	assert_int_equal(s->writes, 1);
	assert_int_equal(loop__signal(s->l), SIGTERM);
}

static void hang_up(void *arg)
{
	struct seen *s = arg;

	raise(SIGHUP);
	loop__set_timer(s->l, s->timer, util__now_ns());
}

static void test_hangup_ends(void **state)
{
	struct seen *s = *state;
	unsigned id;

	assert_int_equal(loop__add_timer(s->l, LOOP_NEVER, three_times, s, &s->timer), 0);
	assert_int_equal(loop__add_timer(s->l, 0, hang_up, s, &id), 0);
	assert_int_equal(loop__run(s->l), 0);
	assert_int_equal(loop__signal(s->l), SIGHUP);
}

static void on_hangup(void *arg)
{
	struct seen *s = arg;

	s->writes++;
}

static void test_hangup_is_outlived(void **state)
{
	struct seen *s = *state;
	unsigned id;

	loop__on_hangup(s->l, on_hangup, s);
	assert_int_equal(loop__add_timer(s->l, LOOP_NEVER, three_times, s, &s->timer), 0);
	assert_int_equal(loop__add_timer(s->l, 0, hang_up, s, &id), 0);
	assert_int_equal(loop__run(s->l), 0);
	assert_int_equal(s->n, 3);
	assert_int_equal(s->writes, 1);
	assert_int_equal(loop__signal(s->l), 0);
}

static void test_duration(void **state)
{
	struct seen *s = *state;
	uint64_t begin = util__now_ns();

	assert_int_equal(loop__add_timer(s->l, begin + LONG_NS, three_times, s, &s->timer), 0);
	loop__set_duration(s->l, 20000000);
	assert_int_equal(loop__run(s->l), 0);
	assert_true(util__now_ns() - begin >= 20000000);
	assert_int_equal(s->n, 0);
}

static void on_pipe(void *arg, uint32_t events)
{
	struct seen *s = arg;
	char c;

	note(s, 'f');
	s->events |= events;
	while (read(s->fds[0], &c, 1) == 1)
		;
	if (events & EPOLLHUP) {
		loop__drop_fd(s->l, s->fds[0]);
		loop__stop(s->l);
	} else {
		close(s->fds[1]);
		s->fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
}

static void on_turn(void *arg)
{
	struct seen *s = arg;

	note(s, 'o');
	s->turns++;
}

/* Descriptors first, then the turn, then timers; the end of a pipe is told. */
static void test_descriptor(void **state)
{
	struct seen *s = *state;

	loop__each_turn(s->l, LONG_NS, on_turn, s);
	assert_int_equal(loop__add_fd(s->l, s->fds[0], on_pipe, s), 0);
	assert_int_equal(loop__add_timer(s->l, 0, three_times, s, &s->timer), 0);
	assert_int_equal(write(s->fds[1], "x", 1), 1);
	s->n = 1;
	assert_int_equal(loop__run(s->l), 0);
	assert_true(s->events & EPOLLHUP);
	assert_memory_equal(s->order, "fot", 3);
	assert_true(s->turns >= 2);
}

static void stop_at_third_turn(void *arg)
{
	struct seen *s = arg;

	if (++s->turns == 3)
		loop__stop(s->l);
}

static void test_turns_come_without_events(void **state)
{
	struct seen *s = *state;

	loop__each_turn(s->l, 1000000, stop_at_third_turn, s);
	assert_int_equal(loop__run(s->l), 0);
	assert_int_equal(s->turns, 3);
}

static void test_file_is_no_source(void **state)
{
	struct seen *s = *state;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(loop__add_fd(s->l, fd, on_pipe, s), -EPERM);
	close(fd);
}

static void test_room_for_timers(void **state)
{
	struct seen *s = *state;
	unsigned id, n = 0;

	while (!loop__add_timer(s->l, LOOP_NEVER, three_times, s, &id))
		assert_true(++n < 1000);
	assert_true(n >= 8);
	assert_int_equal(loop__add_timer(s->l, 0, three_times, s, &id), -ENOSPC);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_timer_is_set_anew), LOOP_TEST(test_signals),
		LOOP_TEST(test_hangup_ends),	   LOOP_TEST(test_hangup_is_outlived),
		LOOP_TEST(test_duration),	   LOOP_TEST(test_descriptor),
		LOOP_TEST(test_file_is_no_source), LOOP_TEST(test_turns_come_without_events),
		LOOP_TEST(test_room_for_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
