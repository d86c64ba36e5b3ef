/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line about what takes long, on a terminal and nowhere else, by a signal and by a thread. */
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/log.h"
#include "core/progress.h"

/* Ends when its standard input does. */
static void work(void (*prepare)(void))
{
	char c;

	prepare();
	progress__begin("reading '%s'", "a\033b");
	while (read(STDIN_FILENO, &c, 1) > 0) { /* a line for each byte */
		log_info("news");
		if (write(STDOUT_FILENO, "!", 1) != 1)
			_exit(2);
	}
	progress__end();
	if (write(STDOUT_FILENO, "?", 1) != 1)
		_exit(2);
	_exit(0);
}

static void read_until(int fd, const char *what, char *seen, size_t size)
{
	size_t n = strlen(seen);

	while (!strstr(seen, what)) {
		ssize_t got = read(fd, seen + n, size - 1 - n);

		assert_true(got > 0);
		n += got;
		seen[n] = 0;
	}
}

static void says_so(void (*prepare)(void))
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	char seen[4096] = "", c;
	int terminal, in[2], out[2], status;
	pid_t pid;

	assert_int_equal(pipe(in) | pipe(out), 0);
	pid = forkpty(&terminal, NULL, NULL, &size);
	if (!pid) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		work(prepare);
	}
	close(in[0]);
	read_until(terminal, "... 1s", seen, sizeof(seen));
	assert_string_equal(seen, "\rmemwatch: reading 'a?b'... 1s");
	assert_int_equal(write(in[1], "x", 1), 1);
	assert_int_equal(read(out[0], &c, 1), 1);
	memset(seen, 0, sizeof(seen));
	read_until(terminal, "news", seen, sizeof(seen)); /* on a line of its own */
	assert_non_null(strstr(seen, " \rmemwatch: news"));
	read_until(terminal, "... 2s", memset(seen, 0, sizeof(seen)), sizeof(seen)); /* it goes on */
	close(in[1]);
	assert_int_equal(read(out[0], &c, 1), 1);
	assert_int_equal(c, '?');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(terminal);
	close(out[0]);
	close(out[1]);
}

static void by_signal(void **state)
{
	says_so(progress__prepare);
}

static void by_thread(void **state)
{
	says_so(progress__prepare_thread);
}

/* Where nobody sits before it nothing is said, however long it takes. */
static void not_into_a_pipe(void **state)
{
	void (*const prepare[])(void) = {progress__prepare, progress__prepare_thread};

	for (int i = 0; i < 2; i++) {
		int err[2], status;
		char c;
		pid_t pid;

		assert_int_equal(pipe(err), 0);
		pid = fork();
		if (!pid) {
			dup2(err[1], STDERR_FILENO);
			prepare[i]();
			progress__begin("reading");
			sleep(1);
			usleep(200000);
			progress__end();
			_exit(0);
		}
		close(err[1]);
		assert_int_equal(read(err[0], &c, 1), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		close(err[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_signal),
		cmocka_unit_test(by_thread),
		cmocka_unit_test(not_into_a_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
