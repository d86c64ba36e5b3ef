/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/emit.h"
#include "core/util.h"
#include "sys/filer.h"
#include "sys/outfile_walk.h"
#include "sys/privilege.h"
#include "sys/signals.h"

#define TRIES 16 /* names that others take before us */
#define MARK "{\"schema\":\"memwatch."

static mode_t chosen_mode;
static bool has_chosen_mode;

/* The file with the hidden name, for abandon. */
static struct {
	volatile sig_atomic_t dir, is_there;
	char name[NAME_MAX + 1];
} hidden;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* there is one hidden name */

void outfile__set_mode(mode_t mode)
{
	chosen_mode = mode;
	has_chosen_mode = true;
}

int outfile__parse_mode(const char *text, mode_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end || v & ~0664UL)
		return -EINVAL;
	*ret = v;
	return 0;
}

static mode_t mode_of_new(void)
{
	mode_t mask;

	if (has_chosen_mode)
		return chosen_mode;
	mask = umask(077);
	umask(mask);
	return 0600 & ~mask;
}

const char *outfile__strerror(int err)
{
	switch (-err) {
	case ELOOP: return "a symbolic link is not followed in a directory that others can write";
	case EPERM: return "it belongs to another user, or is not to be changed";
	case EEXIST:
		return "it exists in a directory that others can have put there: remove it or "
		       "choose another name";
	case EMLINK: return "it has several names: a log is added to only if it has one";
	case ENOTSUP: return "it is a device, a socket, or a pipe where others can have put it";
	case ENXIO: return "it is a pipe that nobody reads";
	case ESTALE: return "somebody else put another file in its place";
	case EREMOTE: return "it is in a file system that another user provides";
	case EBADF: return "it names a descriptor that memwatch was not given";
	case ETIMEDOUT:
		return "its file system does not answer; the process memwatch-files goes on with "
		       "it, and ends when it does";
	}
	return strerror(-err);
}

/* --- the hidden name, where a file cannot be without one --- */

/* For whoever ends the process in the middle, a signal handler or another thread. */
static void abandon(void)
{
	if (!hidden.is_there)
		return;
	hidden.is_there = 0;
	unlinkat(hidden.dir, hidden.name, 0);
}

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ, SIGXCPU};

static void on_deadly(int sig)
{
	int saved = errno;

	abandon();
	signal(sig, SIG_DFL);
	raise(sig); /* when this returns */
	errno = saved;
}

/* A signal that would end the process takes the file with it. */
static void catch_deadly(bool on)
{
	signals__removes_file(on ? abandon : NULL);
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
		struct sigaction now;

		if (sigaction(deadly[i], NULL, &now))
			continue;
		if (on && now.sa_handler == SIG_DFL)
			now.sa_handler = on_deadly;
		else if (!on && now.sa_handler == on_deadly)
			now.sa_handler = SIG_DFL;
		else
			continue;
		sigaction(deadly[i], &now, NULL);
	}
}

static int random_name(const char *name, char ret[NAME_MAX + 1])
{
	uint64_t x;

	if (getrandom(&x, sizeof(x), 0) != sizeof(x))
		return -EIO;
	snprintf(ret, NAME_MAX + 1, ".%.200s.%016llx", name, (unsigned long long)x);
	return 0;
}

/* Sets the name aside before it exists: the signal may come in between. */
static int create_hidden(int dir, const char *name, int flags)
{
	for (int i = 0; i < TRIES; i++) {
		int fd = random_name(name, hidden.name);

		if (fd)
			return fd;
		hidden.dir = dir;
		hidden.is_there = 1;
		fd = openat(dir, hidden.name,
			    flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
		if (fd >= 0)
			return fd;
		hidden.is_there = 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* --- what is new --- */

/*
 * Exactly the mode: neither an access list of the directory nor the umask has a say. A file system
 * without modes (FAT) keeps its own, as long as it lets nobody else write.
 */
static int settle_mode(int fd)
{
	struct stat st;

	if (fremovexattr(fd, "system.posix_acl_access") && errno != ENODATA &&
	    errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	if (!fchmod(fd, mode_of_new()))
		return 0;
	if (errno != EPERM || fstat(fd, &st) || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	return 0;
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid();
}

/* May the file that is there be replaced? */
static int check_replace(const struct outfile_place *p)
{
	if (p->fd < 0)
		return 0;
	if (S_ISDIR(p->st.st_mode))
		return -EISDIR;
	if (!is_ours(&p->st))
		return -EPERM;
	if (p->may_be_swapped)
		return -EEXIST;
	if (geteuid() && !(p->st.st_mode & S_IWUSR))
		return -EACCES;
	return 0;
}

/* Gives the nameless file a name that must be free. */
static int link_at(int fd, int dir, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

/* The hidden name becomes the name, and what has the name then must be what was written. */
static int rename_hidden(int fd, const struct outfile_place *p)
{
	struct stat ours, there;

	if (renameat(p->dir, hidden.name, p->dir, p->name))
		return -errno;
	hidden.is_there = 0;
	if (fstat(fd, &ours) || fstatat(p->dir, p->name, &there, AT_SYMLINK_NOFOLLOW))
		return -ESTALE;
	return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino ? 0 : -ESTALE;
}

static int name_nameless(int fd, const struct outfile_place *p)
{
	int err = p->fd < 0 ? link_at(fd, p->dir, p->name) : -EEXIST;

	for (int i = 0; i < TRIES && err == -EEXIST; i++) {
		err = random_name(p->name, hidden.name);
		if (err)
			return err;
		hidden.dir = p->dir;
		hidden.is_there = 1;
		err = link_at(fd, p->dir, hidden.name);
		if (!err)
			return rename_hidden(fd, p);
		hidden.is_there = 0;
	}
	return err;
}

/* What was there when the writing began may be something else by now. */
static int look_again(struct outfile_place *p)
{
	util__close_fd(&p->fd);
	p->fd = openat(p->dir, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (p->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return fstat(p->fd, &p->st) ? -errno : 0;
}

static int put_in_place(int fd, struct outfile_place *p, bool nameless)
{
	int err = look_again(p);

	if (!err && p->fd >= 0 && !S_ISREG(p->st.st_mode))
		err = -ESTALE;
	if (!err)
		err = check_replace(p);
	if (err)
		return err;
	return nameless ? name_nameless(fd, p) : rename_hidden(fd, p);
}

/* A file in the directory without a name, or with a hidden one. */
static int open_new(const struct outfile_place *p, bool *ret_nameless)
{
	int fd = openat(p->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	*ret_nameless = fd >= 0;
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = create_hidden(p->dir, p->name, O_RDWR);
	else if (fd < 0)
		fd = -errno;
	return fd;
}

/* Flushes; the first failure wins. */
static int fill(int fd, int (*fn)(FILE *f, void *arg), void *arg)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), err;
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");

	if (!f) {
		err = -errno;
		util__close_fd(&copy);
		return err;
	}
	err = emit__end(f, fn(f, arg));
	errno = 0;
	if (fclose(f) && !err)
		err = errno ? -errno : -EIO;
	return err;
}

static int write_new(struct outfile_place *p, int (*fn)(FILE *f, void *arg), void *arg)
{
	bool nameless;
	cleanup_fd int fd = -1;
	int err = check_replace(p);

	if (err)
		return err;
	catch_deadly(true);
	privilege__raise(PRIVILEGE_FILES);
	fd = open_new(p, &nameless);
	privilege__lower(PRIVILEGE_FILES);
	err = fd < 0 ? fd : settle_mode(fd);
	if (!err)
		err = fill(fd, fn, arg);
	privilege__raise(PRIVILEGE_FILES);
	if (!err)
		err = put_in_place(fd, p, nameless);
	abandon();
	privilege__lower(PRIVILEGE_FILES);
	catch_deadly(false);
	return err;
}

/* --- what is there and no file --- */

/* A pipe or a character device that this user or root put where nobody else can. */
static bool may_open_special(const struct outfile_place *p)
{
	return p->dir < 0 || (p->is_private && (S_ISFIFO(p->st.st_mode) || S_ISCHR(p->st.st_mode)));
}

static int open_special(const struct outfile_place *p)
{
	char self[64];
	int fd;

	if (p->dir < 0)
		return fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	if (!may_open_special(p))
		return -ENOTSUP;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", p->fd); /* what was looked at */
	fd = open(self, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, O_WRONLY)) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* True if what was found is to be opened as it is. */
static bool is_special(const struct outfile_place *p)
{
	return p->fd >= 0 && (p->dir < 0 || (!S_ISREG(p->st.st_mode) && !S_ISDIR(p->st.st_mode)));
}

static int (*hand_over)(const char *path, int fd);

void outfile__hand_over(int (*fn)(const char *path, int fd))
{
	hand_over = fn;
}

static int write_in_memory(int (*fn)(FILE *f, void *arg), void *arg, int *ret_fd)
{
	cleanup_fd int fd = memfd_create("memwatch-output", MFD_CLOEXEC);
	int err = fd < 0 ? -errno : fill(fd, fn, arg);

	*ret_fd = take_fd(&fd);
	return err;
}

int outfile__copy(FILE *f, void *arg)
{
	const int *from = arg;
	char buf[1 << 16];
	struct stat st;
	off_t at = 0;

	if (fstat(*from, &st) || !S_ISREG(st.st_mode))
		return -EBADF;
	while (at < st.st_size) { /* it may shrink meanwhile */
		ssize_t n = pread(*from, buf, min_of(sizeof(buf), (size_t)(st.st_size - at)), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		errno = 0;
		if (fwrite(buf, 1, n, f) != (size_t)n)
			return errno ? -errno : -EIO;
		at += n;
	}
	return 0;
}

static int write_to(const char *path, int (*fn)(FILE *f, void *arg), void *arg)
{
	struct outfile_place p;
	int err = outfile_place__find(path, &p);

	if (err)
		return err;
	if (is_special(&p)) {
		cleanup_fd int fd = open_special(&p);

		err = fd < 0 ? fd : fill(fd, fn, arg);
	} else {
		err = write_new(&p, fn, arg);
	}
	outfile_place__close(&p);
	return err;
}

static int write_here(const char *path, int (*fn)(FILE *f, void *arg), void *arg)
{
	int err;

	pthread_mutex_lock(&one_at_a_time);
	err = write_to(path, fn, arg);
	pthread_mutex_unlock(&one_at_a_time);
	return err;
}

int outfile__write(const char *path, int (*fn)(FILE *f, void *arg), void *arg)
{
	cleanup_fd int fd = -1;
	int err;

	if (!hand_over && !filer__runs())
		return write_here(path, fn, arg);
	err = write_in_memory(fn, arg, &fd);
	if (err)
		return err;
	if (hand_over)
		return hand_over(path, fd);
	err = filer__write(path, fd);
	return err == -EPIPE ? write_here(path, outfile__copy, &fd) : err;
}

/* A nameless file says what access(2) does not: a read-only mount, a quota. */
static int try_directory(int dir)
{
	cleanup_fd int fd = -1;
	int err;

	privilege__raise(PRIVILEGE_FILES);
	fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	err = fd < 0 ? -errno : 0;
	privilege__lower(PRIVILEGE_FILES);
	return err == -EOPNOTSUPP || err == -EISDIR || err == -EINVAL ? 0 : err;
}

int outfile__check(const char *path)
{
	struct outfile_place p;
	int err = filer__runs() ? filer__check(path) : -EPIPE;

	if (err != -EPIPE)
		return err;
	err = outfile_place__find(path, &p);
	if (err)
		return err;
	if (is_special(&p))
		err = may_open_special(&p) ? 0 : -ENOTSUP;
	else
		err = check_replace(&p);
	if (!err && !is_special(&p))
		err = try_directory(p.dir);
	outfile_place__close(&p);
	return err;
}

static int create_file(struct outfile_place *p)
{
	cleanup_fd int fd = -1;
	int err = check_replace(p);

	if (err)
		return err;
	catch_deadly(true);
	privilege__raise(PRIVILEGE_FILES);
	fd = create_hidden(p->dir, p->name, O_WRONLY | O_APPEND);
	err = fd < 0 ? fd : settle_mode(fd);
	if (!err)
		err = put_in_place(fd, p, false);
	abandon();
	privilege__lower(PRIVILEGE_FILES);
	catch_deadly(false);
	return err ? err : take_fd(&fd);
}

int outfile__create(const char *path, int *ret_fd)
{
	struct outfile_place p;
	int fd, err = outfile_place__find(path, &p);

	if (err)
		return err;
	pthread_mutex_lock(&one_at_a_time);
	fd = is_special(&p) ? open_special(&p) : create_file(&p);
	pthread_mutex_unlock(&one_at_a_time);
	outfile_place__close(&p);
	*ret_fd = fd;
	return fd < 0 ? fd : 0;
}

int outfile__sync(int fd)
{
	return fdatasync(fd) && errno != EINVAL && errno != EROFS ? -errno : 0;
}

/* --- logs --- */

/* A file of ours under a name that others can have given it is a log only if it begins as one. */
static int check_log(const struct outfile_place *p, int fd)
{
	char text[sizeof(MARK) - 1];

	if (p->is_private || !p->st.st_size)
		return 0;
	return pread(fd, text, sizeof(text), 0) == sizeof(text) && !memcmp(text, MARK, sizeof(text))
		       ? 0
		       : -EEXIST;
}

static int open_log(const struct outfile_place *p)
{
	cleanup_fd int fd = -1;
	char self[64];
	int err;

	if (S_ISDIR(p->st.st_mode))
		return -EISDIR;
	if (!is_ours(&p->st))
		return -EPERM;
	if (p->st.st_nlink != 1)
		return -EMLINK;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", p->fd);
	fd = open(self, O_RDWR | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = check_log(p, fd);
	return err ? err : take_fd(&fd);
}

static int create_log(const struct outfile_place *p)
{
	cleanup_fd int fd =
		openat(p->dir, p->name,
		       O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = settle_mode(fd);
	if (!err) { /* a new name is on disk when its directory is */
		cleanup_fd int dir = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0)
			fsync(dir);
	}
	return err ? err : take_fd(&fd);
}

int outfile__append(const char *path, int *ret_fd)
{
	int fd = -EEXIST;

	for (int i = 0; i < TRIES && fd == -EEXIST; i++) {
		struct outfile_place p;
		int err = outfile_place__find(path, &p);
		bool was_there;

		if (err)
			return err;
		was_there = p.fd >= 0;
		privilege__raise(PRIVILEGE_FILES);
		if (is_special(&p))
			fd = open_special(&p);
		else
			fd = was_there ? open_log(&p) : create_log(&p);
		privilege__lower(PRIVILEGE_FILES);
		outfile_place__close(&p);
		if (was_there)
			break;
	}
	*ret_fd = fd;
	return fd < 0 ? fd : 0;
}
