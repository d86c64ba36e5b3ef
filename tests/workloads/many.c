/* SPDX-License-Identifier: GPL-2.0-or-later */
/* many N: says ready; after a line on stdin N pairs of malloc and free; done; ends at a line. */
#include <stdio.h>
#include <stdlib.h>

void *volatile block;

int main(int argc, char **argv)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	if (argc < 2 || !fgets(line, sizeof(line), stdin))
		return 1;
	for (long n = atol(argv[1]); n; n--) {
		block = malloc(100);
		free(block);
	}
	puts("done");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
