/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child that speaks HTTP: who comes in, what is handed on, answers now and later, streams. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/util.h"
#include "http/access.h"
#include "http/http.h"

static struct {
	unsigned asked, gone;
	uint64_t ticket, lost;
	char path[256], method[8], host[64], seconds[64], body[128];
	size_t body_len;
} last;

static void on_gone(void *ctx, struct http *h, uint64_t ticket)
{
	last.gone++;
	last.lost = ticket;
}

static void on_request(void *ctx, struct http *h, const struct http_request *r)
{
	last.asked++;
	last.ticket = r->ticket;
	snprintf(last.path, sizeof(last.path), "%s", r->path);
	snprintf(last.method, sizeof(last.method), "%s", r->method);
	snprintf(last.host, sizeof(last.host), "%s", r->host);
	snprintf(last.seconds, sizeof(last.seconds), "%s",
		 http_request__param(r, "seconds") ?: "-");
	snprintf(last.body, sizeof(last.body), "%s", r->body);
	last.body_len = r->body_len;
	if (!strcmp(r->path, "/hello"))
		http__reply_text(h, r->ticket, 200, "hello %s\n", "world");
	if (!strcmp(r->path, "/events"))
		http__reply(
			h, r->ticket,
			&(struct http_answer){.content_type = "text/event-stream", .stream = true});
}

static int dial(struct http *h)
{
	const char *at = strrchr(http__address(h), ':');
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(atoi(at + 1)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Serves until fd has said `until` or hangs up. Returns what it said. */
static char *listen_to(struct http *h, int fd, const char *until)
{
	static char text[1 << 16];
	size_t n = 0;

	text[0] = '\0';
	while (n < sizeof(text) - 1 && !(until && strstr(text, until))) {
		struct pollfd p[] = {{.fd = fd, .events = POLLIN},
				     {.fd = http__fd(h), .events = POLLIN}};

		assert_true(poll(p, 2, 60000) > 0);
		if (p[1].revents)
			http__serve(h, on_request, on_gone, NULL);
		if (p[0].revents) {
			ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

			if (got <= 0)
				break;
			n += got;
			text[n] = '\0';
		}
	}
	return text;
}

static char *ask(struct http *h, const char *fmt, ...)
{
	char request[70000];
	va_list ap;
	char *text;
	int fd = dial(h), n;

	va_start(ap, fmt);
	n = vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	assert_int_equal(util__write_all(fd, request, n), 0);
	text = listen_to(h, fd, NULL);
	close(fd);
	return text;
}

static struct http *start(const char *listen)
{
	struct http *h;

	memset(&last, 0, sizeof(last));
	assert_int_equal(http__start(&(struct http_opts){.listen = listen}, &h), 0);
	return h;
}

#define CLOSE "Connection: close\r\n\r\n"

static void who_may_come_in(void **state)
{
	struct http *h = start("127.0.0.1:0");
	const char *t = http__token(h);
	char *cookie, *end;
	char kept[200];

	assert_non_null(
		strstr(ask(h, "GET /hello HTTP/1.1\r\nHost: localhost\r\n" CLOSE), " 401 "));
	assert_non_null(
		strstr(ask(h, "GET /hello?token=%.31sX HTTP/1.1\r\nHost: localhost\r\n" CLOSE, t),
		       " 401 "));
	assert_int_equal(last.asked, 0);
	assert_non_null(
		strstr(ask(h, "GET /hello?token=%s HTTP/1.1\r\nHost: localhost\r\n" CLOSE, t),
		       "hello world"));
	assert_non_null(strstr(ask(h,
				   "GET /hello HTTP/1.1\r\nHost: localhost\r\n"
				   "Authorization: Bearer %s\r\n" CLOSE,
				   t),
			       "hello world"));
	cookie = strstr(ask(h,
			    "GET /hello?a=1&token=%s&b=2 HTTP/1.1\r\nHost: localhost\r\n"
			    "Accept: text/html\r\n" CLOSE,
			    t),
			"Set-Cookie: ");
	assert_non_null(cookie);
	assert_non_null(strstr(cookie, "HttpOnly; SameSite=Strict"));
	assert_non_null(strstr(cookie, "Refresh: 0; url=/hello?a=1&b=2\r\n"));
	assert_null(strstr(cookie, t));
	end = strchr(cookie, ';');
	snprintf(kept, sizeof(kept), "%.*s", (int)(end - cookie - 12), cookie + 12);
	assert_non_null(strstr(
		ask(h, "GET /hello HTTP/1.1\r\nHost: localhost\r\nCookie: x=1; %s\r\n" CLOSE, kept),
		"hello world"));
	http__free(h);
}

static void foreign_sites_are_refused(void **state)
{
	struct http *h = start("127.0.0.1:0");
	const char *t = http__token(h);
	static const char *const headers[] = {
		"Host: evil.example\r\n",
		"Host: 127.0.0.1.evil.example\r\n",
		"Host: localhost\r\nHost: evil.example\r\n",
		"Host: localhost\r\nOrigin: http://evil.example\r\n",
		"Host: localhost\r\nOrigin: null\r\n",
		"Host: localhost:1\r\nOrigin: http://localhost:2\r\n",
		"Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
		"Host: localhost\r\nSec-Fetch-Site: same-site\r\n",
		"Host: 8.8.8.8\r\n",
		"Host: localhost:1:2\r\n",
		"Host: \r\n",
	};
	static const char *const always[] = {
		"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src "
		"'self'; ",
		"frame-ancestors 'none'\r\n",
		"X-Frame-Options: DENY\r\n",
		"X-Content-Type-Options: nosniff\r\n",
		"Cross-Origin-Resource-Policy: same-origin\r\n",
		"Cross-Origin-Opener-Policy: same-origin\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		char *a = ask(h, "GET /hello HTTP/1.1\r\n%sAuthorization: Bearer %s\r\n" CLOSE,
			      headers[i], t);

		if (!strstr(a, " 403 ") && !strstr(a, " 400 "))
			fail_msg("%s: %s", headers[i], a);
	}
	assert_int_equal(last.asked, 0);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
		char *a = ask(h,
			      "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:99\r\n"
			      "Origin: http://127.0.0.1:99\r\nAuthorization: Bearer %s\r\n" CLOSE,
			      t);

		assert_non_null(strstr(a, "hello world"));
		if (!strstr(a, always[i]))
			fail_msg("%s: %s", always[i], a);
		a = ask(h, "GET /hello HTTP/1.1\r\nHost: evil.example\r\n" CLOSE);
		if (!strstr(a, always[i]))
			fail_msg("refused, %s: %s", always[i], a);
	}
	http__free(h);
}

/* As a proxy may pass on what two clients of its have sent: the second is no request of the first.
 */
static void a_body_is_no_request(void **state)
{
	static const char *const heads[] = {
		"Content-Length: 0\r\nContent-Length: %zu\r\n",
		"Content-Length: %zu\r\nContent-Length: 0\r\n",
		"Content-Length: %zu\r\nTransfer-Encoding: chunked\r\n",
		"Content-Length : %zu\r\n",
		"X: %zu\r\nTransfer-Encoding\t: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: %zu\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nX: %zu\r\n",
	};
	struct http *h = start("127.0.0.1:0");
	char head[200], body[300];

	snprintf(body, sizeof(body),
		 "0\r\n\r\nGET /hello?seconds=smuggled HTTP/1.1\r\nHost: localhost\r\n"
		 "Authorization: Bearer %s\r\n" CLOSE,
		 http__token(h));
	for (size_t i = 0; i < 2 * ARRAY_SIZE(heads); i++) {
		char *a;

		snprintf(head, sizeof(head), heads[i / 2], strlen(body));
		a = ask(h,
			"%s /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
			"%s\r\n%s",
			i % 2 ? "GET" : "POST", http__token(h), head, body);
		if (strstr(a, "hello world"))
			fail_msg("%s: %s", head, a);
		assert_string_not_equal(last.seconds, "smuggled");
	}
	http__free(h);
}

/* As many parameters as there may be, and one more. */
static void so_many_parameters(void **state)
{
	struct http *h = start("127.0.0.1:0");
	char query[2 * HTTP_MAX_PARAMS + 3] = "";

	for (int i = 0; i <= HTTP_MAX_PARAMS; i++) {
		char *a = query + strlen(query);

		memcpy(a, i ? "&a" : "?a", 3);
		if (i + 1 < HTTP_MAX_PARAMS)
			continue;
		a = ask(h,
			"GET /hello%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			"%s\r\n" CLOSE,
			query, http__token(h));
		assert_non_null(strstr(a, i < HTTP_MAX_PARAMS ? "hello world" : " 400 "));
	}
	http__free(h);
}

static void what_is_handed_on(void **state)
{
	static const char *const refused[] = {"/..",	"/a/../b", "/%2e%2e/b",
					      "//evil", "/a%00b",  "/a%0d%0ab",
					      "/./a",	"/\\evil", "/%ff"};
	struct http *h = start("127.0.0.1:0");
	const char *t = http__token(h);
	static char huge[69000];
	char *a;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		a = ask(h,
			"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" CLOSE,
			refused[i], t);
		if (!strstr(a, " 400 "))
			fail_msg("%s: %s", refused[i], a);
	}
	assert_int_equal(last.asked, 0);
	a = ask(h,
		"HEAD /hello?seconds=%%31+2&x HTTP/1.1\r\nHost: localhost:5\r\nAuthorization: "
		"Bearer %s\r\n" CLOSE,
		t);
	assert_string_equal(last.seconds, "1 2");
	assert_string_equal(last.method, "GET");
	assert_string_equal(last.host, "localhost:5");
	assert_non_null(strstr(a, "Content-Length: 12\r\n"));
	assert_non_null(strstr(a, "Content-Security-Policy: default-src 'none'"));
	assert_null(strstr(a, "hello world"));
	a = ask(h,
		"POST /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
		"%s\r\nContent-Length: 7\r\nConnection: close\r\n\r\n0x1+0x2",
		t);
	assert_non_null(strstr(a, "hello world"));
	assert_string_equal(last.body, "0x1+0x2");
	assert_int_equal(last.body_len, 7);
	a = ask(h,
		"PUT /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
		"%s\r\n" CLOSE,
		t);
	assert_non_null(strstr(a, " 405 "));
	a = ask(h,
		"POST /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
		"%s\r\nContent-Length: 70000\r\n" CLOSE,
		t);
	assert_non_null(strstr(a, " 413 "));
	memset(huge, 'a', sizeof(huge) - 1);
	a = ask(h, "GET /%s HTTP/1.1\r\nHost: localhost\r\n" CLOSE, huge);
	assert_true(!*a || strstr(a, " 414 ") || strstr(a, " 431 ") || strstr(a, " 413 "));
	http__free(h);
}

static void serve_until(struct http *h, const unsigned *n)
{
	while (!*n) {
		struct pollfd p = {.fd = http__fd(h), .events = POLLIN};

		assert_true(poll(&p, 1, 60000) > 0);
		http__serve(h, on_request, on_gone, NULL);
	}
}

static void later_and_gone(void **state)
{
	struct http *h = start("127.0.0.1:0");
	cleanup_free char *big = malloc(1 << 20);
	uint64_t first;
	char line[200];
	int n, fd = dial(h), left = dial(h);

	n = snprintf(line, sizeof(line),
		     "GET /later HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
		     http__token(h));
	assert_int_equal(util__write_all(fd, line, n), 0);
	serve_until(h, &last.asked);
	first = last.ticket;
	last.asked = 0;
	assert_int_equal(util__write_all(left, line, n), 0);
	serve_until(h, &last.asked);
	assert_int_not_equal(first, last.ticket);
	close(left);
	serve_until(h, &last.gone);
	assert_int_equal(last.lost, last.ticket);
	assert_int_equal(http__reply_text(h, last.ticket, 200, "too late"), -ESRCH);
	memset(big, 'x', 1 << 20);
	assert_int_equal(http__reply(h, first, &(struct http_answer){.body = big, .len = 1 << 20}),
			 0);
	assert_int_equal(http__reply_text(h, first, 200, "twice"), -ESRCH);
	assert_non_null(strstr(listen_to(h, fd, "xxxx"), "Content-Length: 1048576"));
	close(fd);
	http__free(h);
}

static void events_of_a_stream(void **state)
{
	struct http *h = start("127.0.0.1:0");
	char line[200];
	int n, fd = dial(h), err = 0;

	n = snprintf(line, sizeof(line),
		     "GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
		     http__token(h));
	assert_int_equal(util__write_all(fd, line, n), 0);
	listen_to(h, fd, "text/event-stream");
	assert_int_equal(http__event(h, last.ticket, "row", "a\nb", 3), 0);
	assert_non_null(
		strstr(listen_to(h, fd, "data: b\n\n"), "event: row\ndata: a\ndata: b\n\n"));
	for (int i = 0; i < 8 && !err; i++) /* it is not told that any of them was taken */
		err = http__event(h, last.ticket, NULL, "x", 1);
	assert_int_equal(err, -EAGAIN);
	close(fd);
	serve_until(h, &last.gone);
	assert_int_equal(http__event(h, last.ticket, NULL, "x", 1), -ESRCH);
	http__free(h);
}

/* The value of a line of /proc/PID/status. */
static void status_of(pid_t pid, const char *key, char *ret, size_t len)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	*ret = '\0';
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			snprintf(ret, len, "%s", line + strlen(key) + 2);
	}
	fclose(f);
}

static pid_t worker_of(pid_t starter)
{
	cleanup_free char *text = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", starter, starter);
	for (int i = 0; i < 600; i++) {
		free(take_ptr(text));
		if (util__read_file(path, 256, &text) > 0 && atoi(text) > 0)
			return atoi(text);
		usleep(100000);
	}
	fail();
	return -1;
}

static void the_child_holds_nothing(void **state)
{
	struct http *h = start("127.0.0.1:0");
	pid_t pid[2];
	char value[64];

	ask(h, "GET /hello HTTP/1.1\r\nHost: localhost\r\n" CLOSE);
	pid[0] = http__pid(h);
	pid[1] = worker_of(pid[0]);
	for (int i = 0; i < 2; i++) {
		static const char *const caps[] = {"CapPrm", "CapEff", "CapBnd", "CapInh",
						   "CapAmb"};

		for (size_t k = 0; k < ARRAY_SIZE(caps); k++) {
			status_of(pid[i], caps[k], value, sizeof(value));
			assert_int_equal(strtoull(value, NULL, 16), 0);
		}
		status_of(pid[i], "NoNewPrivs", value, sizeof(value));
		assert_int_equal(atoi(value), 1);
		status_of(pid[i], "Seccomp", value, sizeof(value));
		assert_int_equal(atoi(value), 2);
		status_of(pid[i], "Uid", value, sizeof(value));
		if (!geteuid())
			assert_int_not_equal(atoi(value), 0);
	}
	http__free(h);
	assert_int_equal(kill(pid[0], 0), -1);
}

static void a_crash_costs_its_requests(void **state)
{
	struct http *h = start("127.0.0.1:0");
	char line[200];
	int n, fd = dial(h);
	pid_t was;

	n = snprintf(line, sizeof(line),
		     "GET /later HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
		     http__token(h));
	assert_int_equal(util__write_all(fd, line, n), 0);
	serve_until(h, &last.asked);
	was = worker_of(http__pid(h));
	assert_int_equal(kill(was, SIGKILL), 0);
	serve_until(h, &last.gone);
	assert_int_equal(last.lost, last.ticket);
	assert_non_null(
		strstr(ask(h,
			   "GET /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			   "%s\r\n" CLOSE,
			   http__token(h)),
		       "hello world"));
	close(fd);
	http__free(h);
}

static void slow_clients_are_cut_off(void **state)
{
	struct http *h = start("127.0.0.1:0");
	int slow = dial(h);

	assert_int_equal(util__write_all(slow, "GET /hello HTTP/1.1\r\nX: ", 24), 0);
	/* one that is asked for meanwhile does not wait */
	assert_non_null(
		strstr(ask(h,
			   "GET /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			   "%s\r\n" CLOSE,
			   http__token(h)),
		       "hello world"));
	for (;;) { /* a byte every now and then does not help it */
		struct pollfd p = {.fd = slow, .events = POLLRDHUP};

		if (poll(&p, 1, 500) > 0 || send(slow, "x", 1, MSG_NOSIGNAL) < 0)
			break;
	}
	close(slow);
	http__free(h);
}

static void unix_socket(void **state)
{
	char dir[] = "/tmp/memwatch-http-XXXXXX", name[64], listen[80];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct http *h;
	struct stat st;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/s", dir);
	snprintf(listen, sizeof(listen), "unix:%s", name);
	h = start(listen);
	assert_null(http__token(h));
	assert_string_equal(http__address(h), listen);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	strcpy(a.sun_path, name);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(util__write_all(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n" CLOSE, 52), 0);
	assert_non_null(strstr(listen_to(h, fd, NULL), "hello world"));
	close(fd);
	http__free(h);
	assert_int_equal(stat(name, &st), -1);
	chmod(dir, 0777);
	log__set_level(LOG_QUIET);
	assert_int_equal(http__start(&(struct http_opts){.listen = listen}, &h), -EPERM);
	chmod(dir, 01777); /* what is this user's stays there */
	log__set_level(LOG_INFO);
	http__free(start(listen));
	rmdir(dir);
}

static void refuses(const char *listen)
{
	struct http *h;

	log__set_level(LOG_QUIET);
	assert_int_equal(http__start(&(struct http_opts){.listen = listen}, &h), -EPERM);
	log__set_level(LOG_INFO);
}

/* Whoever may write to a directory above that of a socket can put another in its place. */
static void the_way_to_a_unix_socket(void **state)
{
	char dir[] = "/tmp/memwatch-http-XXXXXX", own[64], link[64], listen[2][80];

	assert_non_null(mkdtemp(dir));
	snprintf(own, sizeof(own), "%s/own", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(listen[0], sizeof(listen[0]), "unix:%s/s", own);
	snprintf(listen[1], sizeof(listen[1]), "unix:%s/s", link);
	assert_int_equal(mkdir(own, 0700), 0);
	assert_int_equal(symlink(own, link), 0);
	for (int i = 0; i < 2; i++)
		http__free(start(listen[i]));
	assert_int_equal(chmod(dir, 0777), 0);
	for (int i = 0; i < 2; i++)
		refuses(listen[i]);
	assert_int_equal(chmod(dir, 01777), 0);
	http__free(start(listen[0]));
	refuses(listen[1]); /* a link that may be anybody's */
	if (!geteuid()) {
		assert_int_equal(chmod(dir, 0700) || chown(dir, 12345, 12345), 0);
		refuses(listen[0]);
	}
	unlink(link);
	rmdir(own);
	rmdir(dir);
}

/* Its name may have gone to somebody else meanwhile. */
static void a_socket_that_was_replaced(void **state)
{
	char dir[] = "/tmp/memwatch-http-XXXXXX", name[64], listen[80];
	struct stat st;
	struct http *h;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/s", dir);
	snprintf(listen, sizeof(listen), "unix:%s", name);
	h = start(listen);
	assert_int_equal(unlink(name), 0);
	fd = open(name, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	http__free(h);
	assert_int_equal(stat(name, &st), 0);
	unlink(name);
	rmdir(dir);
}

/* A socket that somebody else made says by its file who may connect. */
static void a_unix_socket_that_was_handed_over(void **state)
{
	char dir[] = "/tmp/memwatch-http-XXXXXX", text[16];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_non_null(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1), 0);
	snprintf(text, sizeof(text), "fd:%d", fd);
	chmod(a.sun_path, 0660);
	http__free(start(text));
	chmod(a.sun_path, 0666); /* systemd's default */
	refuses(text);
	chmod(a.sun_path, 0600);
	unlink(a.sun_path);
	refuses(text);
	memset(a.sun_path, 0, sizeof(a.sun_path)); /* abstract: any name that is free */
	assert_int_equal(
		bind(other, (struct sockaddr *)&a, sizeof(sa_family_t)) || listen(other, 1), 0);
	snprintf(text, sizeof(text), "fd:%d", other);
	refuses(text);
	close(fd);
	close(other);
	rmdir(dir);
}

static void wrong_addresses(void **state)
{
	static const char *const wrong[] = {
		"",	":",	 "1:2:3", "127.0.0.1:x", "127.0.0.1:99999",
		"[::1", "unix:", "fd:0x", "fd:99",	 "[::1]x"};
	struct http *h;

	log__set_level(LOG_QUIET);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (!http__start(&(struct http_opts){.listen = wrong[i]}, &h))
			fail_msg("'%s' was taken", wrong[i]);
	}
	log__set_level(LOG_INFO);
}

static void the_token_is_kept(void **state)
{
	char dir[] = "/tmp/memwatch-http-XXXXXX", name[64], first[64];
	struct http_opts o = {.listen = "127.0.0.1:0", .token_file = name};
	struct http *h;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/token", dir);
	assert_int_equal(http__start(&o, &h), 0);
	strcpy(first, http__token(h));
	http__free(h);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(http__start(&o, &h), 0);
	assert_string_equal(http__token(h), first);
	http__free(h);
	chmod(name, 0644);
	log__set_level(LOG_QUIET);
	assert_int_equal(http__start(&o, &h), -EPERM);
	if (!geteuid()) {
		assert_int_equal(chmod(name, 0600) || chown(name, 12345, 12345), 0);
		assert_int_equal(http__start(&o, &h), -EPERM);
	}
	log__set_level(LOG_INFO);
	unlink(name);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_come_in),
		cmocka_unit_test(foreign_sites_are_refused),
		cmocka_unit_test(what_is_handed_on),
		cmocka_unit_test(a_body_is_no_request),
		cmocka_unit_test(so_many_parameters),
		cmocka_unit_test(later_and_gone),
		cmocka_unit_test(events_of_a_stream),
		cmocka_unit_test(the_child_holds_nothing),
		cmocka_unit_test(a_crash_costs_its_requests),
		cmocka_unit_test(slow_clients_are_cut_off),
		cmocka_unit_test(unix_socket),
		cmocka_unit_test(the_way_to_a_unix_socket),
		cmocka_unit_test(a_socket_that_was_replaced),
		cmocka_unit_test(a_unix_socket_that_was_handed_over),
		cmocka_unit_test(wrong_addresses),
		cmocka_unit_test(the_token_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
