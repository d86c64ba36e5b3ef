/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/rootdir.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/safeopen.h"

static int open_directory(const char *path)
{
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A copy of all mounts for another mount namespace has the same directories, by other mounts. A
 * kernel that does not tell mounts (before 5.8) tells directories apart. */
static struct rootdir_id identify(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, &st))
		return (struct rootdir_id){0};
	return (struct rootdir_id){
		.mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0,
		.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
		.ino = st.stx_ino,
	};
}

bool rootdir__same(const struct rootdir_id *a, const struct rootdir_id *b)
{
	return a->mount == b->mount && a->dev == b->dev && a->ino == b->ino;
}

struct rootdir_id rootdir__id(int fd)
{
	cleanup_fd int own = fd < 0 ? -1 : open_directory("/");
	struct rootdir_id id, ours;

	if (own < 0)
		return (struct rootdir_id){0};
	id = identify(fd);
	ours = identify(own);
	return rootdir__same(&id, &ours) ? (struct rootdir_id){0} : id;
}

int rootdir__open(pid_t pid, struct rootdir_id *ret)
{
	cleanup_fd int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	fd = open_directory(path);
	*ret = rootdir__id(fd);
	return ret->ino ? take_fd(&fd) : -1;
}

int rootdir__of_file(pid_t pid, int fd, const char *path)
{
	struct rootdir_id id;
	cleanup_fd int root = rootdir__open(pid, &id);
	struct stat st;

	if (root < 0 || fd < 0 || safeopen__fstat(fd, &st) || rootdir__is_ours(root, path, &st))
		return -1;
	return take_fd(&root);
}

/* Below a root that is a directory of ours the path is as we see it, and the file the root's. */
static bool is_below(int root, const char *path)
{
	char self[64], dir[PATH_MAX];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", root);
	n = readlink(self, dir, sizeof(dir));
	return n > 1 && !strncmp(path, dir, (size_t)n) && path[n] == '/';
}

bool rootdir__is_ours(int root, const char *path, const struct stat *file)
{
	struct stat st;

	return path[0] == '/' && !safeopen__stat(path, &st) && st.st_dev == file->st_dev &&
	       st.st_ino == file->st_ino && !is_below(root, path);
}
