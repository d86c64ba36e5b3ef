/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/safeopen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/fdmsg.h"
#include "sys/mountinfo.h"

#define FUSE_MAGIC 0x65735546
#define ECRYPTFS_MAGIC 0xf15f

static bool owner_fits(const struct safeopen_owner *o, const struct stat *st)
{
	if (!o || st->st_uid == o->uid)
		return true;
	return !st->st_uid && o->or_readable_root && (st->st_mode & S_IROTH);
}

static const struct safeopen_other *other;

void safeopen__hand_over(const struct safeopen_other *to)
{
	other = to;
}

bool safeopen__only_seen(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_PATH;
}

/* Without asking the file system: what is known of the file. */
static int known_of(int fd, struct stat *st)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &x))
		return -errno;
	*st = (struct stat){
		.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.st_ino = x.stx_ino,
		.st_mode = x.stx_mode,
		.st_nlink = x.stx_nlink,
		.st_uid = x.stx_uid,
		.st_gid = x.stx_gid,
		.st_size = (off_t)x.stx_size,
		.st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec},
		.st_ctim = {x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec},
	};
	return 0;
}

int safeopen__fstat(int fd, struct stat *st)
{
	if (safeopen__only_seen(fd))
		return known_of(fd, st);
	return fstat(fd, st) ? -errno : 0;
}

/* Was the file system that has this device number mounted by another user than root and this one?
 * One that is mounted nowhere in our sight may have been. */
static bool is_anothers(dev_t dev)
{
	cleanup_free char *text = NULL;
	char *save = NULL, *line = mountinfo__text(&text) ? NULL : strtok_r(text, "\n", &save);
	struct mountinfo m;

	for (; line; line = strtok_r(NULL, "\n", &save)) {
		const char *user;

		if (!mountinfo__parse(line, &m) || m.dev != dev)
			continue;
		user = strstr(m.options, "user_id=");
		return user && strtoul(user + 8, NULL, 10) &&
		       strtoul(user + 8, NULL, 10) != geteuid();
	}
	return true;
}

bool safeopen__is_anothers(int fd, const struct stat *st)
{
	struct statfs fs;

	return (fstatfs(fd, &fs) || fs.f_type == FUSE_MAGIC) && is_anothers(st->st_dev);
}

/* Those that lie over others are what others may have laid there. */
static bool may_not_answer(int look, const struct stat *st, bool *is_overlay)
{
	struct statfs fs;

	*is_overlay = false;
	if (fstatfs(look, &fs))
		return true;
	switch ((uint32_t)fs.f_type) {
	case FUSE_MAGIC: return is_anothers(st->st_dev);
	case ECRYPTFS_MAGIC: return true;
	case OVERLAYFS_SUPER_MAGIC: *is_overlay = true; return true;
	default: return false;
	}
}

int safeopen__reopen(int look)
{
	char self[64];
	int fd;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", look);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/*
 * A file in which the kernel itself does something: opening, reading or closing it may be an act
 * (of tracefs, reading trace_pipe takes what it says away, closing free_buffer throws all away).
 * The file systems of such files have no blocks; of those that keep files, these may say so too.
 */
static bool is_an_interface(int look)
{
	struct statfs fs;

	if (fstatfs(look, &fs) || fs.f_blocks)
		return false;
	switch ((uint32_t)fs.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
	case OVERLAYFS_SUPER_MAGIC:
	case FUSE_MAGIC: return false;
	default: return true;
	}
}

static int look_at(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		   struct stat *st)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0),
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	cleanup_fd int look = -1;

	if (rootfd < 0)
		look = open(path, how.flags);
	else
		look = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	if (look < 0 || fstat(look, st))
		return -errno;
	if (!S_ISREG(st->st_mode) || is_an_interface(look))
		return -EINVAL;
	return owner_fits(owner, st) ? take_fd(&look) : -EPERM;
}

int safeopen__seen(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		   struct stat *st, bool *is_overlay)
{
	cleanup_fd int look = look_at(rootfd, path, nofollow, owner, st);

	if (look < 0)
		return look;
	return may_not_answer(look, st, is_overlay) ? take_fd(&look) : safeopen__reopen(look);
}

int safeopen__below(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		    pid_t whose, struct stat *st)
{
	cleanup_fd int look = -1;
	struct stat own;

	if (other)
		return other->open(rootfd, path, nofollow, owner, whose, st ? st : &own);
	look = look_at(rootfd, path, nofollow, owner, st ? st : &own);
	return look < 0 ? look : safeopen__reopen(look);
}

int safeopen__file(const char *path, struct stat *st)
{
	return safeopen__below(-1, path, 0, NULL, 0, st);
}

int safeopen__stat(const char *path, struct stat *st)
{
	if (other)
		return other->stat(path, st);
	return stat(path, st) ? -errno : 0;
}

int safeopen__send(int sock, const void *head, size_t head_len, const void *data, size_t len,
		   const int *fds, size_t nfds)
{
	bool seen = false;

	for (size_t i = 0; i < nfds; i++)
		seen |= safeopen__only_seen(fds[i]);
	return seen && other ? other->send(sock, head, head_len, data, len, fds, nfds)
			     : fdmsg__send(sock, head, head_len, data, len, fds, nfds, 0);
}

/* By what the kernel says of it; a file that only looks like one is empty and has no name either.
 */
static bool is_fresh_memfd(int look)
{
	char self[32], to[64];
	struct statfs fs;
	struct stat st;
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", look);
	n = readlink(self, to, sizeof(to) - 1);
	if (n < 0 || fstat(look, &st) || fstatfs(look, &fs))
		return false;
	to[n] = '\0';
	return S_ISREG(st.st_mode) && !st.st_nlink && !st.st_size && fs.f_type == TMPFS_MAGIC &&
	       !strncmp(to, "/memfd:", 7);
}

int safeopen__memfd(int pid, uint64_t fd)
{
	cleanup_fd int look = -1;
	char path[64];
	int own;

	snprintf(path, sizeof(path), "/proc/%d/fd/%" PRIu64, pid, fd);
	look = open(path, O_PATH | O_CLOEXEC);
	if (look < 0)
		return -errno;
	if (!is_fresh_memfd(look))
		return -EPERM;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", look);
	own = open(path, O_RDWR | O_CLOEXEC);
	return own < 0 ? -errno : own;
}
