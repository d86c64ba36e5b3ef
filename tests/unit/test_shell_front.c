/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the half of the shell that reads the profile may have the other do: what was typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "report/settings.h"
#include "report/shell_front.h"

static char dir[] = "/tmp/test_shell_front.XXXXXX";

struct front {
	struct shell_front *s;
	struct settings settings;
};

static int memory(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(util__write_all(fd, text, strlen(text)), 0);
	return fd;
}

static int set_up(void **state)
{
	struct front *f = calloc(1, sizeof(*f));

	assert_int_equal(settings__init(&f->settings), 0);
	assert_int_equal(shell_front__new(&f->settings, &f->s), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct front *f = *state;

	shell_front__free(f->s);
	settings__fini(&f->settings);
	free(f);
	return 0;
}

/* As if it had been typed; the half that reads gets the same. */
static void type(struct front *f, const char *line)
{
	int fd = memory(line), got = -1;
	char text[256] = "";

	lseek(fd, 0, SEEK_SET);
	assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	clearerr(stdin);
	close(fd);
	assert_int_equal(shell_front__answer(f->s, SHELL_LINE, -1, &got), 0);
	assert_true(read(got, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, line);
	close(got);
}

static int give(struct front *f, const char *text)
{
	int fd = memory(text), none = -1;
	int err = shell_front__answer(f->s, SHELL_REPORT, fd, &none);

	assert_int_equal(none, -1);
	close(fd);
	return err;
}

static void holds(const char *path, const char *wanted)
{
	char *text = NULL;

	if (!wanted) {
		assert_int_equal(access(path, F_OK), -1);
		return;
	}
	assert_true(util__read_file(path, 1 << 16, &text) >= 0);
	assert_string_equal(text, wanted);
	free(text);
	unlink(path);
}

static void reports_go_where_the_line_says(void **state)
{
	struct front *f = *state;

	assert_int_equal(give(f, "unasked"), -EPERM); /* before there is a line */
	type(f, "top >a");
	assert_int_equal(give(f, "1"), 0);
	holds("a", "1");
	assert_int_equal(give(f, "2"), -EPERM); /* once */
	holds("a", NULL);
	type(f, "top | cat >b");
	assert_int_equal(give(f, "3"), 0);
	holds("b", "3");
	assert_int_equal(give(f, "4"), -EPERM);
	holds("b", NULL);
	type(f, "proto");
	assert_int_equal(give(f, "5"), 0);
	holds("profile001.pb.gz", "5");
	type(f, "output=c");
	assert_int_equal(give(f, "6"), -EPERM);
	type(f, "peek x");
	assert_int_equal(give(f, "7"), 0);
	holds("c", "7");
}

static void a_text_runs_nothing(void **state)
{
	static const char *const lines[] = {"top",
					    " ",
					    "help",
					    "o",
					    "| touch x",
					    "top >",
					    "nonsense | touch x",
					    "focus=| touch x",
					    "list",
					    "inuse_space",
					    "touch x"};
	struct front *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		type(f, lines[i]);
		assert_int_equal(give(f, "touch x"), -EPERM);
		holds("x", NULL);
	}
}

static void words_that_are_none(void **state)
{
	struct front *f = *state;
	int none = -1, ends[2];

	type(f, "top >a");
	assert_int_equal(shell_front__answer(f->s, "touch x", -1, &none), -EPERM);
	assert_int_equal(shell_front__answer(f->s, "", -1, &none), -EPERM);
	assert_int_equal(shell_front__answer(f->s, SHELL_REPORT, -1, &none), -EPERM);
	assert_int_equal(shell_front__answer(f->s, SHELL_NAMES, -1, &none), -EPERM);
	/* nothing that has to be waited for */
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(shell_front__answer(f->s, SHELL_NAMES, ends[0], &none), -EPERM);
	assert_int_not_equal(shell_front__answer(f->s, SHELL_REPORT, ends[0], &none), 0);
	holds("a", NULL);
	close(ends[0]);
	close(ends[1]);
}

static void sources_and_pictures_of_lines_that_ask(void **state)
{
	static const struct {
		const char *line;
		bool lists;
	} all[] = {{"top", false},     {"list main", true},	{"weblist main", true},
		   {"disasm .", true}, {"peek main", false},	{"list", false},
		   {"svg", false},     {"source_path=/", false}};
	struct front *f = *state;

	assert_false(shell_front__lists(f->s));
	assert_int_equal(shell_front__draw(f->s, "svg", -1, -1), -EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		type(f, all[i].line);
		assert_int_equal(shell_front__lists(f->s), all[i].lists);
		assert_int_equal(shell_front__draw(f->s, "png", -1, -1), -EPERM);
	}
	type(f, "svg");
	assert_int_equal(shell_front__draw(f->s, "pdf", -1, -1), -EPERM);
}

static int own_directory(void **state)
{
	return !mkdtemp(dir) || chdir(dir);
}

static int no_directory(void **state)
{
	return chdir("/") || rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reports_go_where_the_line_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_text_runs_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(words_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sources_and_pictures_of_lines_that_ask, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, own_directory, no_directory);
}
