/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who works is waited for; who rests for a moment, and all of a kind for a share of the time. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "sys/patience.h"
#include "sys/proc_task.h"

static pid_t start(bool works)
{
	pid_t pid = fork();

	if (!pid) {
		for (;;) {
			if (!works)
				pause();
		}
	}
	while (proc_task__is_running(pid) != works)
		usleep(1000);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool is_at_work(struct patience *p, pid_t pid, uint64_t cpu_ns)
{
	p->heard_ns = 1;
	patience__look(p, pid, cpu_ns);
	return p->heard_ns > 1;
}

static void who_works_is_heard_of(void **state)
{
	pid_t works = start(true), rests = start(false);
	struct patience p = {0};

	assert_true(is_at_work(&p, works, 0));
	assert_false(is_at_work(&p, rests, 0));
	assert_true(is_at_work(&p, rests, 500)); /* between two looks */
	assert_false(is_at_work(&p, rests, 500));
	end(works);
	end(rests);
	assert_false(is_at_work(&p, works, 500)); /* gone */
	assert_true(is_at_work(&p, 0, 0));	  /* not yet there */
	assert_true(is_at_work(&p, -1, 0));
}

static void all_have_a_share(void **state)
{
	uint64_t now = util__now_ns(), hour = 3600000000000ULL;
	struct patience_share s = {.most_ns = hour, .part = 20, .since_ns = now};
	struct patience p = {.heard_ns = now - hour / 2};

	patience__end(&p, &s);
	assert_in_range(s.rested_ns, hour / 2, hour / 2 + hour / 10);
	assert_false(patience__is_used_up(&s));
	p.heard_ns -= hour / 2;
	patience__end(&p, &s);
	assert_true(patience__is_used_up(&s));
	s.since_ns -= 20 * hour; /* time goes by */
	assert_false(patience__is_used_up(&s));
	p.heard_ns -= hour;
	patience__end(&p, &s);
	assert_true(patience__is_used_up(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_works_is_heard_of),
		cmocka_unit_test(all_have_a_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
