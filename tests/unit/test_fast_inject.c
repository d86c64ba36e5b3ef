/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast mode's writing into a process: it is patched and unpatched and verifies its own memory
 * meanwhile, is stopped, has threads that must not be used; the writer is killed at every step.
 */
#if defined(__x86_64__)

#include "fast_target.h"

#include <sys/rseq.h>

#include "core/log.h"
#include "core/util.h"
#include "fast/remote.h"

#define MAX_STEPS 1000

static int clean(pid_t pid, struct fast_left *left, char *why)
{
	int err;

	do
		err = fast__clean(pid, NULL, false, left, why);
	while (must_wait(err));
	return err;
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
	assert_true(left.regions || left.has_files || tables_in(pid) == size); /* all of it is seen */
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_in_and_out),
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
