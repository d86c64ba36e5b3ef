/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "go/attached.h"
#include "observe/faults.h"

#define INITIAL_PID_NS_INO 0xeffffffcu

static int status_of(int err)
{
	switch (err) {
	case -ESRCH:
	case -ENOENT: return EXIT_NO_PROCESS;
	case -EPERM:
	case -EACCES:
	case -EOPNOTSUPP:
	case -ENOSYS: return EXIT_UNSUPPORTED;
	}
	return EXIT_FAILED;
}

/* The kernel tells PIDs of the initial namespace; in another one every number would be wrong. */
static bool in_initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NS_INO;
}

int attach__open(const struct attach_options *o, struct observer **ret)
{
	struct observer_opts opts = {.sample_bytes = o->sample_bytes, .follow = o->follow};
	int err;

	if (o->faults) {
		opts.fault_period = o->fault_period ? o->fault_period : FAULTS_DEFAULT_PERIOD;
		opts.faults_only = true;
		opts.faults_all = o->faults_all;
		opts.no_mmap = o->faults_all; /* the system calls of all would pay */
	}
	if (geteuid() != 0 && !features__privileged()) {
		log_error("not permitted: attaching needs root (sudo), or CAP_BPF, CAP_PERFMON and "
			  "CAP_SYS_PTRACE");
		return EXIT_UNSUPPORTED;
	}
	if (!in_initial_pid_namespace()) {
		log_error("not supported in a PID namespace: run memwatch on the host, with the "
			  "host's "
			  "PID of the process (a container needs --pid=host)");
		return EXIT_UNSUPPORTED;
	}
	err = observer__new(&opts, ret);
	if (!err)
		return EXIT_DONE;
	log_error("failed to load: %s", observer__error()[0] ? observer__error() : strerror(-err));
	return status_of(err);
}

void attach__announce(struct observer *s, const struct target *t)
{
	char rate[UNITS_LEN], how[64];

	if (s->opts.faults_only) {
		log_info("attached to PID %d (%s): one page fault in %u is sampled", t->pid,
			 t->comm, s->opts.fault_period);
		return;
	}
	if (s->opts.sample_bytes > 1)
		snprintf(how, sizeof(how), "one sample per %s",
			 units__size(rate, sizeof(rate), s->opts.sample_bytes));
	else
		snprintf(how, sizeof(how), "every allocation");
	if (t->go) {
		log_info("attached to PID %d (%s, %s%s): the runtime's own heap profile%s", t->pid,
			 t->comm, go_attached__version(t->go),
			 go_attached__cgo(t->go) ? ", cgo" : "",
			 go_attached__cgo(t->go) ? ", and the C allocator's by probes" : "");
		if (!go_attached__cgo(t->go))
			return;
	}
	if (!t->nprobes)
		log_warn("no allocation functions found in PID %d (%s): only its anonymous "
			 "mappings are "
			 "profiled%s",
			 t->pid, t->comm, t->nmaps ? " (a static program without symbols?)" : "");
	log_info("attached to PID %d (%s): %zu probes in %zu files, %s, %s", t->pid, t->comm,
		 t->nprobes, t->nfiles, features__method(&s->features), how);
}

int attach__add(struct observer *s, int pid, const struct attach_options *o)
{
	struct target *t;
	int err = observer__add(s, pid, &t);

	if (err) {
		if (observer__error()[0])
			log_error("%s", observer__error());
		else
			log_error("failed to attach to PID %d: %s", pid, strerror(-err));
		return status_of(err);
	}
	attach__announce(s, t);
	return EXIT_DONE;
}
