/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unkillable.c - runs its memory cgroup full with a file in a tmpfs, as one whom the kernel may not
 * kill: nobody could be killed then, and the write is refused. Usage: unkillable FILE
 * Says "ready", or "not permitted"; for each line on stdin fills the file until a write is refused, empties it and says
 * "refused". Nothing that it needs for that is allocated then: a page fault in a full group would
 * run for ever.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char block[64 << 10];

int main(int argc, char **argv)
{
	int score = open("/proc/self/oom_score_adj", O_WRONLY);
	int file = open(argv[1], O_CREAT | O_RDWR | O_TRUNC, 0600);
	char c;

	if (score < 0 || write(score, "-1000", 5) != 5)
		return write(1, "not permitted\n", 14) != 14;
	if (file < 0)
		return 1;
	memset(block, 1, sizeof(block));
	if (mlockall(MCL_CURRENT))
		return 1;
	if (write(1, "ready\n", 6) != 6)
		return 1;
	while (read(0, &c, 1) == 1) {
		if (c != '\n')
			continue;
		while (write(file, block, sizeof(block)) == sizeof(block))
			;
		if (ftruncate(file, 0) || lseek(file, 0, SEEK_SET) || write(1, "refused\n", 8) != 8)
			return 1;
	}
	return 0;
}
