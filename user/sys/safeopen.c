/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/safeopen.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
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
