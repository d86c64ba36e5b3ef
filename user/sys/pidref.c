/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/pidref.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/privilege.h"
#include "sys/proc_task.h"

#define TICK_NS 10000000ULL /* start times in /proc are cut to that */

int pidref__fd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int pidref__open(pid_t pid, uint64_t start_ns, struct pidref *ret)
{
	struct pidref p = {.pid = pid, .fd = pidref__fd(pid)};
	uint64_t now;

	if (p.fd < 0)
		return p.fd;
	/* read after the descriptor was opened: if it is the process's now, it was then */
	now = proc_task__start_ns(pid);
	if (!now || (start_ns && now / TICK_NS != start_ns / TICK_NS)) {
		pidref__close(&p);
		return -ESRCH;
	}
	*ret = p;
	return 0;
}

bool pidref__is_there(const struct pidref *p)
{
	struct pollfd fd = {.fd = p->fd, .events = POLLIN};

	return p->fd >= 0 && !poll(&fd, 1, 0);
}

void pidref__close(struct pidref *p)
{
	if (p->fd >= 0)
		close(p->fd);
	*p = PIDREF_NONE;
}

int pidref__signal(const struct pidref *p, int sig)
{
	int err;

	privilege__raise(PRIVILEGE_SIGNAL);
	err = syscall(SYS_pidfd_send_signal, p->fd, sig, NULL, 0) ? -errno : 0;
	privilege__lower(PRIVILEGE_SIGNAL);
	return err;
}

int pidref__nice(const struct pidref *p, int *ret)
{
	int value, err;

	errno = 0;
	value = getpriority(PRIO_PROCESS, (id_t)p->pid);
	err = -errno;
	if (!err) {
		err = pidref__signal(p, 0); /* whose it was */
		err = err == -EPERM ? 0 : err;
	}
	if (!err)
		*ret = value;
	return err;
}

static int renice_threads(const struct pidref *p, DIR *tasks, int nice)
{
	struct dirent *d;
	int err = 0;

	/* There is no such call for a pidfd: each thread by its number, while the process lives. */
	while (!err && (d = readdir(tasks))) {
		pid_t tid = atoi(d->d_name);

		if (tid <= 0)
			continue;
		err = pidref__signal(p, 0);
		if ((!err || err == -EPERM) && setpriority(PRIO_PROCESS, (id_t)tid, nice) &&
		    errno != ESRCH) /* a thread that has ended */
			return -errno;
		err = err == -EPERM ? 0 : err;
	}
	return err;
}

int pidref__renice(const struct pidref *p, int nice)
{
	char path[64];
	DIR *tasks;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	tasks = opendir(path);
	if (!tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	privilege__raise(PRIVILEGE_NICE);
	err = renice_threads(p, tasks, nice);
	privilege__lower(PRIVILEGE_NICE);
	closedir(tasks);
	return err;
}
