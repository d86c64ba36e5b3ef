/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/outfile.h"
#include "sys/outfile_walk.h"

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT "6061"
#define BACKLOG 128

/* "ADDR:PORT", "[ADDR]:PORT", "ADDR", ":PORT", "PORT" into host and port. */
static int split(const char *text, char host[64], char port[8])
{
	const char *p = text, *colon;
	size_t n;

	strcpy(host, DEFAULT_HOST);
	strcpy(port, DEFAULT_PORT);
	if (!*p)
		return -EINVAL;
	if (!p[strspn(p, "0123456789")]) {
		colon = p - 1;
		n = 0;
	} else if (*p == '[') {
		n = strcspn(++p, "]");
		if (p[n] != ']' || (p[n + 1] && p[n + 1] != ':'))
			return -EINVAL;
		colon = p[n + 1] ? p + n + 1 : NULL;
	} else {
		colon = strchr(p, ':');
		n = colon ? (size_t)(colon - p) : strlen(p);
	}
	if (n >= 64 || (colon && (!colon[1] || strlen(colon + 1) >= 6 ||
				  colon[1 + strspn(colon + 1, "0123456789")])))
		return -EINVAL;
	if (n)
		snprintf(host, 64, "%.*s", (int)n, p);
	if (colon)
		snprintf(port, 8, "%s", colon + 1);
	return atoi(port) > 65535 ? -EINVAL : 0;
}

/* What the socket is bound to, as it may have been asked for any port. */
static int name_it(struct listener *l)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	char host[64];

	if (getsockname(l->fd, (struct sockaddr *)&a, &len))
		return -errno;
	if (a.ss_family == AF_UNIX) {
		const char *path = ((struct sockaddr_un *)&a)->sun_path;

		snprintf(l->address, sizeof(l->address), "unix:%.*s",
			 (int)(len - offsetof(struct sockaddr_un, sun_path)), path);
		return 0;
	}
	if (a.ss_family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;

		l->port = ntohs(six->sin6_port);
		snprintf(l->address, sizeof(l->address), "[%s]:%u",
			 inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)), l->port);
	} else if (a.ss_family == AF_INET) {
		struct sockaddr_in *four = (struct sockaddr_in *)&a;

		l->port = ntohs(four->sin_port);
		snprintf(l->address, sizeof(l->address), "%s:%u",
			 inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)), l->port);
	}
	return l->port ? 0 : -EAFNOSUPPORT;
}

static int find_address(const char *text, struct addrinfo **ret, char why[LISTENER_WHY])
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	char host[64], port[8];
	int err = split(text, host, port), rc;

	if (err) {
		snprintf(why, LISTENER_WHY,
			 "'%.80s' is no address to listen on: ADDR:PORT, [ADDR]:PORT, :PORT, "
			 "unix:PATH or fd:NUMBER",
			 text);
		return err;
	}
	rc = getaddrinfo(host, port, &hints, ret);
	if (!rc)
		return 0;
	snprintf(why, LISTENER_WHY, "failed to find the address '%s': %s", host, gai_strerror(rc));
	return -EADDRNOTAVAIL;
}

static int open_tcp(const char *text, struct listener *l)
{
	char why[LISTENER_WHY];
	struct addrinfo *ai;
	int err = find_address(text, &ai, why), one = 1;

	if (err) {
		log_error("%s", why);
		return err;
	}
	l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd >= 0)
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (l->fd < 0 || bind(l->fd, ai->ai_addr, ai->ai_addrlen) || listen(l->fd, BACKLOG))
		err = -errno;
	freeaddrinfo(ai);
	if (err)
		log_error("failed to listen on %s: %s", text, strerror(-err));
	return err ? err : name_it(l);
}

/* 0: nobody else can exchange the socket for his own, nor a directory above it. */
static int check_way(const char *path)
{
	struct outfile_place place;
	int err = outfile_place__find(path, &place);

	if (err)
		return err == -ELOOP || err == -EREMOTE ? -EPERM : err;
	err = place.keeps_ours ? 0 : -EPERM;
	outfile_place__close(&place);
	return err;
}

/* Nobody listens on it any more: it was left by a memwatch that was killed. */
static void remove_stale(const struct sockaddr_un *a)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (!lstat(a->sun_path, &st) && S_ISSOCK(st.st_mode) && st.st_uid == geteuid() && fd >= 0 &&
	    connect(fd, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED)
		unlink(a->sun_path);
}

static int check_path(const char *path, char why[LISTENER_WHY])
{
	struct sockaddr_un a;
	int err;

	if (!*path || strlen(path) >= sizeof(a.sun_path)) {
		snprintf(why, LISTENER_WHY,
			 "'%.120s' is no path for a Unix socket: at most %zu characters", path,
			 sizeof(a.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	err = check_way(path);
	if (err == -EPERM)
		snprintf(why, LISTENER_WHY,
			 "'%s': others may write to that directory, or to one above it", path);
	else if (err)
		snprintf(why, LISTENER_WHY, "'%s': %s", path, strerror(-err));
	return err;
}

static int give_to_group(const char *path, const char *group)
{
	struct group *g = getgrnam(group);

	if (!g) {
		log_error("no group '%s'", group);
		return -ENOENT;
	}
	return lchown(path, -1, g->gr_gid) || chmod(path, 0660) ? -errno : 0;
}

static int open_unix(const char *path, const char *group, struct listener *l)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char why[LISTENER_WHY];
	struct stat st;
	mode_t before;
	int err = check_path(path, why);

	if (err) {
		log_error("%s", why);
		return err;
	}
	strcpy(a.sun_path, path);
	remove_stale(&a);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	before = umask(0177);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)))
		err = -errno;
	umask(before);
	if (!err && lstat(path, &st))
		err = -errno;
	if (!err) {
		strcpy(l->path, path);
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		err = group ? give_to_group(path, group) : 0;
	}
	if (!err && listen(l->fd, BACKLOG))
		err = -errno;
	if (err)
		log_error("failed to listen on '%s': %s", path, strerror(-err));
	return err ? err : name_it(l);
}

static bool is_number(const char *text)
{
	return *text && strlen(text) < 8 && !text[strspn(text, "0123456789")];
}

/* May nobody connect but its owner and a group? A Unix socket asks for no token. */
static bool is_for_few(int fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNSPEC};
	socklen_t len = sizeof(a) - 1; /* which leaves a NUL behind the path */
	struct stat st;

	if (getsockname(fd, (struct sockaddr *)&a, &len) || a.sun_family != AF_UNIX)
		return true;
	if (a.sun_path[0] != '/' || lstat(a.sun_path, &st) || !S_ISSOCK(st.st_mode)) {
		log_error("descriptor %d is a Unix socket without a file that says who may connect",
			  fd);
		return false;
	}
	if (st.st_mode & S_IWOTH)
		log_error("everybody may connect to '%s', descriptor %d (systemd: SocketMode=0600, "
			  "or 0660 for a group)",
			  a.sun_path, fd);
	return !(st.st_mode & S_IWOTH);
}

/* One that a service manager has opened. */
static int take_over(const char *text, struct listener *l)
{
	int on = 0, fd = atoi(text), copy;
	socklen_t len = sizeof(on);

	if (!is_number(text) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) || !on) {
		log_error("descriptor %s is no socket that listens", text);
		return -EBADF;
	}
	if (!is_for_few(fd))
		return -EPERM;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	l->fd = copy;
	fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK);
	return name_it(l);
}

int listener__open(const char *text, const char *group, struct listener *ret)
{
	struct listener l = {.fd = -1};
	int err;

	if (!strncmp(text, "unix:", 5))
		err = open_unix(text + 5, group, &l);
	else if (!strncmp(text, "fd:", 3))
		err = take_over(text + 3, &l);
	else
		err = open_tcp(text, &l);
	if (err)
		listener__close(&l);
	else
		*ret = l;
	return err;
}

int listener__check(const char *text, char why[LISTENER_WHY])
{
	struct addrinfo *ai = NULL;
	int err = 0;

	if (!strncmp(text, "unix:", 5))
		return check_path(text + 5, why);
	if (strncmp(text, "fd:", 3)) {
		err = find_address(text, &ai, why);
		if (!err)
			freeaddrinfo(ai);
	} else if (!is_number(text + 3)) {
		snprintf(why, LISTENER_WHY, "'%.80s' is no descriptor: fd:3", text);
		err = -EINVAL;
	}
	return err;
}

void listener__close(struct listener *l)
{
	struct stat st;

	util__close_fd(&l->fd);
	l->fd = -1;
	/* what has its name now may be somebody else's */
	if (*l->path && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	*l->path = '\0';
}

int listener__read_token(const char *path, char *ret, unsigned len)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st)) {
		log_error("failed to read the token in '%s': %m", path);
		return -errno;
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)) {
		log_error("'%s' has to be a file that nobody else can read (chmod 600)", path);
		return -EPERM;
	}
	n = read(fd, ret, len - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	ret[strcspn(ret, " \r\n")] = '\0';
	return 0;
}

static int write_token(FILE *f, void *arg)
{
	fprintf(f, "%s\n", (const char *)arg);
	return 0;
}

int listener__keep_token(const char *path, const char *token)
{
	int err = outfile__write(path, write_token, (void *)token);

	if (err)
		log_error("failed to keep the token in '%s': %s", path, outfile__strerror(err));
	return err;
}
