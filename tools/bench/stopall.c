// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stopall PID: stops all threads of a process as a debugger does and lets them go at once: the
 * least that anybody takes who wants them all to stand still. Prints the milliseconds from the
 * first request until the last has stopped.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_THREADS 1024

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	pid_t tid[MAX_THREADS];
	char path[64];
	struct dirent *d;
	double start;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", argc > 1 ? atoi(argv[1]) : 0);
	dir = opendir(path);
	if (!dir) {
		perror(path);
		return 1;
	}
	start = now_ms();
	while (n < MAX_THREADS && (d = readdir(dir))) {
		tid[n] = atoi(d->d_name);
		if (tid[n] > 0 && !ptrace(PTRACE_SEIZE, tid[n], 0, 0) &&
		    !ptrace(PTRACE_INTERRUPT, tid[n], 0, 0))
			n++;
	}
	for (int i = 0; i < n; i++)
		waitpid(tid[i], NULL, __WALL);
	printf("%.3f\n", now_ms() - start);
	for (int i = 0; i < n; i++)
		ptrace(PTRACE_DETACH, tid[i], 0, 0);
	closedir(dir);
	return !n;
}
