/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/safeopen.h"

/* Whether owners and modes there are what another user says. */
static bool is_anothers(const char *dir)
{
	cleanup_fd int fd = open(dir, O_PATH | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && safeopen__is_anothers(fd, &st);
}

/* Whether somebody else could put another directory in this one's place, or what is in it. */
static bool is_open_to_others(const char *dir)
{
	uid_t me = geteuid();
	struct stat link, st;

	if (lstat(dir, &link) || stat(dir, &st))
		return false; /* whoever opens it sees the error */
	if ((link.st_uid && link.st_uid != me) || (st.st_uid && st.st_uid != me))
		return true;
	return (st.st_mode & 022 && !(st.st_mode & S_ISVTX)) || is_anothers(dir);
}

/* With the directories above it. */
static int make(const char *path)
{
	char part[4096];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (const char *p = path + 1;; p++) {
		if (*p && *p != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		if (!*p)
			return 0;
		if (is_open_to_others(part))
			return -EPERM;
	}
}

/* Not through a link of another user's; this user's own and root's nobody else can exchange. */
static int open_directory(const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd = open(path, flags | O_NOFOLLOW);
	struct stat link;

	if (fd >= 0 || lstat(path, &link) || !S_ISLNK(link.st_mode) ||
	    (link.st_uid && link.st_uid != geteuid()))
		return fd;
	return open(path, flags);
}

static int open_own(const char *path, int *ret, char *why, unsigned len)
{
	cleanup_fd int fd = open_directory(path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		snprintf(why, len, "%s", strerror(errno));
		return -errno;
	}
	if (st.st_uid != geteuid() || st.st_mode & 022 || safeopen__is_anothers(fd, &st)) {
		snprintf(why, len,
			 st.st_uid != geteuid() ? "it belongs to another user"
			 : st.st_mode & 022	? "others may write to it"
						: "another user provides its file system");
		return -EPERM;
	}
	*ret = take_fd(&fd);
	return 0;
}

int statedir__take(const char *path, int *ret_fd, char *why, unsigned len)
{
	cleanup_fd int fd = -1, lock = -1;
	int err = make(path);

	if (err) {
		snprintf(why, len, "%s",
			 err == -EPERM ? "others may change a directory above it" : strerror(-err));
		return err;
	}
	err = open_own(path, &fd, why, len);
	if (err)
		return err;
	if (mkdirat(fd, "alerts", 0700) && errno != EEXIST) {
		snprintf(why, len, "%s", strerror(errno));
		return -errno;
	}
	lock = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		snprintf(why, len, "%s",
			 err == -EBUSY ? "another memwatch daemon runs there" : strerror(-err));
		return err;
	}
	*ret_fd = take_fd(&lock);
	return 0;
}

/* Of a path without links, the first on the way who is neither root nor this user; he could
 * exchange all that is below. -EPERM: everybody could. */
static int find_master(char *real, uid_t *ret)
{
	*ret = geteuid();
	for (char *p = real + 1;; p++) {
		char c = *p;
		struct stat st;

		if (c && c != '/')
			continue;
		*p = 0;
		if (lstat(real, &st))
			return -errno;
		if ((st.st_mode & 022 && (!c || !(st.st_mode & S_ISVTX))) || is_anothers(real))
			return -EPERM;
		if (*ret == geteuid() && st.st_uid && st.st_uid != geteuid())
			*ret = st.st_uid;
		if (!c)
			return 0;
		*p = c;
	}
}

static int become(uid_t uid)
{
	struct passwd *pw = getpwuid(uid);
	gid_t gid = pw ? pw->pw_gid : (gid_t)-2; /* nobody's: a user without a name has no groups */

	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

int statedir__read_as_owner(const char *path, char **ret_real, char *why, unsigned len)
{
	uid_t uid;
	int err;

	*ret_real = realpath(path, NULL);
	if (!*ret_real) {
		snprintf(why, len, "%s", strerror(errno));
		return -errno;
	}
	err = find_master(*ret_real, &uid);
	if (err == -EPERM)
		snprintf(why, len, "others may write to it or to a directory above it, or provide its "
			 "file system");
	if (err || uid == geteuid())
		return err;
	if (!geteuid())
		err = become(uid);
	else
		err = -EPERM;
	if (err)
		snprintf(why, len, "it belongs to another user");
	return err;
}
