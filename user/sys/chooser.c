/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/chooser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/cgroup.h"
#include "sys/proc_image.h"
#include "sys/proc_task.h"

#define MAX_PARENTS 16
#define DELETED " (deleted)"

static void read_exe(pid_t pid, char *ret, size_t size)
{
	size_t n;

	proc_image__path(pid, ret, size);
	n = strlen(ret);
	if (n > strlen(DELETED) && !strcmp(ret + n - strlen(DELETED), DELETED))
		ret[n - strlen(DELETED)] = 0; /* a new version was put in its place */
}

/* Is it this program, or started by it? Of init all orphans are children. */
static bool is_own(pid_t pid)
{
	struct proc_identity id;

	for (int i = 0; i < MAX_PARENTS && pid > 1; i++) {
		if (pid == getpid())
			return true;
		if (proc_task__identity(pid, &id))
			break;
		pid = id.ppid;
	}
	return false;
}

bool chooser__means(const struct selector *s, pid_t pid)
{
	bool named = selector__uses(s, SELECTOR_NAME);
	cleanup_free char *cgroups = NULL;
	struct proc_identity id;
	struct mw_task_row row = {0};
	char exe[4096] = "";

	if (proc_task__identity(pid, &id) || id.kthread || id.ended)
		return false;
	if (named)
		read_exe(pid, exe, sizeof(exe));
	if (selector__uses(s, SELECTOR_UNIT) || selector__uses(s, SELECTOR_CGROUP) ||
	    selector__uses(s, SELECTOR_CONTAINER))
		cgroups = cgroup__text(pid);
	if (selector__uses(s, SELECTOR_USER) && proc_task__read(pid, &row))
		return false;
	return selector__match(s, &(struct selector_facts){.comm = id.comm,
							   .exe = *exe ? exe : NULL,
							   .cgroups = cgroups,
							   .uid = row.uid}) &&
	       !is_own(pid);
}

struct visit {
	const struct selector *s;
	int (*fn)(void *arg, pid_t pid);
	void *arg;
};

static int visit(void *arg, pid_t pid)
{
	const struct visit *v = arg;

	return chooser__means(v->s, pid) ? v->fn(v->arg, pid) : 0;
}

int chooser__each(const struct selector *s, int (*fn)(void *arg, pid_t pid), void *arg)
{
	struct visit v = {s, fn, arg};

	return proc_task__each_pid(visit, &v);
}
