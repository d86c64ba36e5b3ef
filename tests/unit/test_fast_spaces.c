/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast mode writes to the address space that was looked at, not to what its process has become or
 * to another's; what is in there already is believed only as far as it is what files have; and
 * whose stubs are.
 */
#if defined(__x86_64__)

#include "fast_target.h"

#include "fast/remote.h"
#include "sys/proc_task.h"

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
	kill(pid, SIGSTOP); /* or it would end meanwhile */
	if (fast__clean(pid, NULL, false, &left, why))
		left.patched = 0;
	kill(pid, SIGCONT);
	if (!left.patched)
		return 0;
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gone_is_not_refused),
		cmocka_unit_test(exec_is_never_written_to),
		cmocka_unit_test(threads_of_another_space_are_not_used),
		cmocka_unit_test(a_forged_header_is_not_believed),
		cmocka_unit_test(owners_are_memwatch),
		cmocka_unit_test(children_are_free),
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
