/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/unwind_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"
#include "sys/digest.h"

#define MAX_WORDS (1ull << 26) /* 512 MiB */

struct unwind_cache {
	int dir;
};

struct cache_header {
	char magic[8];
	uint32_t version, header_bytes;
	char digest[64];
	uint64_t n_words, checksum;
};

static const char magic[8] = "mwunwind";

static int make_dir(int at, const char *name, int *ret)
{
	struct stat st;
	int fd;

	if (mkdirat(at, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 022) {
		close(fd);
		return -EPERM;
	}
	*ret = fd;
	return 0;
}

struct cache_entry {
	char name[NAME_MAX + 1];
	off_t size;
	time_t mtime;
};

static int oldest_first(const void *x, const void *y)
{
	const struct cache_entry *a = x, *b = y;

	return (a->mtime > b->mtime) - (a->mtime < b->mtime);
}

/* Removes the oldest files beyond the directory's budget. */
static void prune(int dirfd)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	cleanup_free struct cache_entry *list = NULL;
	size_t n = 0, cap = 0;
	uint64_t total = 0;
	struct dirent *d;

	if (!dir) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((d = readdir(dir)) && n < 65536) {
		struct stat st;

		if (fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		if (array_reserve(list, cap, n + 1))
			return;
		snprintf(list[n].name, sizeof(list[n].name), "%s", d->d_name);
		list[n].size = st.st_size;
		list[n++].mtime = st.st_mtime;
		total += st.st_size;
	}
	if (total <= UNWIND_CACHE_BYTES)
		return;
	qsort(list, n, sizeof(*list), oldest_first);
	for (size_t i = 0; i < n && total > UNWIND_CACHE_BYTES / 4 * 3; i++) {
		if (!unlinkat(dirfd, list[i].name, 0))
			total -= list[i].size;
	}
}

int unwind_cache__open(const char *state_dir, struct unwind_cache **ret)
{
	cleanup_fd int state = -1, dir = -1;
	struct unwind_cache *c;
	int err = make_dir(AT_FDCWD, state_dir, &state);

	if (!err)
		err = make_dir(state, "unwind", &dir);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	prune(dir);
	c->dir = take_fd(&dir);
	*ret = c;
	return 0;
}

void unwind_cache__close(struct unwind_cache *c)
{
	if (!c)
		return;
	close(c->dir);
	free(c);
}

static bool file_name(const char *digest, char name[96])
{
	size_t len = strlen(digest);

	if (len != DIGEST_HEX - 1 || strspn(digest, "0123456789abcdef") != len)
		return false;
	snprintf(name, 96, "%s.v%d", digest, MW_UNWIND_VERSION);
	return true;
}

static int read_all(int fd, void *buf, size_t len)
{
	for (char *p = buf; len;) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		p += n;
		len -= n;
	}
	return 0;
}

static int load_fd(int fd, const char *digest, struct unwind_table **ret)
{
	cleanup_free uint64_t *words = NULL;
	struct cache_header h;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return -EBADMSG;
	err = read_all(fd, &h, sizeof(h));
	if (err)
		return err;
	if (memcmp(h.magic, magic, sizeof(magic)) || h.version != MW_UNWIND_VERSION ||
	    h.header_bytes != sizeof(h) || memcmp(h.digest, digest, sizeof(h.digest)) ||
	    !h.n_words || h.n_words > MAX_WORDS ||
	    (uint64_t)st.st_size != sizeof(h) + h.n_words * 8)
		return -EBADMSG;
	words = malloc(h.n_words * 8);
	if (!words)
		return -ENOMEM;
	err = read_all(fd, words, h.n_words * 8);
	if (err)
		return err;
	if (util__checksum(words, h.n_words * 8) != h.checksum)
		return -EBADMSG;
	err = unwind_table__adopt(words, h.n_words, ret);
	if (!err)
		take_ptr(words);
	return err;
}

int unwind_cache__load(struct unwind_cache *c, const char *digest, struct unwind_table **ret)
{
	cleanup_fd int fd = -1;
	char name[96];
	int err;

	if (!file_name(digest, name))
		return -ENOENT;
	fd = openat(c->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno != ELOOP)
		return -errno;
	err = fd < 0 ? -EBADMSG : load_fd(fd, digest, ret); /* a symbolic link is not ours */
	if (err == -EBADMSG)
		unlinkat(c->dir, name, 0);
	return err;
}

int unwind_cache__store(struct unwind_cache *c, const char *digest, const struct unwind_table *t)
{
	struct cache_header h = {
		.version = MW_UNWIND_VERSION, .header_bytes = sizeof(h), .n_words = t->n_words};
	char name[96], tmp[128];
	cleanup_fd int fd = -1;
	int err;

	if (!file_name(digest, name))
		return -EINVAL;
	memcpy(h.magic, magic, sizeof(magic));
	memcpy(h.digest, digest, sizeof(h.digest));
	h.checksum = util__checksum(t->words, t->n_words * 8);
	snprintf(tmp, sizeof(tmp), "%s.tmp%d", name, getpid());
	unlinkat(c->dir, tmp, 0);
	fd = openat(c->dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = util__write_all(fd, &h, sizeof(h));
	if (!err)
		err = util__write_all(fd, t->words, t->n_words * 8);
	if (!err && renameat(c->dir, tmp, c->dir, name))
		err = -errno;
	if (err)
		unlinkat(c->dir, tmp, 0);
	return err;
}
