/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/proc_task.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"

#define MAX_STATUS (64 << 10)
#define PF_KTHREAD 0x200000 /* include/linux/sched.h */

/* The fields of /proc/PID/stat after the command's closing parenthesis. */
struct stat_fields {
	char state;
	unsigned ppid, flags, nthreads;
	unsigned long long start_ticks;
};

static int read_stat(pid_t pid, struct stat_fields *f)
{
	cleanup_free char *text = NULL;
	char path[64];
	const char *p;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	n = util__read_file(path, MAX_STATUS, &text);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : n;
	p = strrchr(text, ')'); /* the command may hold parentheses itself */
	if (!p || sscanf(p + 1,
			 " %c %u %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u"
			 " %*d %llu",
			 &f->state, &f->ppid, &f->flags, &f->nthreads, &f->start_ticks) != 5)
		return -EBADMSG;
	return 0;
}

__attribute__((format(printf, 3, 4))) static int say(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, PROC_TASK_WHY, fmt, ap);
	va_end(ap);
	return err;
}

int proc_task__check(pid_t pid, char why[PROC_TASK_WHY])
{
	struct stat_fields f;
	char path[64], exe[8];
	int err = read_stat(pid, &f);

	why[0] = 0;
	if (err == -ESRCH && kill(pid, 0) && errno == EPERM)
		return say(why, -EACCES,
			   "PID %d is not shown to this user (/proc is mounted with hidepid): run "
			   "as root (sudo)",
			   pid);
	if (err == -ESRCH)
		return say(why, err, "no process with PID %d", pid);
	if (err)
		return say(why, err, "failed to read /proc/%d/stat: %s", pid, strerror(-err));
	if (f.flags & PF_KTHREAD)
		return say(why, -EOPNOTSUPP, "PID %d is a kernel thread: it has no user memory",
			   pid);
	if ((f.state == 'Z' || f.state == 'X') && f.nthreads > 1)
		return say(why, -EOPNOTSUPP,
			   "the main thread of PID %d has ended before its others: /proc does not "
			   "show its memory",
			   pid);
	if (f.state == 'Z' || f.state == 'X')
		return say(why, -ESRCH, "PID %d has ended (a zombie waits for its parent)", pid);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (readlink(path, exe, sizeof(exe)) < 0 && (errno == EACCES || errno == EPERM))
		return say(why, -EACCES,
			   "not permitted to look into PID %d: run as root (sudo), or with "
			   "CAP_SYS_PTRACE",
			   pid);
	return 0;
}

static __u64 ticks_to_ns(unsigned long long ticks)
{
	return ticks * (1000000000ULL / sysconf(_SC_CLK_TCK));
}

__u64 proc_task__start_ns(pid_t pid)
{
	struct stat_fields f;

	return read_stat(pid, &f) ? 0 : ticks_to_ns(f.start_ticks);
}

static const struct {
	const char *name;
	size_t off;
} size_fields[] = {
	{"VmPeak", offsetof(struct mw_task_row, hiwater_virt_bytes)},
	{"VmSize", offsetof(struct mw_task_row, virt_bytes)},
	{"VmLck", offsetof(struct mw_task_row, locked_bytes)},
	{"VmHWM", offsetof(struct mw_task_row, hiwater_rss_bytes)},
	{"RssAnon", offsetof(struct mw_task_row, anon_bytes)},
	{"RssFile", offsetof(struct mw_task_row, file_bytes)},
	{"RssShmem", offsetof(struct mw_task_row, shmem_bytes)},
	{"VmPTE", offsetof(struct mw_task_row, pgtables_bytes)},
	{"VmSwap", offsetof(struct mw_task_row, swap_bytes)},
};

static void parse_status(char *text, struct mw_task_row *row)
{
	bool has_mm = false;
	char *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ':');
		unsigned euid;

		if (!value)
			continue;
		*value++ = 0;
		if (!strcmp(line, "Uid") && sscanf(value, "%*u %u", &euid) == 1)
			row->uid = euid;
		else if (!strcmp(line, "Threads"))
			row->nr_threads = strtoul(value, NULL, 10);
		for (size_t i = 0; i < ARRAY_SIZE(size_fields); i++) {
			if (strcmp(line, size_fields[i].name))
				continue;
			*(__u64 *)((char *)row + size_fields[i].off) = strtoull(value, NULL, 10)
								       << 10;
			has_mm = true;
		}
	}
	if (!has_mm)
		row->flags |= MW_TASK_NO_MM;
}

int proc_task__read(pid_t pid, struct mw_task_row *ret)
{
	cleanup_free char *status = NULL, *adj = NULL, *comm = NULL;
	struct mw_task_row row = {.tgid = pid};
	struct stat_fields before, after;
	char path[64];
	ssize_t n;
	int err = read_stat(pid, &before);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	n = util__read_file(path, MAX_STATUS, &status);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : n;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = util__read_file(path, MAX_STATUS, &comm);
	if (n > 0)
		memcpy(row.comm, comm, min_of((size_t)n - 1, sizeof(row.comm) - 1));
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	if (util__read_file(path, MAX_STATUS, &adj) > 0)
		row.oom_score_adj = atoi(adj);
	err = read_stat(pid, &after);
	if (err)
		return err;
	if (after.start_ticks != before.start_ticks)
		return -ESRCH; /* two processes had the PID while we read */
	parse_status(status, &row);
	if (before.flags & PF_KTHREAD)
		row.flags |= MW_TASK_KTHREAD;
	row.ppid = before.ppid;
	row.start_ns = ticks_to_ns(before.start_ticks);
	*ret = row;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const pid_t *)a < *(const pid_t *)b ? -1 : *(const pid_t *)a > *(const pid_t *)b;
}

int proc_task__each(bool kthreads, int (*fn)(void *arg, const struct mw_task_row *row), void *arg)
{
	cleanup_dir DIR *dir = opendir("/proc");
	cleanup_free pid_t *pids = NULL;
	size_t n = 0, cap = 0;
	struct dirent *d;

	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		if (array_reserve(pids, cap, n + 1))
			return -ENOMEM;
		pids[n++] = atoi(d->d_name);
	}
	if (n)
		qsort(pids, n, sizeof(*pids), by_number);
	for (size_t i = 0; i < n; i++) {
		struct mw_task_row row;
		int err = proc_task__read(pids[i], &row);

		if (err)
			continue; /* it ended, or it is not ours to read */
		if ((row.flags & MW_TASK_KTHREAD) && !kthreads)
			continue;
		err = fn(arg, &row);
		if (err)
			return err;
	}
	return 0;
}
