// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * passing.c - processes that come and go: COUNT of them, RATE a second, each this program anew, which
 * allocates and frees for a while (every twentieth for seconds) and ends. Says "done" when the last
 * has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void wait_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static int live(int ms)
{
	for (int i = 0; i < ms / 5; i++) {
		void *volatile p = malloc(5000);

		memset(p, 1, 5000);
		if (i % 2)
			free(p);
		wait_ms(5);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int count, rate;

	if (argc == 2)
		return live(atoi(argv[1]));
	if (argc != 3)
		return 2;
	count = atoi(argv[1]);
	rate = atoi(argv[2]);
	for (int i = 0; i < count; i++) {
		char ms[16];

		snprintf(ms, sizeof(ms), "%d", i % 20 ? 100 + i * 37 % 300 : 3000);
		if (!fork()) {
			execl(argv[0], argv[0], ms, NULL);
			_exit(1);
		}
		wait_ms(1000 / rate);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	while (wait(NULL) > 0)
		;
	puts("done");
	return 0;
}
