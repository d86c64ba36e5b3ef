// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Everything that leaves a function otherwise than by its return, while memory is allocated and
 * verified: exceptions through allocations, longjmp, coroutines (swapcontext), and a signal handler
 * on a stack of its own, a thousand times a second, that takes a backtrace wherever it interrupts
 * and allocates nothing. After a line it says "done 1" if all of them have gone round; ends with
 * another status than 0 if a byte was wrong.
 */
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <new>
#include <pthread.h>
#include <sys/time.h>
#include <ucontext.h>
#include <vector>
#include "wl.h"

static volatile bool stop;
static volatile unsigned long rounds[4], frames;

struct block {
	unsigned char *p;
	size_t n;
	explicit block(size_t size) : p(new unsigned char[size]), n(size)
	{
		memset(p, (int)(n & 0xff), n);
	}
	~block()
	{
		for (size_t i = 0; i < n; i++)
			if (p[i] != (n & 0xff))
				_exit(1);
		delete[] p;
	}
	block(const block &) = delete;
};

static void deep(int depth)
{
	block b((size_t)depth * 37 + 1);

	if (!depth)
		throw depth;
	deep(depth - 1);
}

static void *throws(void *)
{
	while (!stop) {
		try {
			deep(12);
			_exit(2);
		} catch (int) {
			rounds[0]++;
		}
		try {
			wl_keep(::operator new((size_t)-1 / 2));
			_exit(3);
		} catch (const std::bad_alloc &) {
		}
	}
	return nullptr;
}

static void *jumps(void *)
{
	static jmp_buf back;
	void *volatile held[8] = {};

	while (!stop) {
		volatile int n = setjmp(back);

		if (n < 8) {
			held[n] = realloc(malloc(100), 1000 + (size_t)n);
			memset(held[n], n, 1000);
			longjmp(back, n + 1);
		}
		for (int i = 0; i < 8; i++) {
			if (((unsigned char *)held[i])[999] != i)
				_exit(4);
			free(held[i]);
		}
		rounds[1]++;
	}
	return nullptr;
}

static ucontext_t main_context[1], other_context[2];

static void coroutine(int self)
{
	for (;;) {
		void *p = malloc(64), *q = calloc(1, 2000);

		memset(p, self, 64);
		swapcontext(&other_context[self], self ? main_context : &other_context[1]);
		if (((char *)p)[63] != self || ((char *)q)[1999])
			_exit(5);
		free(p);
		free(q);
	}
}

static void *coroutines(void *)
{
	std::vector<char> stacks[2];

	for (int i = 0; i < 2; i++) {
		stacks[i].resize(64 << 10);
		getcontext(&other_context[i]);
		other_context[i].uc_stack.ss_sp = stacks[i].data();
		other_context[i].uc_stack.ss_size = stacks[i].size();
		makecontext(&other_context[i], (void (*)())coroutine, 1, i);
	}
	while (!stop) {
		swapcontext(main_context, &other_context[0]);
		rounds[2]++;
	}
	return nullptr;
}

static void on_signal(int)
{
	void *pc[64];
	int n = backtrace(pc, 64);

	if (n < 1)
		_exit(6);
	frames += (unsigned long)n;
	rounds[3]++;
}

int main()
{
	void *(*const work[])(void *) = {throws, jumps, coroutines};
	struct sigaction sa = {};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	pthread_t t[3];
	void *warm[4];
	char line[64];

	backtrace(warm, 4); /* loads what it needs: not in the handler */
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_ONSTACK | SA_RESTART;
	sigaction(SIGPROF, &sa, nullptr);
	wl_ready_go();
	for (int i = 0; i < 3; i++) {
		auto run = [](void *fn) -> void * {
			stack_t ss = {};
			std::vector<char> stack(256 << 10);

			ss.ss_sp = stack.data();
			ss.ss_size = stack.size();
			sigaltstack(&ss, nullptr);
			((void *(*)(void *))fn)(nullptr);
			ss.ss_flags = SS_DISABLE; /* or a signal meets it when it is freed */
			sigaltstack(&ss, nullptr);
			return nullptr;
		};
		pthread_create(&t[i], nullptr, run, (void *)work[i]);
	}
	setitimer(ITIMER_PROF, &every, nullptr);
	wl_wait();
	stop = true;
	for (pthread_t &x : t)
		pthread_join(x, nullptr);
	snprintf(line, sizeof(line), "done %d", rounds[0] && rounds[1] && rounds[2] && rounds[3]);
	wl_say(line);
	wl_wait();
	_exit(0);
}
