/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings of this very process, of files that were deleted, replaced and oddly named, and of no
 * process at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/procmap.h"
#include "sys/statm.h"

static struct procmap *own(void)
{
	struct procmap *m = NULL;

	assert_int_equal(procmap__read(getpid(), &m), 0);
	assert_int_equal(m->skipped, 0);
	return m;
}

static const struct procmap_entry *at(const struct procmap *m, const void *p)
{
	const struct procmap_entry *e = procmap__find(m, (uintptr_t)p);

	assert_non_null(e);
	return e;
}

static void own_mappings(void **state)
{
	struct procmap *m = own();
	const struct procmap_entry *e = at(m, (void *)own_mappings);
	char exe[4096] = "";
	int on_stack, fd;
	struct stat a, b;

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(e->path, exe);
	assert_int_equal(e->kind, PROCMAP_FILE);
	assert_int_equal(e->prot, PROCMAP_R | PROCMAP_X);
	assert_false(e->deleted);
	fd = procmap__open(m, e);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(stat("/proc/self/exe", &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_dev, b.st_dev);
	close(fd);

	assert_int_equal(at(m, (void *)getauxval(AT_SYSINFO_EHDR))->kind, PROCMAP_VDSO);
	e = at(m, &on_stack);
	assert_true(e->kind == PROCMAP_STACK || e->kind == PROCMAP_ANON);
	assert_int_equal(procmap__open(m, e), -ENOENT);
	assert_null(procmap__find(m, 0));
	assert_null(procmap__find(m, UINT64_MAX));
	procmap__free(m);
}

static void *map_new_file(const char *path, char fill)
{
	char page[4096];
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	void *p;

	assert_true(fd >= 0);
	memset(page, fill, sizeof(page));
	assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	close(fd);
	return p;
}

static bool holds(const struct procmap *m, const struct procmap_entry *e, char fill)
{
	int fd = procmap__open(m, e);
	char c = 0;

	if (fd < 0)
		return false;
	assert_int_equal(pread(fd, &c, 1, 0), 1);
	close(fd);
	return c == fill;
}

static void deleted_and_replaced(void **state)
{
	char dir[] = "/tmp/procmapXXXXXX", path[64];
	void *gone, *replaced;
	struct procmap *m;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/gone", dir);
	gone = map_new_file(path, 'g');
	assert_int_equal(unlink(path), 0);
	replaced = map_new_file(path, 'o');
	assert_int_equal(unlink(path), 0);
	munmap(map_new_file(path, 'n'), 4096);

	m = own();
	assert_true(at(m, gone)->deleted);
	assert_string_equal(at(m, gone)->path, path);
	if (geteuid() == 0) { /* map_files needs a privilege; without it the file cannot be had */
		assert_true(holds(m, at(m, gone), 'g'));
		assert_true(holds(m, at(m, replaced), 'o'));
	} else {
		assert_false(holds(m, at(m, replaced), 'n'));
	}
	procmap__free(m);
	munmap(gone, 4096);
	munmap(replaced, 4096);
	unlink(path);
	rmdir(dir);
}

static void odd_names(void **state)
{
	static const char *const names[] = {"new\nline", "blank  s ", "[heap]", "x (deleted)",
					    "a\\012b"};
	char dir[] = "/tmp/procmapXXXXXX", path[64];
	struct procmap *m;

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		void *p;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		p = map_new_file(path, 'a' + i);
		m = own();
		assert_int_equal(at(m, p)->kind, PROCMAP_FILE);
		assert_true(holds(m, at(m, p), 'a' + i));
		/* the fallback by name finds it as well: a range that map_files does not know */
		struct procmap_entry e = *at(m, p);
		e.end += 1 << 30;
		assert_true(holds(m, &e, 'a' + i));
		e.ino++;
		assert_int_equal(procmap__open(m, &e), -ESTALE);
		procmap__free(m);
		munmap(p, 4096);
		unlink(path);
	}
	rmdir(dir);
}

static void no_process(void **state)
{
	struct procmap *m = NULL;
	struct procmap_entry e;
	int status;
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	assert_int_equal(procmap__read(pid, &m), 0);
	e = *procmap__find(m, (uintptr_t)no_process);
	kill(pid, SIGKILL);
	siginfo_t si;
	assert_int_equal(waitid(P_PID, pid, &si, WEXITED | WNOWAIT), 0);
	struct procmap *z = NULL;
	assert_int_equal(procmap__read(pid, &z), -ESRCH); /* a zombie */
	waitpid(pid, &status, 0);
	assert_int_equal(procmap__read(pid, &z), -ESRCH);
	assert_int_equal(procmap__open(m, &e), -ESRCH);
	assert_null(z);
	procmap__free(m);
}

static void hostile_text(void **state)
{
	static const char text[] =
		"1000-2000 r-xp 00001000 08:01 42                         /bin/a b\n"
		"garbage\n"
		"1800-2800 rw-p 00000000 00:00 0 \n" /* overlaps */
		"3000-2000 rw-p 00000000 00:00 0 \n" /* backwards */
		"4000-5000 rw-p\n"
		"4000-5000 rw-p 00000000 00:00 99999999999999999999999 /x\n"
		"11112222333344445-5000 rw-p 0 00:00 0\n"
		"5000-6000 rw-s 00000000 00:01 7 /dev/zero (deleted)\n"
		"6000-7000 ---p 00000000 00:00 0 [anon:mine]\n"
		"7000-8000 rwxp 00000000 00:01 8 /memfd:jit (deleted)\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]";
	struct procmap *m = NULL;

	assert_int_equal(procmap__parse(1, strdup(text), &m), 0);
	assert_int_equal(m->n, 5);
	assert_int_equal(m->skipped, 6);
	assert_string_equal(m->entries[0].path, "/bin/a b");
	assert_int_equal(m->entries[0].offset, 0x1000);
	assert_int_equal(m->entries[0].dev_major, 8);
	assert_int_equal(m->entries[0].ino, 42);
	assert_int_equal(m->entries[1].kind, PROCMAP_ANON);
	assert_true(m->entries[1].shared);
	assert_int_equal(m->entries[2].kind, PROCMAP_ANON);
	assert_int_equal(m->entries[3].kind, PROCMAP_FILE);
	assert_true(m->entries[3].deleted);
	assert_string_equal(m->entries[3].path, "/memfd:jit");
	assert_int_equal(m->entries[4].kind, PROCMAP_SPECIAL);
	assert_ptr_equal(procmap__find(m, 0x1fff), &m->entries[0]);
	assert_null(procmap__find(m, 0x2000));
	procmap__free(m);
	assert_int_equal(procmap__parse(1, strdup(""), &m), 0);
	assert_int_equal(m->n, 0);
	assert_null(procmap__find(m, 0x2000));
	procmap__free(m);
}

/* The kernel tells sizes to within some pages a processor, and a sanitizer touches its own. */
#define SLACK (3 << 20)

/* VIRT and RSS of this process move by what it maps and touches. */
static void sizes(void **state)
{
	size_t len = 32 << 20, half = len / 2;
	struct statm before, mapped, touched;
	char *p;

	assert_int_equal(statm__read(getpid(), &before), 0);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	madvise(p, len, MADV_NOHUGEPAGE); /* no more than is touched */
	assert_int_equal(statm__read(getpid(), &mapped), 0);
	memset(p, 1, half);
	assert_int_equal(statm__read(getpid(), &touched), 0);
	munmap(p, len);
	assert_int_equal(mapped.virt - before.virt, len);
	assert_in_range(touched.rss - mapped.rss, half - SLACK, half + SLACK);
	assert_in_range(touched.shared - mapped.shared, half - SLACK, half + SLACK);
	assert_int_equal(statm__read(0x7ffffff0, &mapped), -ESRCH);
	assert_int_equal(mapped.virt | mapped.rss | mapped.shared, 0);
}

/* Text beside its file is the file's; what a JIT made beside a library is not. */
static void moved_text(void **state)
{
	static const struct {
		const char *text;
		uint64_t offset; /* of the entry at 0x3000; 0: not the file's */
	} c[] = {
		{"1000-2000 r--p 00000000 08:01 7 /a\n2000-3000 r-xp 00001000 08:01 7 /a\n"
		 "3000-5000 r-xp 00000000 00:00 0\n5000-6000 r--p 00004000 08:01 7 /a\n",
		 0x2000},
		{"2000-3000 r--p 00001000 08:01 7 /a\n3000-5000 r-xp 00000000 00:00 0\n"
		 "5000-6000 r-xp 00004000 08:01 7 /a\n",
		 0x2000},
		{"2000-3000 r-xp 00001000 08:01 7 /a\n3000-5000 r-xp 00000000 00:00 0\n", 0},
		{"2000-3000 r-xp 00001000 08:01 7 /a\n3000-5000 r-xp 00000000 00:00 0\n"
		 "5000-6000 r-xp 00004000 08:01 8 /b\n",
		 0},
		{"1000-2000 r-xp 00001000 08:01 7 /a\n3000-5000 r-xp 00000000 00:00 0\n"
		 "5000-6000 r-xp 00004000 08:01 7 /a\n",
		 0},
		{"2000-3000 r-xp 00001000 08:01 7 /a\n3000-5000 rw-p 00000000 00:00 0\n"
		 "5000-6000 r-xp 00004000 08:01 7 /a\n",
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		const struct procmap_entry *x;
		struct procmap *m = NULL;
		uint64_t offset = 0;

		assert_int_equal(procmap__parse(1, strdup(c[i].text), &m), 0);
		x = procmap__moved_text(m, procmap__find(m, 0x3000), &offset);
		assert_int_equal(x ? offset : 0, c[i].offset);
		if (x)
			assert_int_equal(x->prot, PROCMAP_R | PROCMAP_X);
		procmap__free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moved_text),
		cmocka_unit_test(own_mappings),
		cmocka_unit_test(deleted_and_replaced),
		cmocka_unit_test(odd_names),
		cmocka_unit_test(no_process),
		cmocka_unit_test(hostile_text),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
