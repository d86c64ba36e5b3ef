// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * odd STATE: a process in a state in which others' hands are dangerous; its threads allocate and
 * verify what they hold all the time. "ready", then it waits for a line, then for another; "done"
 * says that every byte was right, and how many blocks went in between.
 *
 * vfork: a thread is in vfork; its child waits for the end of a pipe.
 * asleep: the same, but the child has its own copy of the memory.
 * clone: another process runs in its memory.
 * space, files: it may have no more address space, no more files.
 * locked: all it maps is locked, and no more may be.
 * filter: the main thread runs on a stack of its own, and the others' system calls are filtered:
 *   a call that they do not make themselves ends the process.
 * alone: the main thread has ended.
 * fault: a thread waits for a page that the program itself brings (userfaultfd), in the end.
 * plain: nothing of the kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include "renew.h"
#include "wl.h"

#define THREADS 2

static int gate[2];
static volatile int quit;
static unsigned long rounds;
static int filtered;

static void filter_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog))
		_exit(80);
}

static void *churn(void *arg)
{
	unsigned char *p[32] = {0};

	if (filtered)
		filter_calls();
	while (!quit) {
		for (size_t i = 0; i < 32; i++)
			renew(&p[i], 100 + i * 40, (unsigned char)i);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	for (size_t i = 0; i < 32; i++)
		free(p[i]);
	return NULL;
}

static void *in_vfork(void *arg)
{
	char c;

	if (!vfork()) {
		close(gate[1]); /* the child's own table */
		while (read(gate[0], &c, 1) > 0)
			;
		_exit(0);
	}
	return NULL;
}

static void *asleep(void *arg)
{
	char c;

	if (!syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL)) {
		close(gate[1]);
		while (syscall(SYS_read, gate[0], &c, 1) > 0)
			;
		syscall(SYS_exit_group, 0);
	}
	return arg;
}

static int in_clone(void *arg)
{
	char c;

	syscall(SYS_close, gate[1]); /* of its own table */
	while (syscall(SYS_read, gate[0], &c, 1) > 0)
		;
	syscall(SYS_exit, 0);
	return 0;
}

static int faults = -1;
static unsigned char *missing; /* a page */
static pthread_t in_fault_thread;

static void *in_fault(void *arg)
{
	if (*(volatile unsigned char *)missing != 0x5a)
		_exit(88);
	return arg;
}

/* Returns when the thread is in the fault. */
static void begin_fault(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffd_msg msg;

	faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	missing = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	all.range.start = (unsigned long)missing;
	all.range.len = 4096;
	if (faults < 0 || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &all) ||
	    pthread_create(&in_fault_thread, NULL, in_fault, NULL) ||
	    read(faults, &msg, sizeof(msg)) != sizeof(msg))
		_exit(89);
}

static void end_fault(void)
{
	static unsigned char page[4096] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {
		.dst = (unsigned long)missing, .src = (unsigned long)page, .len = 4096};

	memset(page, 0x5a, sizeof(page));
	if (ioctl(faults, UFFDIO_COPY, &copy) || pthread_join(in_fault_thread, NULL))
		_exit(90);
}

static void limit(int what, rlim_t n)
{
	struct rlimit l = {n, n};

	if (setrlimit(what, &l))
		_exit(83);
}

static rlim_t mapped_bytes(void)
{
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu", &pages) != 1)
		_exit(84);
	fclose(f);
	return pages * 4096;
}

static void get_into(const char *state)
{
	static char stack[65536];
	pthread_t th;

	if (!strcmp(state, "vfork"))
		pthread_create(&th, NULL, in_vfork, NULL);
	if (!strcmp(state, "asleep"))
		pthread_create(&th, NULL, asleep, NULL);
	if (!strcmp(state, "clone") && clone(in_clone, stack + sizeof(stack), CLONE_VM, NULL) < 0)
		_exit(85);
	if (!strcmp(state, "fault"))
		begin_fault();
	if (!strcmp(state, "space"))
		limit(RLIMIT_AS, mapped_bytes() + (1 << 20));
	if (!strcmp(state, "files"))
		limit(RLIMIT_NOFILE, 5);
	if (!strcmp(state, "locked")) {
		limit(RLIMIT_MEMLOCK, mapped_bytes() + (1 << 20));
		if (mlockall(MCL_CURRENT | MCL_FUTURE) || setuid(65534))
			_exit(86);
	}
}

static void rest(void)
{
	char line[64];

	wl_ready_go();
	wl_say("going");
	wl_wait();
	quit = 1;
	close(gate[1]);
	if (faults >= 0)
		end_fault();
	snprintf(line, sizeof(line), "done %lu", rounds);
	wl_say(line);
}

static pthread_t main_thread, th[THREADS];

static void *alone(void *arg)
{
	pthread_join(main_thread, NULL);
	rest();
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	_exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	const char *state = argc > 1 ? argv[1] : "plain";
	static ucontext_t here, there;
	pthread_t other;

	if (pipe(gate))
		return 87;
	filtered = !strcmp(state, "filter");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&th[i], NULL, churn, NULL);
	while (__atomic_load_n(&rounds, __ATOMIC_RELAXED) < 10)
		sched_yield();
	get_into(state);
	if (!strcmp(state, "alone")) {
		main_thread = pthread_self();
		pthread_create(&other, NULL, alone, NULL);
		pthread_exit(NULL);
	}
	if (filtered) {
		getcontext(&there);
		there.uc_stack.ss_size = 1 << 16;
		there.uc_stack.ss_sp = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		there.uc_link = &here;
		makecontext(&there, rest, 0);
		swapcontext(&here, &there);
	} else {
		rest();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	return 0;
}
