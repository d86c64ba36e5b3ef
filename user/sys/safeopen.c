/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/safeopen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/util.h"

static bool owner_fits(const struct safeopen_owner *o, const struct stat *st)
{
	if (!o || st->st_uid == o->uid)
		return true;
	return !st->st_uid && o->or_readable_root && (st->st_mode & S_IROTH);
}

/* Opens for reading what `look` points at. */
static int reopen(int look, const struct safeopen_owner *owner, struct stat *st)
{
	char self[64];
	int fd;

	if (fstat(look, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if (!owner_fits(owner, st))
		return -EPERM;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", look);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int safeopen__below(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		    struct stat *st)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0),
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	cleanup_fd int look = -1;
	struct stat own;

	if (rootfd < 0)
		look = open(path, how.flags);
	else
		look = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	if (look < 0)
		return -errno;
	return reopen(look, owner, st ? st : &own);
}

int safeopen__file(const char *path, struct stat *st)
{
	return safeopen__below(-1, path, 0, NULL, st);
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
