// SPDX-License-Identifier: GPL-2.0-or-later
// A forked child whose operator new throws and is caught. The child inherits the breakpoints of
// the probes; it must live through its exceptions all the same.
#include <new>
#include <cstdio>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(3);
}

static int throw_and_catch()
{
	int caught = 0;

	for (int i = 0; i < 5; i++) {
		try {
			void *volatile p = ::operator new(1UL << 62);
			(void)p;
		} catch (std::bad_alloc &) {
			caught++;
		}
	}
	return caught;
}

int main()
{
	char line[64], out[64];
	int status = -1;

	throw_and_catch(); /* what the runtime allocates for its first exception is there now */
	say("ready\n");
	if (read(0, line, sizeof(line)) < 0)
		return 3;
	if (!fork())
		_exit(throw_and_catch());
	wait(&status);
	snprintf(out, sizeof(out), "done %d %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		 throw_and_catch());
	say(out);
	return read(0, line, sizeof(line)) < 0;
}
