/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What starts the commands of alarms can be asked for nothing else. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "alert/launcher.h"

static char path[] = "/tmp/memwatch-test-XXXXXX";
static char command[64];
static struct launcher *launcher;

static int start(void **state)
{
	char *argv[] = {(char *)"sh", (char *)"-c", command, NULL};
	int fd = mkstemp(path);

	snprintf(command, sizeof(command), "env >%s", path);
	close(fd);
	return fd < 0 || launcher__new(argv, &launcher);
}

static int end(void **state)
{
	launcher__free(launcher);
	return unlink(path);
}

static int run(const char *variable)
{
	const char *const env[] = {variable, NULL};
	int status, err, pair[2];
	pid_t pid, ended = 0;

	assert_int_equal(pipe(pair), 0);
	err = launcher__start(launcher, env, pair[0], &pid);
	close(pair[0]);
	close(pair[1]);
	while (!err && ended != pid) {
		if (!launcher__ended(launcher, &ended, &status))
			usleep(1000);
	}
	return err;
}

static bool has(const char *variable)
{
	char line[4096];
	bool found = false;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, variable, strlen(variable));
	fclose(f);
	return found;
}

static void variables_of_ours_alone(void **state)
{
	static const char *const others[] = {"LD_PRELOAD=/x.so", "PATH=/x", "MEMWATCH_NONE",
					     "memwatch_x=1", ""};

	assert_int_equal(run("MEMWATCH_A=1"), 0);
	assert_true(has("MEMWATCH_A=1\n") && has("PATH="));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_true(run(others[i]) < 0);
	assert_int_equal(run("MEMWATCH_B=2"), 0);
	assert_true(has("MEMWATCH_B=2\n") && !has("MEMWATCH_A=") && !has("LD_PRELOAD="));
}

static void signals_for_its_own_alone(void **state)
{
	pid_t other = fork();

	if (!other) {
		for (;;)
			pause();
	}
	launcher__kill(launcher, other, SIGKILL);
	launcher__kill(launcher, -1, SIGKILL);
	launcher__kill(launcher, 0, SIGKILL);
	assert_int_equal(run("MEMWATCH_A=1"), 0); /* it has done what it was asked for before */
	assert_int_equal(waitpid(other, NULL, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_of_ours_alone),
		cmocka_unit_test(signals_for_its_own_alone),
	};

	return cmocka_run_group_tests(tests, start, end);
}
