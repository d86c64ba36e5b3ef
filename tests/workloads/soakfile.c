// SPDX-License-Identifier: GPL-2.0-or-later
/* soakfile.c - one of many files that a soak starts: says that it is there, waits, allocates. */
#include <stdlib.h>
#include <unistd.h>

static __attribute__((noinline)) void work_of_a_file(void)
{
	for (int i = 0; i < 100; i++) {
		void *volatile p = malloc(1000 + i);

		if (i % 2)
			free(p);
	}
}

int main(void)
{
	char byte;

	if (write(STDOUT_FILENO, "", 1) != 1 || read(STDIN_FILENO, &byte, 1) < 0)
		return 1;
	work_of_a_file();
	return 0;
}
