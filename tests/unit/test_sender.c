/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/sender.h"
#include "sys/signals.h"

#define PIECE 4096
#define LIMIT (16 * PIECE)

static struct sender *sender_on(int fd[2])
{
	struct sender *s;

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	fcntl(fd[1], F_SETPIPE_SZ, PIECE);
	assert_int_equal(sender__new(fd[1], LIMIT, &s), 0);
	return s;
}

static void read_exactly(int fd, char *buf, size_t len)
{
	while (len) {
		ssize_t n = read(fd, buf, len);

		assert_true(n > 0);
		buf += n;
		len -= n;
	}
}

/* Pieces that were taken come out whole and in order; what has no room is refused whole. */
static void order_and_limit(void **state)
{
	char piece[PIECE], taken[256];
	int fd[2], ntaken = 0, refused = 0;
	struct sender *s = sender_on(fd);

	for (int i = 0; i < 64; i++) {
		int err;

		memset(piece, i, sizeof(piece));
		err = sender__put(s, piece, sizeof(piece));
		assert_true(err == 0 || err == -EAGAIN);
		refused += err != 0;
		if (!err)
			taken[ntaken++] = (char)i;
	}
	assert_true(ntaken >= LIMIT / PIECE && refused > 0);
	assert_true(sender__behind(s));
	for (int i = 0; i < ntaken; i++) {
		read_exactly(fd[0], piece, sizeof(piece));
		for (size_t k = 0; k < sizeof(piece); k++)
			assert_int_equal(piece[k], taken[i]);
	}
	assert_int_equal(sender__flush(s), 0);
	assert_false(sender__behind(s));
	assert_int_equal(sender__put(s, "end", 3), 0);
	sender__free(s); /* writes what is left */
	read_exactly(fd[0], piece, 3);
	assert_memory_equal(piece, "end", 3);
	close(fd[0]);
	close(fd[1]);
}

/* What is larger than the limit goes through alone. */
static void one_large_piece(void **state)
{
	char *large = calloc(1, 2 * LIMIT), *got = malloc(2 * LIMIT);
	int fd[2];
	struct sender *s = sender_on(fd);

	assert_int_equal(sender__put(s, large, 2 * LIMIT), 0);
	read_exactly(fd[0], got, 2 * LIMIT);
	assert_memory_equal(got, large, 2 * LIMIT);
	sender__free(s);
	free(large);
	free(got);
	close(fd[0]);
	close(fd[1]);
}

static void reader_is_gone(void **state)
{
	int fd[2];
	struct sender *s = sender_on(fd);

	close(fd[0]);
	assert_int_equal(sender__put(s, "x", 1), 0);
	assert_int_equal(sender__flush(s), -EPIPE);
	assert_int_equal(sender__error(s), -EPIPE);
	assert_int_equal(sender__put(s, "y", 1), -EPIPE);
	sender__free(s);
	close(fd[1]);
}

/* Who asks for the end does not wait for a reader that never comes. */
static void end_is_asked_for(void **state)
{
	char piece[4 * PIECE] = "";
	int fd[2], signal_fd = signals__fd(), read_back;
	struct sender *s = sender_on(fd);

	assert_true(signal_fd >= 0);
	assert_int_equal(sender__put(s, piece, sizeof(piece)), 0);
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_int_equal(sender__flush(s), -EINTR);
	sender__free(s);
	read_back = (int)read(signal_fd, (char[256]){0}, 256);
	assert_true(read_back > 0);
	close(signal_fd);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_limit),
		cmocka_unit_test(one_large_piece),
		cmocka_unit_test(reader_is_gone),
		cmocka_unit_test(end_is_asked_for),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
