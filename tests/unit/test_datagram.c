/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages to sockets at which somebody listens, listened once, or does not read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/datagram.h"

static struct sockaddr_un place;

static int listen_there(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	place.sun_family = AF_UNIX;
	snprintf(place.sun_path, sizeof(place.sun_path), "/tmp/memwatch-datagram-%d", getpid());
	unlink(place.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&place, sizeof(place)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static const struct iovec parts[] = {{(char *)"one ", 4}, {(char *)"two", 3}};

static void to_who_listens(void **state)
{
	int fd = listen_there(SOCK_DGRAM), peer;
	char buf[64] = "";

	assert_int_equal(datagram__probe(place.sun_path), 0);
	assert_int_equal(datagram__send(place.sun_path, parts, 2), 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 7);
	assert_memory_equal(buf, "one two", 7);
	close(fd);
	fd = listen_there(SOCK_STREAM);
	assert_int_equal(datagram__send(place.sun_path, parts, 2), 0);
	peer = accept(fd, NULL, NULL);
	assert_int_equal(recv(peer, buf, sizeof(buf), MSG_WAITALL), 8);
	assert_string_equal(buf, "one two");
	close(peer);
	close(fd);
	unlink(place.sun_path);
}

static void to_nobody(void **state)
{
	char far[200];

	close(listen_there(SOCK_DGRAM)); /* its name stays */
	assert_int_equal(access(place.sun_path, W_OK), 0);
	assert_int_equal(datagram__probe(place.sun_path), -ECONNREFUSED);
	assert_int_equal(datagram__send(place.sun_path, parts, 2), -ECONNREFUSED);
	unlink(place.sun_path);
	assert_int_equal(datagram__probe(place.sun_path), -ENOENT);
	memset(far, 'x', sizeof(far) - 1);
	far[sizeof(far) - 1] = 0;
	assert_int_equal(datagram__probe(far), -ENAMETOOLONG);
}

/* Nothing waits for one who stands still. */
static void to_who_does_not_read(void **state)
{
	int fd = listen_there(SOCK_DGRAM), err = 0;

	for (size_t i = 0; i < 100000 && !err; i++)
		err = datagram__send(place.sun_path, parts, 2);
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(datagram__probe(place.sun_path), 0);
	close(fd);
	unlink(place.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_who_listens),
		cmocka_unit_test(to_nobody),
		cmocka_unit_test(to_who_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
