/* SPDX-License-Identifier: GPL-2.0-or-later */
/* box_accounts.c - see box_accounts.h. */
#include "sys/box_accounts.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/log.h"
#include "core/util.h"
#include "sys/proc_task.h"
#include "sys/safeopen.h"

#define MAX_ACCOUNTS 16384
#define FUSE_MAGIC 0x65735546

#define OF_TARGETS UINT64_MAX /* in place of a device */

struct account {
	uint64_t dev, ino; /* of a file; or OF_TARGETS and a target's id */
	uint64_t since_ns, used_ns;
	bool foreign;
	bool is_out; /* a line has said so */
};

static struct {
	struct account account[MAX_ACCOUNTS];
	struct hash_index index;
	uint64_t cpu_ns; /* what a file may take */
	uint64_t since_ns, foreign_ns, foreign_targets_ns;
} books;

void box_accounts__open(uint64_t cpu_ns)
{
	books.cpu_ns = cpu_ns;
	books.since_ns = util__now_ns();
}

bool box__foreign(int fd)
{
	struct statfs fs;
	struct stat st;

	if (safeopen__only_seen(fd) || fstat(fd, &st) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return true;
	if (st.st_uid && st.st_uid != geteuid())
		return true;
	return fstatfs(fd, &fs) || fs.f_type == FUSE_MAGIC;
}

struct box_target box__target(pid_t pid)
{
	uint64_t start_ns = proc_task__start_ns(pid);
	struct box_target t = {.pid = pid};
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (!start_ns || stat(path, &st))
		return t;
	t.id = util__mix64(util__mix64(start_ns) ^ (uint64_t)pid) | 1;
	t.foreign = st.st_uid && st.st_uid != geteuid();
	return t;
}

/* All of them: there are too many, and no helper is charged to any. */
static void clear_accounts(void)
{
	hash_index__fini(&books.index);
	memset(books.account, 0, sizeof(books.account));
}

/* SIZE_MAX: there are too many. */
static size_t account_by(uint64_t dev, uint64_t ino, bool foreign)
{
	size_t at = HASH_INDEX_START;
	uint64_t hash = keyhash__words(dev, ino);
	uint32_t i;

	while (hash_index__next(&books.index, hash, &at, &i)) {
		if (books.account[i].dev == dev && books.account[i].ino == ino)
			return i;
	}
	if (books.index.n == MAX_ACCOUNTS || hash_index__reserve(&books.index))
		return SIZE_MAX;
	i = books.index.n;
	books.account[i] = (struct account){
		.dev = dev,
		.ino = ino,
		.since_ns = util__now_ns(),
		.foreign = foreign,
	};
	hash_index__add(&books.index, hash);
	return i;
}

struct box_accounts box_accounts__of(int fd, const struct box_target *whose, bool in_use)
{
	struct box_accounts a = {SIZE_MAX, SIZE_MAX};
	struct stat st;

	if (!in_use && books.index.n + 2 > MAX_ACCOUNTS)
		clear_accounts();
	if (fd >= 0 && !safeopen__fstat(fd, &st))
		a.file = account_by(st.st_dev, st.st_ino, box__foreign(fd));
	if (whose && whose->id)
		a.target = account_by(OF_TARGETS, whose->id, whose->foreign);
	return a;
}

void box_accounts__charge(const struct box_accounts *a, uint64_t cpu_ns)
{
	if (a->target != SIZE_MAX) {
		books.account[a->target].used_ns += cpu_ns;
		if (books.account[a->target].foreign)
			books.foreign_targets_ns += cpu_ns;
	}
	if (a->file == SIZE_MAX)
		return;
	books.account[a->file].used_ns += cpu_ns;
	if (books.account[a->file].foreign)
		books.foreign_ns += cpu_ns;
}

bool box_accounts__is_foreign(const struct box_accounts *a)
{
	return (a->file != SIZE_MAX && books.account[a->file].foreign) ||
	       (a->target != SIZE_MAX && books.account[a->target].foreign);
}

/* What may still be spent now of `most`. */
static uint64_t left_of(const struct account *a, uint64_t most, uint64_t live_ns)
{
	uint64_t may = most + (util__now_ns() - a->since_ns) / 20, used = a->used_ns + live_ns;

	return min_of(may > used ? may - used : 0, most);
}

uint64_t box_accounts__left_of_target(size_t target, uint64_t live_ns)
{
	return left_of(&books.account[target], BOX_TARGET * books.cpu_ns, live_ns);
}

/* What is left of what all of a kind share: `most`, and a part of the time that has gone by. */
static uint64_t left_of_all(uint64_t most, uint64_t part, uint64_t used)
{
	uint64_t total = most + (util__now_ns() - books.since_ns) / part;

	return total > used ? total - used : 0;
}

uint64_t box_accounts__left(const struct box_accounts *of, uint64_t live_ns)
{
	uint64_t may = books.cpu_ns;
	const struct account *a;

	/* a process's memory is as large as it is: a walk through it may take what is left */
	if (of->target != SIZE_MAX) {
		may = box_accounts__left_of_target(of->target, live_ns);
		if (books.account[of->target].foreign)
			may = min_of(may, left_of_all(BOX_TOTAL_TARGETS * BOX_TARGET * books.cpu_ns,
						      5, books.foreign_targets_ns));
	}
	if (of->file == SIZE_MAX)
		return may;
	a = &books.account[of->file];
	may = min_of(may, left_of(a, books.cpu_ns, 0));
	if (!a->foreign)
		return may;
	return min_of(may, left_of_all(BOX_TOTAL_CPU * books.cpu_ns, 20, books.foreign_ns));
}

void box_accounts__say_out(const struct box_accounts *a, pid_t pid, const char *what)
{
	if (a->target == SIZE_MAX || books.account[a->target].is_out)
		return;
	books.account[a->target].is_out = true;
	log_warn("PID %d: the %s for reading its files and memory is used up; continuing without "
		 "what is not read yet",
		 pid, what);
}
