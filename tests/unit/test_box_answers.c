/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Helpers that are no help, at each kind of request: they answer nonsense of several sorts, crash,
 * end, loop, or talk without an end. What they were asked for is then not to be had; whoever asked
 * goes on, and the next file is read. How a helper misbehaves it reads from the size of its file.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "elf/alloc_box.h"
#include "elf/disasm.h"
#include "elf/symbolizer.h"
#include "elf/symclient.h"
#include "elf/unwind_box.h"
#include "fast/fast_box.h"
#include "go/go_client.h"
#include "snapshot/heap_box.h"
#include "sys/box.h"
#include "sys/memreader.h"
#include "sys/opener.h"
#include "sys/procmem.h"
#include "sys/safeopen.h"
#include "sys/selfexec.h"
#include "sys/signals.h"

#define READ_MUCH 77 /* a request */

enum manner {
	NOISE = 1,   /* a few bytes of nonsense */
	MUCH_NOISE,  /* as many as an answer may have */
	NO_BYTES,    /* success, and nothing to it */
	ODD_RESULT,  /* a result that is none */
	WITHOUT_END, /* answer upon answer, more follows each */
	ENDS,
	CRASHES,
	LOOPS,
	SAYS_NOTHING, /* and waits for the next request */
	MANNERS,
};

static void noise(char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)util__mix64(seed + i);
}

/* Nonsense in the memory file too, where answers may be. */
static void fill_memory(const struct box_request *r, enum manner m)
{
	static char page[4096];

	noise(page, sizeof(page), m);
	for (int i = 1; i < BOX_MAX_FDS; i++) {
		for (int k = 0; r->fds[i] >= 0 && k < 16; k++) {
			if (pwrite(r->fds[i], page, sizeof(page), k * 4096L) < 0)
				break;
		}
	}
}

static void misbehave(struct box_conn *c, struct box_request *r)
{
	static char bytes[BOX_MAX_MESSAGE];
	static enum manner m; /* the file comes with the first request */
	struct stat st;

	for (int i = 0; !m && i < BOX_MAX_FDS && r->fds[i] >= 0; i++)
		m = fstat(r->fds[i], &st) ? 0 : (enum manner)st.st_size;
	fill_memory(r, m);
	noise(bytes, sizeof(bytes), m);
	switch (m) {
	case MUCH_NOISE: box_conn__answer(c, 0, bytes, sizeof(bytes), false); return;
	case NO_BYTES: box_conn__answer(c, 0, NULL, 0, false); return;
	case ODD_RESULT: box_conn__answer(c, -123456, bytes, 64, false); return;
	case WITHOUT_END:
		for (;;)
			box_conn__answer(c, 0, bytes, 512, true);
	case SAYS_NOTHING: return;
	case ENDS: _exit(0);
	case CRASHES: __builtin_trap();
	case LOOPS:
		for (volatile int i = 0;; i++)
			;
	default: box_conn__answer(c, 0, bytes, 7, false);
	}
}

/* Has much read of where `entry` says, and says what processor time it has taken itself. */
static void have_much_read(struct box_conn *c, struct box_request *r, uint64_t entry)
{
	struct timespec t;
	struct procmem *m;

	if (procmem__adopt(take_fd(&r->fds[0]), &m))
		_exit(1);
	while (!procmem__read(m, entry, procmem__window(m), PROCMEM_WINDOW)) {
		uint64_t ns = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)
				      ? 0
				      : t.tv_sec * 1000000000ULL + t.tv_nsec;

		box_conn__answer(c, 0, &ns, sizeof(ns), true);
	}
	_exit(1);
}

/* A Go program is opened before it is asked for more: that works, if `opened` asks for it. */
static void misbehave_go(struct box_conn *c, struct box_request *r)
{
	static const struct go_facts facts = {.stage = GO_STAGES, .version = "go1.22"};
	static char bytes[16];
	uint64_t entry = 0;
	struct stat st;

	if (r->op == GO_OPEN || r->op == READ_MUCH)
		memcpy(&entry, r->data, sizeof(entry));
	if (r->op == READ_MUCH)
		have_much_read(c, r, entry);
	if (entry && !fstat(r->fds[0], &st)) {
		memcpy(bytes, &st.st_size, sizeof(st.st_size));
		box_conn__answer(c, 0, &facts, sizeof(facts), false);
		return;
	}
	if (r->op != GO_OPEN && *bytes && r->fds[0] >= 0 && r->op != GO_IS_GO) {
		if (ftruncate(r->fds[0], *bytes)) /* the manner, where it is looked for */
			_exit(0);
	}
	misbehave(c, r);
}

const box_serve_fn box__services[BOX_SERVICES] = {
	[BOX_SYMBOLS] = misbehave, [BOX_UNWIND] = misbehave, [BOX_ALLOCS] = misbehave,
	[BOX_JIT] = misbehave,	   [BOX_GO] = misbehave_go,  [BOX_DISASM] = misbehave,
	[BOX_FAST] = misbehave,	   [BOX_HEAP] = misbehave,
};
const bool selfexec__serves = true;

__attribute__((constructor)) static void begin(int argc, char **argv, char **env)
{
	box__serve_if_asked(argc, argv);
}

/* --- who asks --- */

static struct procmem *own; /* this process's memory */
static bool end_is_wanted;  /* from the request on that is answered in its manner */

static void end_if_wanted(void)
{
	if (end_is_wanted)
		signals__end_seen();
}

static int ask_symbols(int fd)
{
	const struct symclient_file f = {fd, -1, "/x", NULL};
	struct symclient c;
	int err = symclient__open(&c, &f, false);

	if (!err)
		err = symclient__load(&c, &f);
	symclient__close(&c);
	return err;
}

static int ask_table(int fd)
{
	struct unwind_request *r;
	struct unwind_table *t = NULL;
	int err = unwind_request__new(fd, NULL, &r);

	if (!err)
		err = unwind_request__finish(r, &t);
	unwind_table__free(t);
	return err;
}

static int ask_allocators(int fd)
{
	struct alloc_request *r;
	struct alloc_found found = {0};
	int err = alloc_request__new(fd, NULL, false, &r);

	if (!err)
		err = alloc_request__finish(r, &found);
	if (!err)
		alloc_found__free(&found);
	return err;
}

static int ask_fast_plan(int fd)
{
	const struct site site = {.func = {.name = "malloc"}, .why = ""};
	struct fast_plan plan;
	uint64_t bias;
	int err = fast_box__plan(fd, NULL, &site, 1, 0x10000, 0, &plan, &bias);

	if (!err)
		fast_plan__fini(&plan);
	return err;
}

static int ask_heaps(int fd)
{
	const struct ledger_input maps = {0};
	const struct heap_memory in = {.maps = &maps};
	const struct heap_box_files files = {own, fd, -1};
	struct ledger_share share[CONTRIBUTORS];
	char note[HEAP_BOX_NOTE];
	size_t n;
	int err = heap_box__find(&in, &files, NULL, NULL, share, &n, note);

	contributors__free(share, n);
	return err;
}

static int ask_libc(int fd)
{
	const struct ledger_input maps = {0};
	const struct heap_memory in = {.maps = &maps};
	const struct heap_box_files files = {own, fd, fd};
	struct ledger_share share[CONTRIBUTORS];
	char note[HEAP_BOX_NOTE];
	size_t n;
	int err = heap_box__find(&in, &files, NULL, NULL, share, &n, note);

	contributors__free(share, n);
	return err;
}

/* An entry that is known: the helper is to say that it has opened it. */
static int open_go(struct go_client *c, int fd, uint64_t entry)
{
	const struct go_source src = {.exe = fd, .maps = fd, .entry = entry};
	struct go_facts facts;

	memset(c, 0, sizeof(*c));
	return go_client__open(c, &src, own, NULL, &facts);
}

static int ask_go(int fd)
{
	struct go_client c;
	int err = open_go(&c, fd, 0);

	go_client__close(&c);
	return err;
}

static int ask_whether_go(int fd)
{
	int is = go_client__is_go(fd, NULL);

	return is ? is : -ENOENT; /* an honest answer, too */
}

static int ask_go_heap(int fd)
{
	struct go_heap_facts facts;
	struct go_samples s;
	struct go_client c;
	int err;

	assert_int_equal(open_go(&c, fd, 1), 0);
	end_if_wanted();
	err = go_client__heap(&c, -1, &facts, &s);
	go_client__close(&c);
	return err;
}

static int ask_goroutines(int fd)
{
	struct go_goroutines_count count;
	struct go_samples s;
	struct go_client c;
	int err;

	assert_int_equal(open_go(&c, fd, 1), 0);
	end_if_wanted();
	err = go_client__goroutines(&c, &count, &s);
	go_client__close(&c);
	return err;
}

static int ask_instructions(int fd)
{
	const uint64_t off = 64;
	struct disasm d = {0};
	int err = disasm__read(fd, &(struct disasm_wish){.offs = &off, .n = 1}, &d);

	if (!err)
		disasm__free(&d);
	return err;
}

/* Names of generated code; the symbolizer is asked, which has no error to give. */
static int ask_generated(int fd)
{
	struct symbolizer_frame frames[4];
	struct symbolizer_jit *jit;
	struct symbolizer *s;
	char path[64];
	struct stat st;
	int n, map;

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(map >= 0);
	assert_int_equal(ftruncate(map, st.st_size), 0);
	close(map);
	assert_int_equal(symbolizer__new(NULL, &s), 0);
	assert_int_equal(symbolizer__jit(s, getpid(), "/", &jit), 0);
	n = symbolizer_jit__lookup(jit, 0x7000000, frames, 4);
	symbolizer__free(s);
	unlink(path);
	return n ? 0 : -EFAULT;
}

static const struct {
	const char *what;
	int (*ask)(int fd);
} asked[] = {
	{"symbols", ask_symbols},
	{"unwind table", ask_table},
	{"allocators", ask_allocators},
	{"Go program", ask_go},
	{"whether Go", ask_whether_go},
	{"Go heap", ask_go_heap},
	{"goroutines", ask_goroutines},
	{"instructions", ask_instructions},
	{"generated code", ask_generated},
	{"fast plan", ask_fast_plan},
	{"heaps", ask_heaps},
	{"C library", ask_libc},
};

static int file_of(enum manner m)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, m), 0);
	return fd;
}

static void try_all(enum manner m)
{
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		cleanup_fd int fd = file_of(m);
		int err = asked[i].ask(fd);

		if (err >= 0)
			fail_msg("%s: believed a helper of manner %d: %d", asked[i].what, m, err);
	}
	assert_true(box__starter_pid() > 0); /* whatever they did, others can be started */
}

static void test_nonsense(void **state)
{
	try_all(NOISE);
	try_all(MUCH_NOISE);
	try_all(NO_BYTES);
	try_all(ODD_RESULT);
}

static void test_talk_without_end(void **state)
{
	try_all(WITHOUT_END);
}

static void test_ends_and_crashes(void **state)
{
	try_all(ENDS);
	try_all(CRASHES);
}

static void test_loops(void **state)
{
	try_all(LOOPS);
}

/* Asked in a process of its own, in which the end is wanted, so that nobody waits for long. */
static int ask_the_silent(size_t i)
{
	int status = 0, fd;
	pid_t pid = fork();

	if (!pid) {
		fd = file_of(SAYS_NOTHING);
		end_is_wanted = true;
		if (asked[i].ask != ask_go_heap && asked[i].ask != ask_goroutines)
			end_if_wanted();
		_exit(asked[i].ask(fd) < 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Before any helper was started: each of the processes has its own. */
static void test_silence(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		if (ask_the_silent(i))
			fail_msg("%s: believed a helper that says nothing", asked[i].what);
	}
}

/* In a process of its own, with helpers that may work for long: 0 if `ask` finds a helper of this
 * manner too late long before one is given up that is nobody's. */
static int too_late(int (*ask)(int fd), enum manner m, uint64_t most_ns)
{
	uint64_t began = util__now_ns();
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		surroundings.parse_cpu_ns = 600 * 1000000000ULL;
		box__hurry(most_ns);
		_exit(ask(file_of(m)) == -ETIMEDOUT ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(util__now_ns() - began < 14000000000ULL);
	return status;
}

/* A file that others may write: its helper waits, and is not waited for. */
static void test_rests(void **state)
{
	assert_int_equal(too_late(ask_symbols, SAYS_NOTHING, 0), 0);
}

/* One that works on and on is waited for no longer than was said. */
static void test_hurry(void **state)
{
	assert_int_equal(too_late(ask_symbols, LOOPS, 200000000), 0);
}

/* -ETIMEDOUT: this turn of a loop is over, and the helper is still there for the next. */
static int ask_in_a_turn(int fd)
{
	const struct symclient_file f = {fd, -1, "/x", NULL};
	struct symclient c;
	int err;

	box__turn(100000000);
	err = symclient__open(&c, &f, false);
	return err == -EAGAIN && c.h && symclient__identify(&c) == -EAGAIN ? -ETIMEDOUT : -EFAULT;
}

/* A loop does not wait for what may be had later. */
static void test_turn(void **state)
{
	assert_int_equal(too_late(ask_in_a_turn, LOOPS, 0), 0);
}

/* As much as may be read on behalf of a process. 0, or why there is no helper. */
static int read_all_it_may(const struct box_target *whose)
{
	static char area[PROCMEM_WINDOW];
	uint64_t at = (uintptr_t)area, alone = 0;
	struct memreader_meter *reader;
	struct box_helper *h;
	struct box_answer a;
	int mem, err = box_helper__new(BOX_GO, -1, whose, &h);

	if (err)
		return err;
	memset(area, 1, sizeof(area));
	mem = procmem__hand_over(own, &reader);
	assert_true(mem >= 0);
	box_helper__reader(h, reader);
	assert_int_equal(box_helper__send(h, READ_MUCH, &at, sizeof(at), &mem, 1), 0);
	close(mem);
	while (!(err = box_helper__receive(h, &a)))
		memcpy(&alone, a.data, sizeof(alone));
	assert_int_equal(err, -ETIMEDOUT);
	assert_true(alone && alone < box_helper__cpu_ns(h) / 2);
	box_helper__free(h);
	return 0;
}

/* Who reads for a helper takes of its time, and of its target's. */
static void test_readers_count(void **state)
{
	const struct box_target whose = box__target(getpid());
	int err = 0;

	for (int i = 0; i < 4 && !err; i++)
		err = read_all_it_may(&whose);
	assert_int_equal(err, -EDQUOT);
}

/* So does what this process has read of a target's memory. */
static void test_reading_counts(void **state)
{
	static char area[1 << 20], to[1 << 20];
	struct box_target whose;
	struct box_helper *h;
	struct procmem *m;
	pid_t pid = fork();
	int err = 0;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	memset(area, 1, sizeof(area));
	whose = box__target(pid);
	assert_int_equal(procmem__open(pid, &m), 0);
	while (!(err = box_helper__new(BOX_GO, -1, &whose, &h))) {
		box_helper__free(h);
		for (int i = 0; i < 512; i++)
			assert_int_equal(procmem__read(m, (uintptr_t)area, to, sizeof(to)), 0);
	}
	assert_int_equal(err, -EDQUOT);
	procmem__close(m);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* And opening its files, which another process does. */
static void test_opening_counts(void **state)
{
	struct box_accounts account;
	struct box_target whose;
	uint64_t all;
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		alarm(120); /* it never comes to an end */
		opener__start(NULL);
		box__start();
		whose = box__target(getpid());
		account = box_accounts__of(-1, &whose, true);
		all = box_accounts__left_of_target(account.target, 0);
		while (box_accounts__left_of_target(account.target, 0) == all) {
			int fd = safeopen__below(-1, "/etc/passwd", 0, NULL, getpid(), NULL);

			if (fd < 0)
				_exit(1);
			close(fd);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int start(void **state)
{
	memreader__start();
	return procmem__open(getpid(), &own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rests),
		cmocka_unit_test(test_hurry),
		cmocka_unit_test(test_turn),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_talk_without_end),
		cmocka_unit_test(test_ends_and_crashes),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_opening_counts),
		cmocka_unit_test(test_readers_count),
		cmocka_unit_test(test_reading_counts),
	};

	surroundings.parse_cpu_ns = 1000000000; /* a loop is over soon */
	log__set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, start, NULL);
}
