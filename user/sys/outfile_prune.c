/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outfile_prune.c - which of the files that were written earlier make room (outfile.h). */
#include "sys/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "core/top_n.h"
#include "core/util.h"
#include "sys/filer.h"
#include "sys/outfile_walk.h"
#include "sys/privilege.h"

#define MAX_DIGITS 18

struct former {
	uint64_t number;
	char *name;
};

struct formers {
	struct former *f;
	size_t n, cap;
};

static bool fits(const char *pattern, const char *name, uint64_t *ret_number)
{
	for (; *pattern; pattern++) {
		size_t n = strspn(name, "0123456789");

		if (*pattern != '#') {
			if (*name++ != *pattern)
				return false;
			continue;
		}
		if (!n || n > MAX_DIGITS)
			return false;
		*ret_number = strtoull(name, NULL, 10);
		name += n;
	}
	return !*name;
}

/* A name that somebody else gave does not count, whatever it says. */
static bool is_own_file(int dir, const char *name)
{
	struct stat st;

	return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid();
}

static int add(struct formers *l, uint64_t number, const char *name)
{
	if (array_reserve(l->f, l->cap, l->n + 1))
		return -ENOMEM;
	l->f[l->n].number = number;
	l->f[l->n].name = strdup(name);
	return l->f[l->n].name ? (l->n++, 0) : -ENOMEM;
}

static int list(int dir, const char *pattern, struct formers *l)
{
	cleanup_fd int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int err = 0;

	if (!d)
		return -errno;
	take_fd(&fd);
	for (struct dirent *e; !err && (e = readdir(d));) {
		uint64_t number = 0;

		if (fits(pattern, e->d_name, &number) && is_own_file(dir, e->d_name))
			err = add(l, number, e->d_name);
	}
	return err;
}

static int newest_first(const void *a, const void *b)
{
	const struct former *x = a, *y = b;

	return x->number < y->number ? 1 : x->number > y->number ? -1 : strcmp(y->name, x->name);
}

static int prune(const struct outfile_place *p, size_t keep)
{
	struct formers l = {};
	int err = list(p->dir, p->name, &l);

	if (!err && l.n > keep) {
		top_n__sort(l.f, l.n, sizeof(*l.f), keep, newest_first);
		for (size_t i = keep; i < l.n; i++) {
			if (unlinkat(p->dir, l.f[i].name, 0) && errno != ENOENT && !err)
				err = -errno;
		}
	}
	for (size_t i = 0; i < l.n; i++)
		free(l.f[i].name);
	free(l.f);
	return err;
}

int outfile__prune(const char *pattern, size_t keep)
{
	struct outfile_place p;
	int err = filer__runs() ? filer__prune(pattern, keep) : -EPIPE;

	if (err != -EPIPE)
		return err;
	err = outfile_place__find(pattern, &p);
	if (err)
		return err;
	privilege__raise(PRIVILEGE_FILES);
	err = p.dir < 0 || p.may_be_swapped ? -EEXIST : prune(&p, keep);
	privilege__lower(PRIVILEGE_FILES);
	outfile_place__close(&p);
	return err;
}
