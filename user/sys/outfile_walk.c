/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/outfile_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/safeopen.h"

#define MAX_LINKS 40
#define ARRIVED 1

struct path_walk {
	int dir;
	struct stat dir_st;
	bool is_held; /* nobody else can rename a directory on the way */
	int links;
	int named;	     /* the descriptor that `rest` names, or -1 */
	char rest[PATH_MAX]; /* what is still to be walked */
};

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* Nobody else can make, rename or remove a name in it. */
static bool is_private_dir(const struct stat *st)
{
	return is_trusted(st->st_uid) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* Nobody else can rename or remove what is ours in it. */
static bool keeps_ours(const struct stat *st)
{
	return is_private_dir(st) || (is_trusted(st->st_uid) && st->st_mode & S_ISVTX);
}

/* Of a file on the way, when it is in another file system than what was before (0: nothing was). */
static int check_provider(int fd, const struct stat *st, dev_t before)
{
	return st->st_dev != before && safeopen__is_anothers(fd, st) ? -EREMOTE : 0;
}

/* "/dev/stdout", "/dev/fd/7": the number of the descriptor; else -1. */
static int named_descriptor(const char *path)
{
	static const char *const dirs[] = {"/dev/fd/", "/proc/self/fd/"};

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		size_t n = strlen(dirs[i]);

		if (strncmp(path, dirs[i], n) || !path[n] || strlen(path + n) > 9 ||
		    path[n + strspn(path + n, "0123456789")])
			continue;
		return atoi(path + n);
	}
	return -1;
}

/* One that memwatch opened itself has close-on-exec set; one that it was given cannot have. */
static int take_descriptor(int fd, struct outfile_place *ret)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || flags & FD_CLOEXEC || fstat(fd, &ret->st))
		return -EBADF;
	ret->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return ret->fd < 0 ? -errno : ARRIVED;
}

/* Goes on in directory `fd`, which is consumed. */
static void enter(struct path_walk *w, int fd, const struct stat *st, bool up)
{
	if (!up && !keeps_ours(&w->dir_st))
		w->is_held = false;
	close(w->dir);
	w->dir = fd;
	w->dir_st = *st;
}

static bool is_private(const struct path_walk *w)
{
	return w->is_held && is_private_dir(&w->dir_st);
}

/* At the root or the working directory: `rest` is a whole path. */
static int start(struct path_walk *w)
{
	int fd = open(w->rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	w->named = named_descriptor(w->rest);
	if (fd < 0)
		return -errno;
	util__close_fd(&w->dir);
	w->dir = fd;
	return fstat(fd, &w->dir_st) ? -errno : check_provider(fd, &w->dir_st, 0);
}

/* The link `fd` takes the place of what was walked last. */
static int follow(struct path_walk *w, int fd)
{
	const char *after = w->rest + strspn(w->rest, "/");
	size_t rest = strlen(after);
	char text[PATH_MAX];
	ssize_t n;

	if (!is_private(w) || ++w->links > MAX_LINKS)
		return -ELOOP;
	n = readlinkat(fd, "", text, sizeof(text));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if (n + 1 + rest + 1 > sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n + (rest != 0), after, rest + 1);
	if (rest)
		w->rest[n] = '/';
	memcpy(w->rest, text, n);
	return w->rest[0] == '/' ? start(w) : 0;
}

/* Takes the next name off w->rest. */
static int next_name(struct path_walk *w, char name[NAME_MAX + 1], bool *ret_last)
{
	const char *s = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(s, "/");

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, s, n);
	name[n] = 0;
	*ret_last = !s[n];
	memmove(w->rest, s + n, strlen(s + n) + 1);
	return 0;
}

static void arrive(struct path_walk *w, int *fd, const struct stat *st, const char *name,
		   struct outfile_place *ret)
{
	ret->dir = take_fd(&w->dir);
	ret->fd = take_fd(fd);
	if (ret->fd >= 0)
		ret->st = *st;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->is_private = is_private(w);
	ret->keeps_ours = w->is_held && keeps_ours(&w->dir_st);
	ret->may_be_swapped = !w->is_held && is_trusted(w->dir_st.st_uid);
}

/* One name further; ARRIVED at the last. */
static int step(struct path_walk *w, struct outfile_place *ret)
{
	char name[NAME_MAX + 1];
	cleanup_fd int fd = -1;
	struct stat st;
	bool last, up;
	int err = next_name(w, name, &last);

	if (err)
		return err;
	up = !strcmp(name, "..");
	if (last && (!name[0] || !strcmp(name, ".") || up))
		return -EISDIR;
	if (!strcmp(name, "."))
		return 0;
	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno != ENOENT || !last))
		return -errno;
	if (fd >= 0 && fstat(fd, &st))
		return -errno;
	err = fd >= 0 ? check_provider(fd, &st, w->dir_st.st_dev) : 0;
	if (err)
		return err;
	if (fd >= 0 && S_ISLNK(st.st_mode))
		return follow(w, fd);
	if (last) {
		arrive(w, &fd, &st, name, ret);
		return ARRIVED;
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	enter(w, take_fd(&fd), &st, up);
	return 0;
}

int outfile_place__find(const char *path, struct outfile_place *ret)
{
	struct path_walk w = {.dir = -1, .is_held = true};
	int err;

	*ret = (struct outfile_place){.dir = -1, .fd = -1};
	if (!path[0])
		return -ENOENT;
	if (strlen(path) >= sizeof(w.rest))
		return -ENAMETOOLONG;
	strcpy(w.rest, path);
	err = start(&w);
	while (!err)
		err = w.named >= 0 ? take_descriptor(w.named, ret) : step(&w, ret);
	util__close_fd(&w.dir);
	return err < 0 ? err : 0;
}

void outfile_place__close(struct outfile_place *p)
{
	util__close_fd(&p->dir);
	util__close_fd(&p->fd);
}
