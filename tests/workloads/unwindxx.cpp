// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unwindxx: stacks while a C++ exception is in flight: in a destructor run by the unwinder, in a
 * catch block, and after it. Protocol as in unwind.c.
 */
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <unistd.h>

static char line[64];
static int size = 100000;
volatile int sink;

extern "C" __attribute__((noinline, noclone)) void checkpoint(const char *what)
{
	char buf[96];
	int n = ++size;
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p) : : "memory");
	int len = snprintf(buf, sizeof(buf), "at %s %d\n", what, n);
	if (write(1, buf, len) != len || read(0, line, sizeof(line)) <= 0)
		_exit(0);
	__asm__ volatile("" : "+r"(p) : : "memory");
}

struct guard {
	int n;
	__attribute__((noinline)) ~guard()
	{
		if (n == 3)
			checkpoint("destructor");
		sink = sink + n;
	}
};

__attribute__((noinline)) static int thrower(int n)
{
	guard g{n};

	if (!n)
		throw std::runtime_error("in flight");
	sink = sink + thrower(n - 1);
	return sink;
}

__attribute__((noinline)) static void catcher()
{
	try {
		sink = sink + thrower(6);
	} catch (const std::exception &e) {
		checkpoint("catch");
		sink = sink + 1;
	}
	checkpoint("after");
	sink = sink + 1;
}

int main()
{
	if (write(1, "ready\n", 6) != 6 || read(0, line, sizeof(line)) <= 0)
		return 1;
	catcher();
	if (write(1, "done\n", 5) != 5 || read(0, line, sizeof(line)) <= 0)
		return 1;
	return 0;
}
