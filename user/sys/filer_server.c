/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filer_server.c - the process memwatch-files and those that it forks, one for each order. */
#include "sys/filer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/logfile.h"
#include "sys/outfile.h"
#include "sys/privilege.h"
#include "sys/protect.h"

#define CHUNK (64 << 10)

struct writing {
	int news, from;
};

static void tell(int news, int what, int value)
{
	struct filer_news n = {what, value};

	/* What nobody reads meanwhile need not be read later. */
	fdmsg__send(news, &n, sizeof(n), NULL, 0, NULL, 0, what == FILER_MOVED ? MSG_DONTWAIT : 0);
}

static pid_t filer; /* whose children write */

/* What is of use to nobody once memwatch is gone ends with it, and leaves nothing: a pipe or a
 * terminal is for a reader that is there now, a report can be made again. */
static void end_with_it(void)
{
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (getppid() != filer)
		raise(SIGTERM); /* it was quicker */
}

static bool is_file(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

/* The whole of the file in memory. */
static int copy_file(FILE *f, void *arg)
{
	static char buf[CHUNK];
	const struct writing *w = arg;
	off_t at = 0;

	if (!is_file(fileno(f)))
		end_with_it();
	for (;;) {
		ssize_t n = pread(w->from, buf, sizeof(buf), at);
		int err;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		err = util__write_all(fileno(f), buf, n);
		if (err)
			return err;
		at += n;
		tell(w->news, FILER_MOVED, 0);
	}
}

/* What comes through the socket, until the other side closes it, or is gone. */
static int copy_stream(const struct writing *w, const char *path)
{
	static char buf[CHUNK];
	cleanup_fd int fd = -1;
	int err = outfile__create(path, &fd);

	if (err)
		return err;
	if (!is_file(fd))
		end_with_it();
	tell(w->news, FILER_OPEN, 0);
	while (!err) {
		ssize_t n = recv(w->from, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		err = util__write_all(fd, buf, n);
		tell(w->news, FILER_MOVED, 0);
	}
	if (!err)
		err = outfile__sync(fd);
	if (close(take_fd(&fd)) && !err)
		err = -errno;
	return err;
}

/* False: the other side is gone. */
static bool receive(int from, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = recv(from, (char *)data + at, len - at, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
	}
	return true;
}

/* Line by line, each answered. It is there when memory is short. */
static int keep_log(const struct writing *w, const struct filer_order *o)
{
	struct logfile l;
	uint32_t len;
	cleanup_free char *line = malloc(o->max);
	int err = line ? logfile__open(&l, o->path) : -ENOMEM;

	if (err)
		return err;
	if (!is_file(l.fd))
		end_with_it();
	util__prefault(line, o->max);
	protect__lock_memory();
	protect__oom_score_adj(-999);
	tell(w->news, FILER_OPEN, 0);
	while (receive(w->from, &len, sizeof(len)) && len <= o->max &&
	       receive(w->from, line, len)) {
		err = len ? logfile__add(&l, line, len) : logfile__reopen(&l);
		tell(w->news, FILER_ADDED, err);
	}
	logfile__close(&l);
	return 0;
}

/* Whoever waits for the end of memwatch's output does not wait for this process. */
static void close_streams(const struct writing *w)
{
	int low = min_of(w->news, w->from < 0 ? w->news : w->from);
	int high = max_of(w->news, w->from);
	int null;

	if (low > 0)
		syscall(SYS_close_range, 0, low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, low + 1, high - 1, 0);
	syscall(SYS_close_range, high + 1, ~0U, 0);
	do { /* close-on-exec: none that memwatch was given (outfile_walk.c) */
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (null >= 0 && null < STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

static int work(const struct filer_order *o, struct writing *w)
{
	switch (o->op) {
	case FILER_WRITE: return outfile__write(o->path, copy_file, w);
	case FILER_CHECK: return outfile__check(o->path);
	case FILER_PRUNE: return outfile__prune(o->path, o->max);
	case FILER_CREATE: return copy_stream(w, o->path);
	case FILER_LOG: return keep_log(w, o);
	}
	return -EINVAL;
}

static void start(const struct filer_order *o, const int fds[FDMSG_MAX_FDS], int control,
		  bool goes_on)
{
	struct writing w = {.news = fds[0], .from = fds[1]};
	pid_t pid = fork();

	if (pid < 0)
		tell(w.news, FILER_DONE, -errno);
	if (pid > 0)
		tell(w.news, FILER_STARTED, pid);
	if (pid)
		return;
	close(control);
	if (!o->streams)
		close_streams(&w);
	if (!goes_on)
		end_with_it();
	tell(w.news, FILER_DONE, work(o, &w));
	_exit(0);
}

_Noreturn void filer__serve(int control, bool goes_on)
{
	static struct filer_order o;
	sigset_t all;

	filer = getpid();
	prctl(PR_SET_NAME, "memwatch-files");
	/* It is in the group that Ctrl-C goes to, and ends with memwatch instead. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (privilege__keep(PRIVILEGE(FILES) | PRIVILEGE(READ) | PRIVILEGE(LIMITS)))
		_exit(1);
	privilege__raise(PRIVILEGE_READ); /* the way to a file */
	for (;;) {
		int fds[FDMSG_MAX_FDS];
		ptrdiff_t n = fdmsg__recv(control, &o, sizeof(o), fds, 0);

		if (n != sizeof(o) || !util__is_text(o.path, sizeof(o.path)) || fds[0] < 0)
			_exit(0);
		start(&o, fds, control, goes_on);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
	}
}
