/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lookups.c - asks for files that are not there: what the kernel remembers of that counts as the
 * group's memory, and goes when there is need. Usage: lookups DIR N
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	char path[256];
	struct stat st;

	for (int i = 0; argc == 3 && i < atoi(argv[2]); i++) {
		snprintf(path, sizeof(path), "%s/no-%d", argv[1], i);
		stat(path, &st);
	}
	return 0;
}
