/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast mode's writing into a process: a target that verifies its own memory, with threads, signals,
 * forks and waits, is patched and unpatched, the writer killed at every step.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/allocs.h"
#include "fast/inject.h"
#include "fast/remote.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"

#if defined(__x86_64__)

#define THREADS 3
#define MAX_STEPS 1000
#define OWN_LIBC "FAST_TEST_LIBC"

struct report {
	uint64_t rounds[THREADS + 1], signals, errors, children;
	int quit;
};
static struct report *rep;

static void check_bytes(const uint8_t *p, size_t n, uint8_t v)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != v) {
			__atomic_add_fetch(&rep->errors, 1, __ATOMIC_RELAXED);
			return;
		}
	}
}

static void on_signal(int sig)
{
	rep->signals++;
}

/* Doubles are kept over allocations, so that lost vector registers show. */
static void churn(uint64_t *rounds, unsigned int seed)
{
	struct {
		uint8_t *p;
		size_t n;
		uint8_t v;
	} b[32] = {0};
	volatile double acc = 1;
	double x[8];

	for (int i = 0; i < 8; i++)
		x[i] = 1.5 + i;
	while (!__atomic_load_n(&rep->quit, __ATOMIC_RELAXED)) {
		int at = rand_r(&seed) % 32;

		check_bytes(b[at].p, b[at].p ? b[at].n : 0, b[at].v);
		b[at].v = rand_r(&seed);
		b[at].n = 1 + rand_r(&seed) % 2000;
		switch (rand_r(&seed) % 4) {
		case 0: b[at].p = realloc(b[at].p, b[at].n); break;
		case 1:
			free(b[at].p);
			b[at].p = calloc(1, b[at].n);
			check_bytes(b[at].p, b[at].n, 0);
			break;
		case 2:
			free(b[at].p);
			if (posix_memalign((void **)&b[at].p, 64, b[at].n))
				abort();
			break;
		default: free(b[at].p); b[at].p = malloc(b[at].n);
		}
		if (!b[at].p)
			abort();
		memset(b[at].p, b[at].v, b[at].n);
		for (int i = 0; i < 8; i++)
			acc += x[i];
		for (int i = 0; i < 8; i++) {
			if (x[i] != 1.5 + i)
				rep->errors++;
		}
		(*rounds)++;
	}
	for (int i = 0; i < 32; i++)
		free(b[i].p);
}

static void *thread(void *arg)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
	uintptr_t i = (uintptr_t)arg;

	sigaltstack(&ss, &old);
	churn(&rep->rounds[i], i * 77);
	sigaltstack(&old, NULL);
	free(ss.ss_sp);
	return NULL;
}

static void target(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval it = {{0, 2000}, {0, 2000}};
	pthread_t t[THREADS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGPROF, &sa, NULL);
	setitimer(ITIMER_PROF, &it, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, thread, (void *)i);
	while (!__atomic_load_n(&rep->quit, __ATOMIC_RELAXED)) {
		pid_t c = fork();
		int status = 1;

		if (!c) {
			for (int i = 0; i < 100; i++)
				free(malloc(i * 10));
			_exit(0);
		}
		while (waitpid(c, &status, 0) < 0 && errno == EINTR)
			;
		if (status)
			rep->errors++;
		rep->children++;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	exit(0);
}

/* The plan for the C library of a process. */
struct planned {
	struct elfobj *e;
	int fd;
	struct site *sites;
	struct fast_plan plan;
};

/* meanwhile: what happens to the process between the look at its mappings and that at its code. */
static int plan_libc_while(int pid, void (*meanwhile)(int pid), struct planned *out, char *why)
{
	struct procmap *maps;
	struct procmem *mem;
	struct alloc_func *funcs;
	size_t n;
	bool found = false;
	int err = 0;

	memset(out, 0, sizeof(*out));
	assert_int_equal(procmap__read(pid, &maps), 0);
	assert_int_equal(procmem__open(pid, &mem), 0);
	if (meanwhile)
		meanwhile(pid);
	for (size_t i = 0; i < maps->n && !found; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		const char *name = strrchr(e->path, '/');
		uint64_t vaddr;
		int fd;

		if (!(e->prot & PROCMAP_X) || !name || strncmp(name, "/libc.so", 8))
			continue;
		fd = open(e->path, O_RDONLY | O_CLOEXEC);
		out->fd = dup(fd);
		assert_int_equal(elfobj__open_fd(fd, e->path, &out->e), 0);
		assert_int_equal(allocs__find(out->e, &funcs, &n), 0);
		assert_int_equal(site__choose(out->e, funcs, n, &out->sites), 0);
		free(funcs);
		assert_true(elfobj__off_to_vaddr(out->e, e->offset, &vaddr));
		err = fast_plan__read(out->e, out->sites, n, e->start - vaddr, &out->plan);
		if (!err)
			err = fast_plan__check(&out->plan, mem);
		strcpy(why, out->plan.why);
		found = true;
	}
	procmap__free(maps);
	procmem__close(mem);
	assert_true(found);
	return err;
}

static bool plan_libc(int pid, struct planned *out, char *why)
{
	return !plan_libc_while(pid, NULL, out, why) && !*why;
}

static void unplan(struct planned *p)
{
	fast_plan__fini(&p->plan);
	free(p->sites);
	close(p->fd);
	elfobj__close(p->e);
}

/* On a busy machine a thread may take longer to stop than a process is held up for. */
static bool must_wait(int err)
{
	return err == -ETIMEDOUT || err == -EAGAIN;
}

static int map_in(pid_t pid, struct planned *p, struct fast *f, char *why)
{
	int err;

	do
		err = fast__map(pid, NULL, &p->plan, p->fd, 4096, f, why);
	while (must_wait(err));
	return err;
}

static int patch_in(const struct fast *f, char *why)
{
	int err;

	do
		err = fast__patch(f, why);
	while (must_wait(err));
	return err;
}

static int take_out(const struct fast *f, char *why)
{
	int err;

	do
		err = fast__unpatch(f, why);
	while (must_wait(err));
	return err;
}

static int clean(pid_t pid, struct fast_left *left, char *why)
{
	int err;

	do
		err = fast__clean(pid, NULL, false, left, why);
	while (must_wait(err));
	return err;
}

static pid_t start_target(void)
{
	pid_t pid;

	rep = mmap(NULL, sizeof(*rep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		target();
	while (!rep->children || !rep->rounds[THREADS - 1])
		usleep(1000);
	return pid;
}

/* Goes on, and everything it has is right. */
static void check_target(pid_t pid, const char *when)
{
	uint64_t rounds[THREADS], children = rep->children;

	memcpy(rounds, rep->rounds, sizeof(rounds));
	for (int i = 0; i < 120000; i++) { /* as long as a busy machine may take */
		bool all = rep->children > children;
		int status;

		for (int k = 0; k < THREADS; k++)
			all &= rep->rounds[k] > rounds[k] + 20;
		if (waitpid(pid, &status, WNOHANG))
			fail_msg("%s: the target died, status %x", when, status);
		if (rep->errors)
			fail_msg("%s: %lu errors", when, (unsigned long)rep->errors);
		if (all)
			return;
		usleep(1000);
	}
	fail_msg("%s: the target hangs", when);
}

static void end_target(pid_t pid)
{
	int status;

	rep->quit = 1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(rep->errors, 0);
	munmap(rep, sizeof(*rep));
}

static bool same_code(int pid, const struct fast_plan *plan)
{
	struct procmem *mem;
	bool same = true;

	assert_int_equal(procmem__open(pid, &mem), 0);
	for (size_t i = 0; i < plan->n; i++) {
		const struct entry *e = &plan->funcs[i].stub.entry;
		uint8_t now[ENTRY_LOOK];

		if (!plan->funcs[i].hooked)
			continue;
		assert_int_equal(procmem__read(mem, e->addr, now, e->back - e->addr), 0);
		same &= !memcmp(now, e->code, e->back - e->addr);
	}
	procmem__close(mem);
	return same;
}

static void goes_in_and_out(void **state)
{
	int cycles = getenv("FAST_CYCLES") ? atoi(getenv("FAST_CYCLES")) : 5;
	pid_t pid = start_target();
	struct fast_left left;
	char why[FAST_WHY];
	struct planned p;

	if (!plan_libc(pid, &p, why))
		fail_msg("libc: %s", why);
	assert_true(p.plan.hooked >= 6);
	for (int i = 0; i < cycles; i++) {
		struct fast f;

		if (map_in(pid, &p, &f, why))
			fail_msg("map: %s", why);
		assert_true(same_code(pid, &p.plan));
		if (patch_in(&f, why))
			fail_msg("patch: %s", why);
		assert_false(same_code(pid, &p.plan));
		check_target(pid, "patched");
		if (take_out(&f, why))
			fail_msg("unpatch: %s", why);
		assert_true(same_code(pid, &p.plan));
		fast__fini(&f);
		assert_int_equal(fast__clean(pid, NULL, true, &left, why), 0);
		assert_int_equal(left.patched, 0);
	}
	check_target(pid, "at the end");
	if (geteuid() == 0)
		assert_int_equal(left.regions, 1); /* used again */
	unplan(&p);
	end_target(pid);
}

static int word[2]; /* pipe: the child is told to go on by its end, and tells by its end */
static int news[2];

/* A child that waits, then calls exec. */
static pid_t start_waiting(void)
{
	char c;
	pid_t pid;

	assert_int_equal(pipe2(word, O_CLOEXEC), 0);
	assert_int_equal(pipe2(news, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(word[1]);
		close(news[0]);
		if (!read(word[0], &c, 1))
			execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	close(word[0]);
	close(news[1]);
	return pid;
}

static void let_exec(int pid)
{
	char c;

	close(word[1]);
	assert_int_equal(read(news[0], &c, 1), 0); /* closed by its exec */
	close(news[0]);
}

static void let_end(int pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(word[1]);
	close(news[0]);
}

/* One that calls exec or ends while it is looked at is gone, not refused. */
static void gone_is_not_refused(void **state)
{
	void (*const how[])(int) = {let_exec, let_end};

	for (int i = 0; i < 2; i++) {
		pid_t pid = start_waiting();
		char why[FAST_WHY];
		struct planned p;

		assert_int_equal(plan_libc_while(pid, how[i], &p, why), -ESRCH);
		assert_string_equal(why, "");
		unplan(&p);
		if (how[i] == let_exec) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
}

/* One that calls exec while it is written to: whatever its new program is, it is left alone. */
static void exec_is_never_written_to(void **state)
{
	pid_t pid = start_waiting();
	char why[FAST_WHY];
	struct planned p;
	struct fast f;
	struct fast_left left;

	if (!plan_libc(pid, &p, why))
		fail_msg("libc: %s", why);
	if (map_in(pid, &p, &f, why))
		fail_msg("map: %s", why);
	let_exec(pid);
	assert_true(fast__patch(&f, why));
	assert_true(fast__set_rate(&f, 1));
	assert_true(fast__unpatch(&f, why));
	assert_int_equal(fast__patched(&f), 0);
	assert_int_equal(fast__clean(pid, NULL, true, &left, why), 0);
	assert_int_equal(left.regions, 0);
	fast__fini(&f);
	/* nor is a plan that was made before the exec carried out after it */
	assert_true(fast__map(pid, NULL, &p.plan, p.fd, 4096, &f, why));
	unplan(&p);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Two children of one process have everything at the same addresses. */
static int in_other_space(void *arg)
{
	const pid_t *pid = arg;
	struct remote_threads t;
	struct remote_code code;
	struct procmap *maps;
	struct procmem *mem;
	struct remote r;
	int err;

	assert_int_equal(procmap__read(pid[0], &maps), 0);
	assert_int_equal(procmem__open_writable(pid[0], &mem), 0);
	assert_int_equal(remote__find_code(mem, maps, &code), 0);
	assert_int_equal(remote__stop(NULL, pid[1], 0, 5000000000, &t), 0);
	err = remote__begin(pid[1], mem, &t.t[0], &code, &r);
	remote__go(&t);
	procmem__close(mem);
	procmap__free(maps);
	return err;
}

/* As a process could do it that keeps its old address space alive over an exec. */
static void threads_of_another_space_are_not_used(void **state)
{
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	assert_int_equal(remote__run(NULL, in_other_space, pid), -ESTALE);
	assert_int_equal(remote__run(NULL, in_other_space, (pid_t[]){pid[0], pid[0]}), 0);
	for (int i = 0; i < 2; i++)
		kill(pid[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}

/* A child that has made what looks like stubs, and says of its code what is not so. */
static pid_t start_forger(void)
{
	static const char was[] = "forged";
	uint8_t *at = (uint8_t *)((uint64_t)abort & ~0xfffULL), *is = MAP_FAILED;
	struct stub_header h = {.magic = STUB_MAGIC, .code_bytes = 4096, .n = 1};
	pid_t pid;
	int32_t rel;

	assert_int_equal(pipe2(news, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		int fd = memfd_create("memwatch-fast", 0);
		uint8_t *code = (uint8_t *)abort;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < 900 && is == MAP_FAILED; i++) {
			at -= 1 << 20;
			is = mmap(at, 4096, PROT_READ | PROT_EXEC,
				  MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
		}
		h.base = (uint64_t)at;
		h.patch[0].addr = (uint64_t)code;
		memcpy(h.patch[0].was, was, ENTRY_PATCH);
		rel = (int32_t)((int64_t)(h.base + 64) - (int64_t)(h.patch[0].addr + ENTRY_PATCH));
		h.patch[0].is[0] = 0xe9;
		memcpy(h.patch[0].is + 1, &rel, 4);
		if (is != at || write(fd, &h, sizeof(h)) != sizeof(h) ||
		    mprotect((void *)(h.patch[0].addr & ~0xfffULL), 8192,
			     PROT_READ | PROT_WRITE | PROT_EXEC))
			_exit(1);
		memcpy(code, h.patch[0].is, ENTRY_PATCH);
		mprotect((void *)(h.patch[0].addr & ~0xfffULL), 8192, PROT_READ | PROT_EXEC);
		if (write(news[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(news[0], &h, 1), 1);
	close(news[0]);
	close(news[1]);
	return pid;
}

static void a_forged_header_is_not_believed(void **state)
{
	uint8_t before[ENTRY_PATCH], after[ENTRY_PATCH];
	pid_t pid = start_forger();
	struct fast_left left;
	char why[FAST_WHY];
	struct procmem *mem;

	assert_int_equal(procmem__open(pid, &mem), 0);
	assert_int_equal(procmem__read(mem, (uint64_t)abort, before, ENTRY_PATCH), 0);
	assert_int_equal(fast__clean(pid, NULL, true, &left, why), 0);
	assert_int_equal(left.patched, 1);
	assert_int_equal(fast__clean(pid, NULL, false, &left, why), -EBADMSG);
	assert_non_null(strstr(why, "not what its files have"));
	assert_int_equal(procmem__read(mem, (uint64_t)abort, after, ENTRY_PATCH), 0);
	assert_memory_equal(before, after, ENTRY_PATCH);
	procmem__close(mem);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A target with stubs in it. */
struct stubbed {
	pid_t pid;
	struct planned p;
	struct fast f;
};

static void stub_target(struct stubbed *s)
{
	char why[FAST_WHY];

	s->pid = start_target();
	if (!plan_libc(s->pid, &s->p, why))
		fail_msg("libc: %s", why);
	if (map_in(s->pid, &s->p, &s->f, why) || patch_in(&s->f, why))
		fail_msg("%s", why);
}

static void end_stubbed(struct stubbed *s)
{
	char why[FAST_WHY];

	assert_int_equal(take_out(&s->f, why), 0);
	fast__fini(&s->f);
	unplan(&s->p);
	end_target(s->pid);
}

static void owners_are_memwatch(void **state)
{
	struct fast_left left;
	char why[FAST_WHY];
	struct stubbed s;
	uint64_t data, owner[2] = {1, proc_task__start_ns(1)};

	stub_target(&s);
	data = s.f.image.hdr.base + s.f.image.hdr.code_bytes;
	assert_int_equal(fast__clean(s.pid, NULL, true, &left, why), 0);
	assert_int_equal(left.owner, getpid());
	assert_false(left.inherited);
	assert_int_equal(procmem__write(s.f.mem, data + DATA_OWNER, owner, sizeof(owner)), 0);
	assert_int_equal(fast__clean(s.pid, NULL, true, &left, why), 0);
	assert_int_equal(left.owner, 0);
	end_stubbed(&s);
}

/* What the children of the target have does nothing, and is nobody's. */
static int child_is_free(void *arg, pid_t pid)
{
	const struct stubbed *s = arg;
	struct proc_identity id;
	struct fast_left left;
	char why[FAST_WHY];

	if (proc_task__identity(pid, &id) || id.ppid != s->pid || id.ended)
		return 0;
	if (fast__clean(pid, NULL, false, &left, why) || !left.patched)
		return 0; /* it has ended meanwhile */
	assert_true(left.inherited);
	assert_int_equal(left.owner, 0);
	return 1;
}

static void children_are_free(void **state)
{
	struct stubbed s;
	int found = 0;

	stub_target(&s);
	for (int i = 0; i < 100000 && !found; i++)
		found = proc_task__each_pid(child_is_free, &s);
	assert_int_equal(found, 1);
	check_target(s.pid, "beside a child without stubs");
	assert_true(fast__patched(&s.f) > 5);
	end_stubbed(&s);
}

static pid_t signalled;
static int to_send[2]; /* at the entry to the first call, and at its end */

static void send_at_step(const char *what)
{
	int *sig = !strcmp(what, "call entered") ? &to_send[0]
		   : !strcmp(what, "call left")	 ? &to_send[1]
						 : NULL;

	if (sig && *sig && !to_send[0] == (sig == &to_send[1])) {
		kill(signalled, *sig);
		*sig = 0;
	}
}

static bool is_stopped(pid_t pid)
{
	char path[64], text[512], *p;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	fclose(f);
	text[n] = 0;
	p = strrchr(text, ')');
	return p && p[2] == 'T';
}

/* SIGSTOP while calls are made in it stops it, and SIGCONT lets it go on, whenever it comes. */
static void stop_and_go(void **state)
{
	for (int cont = 0; cont < 2; cont++) {
		pid_t pid = start_target();
		char why[FAST_WHY];
		struct planned p;
		struct fast f;

		if (!plan_libc(pid, &p, why))
			fail_msg("libc: %s", why);
		signalled = pid;
		to_send[0] = SIGSTOP;
		to_send[1] = cont ? SIGCONT : 0;
		remote__on_step = send_at_step;
		if (map_in(pid, &p, &f, why))
			fail_msg("map: %s", why);
		remote__on_step = NULL;
		assert_int_equal(to_send[0] + to_send[1], 0);
		if (!cont) {
			while (!is_stopped(pid))
				usleep(1000);
			kill(pid, SIGCONT);
		}
		check_target(pid, cont ? "stopped and let go" : "stopped");
		fast__fini(&f);
		unplan(&p);
		end_target(pid);
	}
}

/* A child of one thread that is where it must not be used; it says that it is there. */
static volatile struct report *there;

static void is_there(void)
{
	there->rounds[0] = 1;
}

static void on_own_stack(int sig)
{
	is_there();
	while (!there->quit)
		;
}

static void in_handler_within_its_stack(void)
{
	char part[32 << 10];
	stack_t ss = {.ss_sp = part, .ss_size = sizeof(part)};
	struct sigaction sa = {.sa_handler = on_own_stack, .sa_flags = SA_ONSTACK};

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
}

/* Begun anew each time that it is interrupted. */
static void in_sequence(void)
{
	is_there();
	__asm__ volatile("jmp 3f\n"
			 ".pushsection .data, \"aw\"\n"
			 ".balign 32\n"
			 "9:	.long 0, 0\n"
			 "	.quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "	.long 0x53053053\n"
			 "4:	jmp 3f\n"
			 "3:	lea 9b(%%rip), %%rax\n"
			 "	mov %%rax, 8(%1)\n"
			 "1:	cmpl $0, (%0)\n"
			 "	je 1b\n"
			 "2:\n"
			 :
			 : "r"(&there->quit),
			   "r"((char *)__builtin_thread_pointer() + __rseq_offset)
			 : "rax", "memory");
}

static void such_threads_are_not_used(void **state)
{
	void (*const where[])(void) = {in_handler_within_its_stack, in_sequence};

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		char why[FAST_WHY];
		struct planned p;
		struct fast f;
		int status, err;
		pid_t pid;

		there = mmap(NULL, sizeof(*there), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			where[i]();
			_exit(0);
		}
		while (!there->rounds[0])
			usleep(1000);
		if (!plan_libc(pid, &p, why))
			fail_msg("libc: %s", why);
		do
			err = fast__map(pid, NULL, &p.plan, p.fd, 4096, &f, why);
		while (err == -ETIMEDOUT);
		/* the kernel may just have made it begin anew */
		if (err || where[i] != in_sequence) {
			assert_int_equal(err, -EAGAIN);
			assert_non_null(strstr(why, "no thread of it can be used"));
		}
		fast__fini(&f);
		there->quit = 1;
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
		munmap((void *)there, sizeof(*there));
		unplan(&p);
	}
}

/* Near the upper end of a stack, with an address to which a handler seems to return. */
static void near_the_end(void)
{
	volatile uint64_t looks_like = there->rounds[1];

	is_there();
	while (!there->quit || !looks_like)
		;
}

static void *in_thread_near_the_end(void *arg)
{
	near_the_end();
	return NULL;
}

static uint64_t inside_of(const struct fast_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->funcs[i].hooked)
			return plan->funcs[i].stub.entry.patch + 1;
	}
	return 0;
}

static void short_stacks_are_looked_through(void **state)
{
	char why[FAST_WHY];
	struct planned p;
	struct fast f;
	pthread_t t;
	int status, err;
	pid_t pid;

	there = mmap(NULL, sizeof(*there), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (!plan_libc(getpid(), &p, why))
		fail_msg("libc: %s", why);
	there->rounds[1] = inside_of(&p.plan);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_create(&t, NULL, in_thread_near_the_end, NULL);
		pthread_join(t, NULL);
		_exit(0);
	}
	while (!there->rounds[0])
		usleep(1000);
	if (map_in(pid, &p, &f, why))
		fail_msg("map: %s", why);
	do
		err = fast__patch(&f, why);
	while (err == -ETIMEDOUT);
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(fast__patched(&f), 0);
	there->quit = 1;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	fast__fini(&f);
	munmap((void *)there, sizeof(*there));
	unplan(&p);
}

static int steps_left;

static void kill_at_step(const char *what)
{
	log_debug("fast: %d steps left, %s", --steps_left, what);
	if (!steps_left)
		raise(SIGKILL);
}

/* An injector of its own, which kills itself at a step. Its status. */
static int inject_killed(pid_t pid, int step)
{
	pid_t c = fork();
	int status;

	if (!c) {
		struct planned p;
		struct fast f;
		char why[FAST_WHY];

		log__set_level(getenv("FAST_LOG") ? LOG_DEBUG : LOG_ERROR);
		if (!plan_libc(pid, &p, why))
			_exit(3);
		steps_left = step;
		remote__on_step = kill_at_step;
		if (map_in(pid, &p, &f, why) || patch_in(&f, why) || take_out(&f, why)) {
			fprintf(stderr, "step %d: %s\n", step, why);
			_exit(2);
		}
		_exit(0);
	}
	waitpid(c, &status, 0);
	return status;
}

/* Mappings of the size that tables have. */
static size_t tables_in(pid_t pid)
{
	struct procmap *maps;
	size_t n = 0;

	assert_int_equal(procmap__read(pid, &maps), 0);
	for (size_t i = 0; i < maps->n; i++)
		n += maps->entries[i].end - maps->entries[i].start == DATA_BYTES;
	procmap__free(maps);
	return n;
}

/* Each time a target that nothing was mapped into yet, so that every step comes up. */
static bool killed_at(int step)
{
	char why[FAST_WHY], when[64];
	pid_t pid = start_target();
	struct fast_left left;
	struct planned p;
	size_t size;
	int status;

	if (!plan_libc(pid, &p, why))
		fail_msg("libc: %s", why);
	size = tables_in(pid);
	status = inject_killed(pid, step);
	snprintf(when, sizeof(when), "killed at step %d", step);
	check_target(pid, when);
	if (clean(pid, &left, why))
		fail_msg("%s: clean: %s", when, why);
	assert_true(left.regions || left.files || tables_in(pid) == size); /* all of it is seen */
	assert_true(same_code(pid, &p.plan));
	check_target(pid, when);
	unplan(&p);
	end_target(pid);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
	return WIFSIGNALED(status);
}

static void killed_at_every_step(void **state)
{
	int step = 1;

	while (step < MAX_STEPS && killed_at(step))
		step++;
	print_message("killed at %d steps\n", step - 1);
	assert_true(step > 30 && step < MAX_STEPS);
}

/* Others, on the same machine, may have probes on the C library's functions at any time: it is a
 * copy of it that is written into here. The directory of that, or NULL. */
static char *copy_libc(void)
{
	char *dir = strdup("/tmp/memwatch-libc-XXXXXX"), command[PATH_MAX * 2];
	struct procmap *maps;
	bool found = false;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(procmap__read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps->n && !found; i++) {
		const char *path = maps->entries[i].path, *name = strrchr(path, '/');

		if (!name || strncmp(name, "/libc.so", 8))
			continue;
		snprintf(command, sizeof(command), "cp '%s' '%s%s'", path, dir, name);
		found = !system(command);
	}
	procmap__free(maps);
	assert_true(found);
	return dir;
}

/* Runs this program anew with that copy, and returns its status. */
static int run_with_own_libc(char **argv)
{
	char *dir = copy_libc(), command[PATH_MAX];
	int status = -1;
	pid_t pid;

	setenv(OWN_LIBC, dir, 1);
	setenv("LD_LIBRARY_PATH", dir, 1);
	pid = fork();
	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	free(dir);
	return system(command) || !WIFEXITED(status) ? 1 : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gone_is_not_refused),
		cmocka_unit_test(goes_in_and_out),
		cmocka_unit_test(exec_is_never_written_to),
		cmocka_unit_test(threads_of_another_space_are_not_used),
		cmocka_unit_test(a_forged_header_is_not_believed),
		cmocka_unit_test(owners_are_memwatch),
		cmocka_unit_test(children_are_free),
		cmocka_unit_test(stop_and_go),
		cmocka_unit_test(such_threads_are_not_used),
		cmocka_unit_test(short_stacks_are_looked_through),
		cmocka_unit_test(killed_at_every_step),
	};

	if (!getenv(OWN_LIBC))
		return run_with_own_libc(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
	return 0;
}
#endif
