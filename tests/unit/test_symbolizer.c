/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The symbolizer on this very program, on damaged copies of it, and with its reader killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/util.h"
#include "elf/symclient.h"
#include "elf/symtab.h"
#include "elf/elfobj.h"
#include "elf/jitmap.h"
#include "elf/strpool.h"
#include "elf/demangle.h"
#include "elf/symbolizer.h"

int test_symbolizer_here(int x);
__attribute__((noinline)) int test_symbolizer_here(int x)
{
	return x * 3;
}
enum { HERE_LINE = __LINE__ - 4 };

static uint64_t own_vaddr(void)
{
	Dl_info info;
	struct link_map *map;

	dladdr1((void *)test_symbolizer_here, &info, (void **)&map, RTLD_DL_LINKMAP);
	return (uint64_t)(uintptr_t)test_symbolizer_here - map->l_addr;
}

static uint64_t own_off(int fd)
{
	struct elfobj *e = NULL;
	uint64_t off = 0;

	assert_int_equal(elfobj__open_fd(fd, "self", &e), 0);
	assert_true(elfobj__vaddr_to_off(e, own_vaddr(), &off));
	elfobj__close(e);
	return off;
}

static int own_fd(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool starts_with_text(const char *s, const char *start)
{
	return !strncmp(s, start, strlen(start));
}

static bool ends_with(const char *s, const char *end)
{
	return s && strlen(s) >= strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

static void own_function(void **state)
{
	struct symbolizer *s = NULL;
	struct symbolizer_module *m = NULL, *again = NULL;
	struct symbolizer_frame f[4];
	int fd = own_fd();
	uint64_t off = own_off(fd);

	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", -1, NULL, &m), 0);
	assert_int_equal(symbolizer__module(s, fd, "/other/name", -1, NULL, &again), 0);
	assert_ptr_equal(m, again);
	assert_int_equal(strlen(symbolizer_module__build_id(s, m)), 40);
	for (int round = 0; round < 2; round++) { /* found, then remembered */
		assert_int_equal(symbolizer__lookup(s, m, off, f, 4), 1);
		assert_string_equal(f[0].name, "test_symbolizer_here");
		assert_true(ends_with(f[0].file, "tests/unit/test_symbolizer.c"));
		assert_true(f[0].line >= HERE_LINE && f[0].line <= HERE_LINE + 3);
		assert_int_equal(f[0].start_line, HERE_LINE);
		assert_false(f[0].inlined);
	}
	assert_string_equal(symbolizer_module__note(m), "");
	assert_int_equal(symbolizer__lookup(s, m, UINT64_MAX, f, 4), 0);
	symbolizer__free(s);
	close(fd);
}

static void names_only(void **state)
{
	const struct symbolizer_opts opts = {.no_lines = true};
	struct symbolizer *s = NULL;
	struct symbolizer_module *m = NULL;
	struct symbolizer_frame f[1];
	int fd = own_fd();

	assert_int_equal(symbolizer__new(&opts, &s), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", -1, NULL, &m), 0);
	assert_int_equal(symbolizer__lookup(s, m, own_off(fd), f, 1), 1);
	assert_string_equal(f[0].name, "test_symbolizer_here");
	assert_null(f[0].file);
	symbolizer__free(s);
	close(fd);
}

/* A budget that nothing fits into: modules are dropped and read again, answers stay right. */
static void small_budget(void **state)
{
	const struct symbolizer_opts opts = {.budget_bytes = 64 << 10};
	struct symbolizer *s = NULL;
	struct symbolizer_module *m[2] = {0};
	struct symbolizer_frame f[4];
	struct symbolizer_stats st;
	int fds[2] = {own_fd(), open("/proc/self/exe", O_RDONLY)};
	uint64_t off = own_off(fds[0]);
	struct elfobj *e = NULL;

	close(fds[1]);
	fds[1] = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	if (fds[1] < 0 || elfobj__open_fd(fds[1], "libc", &e)) {
		close(fds[0]);
		skip();
	}
	elfobj__close(e);
	assert_int_equal(symbolizer__new(&opts, &s), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(symbolizer__module(s, fds[i], "/x", -1, NULL, &m[i]), 0);
	for (int round = 0; round < 4; round++) {
		assert_int_equal(symbolizer__lookup(s, m[0], off + round, f, 4), 1);
		assert_string_equal(f[0].name, "test_symbolizer_here");
		symbolizer__lookup(s, m[1], 0x30000 + round, f, 4);
	}
	symbolizer__stats(s, &st);
	assert_true(st.evictions > 0);
	symbolizer__free(s);
	close(fds[0]);
	close(fds[1]);
}

static uint64_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A name in a copy of this program, which is registered, and closed here. */
static struct symbolizer_module *name_a_copy(struct symbolizer *s, const char *path, uint64_t off)
{
	struct symbolizer_module *m = NULL;
	struct symbolizer_frame f[1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(symbolizer__module(s, fd, "/copy", -1, NULL, &m), 0);
	assert_int_equal(symbolizer__lookup(s, m, off, f, 1), 1);
	assert_string_equal(f[0].name, "test_symbolizer_here");
	close(fd);
	return m;
}

static void copy_to(const char *path, int fd)
{
	int to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0700);
	struct stat st;
	off_t at = 0;

	assert_int_equal(fstat(fd, &st), 0);
	while (at < st.st_size)
		assert_true(sendfile(to, fd, &at, st.st_size - at) > 0);
	close(to);
}

/* Hundreds of files, each there for a while: nothing of them is held that is not bounded, the names
 * of one that comes again are right, and those of the last need not be read again. */
static void many_files(void **state)
{
	const struct symbolizer_opts opts = {.no_lines = true};
	char dir[] = "/tmp/memwatch-symbols-XXXXXX", path[64], kept[64];
	struct symbolizer_stats warm = {0}, st;
	struct symbolizer *s = NULL;
	int fd = own_fd(), kept_fd;
	uint64_t off = own_off(fd), fds;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(symbolizer__new(&opts, &s), 0);
	snprintf(kept, sizeof(kept), "%s/kept", dir);
	copy_to(kept, fd);
	name_a_copy(s, kept, off);
	kept_fd = open(kept, O_RDONLY | O_CLOEXEC);
	fds = descriptors();
	for (int i = 0; i < 150; i++) {
		snprintf(path, sizeof(path), "%s/%d", dir, i);
		copy_to(path, fd);
		name_a_copy(s, path, off);
		unlink(path);
		symbolizer__keep(s, &kept_fd, 1);
		symbolizer__stats(s, &st);
		if (i == 80)
			warm = st;
	}
	assert_int_equal(st.descriptors, 1); /* its root is ours */
	assert_true(descriptors() <= fds);
	assert_int_equal(st.files, warm.files);
	assert_true(st.bytes <= warm.bytes + 4096);
	/* what is held open stays as it is; then it is let go, and comes again */
	for (int round = 0; round < 2; round++) {
		name_a_copy(s, kept, off);
		symbolizer__keep(s, &kept_fd, 0);
		symbolizer__stats(s, &st);
		assert_int_equal(st.descriptors, 0);
	}
	assert_true(descriptors() < fds);
	symbolizer__free(s);
	close(kept_fd);
	unlink(kept);
	rmdir(dir);
	close(fd);
}

/* Another file by the number, size and time of one that is gone has names of its own. */
static void a_number_used_again(void **state)
{
	struct symbolizer_module *m = NULL;
	struct symbolizer *s = NULL;
	struct symbolizer_frame f[1];
	int fd = own_fd(), copy = memfd_create("first", MFD_CLOEXEC);
	uint64_t off = own_off(fd);
	struct timespec times[2];
	struct stat st;
	char *image, *at;

	assert_int_equal(fstat(fd, &st), 0);
	image = malloc(st.st_size);
	assert_int_equal(pread(fd, image, st.st_size, 0), st.st_size);
	assert_int_equal(pwrite(copy, image, st.st_size, 0), st.st_size);
	assert_int_equal(fstat(copy, &st), 0);
	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__module(s, copy, "/first", -1, NULL, &m), 0);
	assert_int_equal(symbolizer__lookup(s, m, off, f, 1), 1);
	assert_string_equal(f[0].name, "test_symbolizer_here");
	symbolizer__keep(s, NULL, 0);
	for (at = image; (at = memmem(at, image + st.st_size - at, "test_symbolizer_here", 20));
	     at++)
		memcpy(at, "second", 6);
	assert_int_equal(pwrite(copy, image, st.st_size, 0), st.st_size);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(futimens(copy, times), 0);
	assert_int_equal(symbolizer__module(s, copy, "/second", -1, NULL, &m), 0);
	assert_int_equal(symbolizer__lookup(s, m, off, f, 1), 1);
	assert_string_equal(f[0].name, "secondymbolizer_here");
	symbolizer__free(s);
	free(image);
	close(copy);
	close(fd);
}

static void names_of(void *arg, size_t i, const struct symclient_frame *f, int n, int err)
{
	int *total = arg;

	*total += n;
	for (int k = 0; k < n; k++)
		*total += f[k].text[SYM_SYSTEM] ? strlen(f[k].text[SYM_SYSTEM]) * 0 : 0;
}

static int ask_own(struct symclient *c, int fd)
{
	struct symclient_file f = {fd, -1, "/self", NULL};
	uint64_t off = own_off(fd);
	int total = 0, err = c->h ? 0 : symclient__open(c, &f, false);

	if (!err)
		err = symclient__load(c, &f);
	if (!err)
		err = symclient__lookup(c, &off, 1, names_of, &total);
	return err ? err : total;
}

static void check_confined(pid_t pid)
{
	char path[64], *text = NULL, link[256], *uid;
	struct dirent *d;
	DIR *dir;
	int sockets = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	assert_true(util__read_file(path, 65536, &text) > 0);
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	assert_non_null(strstr(text, "Seccomp:\t2"));
	assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(text, "CapPrm:\t0000000000000000"));
	assert_non_null(strstr(text, "CapBnd:\t0000000000000000"));
	assert_non_null(strstr(text, "CapAmb:\t0000000000000000"));
	uid = strstr(text, "\nUid:\t");
	assert_non_null(uid);
	if (geteuid() == 0) { /* nobody's id, and not root's: one that no distribution gives away */
		unsigned long a, b, c, e;

		assert_int_equal(sscanf(uid, "\nUid: %lu %lu %lu %lu", &a, &b, &c, &e), 4);
		assert_true(a == b && b == c && c == e && a >= 61184 && a != 65534);
		assert_non_null(strstr(text, "\nGroups:\t \n"));
	}
	free(text);
	if (geteuid())
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir))) { /* its socket, what it was handed, and nothing else */
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = 0;
		sockets += starts_with_text(link, "socket:");
		assert_true(starts_with_text(link, "socket:") || strstr(link, "test_symbolizer") ||
			    starts_with_text(link, "/dev/null") || strstr(link, "memwatch-"));
	}
	closedir(dir);
	assert_int_equal(sockets, 1);
}

static void helper_is_confined(void **state)
{
	struct symclient c = {0};
	int fd = own_fd();

	assert_int_equal(ask_own(&c, fd), 1);
	check_confined(box_helper__pid(c.h));
	check_confined(box__starter_pid());
	symclient__close(&c);
	close(fd);
}

static void helper_dies(void **state)
{
	static const struct {
		int sig, err;
	} ways[] = {{SIGKILL, -EFAULT}, {SIGSEGV, -EFAULT}, {SIGXCPU, -ETIMEDOUT}};
	struct symclient c = {0}, other = {0};
	int fd = own_fd();

	assert_int_equal(ask_own(&other, fd), 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int pid;

		assert_int_equal(ask_own(&c, fd), 1);
		pid = box_helper__pid(c.h);
		kill(pid, SIGSTOP); /* so that it is certain to die before it answers */
		kill(pid, ways[i].sig);
		kill(pid, SIGCONT);
		/* ASan turns a segmentation fault into an exit; that too is a death. */
		assert_int_equal(ask_own(&c, fd), ways[i].err);
		assert_null(c.h);
		assert_int_equal(ask_own(&other, fd), 1);
	}
	/* what the terminal and service managers send does not end it */
	kill(box_helper__pid(other.h), SIGINT);
	kill(box_helper__pid(other.h), SIGTERM);
	assert_int_equal(ask_own(&other, fd), 1);
	/* without the starter all are gone; the next one starts it anew */
	kill(box__starter_pid(), SIGKILL);
	for (int i = 0; i < 500 && ask_own(&other, fd) == 1; i++)
		usleep(10000);
	symclient__close(&other);
	assert_int_equal(ask_own(&other, fd), 1);
	symclient__close(&other);
	close(fd);
}

/* A helper that says nothing any more is given up when the user wants the end. */
static void helper_hangs(void **state)
{
	struct symclient c = {0};
	sigset_t set, old;
	uint64_t start;
	siginfo_t si;
	int fd = own_fd();

	assert_int_equal(ask_own(&c, fd), 1);
	kill(box_helper__pid(c.h), SIGSTOP);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &old);
	start = util__now_ns();
	kill(getpid(), SIGINT);
	assert_int_equal(ask_own(&c, fd), -EINTR);
	/* the promise is a second; a wait that is not cut short is one of fifteen, by the clock */
	assert_true(util__now_ns() - start < 14000000000ULL);
	assert_int_equal(sigwaitinfo(&set, &si), SIGINT);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
}

/* Debug sections of this program with bytes changed: this process lives, other files are served. */
static void damaged_dwarf(void **state)
{
	static const char *const names[] = {".debug_info",     ".debug_abbrev", ".debug_line",
					    ".debug_rnglists", ".debug_str",	".debug_aranges"};
	int fd = own_fd();
	struct elfobj *e = NULL;
	struct stat st;
	struct symclient own = {0};
	uint64_t rng = 88172645463325252ULL, offs[64];
	uint8_t *image;

	assert_int_equal(fstat(fd, &st), 0);
	image = malloc(st.st_size);
	assert_int_equal(pread(fd, image, st.st_size, 0), st.st_size);
	assert_int_equal(elfobj__open_fd(fd, "self", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(offs); i++)
		offs[i] = own_off(fd) + i * 97;
	for (uint32_t round = 0; round < 30; round++) {
		int bad = memfd_create("damaged", MFD_CLOEXEC), total = 0;
		struct symclient_file f = {bad, -1, "", NULL};
		struct symclient c = {0};
		const uint8_t *p, *at;
		size_t len;

		assert_int_equal(pwrite(bad, image, st.st_size, 0), st.st_size);
		assert_int_equal(
			elfobj__section(e, names[round % ARRAY_SIZE(names)], &p, &len, NULL), 0);
		at = memmem(image, st.st_size, p, min_of(len, (size_t)4096));
		assert_non_null(at);
		for (int i = 0; i < 100; i++) {
			uint8_t v;

			rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
			v = i & 1 ? 0xff : rng >> 56;
			assert_int_equal(pwrite(bad, &v, 1, at - image + rng % len), 1);
		}
		if (!symclient__open(&c, &f, false) && !symclient__load(&c, &f))
			symclient__lookup(&c, offs, ARRAY_SIZE(offs), names_of, &total);
		symclient__close(&c);
		close(bad);
		assert_int_equal(ask_own(&own, fd), 1);
	}
	symclient__close(&own);
	elfobj__close(e);
	free(image);
	close(fd);
}

/* Two files with the same build-id and other names: each has its own. */
static void forged_build_id(void **state)
{
	struct symbolizer *s = NULL;
	struct symbolizer_module *m[2] = {0};
	struct symbolizer_frame f[4];
	int fd = own_fd(), forged = memfd_create("forged", MFD_CLOEXEC), found = 0;
	uint64_t off = own_off(fd);
	struct stat st;
	char *image, *at;

	assert_int_equal(fstat(fd, &st), 0);
	image = malloc(st.st_size);
	assert_int_equal(pread(fd, image, st.st_size, 0), st.st_size);
	for (at = image; (at = memmem(at, image + st.st_size - at, "test_symbolizer_here", 20));
	     at++) {
		memcpy(at, "forged_", 7);
		found++;
	}
	assert_true(found > 0);
	assert_int_equal(pwrite(forged, image, st.st_size, 0), st.st_size);
	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__module(s, forged, "/forged", -1, NULL, &m[0]), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", -1, NULL, &m[1]), 0);
	assert_string_equal(symbolizer_module__build_id(s, m[0]),
			    symbolizer_module__build_id(s, m[1]));
	assert_int_equal(symbolizer__lookup(s, m[0], off, f, 4), 1);
	assert_string_equal(f[0].name, "forged_mbolizer_here");
	assert_int_equal(symbolizer__lookup(s, m[1], off, f, 4), 1);
	assert_string_equal(f[0].name, "test_symbolizer_here");
	symbolizer__free(s);
	free(image);
	close(fd);
	close(forged);
}

/* Below a root of its own a file may have debug files that whoever made the root has forged. */
static void a_root_of_its_own(void **state)
{
	struct symbolizer *s = NULL;
	struct symbolizer_module *ours, *theirs, *again, *as_ours;
	int fd = own_fd(), below = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", below, NULL, &theirs), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", -1, NULL, &ours), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", below, NULL, &again), 0);
	assert_int_equal(symbolizer__module(s, fd, "/self", root, NULL, &as_ours), 0);
	assert_ptr_not_equal(theirs, ours);
	assert_ptr_equal(theirs, again);
	assert_ptr_equal(ours, as_ours);
	symbolizer__free(s);
	close(fd);
	close(below);
	close(root);
}

/* 400,000 symbols without size at one address: what took a minute takes no time. */
static void symbols_without_size(void **state)
{
	enum { N = 400000 };
	struct symtab t = {0};
	static char names[N][8];

	t.syms = calloc(N, sizeof(*t.syms));
	t.cap = t.n = N;
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "s%d", i);
		t.syms[i] = (struct symtab_symbol){.start = 4096, .end = 4096, .name = names[i]};
	}
	assert_int_equal(symtab__sort(&t), 0);
	assert_int_equal(t.n, N);
	for (int i = 0; i < 100000; i++)
		assert_string_equal(symtab__find(&t, 4096)->name, "s9");
	assert_null(symtab__find(&t, 4097));
	assert_true(symtab__has_alias(&t, symtab__find(&t, 4096), "s8"));
	symtab__clear(&t);
}

/* Answers cut anywhere and with bytes changed: an error or texts, never a read behind the end. */
static void hostile_answers(void **state)
{
	char good[512], *p = good;
	struct sym_found found = {.n = 1};
	struct sym_frame frame = {.line = 7, .len = {6, 0, 4, 0}};
	int total = 0;
	size_t len;

	for (int i = 0; i < 3; i++) {
		memcpy(p, &found, sizeof(found));
		p += sizeof(found);
		memcpy(p, &frame, sizeof(frame));
		p += sizeof(frame);
		memcpy(p, "hello\0a.c", 10);
		p += 10;
	}
	len = p - good;
	assert_int_equal(symclient__decode(good, len, 0, 3, names_of, &total), 3);
	assert_int_equal(total, 3);
	assert_int_equal(symclient__decode(good, len, 0, 2, names_of, &total), -EBADMSG);
	for (size_t cut = 0; cut < len; cut++) {
		char *copy = malloc(cut ? cut : 1); /* so that ASan sees the end */

		memcpy(copy, good, cut);
		symclient__decode(copy, cut, 0, 3, names_of, &total);
		for (size_t i = 0; i < cut; i++) {
			copy[i] ^= 0xff;
			symclient__decode(copy, cut, 0, 3, names_of, &total);
			copy[i] ^= 0xff;
		}
		free(copy);
	}
}

static void vdso(void **state)
{
	uint64_t start = getauxval(AT_SYSINFO_EHDR);
	struct symbolizer *s = NULL;
	struct symbolizer_jit *j = NULL, *again = NULL;
	struct symbolizer_frame f[2];
	int found = 0;

	if (!start)
		skip();
	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__jit(s, getpid(), NULL, &j), 0);
	assert_int_equal(symbolizer__jit(s, getpid(), NULL, &again), 0);
	assert_ptr_equal(j, again);
	for (uint64_t pc = start; pc < start + 0x4000; pc += 16) {
		if (symbolizer_jit__lookup(j, pc, f, 2) == 1)
			found += strstr(f[0].name, "gettime") != NULL;
	}
	assert_true(found > 0);
	assert_int_equal(symbolizer__jit(s, 0x7ffffff, NULL, &again), -ESRCH);
	symbolizer__free(s);
}

static void perf_map_grows(void **state)
{
	static const char a[] = "1000 100 first\n1100 100 second one\nbad line\n1080 10 in";
	static const char b[] = "1080 10 inner\n1000 100 first again\n";
	struct jitmap m = {0};

	assert_int_equal(jitmap__add_perf(&m, a, sizeof(a) - 1), strrchr(a, '\n') + 1 - a);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "first");
	assert_string_equal(jitmap__find(&m, 0x11ff).name, "second one");
	assert_null(jitmap__find(&m, 0x1200).name);
	assert_null(jitmap__find(&m, 0xfff).name);
	assert_int_equal(m.skipped, 1);
	assert_int_equal(jitmap__add_perf(&m, b, strcspn(b, "\n") + 1), strcspn(b, "\n") + 1);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "inner");
	assert_string_equal(jitmap__find(&m, 0x1090).name, "first");
	jitmap__add_perf(&m, b, sizeof(b) - 1);
	assert_string_equal(jitmap__find(&m, 0x1088).name, "first again"); /* written last */
	jitmap__clear(&m);
}

static void string_pool(void **state)
{
	struct strpool *p = NULL;
	char text[32];
	const char *first;

	assert_int_equal(strpool__new(10000, &p), 0);
	first = strpool__add(p, "one");
	assert_ptr_equal(strpool__add(p, "one"), first);
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "name%d", i);
		strpool__add(p, text);
	}
	assert_true(strpool__refused(p) > 0);
	assert_ptr_equal(strpool__add(p, "one"), first);
	assert_null(strpool__add(p, NULL));
	strpool__free(p);
}

static void demangling(void **state)
{
	static const char *const names[][2] = {
		{"_ZN3foo3barEi", "foo::bar(int)"},
		{"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"},
		{"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
		{"main", "main"},
		{"_start", "_start"},
		{"_ZZZZ", "_ZZZZ"},
		{"", ""},
	};
	char *owned, *bomb;
	const char *out;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(demangle__name(names[i][0], &owned), names[i][1]);
		free(owned);
	}
	/* each argument is a pair of the one before, twice: the text doubles 100 times */
	bomb = strdup("_Z1fSt4pairIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_E"
		      "S_IS6_S6_ES_IS7_S7_ES_IS8_S8_ES_IS9_S9_ES_ISA_SA_ES_ISB_SB_ES_ISC_SC_E"
		      "S_ISD_SD_ES_ISE_SE_ES_ISF_SF_ES_ISG_SG_ES_ISH_SH_ES_ISI_SI_ES_ISJ_SJ_E");
	out = demangle__name(bomb, &owned);
	assert_true(strlen(out) <= 16384);
	free(owned);
	free(bomb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_function),
		cmocka_unit_test(names_only),
		cmocka_unit_test(small_budget),
		cmocka_unit_test(many_files),
		cmocka_unit_test(a_number_used_again),
		cmocka_unit_test(helper_is_confined),
		cmocka_unit_test(helper_dies),
		cmocka_unit_test(damaged_dwarf),
		cmocka_unit_test(forged_build_id),
		cmocka_unit_test(a_root_of_its_own),
		cmocka_unit_test(symbols_without_size),
		cmocka_unit_test(hostile_answers),
		cmocka_unit_test(vdso),
		cmocka_unit_test(perf_map_grows),
		cmocka_unit_test(string_pool),
		cmocka_unit_test(demangling),
		cmocka_unit_test(helper_hangs), /* the last: from then on the end is wanted */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
