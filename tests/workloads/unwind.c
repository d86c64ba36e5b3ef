// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unwind [PLUGIN.so PLT_START PLT_END]: shapes of stacks that are hard to walk. Each case
 * allocates a size of its own in checkpoint(), says "at CASE SIZE" and waits for a line, so that a
 * debugger can be asked for the same stack. Ends with "done".
 */
#define _GNU_SOURCE
#include <alloca.h>
#ifndef STATIC
#include <dlfcn.h>
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static char line[64];
static int size = 100000;

static void say(const char *what, int n)
{
	char buf[96];
	int len = snprintf(buf, sizeof(buf), "at %s %d\n", what, n);

	if (write(1, buf, len) != len)
		_exit(3);
}

/* Does not return to its caller in a tail call, whatever the optimiser thinks of it. */
NOINLINE void checkpoint(const char *what)
{
	int n = ++size;
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p) : : "memory");
	say(what, n);
	if (read(0, line, sizeof(line)) <= 0)
		_exit(0);
	__asm__ volatile("" : "+r"(p) : : "memory");
}

static volatile int sink;

NOINLINE static int recursion(int n)
{
	if (!n)
		checkpoint("recursion");
	else
		sink += recursion(n - 1);
	return sink + n;
}

static int compared;

NOINLINE static int compare(const void *a, const void *b)
{
	if (!compared++)
		checkpoint("qsort");
	return *(const int *)a - *(const int *)b;
}

static void on_signal(int sig)
{
	checkpoint("signal");
	sink++;
}

static void on_altstack(int sig)
{
	checkpoint("altstack");
	sink++;
}

NOINLINE static void interrupted(void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
	stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536};

	sigaltstack(&st, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR2);
	sink++;
}

/* Interrupted at an instruction, not in a system call. */
static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	checkpoint("fault");
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
}

NOINLINE static void faulting(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGILL, &sa, NULL);
	__asm__ volatile("ud2");
	sink++;
}

NOINLINE static int with_alloca(int n)
{
	char *p = alloca(n * 17);

	memset(p, n, n * 17);
	checkpoint("alloca");
	return p[n];
}

NOINLINE static int over_aligned(int n)
{
	_Alignas(256) char a[512];
	char *p = alloca(n);

	memset(a, n, sizeof(a));
	memset(p, n, n);
	sink += with_alloca(n);
	checkpoint("aligned");
	return a[n] + p[1];
}

NOINLINE static int with_vla(int n)
{
	int a[n], b[n * 2];

	for (int i = 0; i < n; i++)
		a[i] = b[2 * i] = i;
	checkpoint("vla");
	return a[n - 1] + b[0];
}

NOINLINE static int with_large_frame(int n)
{
	volatile char big[300000];

	big[n] = n;
	checkpoint("large");
	return big[n];
}

static void *in_thread(void *arg)
{
	sink += recursion(2);
	checkpoint("thread");
	return NULL;
}

NOINLINE static void threads(void)
{
	pthread_t t;

	pthread_create(&t, NULL, in_thread, NULL);
	pthread_join(t, NULL);
	sink++;
}

NOINLINE static void vforks(void)
{
	int status;
	pid_t pid = vfork();

	if (!pid)
		_exit(7);
	checkpoint("vfork");
	waitpid(pid, &status, 0);
	sink += status;
}

#ifndef STATIC
static unsigned long plt_start, plt_end;
static int traps;

/* Single-stepping through a call: stops in the PLT entry, whose own rules then count. */
static void on_step(int sig, siginfo_t *si, void *ctx)
{
	unsigned long pc = ((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];

	if (pc < plt_start || pc >= plt_end || traps >= 5)
		return;
	traps++;
	checkpoint("plt");
}

NOINLINE static void through_plt(void)
{
	struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

	sigaction(SIGTRAP, &sa, NULL);
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
	sink += strverscmp("10", "9"); /* first call: bound lazily */
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
	sink++;
}

NOINLINE static void plugin(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW);
	void (*fn)(void (*)(const char *)) = lib ? dlsym(lib, "plugin") : NULL;

	if (!fn)
		_exit(4);
	say("opened", 0);
	if (read(0, line, sizeof(line)) <= 0)
		_exit(0);
	fn(checkpoint);
	sink++;
}
#endif

int main(int argc, char **argv)
{
	int numbers[] = {3, 1, 4, 1, 5, 9, 2, 6};

	if (write(1, "ready\n", 6) != 6 || read(0, line, sizeof(line)) <= 0)
		return 1;
	sink += recursion(40);
	qsort(numbers, 8, sizeof(numbers[0]), compare);
	interrupted(on_signal, 0);
	interrupted(on_altstack, SA_ONSTACK);
	faulting();
	sink += over_aligned(20);
	sink += with_vla(33);
	sink += with_large_frame(5);
	threads();
	vforks();
#ifndef STATIC
	if (argc > 3) {
		plt_start = strtoul(argv[2], NULL, 0);
		plt_end = strtoul(argv[3], NULL, 0);
		through_plt();
		plugin(argv[1]);
	}
#endif
	if (write(1, "done\n", 5) != 5 || read(0, line, sizeof(line)) <= 0)
		return 1;
	return 0;
}
