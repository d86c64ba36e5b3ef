// SPDX-License-Identifier: GPL-2.0-or-later
/* unwindlib: a library that is opened while the program runs and calls back into it. */
#include <stdlib.h>

static void (*say)(const char *);
static int done;

__attribute__((noinline)) static int inner(const void *a, const void *b)
{
	if (!done++)
		say("plugin");
	return *(const char *)a - *(const char *)b;
}

void plugin(void (*fn)(const char *))
{
	char text[] = "unwind";

	say = fn;
	qsort(text, 6, 1, inner);
	done++;
}
