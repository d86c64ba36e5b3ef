/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which file a mapping is of: what was opened says it, whatever maps said before; and whose files
 * lie below which root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "observe/module.h"
#include "sys/safeopen.h"

static char dir[] = "/tmp/moduleXXXXXX";

static int set_up(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	return rmdir(dir);
}

static int new_file(const char *name, struct stat *st)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fstat(fd, st), 0);
	return fd;
}

static uintptr_t map(int fd)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return (uintptr_t)p;
}

static struct procmap *own(void)
{
	struct procmap *m = NULL;

	assert_int_equal(procmap__read(getpid(), &m), 0);
	return m;
}

/* maps has told of `shown` at `at`, where `there` is mapped by the time that it is opened. */
static void exchanged(int shown, int there)
{
	uintptr_t at = map(shown);
	struct procmap *before = own(), *after;
	const struct procmap_entry *e = procmap__find(before, at);
	struct module_process p = {.maps = before};
	struct module_table t = {0};
	struct module *m, *honest;
	struct stat st;

	assert_ptr_equal(
		mmap((void *)at, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, there, 0),
		at);
	assert_int_equal(module_table__get(&t, &p, e, &m), 0);
	assert_int_equal(fstat(there, &st), 0);
	if (st.st_dev == makedev(e->dev_major, e->dev_minor)) {
		assert_int_equal(m->err, -ESTALE);
		assert_true(m->fd < 0);
	} else { /* not to be compared: it is known for what it is */
		assert_true(m->dev == st.st_dev && m->ino == st.st_ino);
	}
	module_table__expect_none(&t);

	/* another process that has the file */
	at = map(shown);
	p.maps = after = own();
	assert_int_equal(module_table__get(&t, &p, procmap__find(after, at), &honest), 0);
	assert_ptr_not_equal(honest, m);
	assert_true(honest->fd >= 0);
	assert_int_equal(fstat(honest->fd, &st), 0);
	assert_true(honest->dev == st.st_dev && honest->ino == st.st_ino);
	assert_int_equal(fstat(shown, &st), 0);
	assert_true(honest->dev == st.st_dev && honest->ino == st.st_ino);
	module_table__expect_none(&t);
	assert_int_equal(module_table__get(&t, &p, procmap__find(after, at), &m), 0);
	assert_ptr_equal(honest, m);
	module_table__fini(&t);
	procmap__free(before);
	procmap__free(after);
}

static size_t asked;

static int nothing(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		   pid_t whose, struct stat *st)
{
	asked++;
	return strstr(path, "map_files") ? -EINVAL : -ENOENT;
}

static int gone(int rootfd, const char *path, int nofollow, const struct safeopen_owner *owner,
		pid_t whose, struct stat *st)
{
	asked++;
	return -ENOENT;
}

static int unknown(const char *path, struct stat *st)
{
	return -ENOENT;
}

/* So many executable mappings, each of another file or all of one. */
static struct procmap *many(size_t n, bool of_one)
{
	struct procmap *m = NULL;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; i < n; i++)
		fprintf(f, "%zx-%zx r-xp %zx 08:01 %zu /nowhere/f%zu\n", 0x10000 + i * 0x1000,
			0x11000 + i * 0x1000, i % 2 * 0x1000, of_one ? 1 : i + 1, of_one ? 1 : i);
	fclose(f);
	assert_int_equal(procmap__parse(getpid(), text, &m), 0);
	assert_int_equal(m->n, n);
	return m;
}

/* How often a file was opened for a look at all of them. */
static size_t openings(const struct safeopen_other *how, size_t n, bool of_one)
{
	struct procmap *maps = many(n, of_one);
	struct module_process p = {.maps = maps, .account = {.id = 1}};
	struct module_table t = {0};
	struct module *m, *first;
	size_t of_this;

	asked = 0;
	safeopen__hand_over(how);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(module_table__get(&t, &p, &maps->entries[i], &m), 0);
	of_this = asked;
	/* what one process had under the numbers of a file is not what another has */
	assert_int_equal(module_table__get(&t, &p, &maps->entries[0], &first), 0);
	p.account.id = 2;
	assert_int_equal(module_table__get(&t, &p, &maps->entries[0], &m), 0);
	assert_ptr_not_equal(m, first);
	safeopen__hand_over(NULL);
	module_table__expect_none(&t);
	module_table__fini(&t);
	procmap__free(maps);
	return of_this;
}

/* Files that are not to be had are asked for once each, or a process that maps many of them would
 * be looked at without end; what is no file at all only once. */
static void files_that_are_not_to_be_had(void **state)
{
	static const struct safeopen_other no_files = {.open = nothing, .stat = unknown},
					   no_more = {.open = gone, .stat = unknown};

	assert_int_equal(openings(&no_files, 1000, false), 1000);
	assert_int_equal(openings(&no_files, 1000, true), 1);
	/* by the mapping, and by the name */
	assert_int_equal(openings(&no_more, 1000, false), 2000);
}

static void exchanged_files(void **state)
{
	struct stat a, b, c;
	int shown = new_file("shown", &a), there = new_file("there", &b);
	int memory = memfd_create("memory", MFD_CLOEXEC);

	if (geteuid()) /* map_files */
		skip();
	assert_int_equal(write(memory, "m", 1), 1);
	assert_int_equal(fstat(memory, &c), 0);
	exchanged(shown, there);
	exchanged(shown, memory);
	exchanged(memory, shown);
	close(shown);
	close(there);
	close(memory);
}

/* A child below another root. Its PID; to be ended by finish(). */
static pid_t child(bool mounts, const char *root)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (mounts && unshare(CLONE_NEWNS))
			_exit(1);
		if (root && chroot(root))
			_exit(1);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void whose_root(void **state)
{
	struct module_table t = {0};
	struct module_root *own_mounts, *again, *below;
	pid_t plain = child(false, NULL), mounts, in_dir;

	if (geteuid())
		skip();
	assert_null(module_table__root(&t, plain));
	finish(plain);
	mounts = child(true, NULL); /* the same directory by another mount */
	in_dir = child(false, dir);
	if (mounts < 0 || in_dir < 0)
		skip();
	own_mounts = module_table__root(&t, mounts);
	again = module_table__root(&t, mounts);
	below = module_table__root(&t, in_dir);
	assert_non_null(own_mounts);
	assert_ptr_equal(own_mounts, again);
	assert_non_null(below);
	assert_ptr_not_equal(own_mounts, below);
	module_table__put_root(&t, again);
	module_table__put_root(&t, below);
	module_table__put_root(&t, own_mounts);
	assert_int_equal(t.nroots, 0);
	module_table__fini(&t);
	finish(mounts);
	finish(in_dir);
}

/* A file that is ours as well is one module; of any other, each root has its own. */
static void a_module_for_each_root(void **state)
{
	struct stat st;
	int fd = new_file("file", &st);
	uintptr_t at = map(fd), code = (uintptr_t)a_module_for_each_root;
	struct procmap *maps = own();
	struct module_table t = {0};
	struct module *ours[2], *m[3];
	pid_t one, two;

	if (geteuid())
		skip();
	one = child(true, NULL);
	two = child(true, NULL);
	if (one < 0 || two < 0)
		skip();
	struct module_process p[3] = {
		{.maps = maps, .root = module_table__root(&t, one)},
		{.maps = maps, .root = module_table__root(&t, two)},
		{.maps = maps},
	};
	for (int i = 0; i < 2; i++)
		assert_int_equal(module_table__get(&t, &p[i], procmap__find(maps, code), &ours[i]),
				 0);
	assert_ptr_equal(ours[0], ours[1]);
	assert_null(ours[0]->root);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(module_table__get(&t, &p[i], procmap__find(maps, at), &m[i]), 0);
		assert_ptr_equal(m[i]->root, p[i].root);
		module_table__expect_none(&t);
	}
	for (int i = 0; i < 2; i++) {
		struct module *same;

		assert_int_equal(module_table__get(&t, &p[i], procmap__find(maps, at), &same), 0);
		assert_ptr_equal(same, m[i]); /* though there is one for all by now */
		assert_true(module__same_file(same, m[2]));
		module_table__put_root(&t, p[i].root);
	}
	module_table__fini(&t);
	assert_int_equal(t.nroots, 0);
	finish(one);
	finish(two);
	procmap__free(maps);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanged_files),
		cmocka_unit_test(files_that_are_not_to_be_had),
		cmocka_unit_test(whose_root),
		cmocka_unit_test(a_module_for_each_root),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
