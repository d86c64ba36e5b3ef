/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/rotated.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"

#define DIRECTORY_ENTRIES 65536

struct found_file {
	char *path;
	int64_t mtime_ns;
};

/* Keeps the newest, oldest first. */
static void keep(struct found_file *f, size_t *n, char *path, int64_t mtime_ns)
{
	size_t i;

	if (*n == ROTATED_MAX) {
		if (mtime_ns <= f[0].mtime_ns) {
			free(path);
			return;
		}
		free(f[0].path);
		memmove(f, f + 1, sizeof(*f) * --*n);
	}
	for (i = *n; i > 0 && f[i - 1].mtime_ns > mtime_ns; i--)
		f[i] = f[i - 1];
	f[i] = (struct found_file){path, mtime_ns};
	(*n)++;
}

static bool is_rotation(const char *name, const char *base, size_t len)
{
	return !strncmp(name, base, len) && (name[len] == '.' || name[len] == '-') &&
	       isdigit((unsigned char)name[len + 1]);
}

int rotated__list(const char *path, struct rotated *ret)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	cleanup_free char *dir_path =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
	cleanup_dir DIR *dir = dir_path ? opendir(dir_path) : NULL;
	struct found_file found[ROTATED_MAX];
	size_t n = 0, seen = 0;
	struct dirent *d;

	memset(ret, 0, sizeof(*ret));
	if (!dir_path)
		return -ENOMEM;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((d = readdir(dir)) && seen++ < DIRECTORY_ENTRIES) {
		struct stat st;
		char *full;

		if (!is_rotation(d->d_name, base, strlen(base)) ||
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			continue;
		if (asprintf(&full, "%s%s", dir_path, d->d_name) < 0)
			break;
		keep(found, &n, full, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	}
	for (size_t i = 0; i < n; i++)
		ret->path[ret->n++] = found[i].path;
	return 0;
}

void rotated__free(struct rotated *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->path[i]);
	r->n = 0;
}
