/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/proc_task.h"

#include <elf.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/proc_file.h"
#include "sys/proc_status.h"
#include "sys/safeopen.h"

#define MAX_COMM 256 /* kernel workers have longer names than 15 */
#define MAX_STAT 4096
#define PF_KTHREAD 0x200000 /* include/linux/sched.h */

/* The fields of /proc/PID/stat: the command, and what follows its closing parenthesis. */
struct stat_fields {
	char comm[64];
	char state;
	unsigned ppid, flags, nthreads;
	unsigned long long start_ticks, stack_start, start_brk, cpu_ticks[4];
};

static int read_stat(pid_t pid, struct stat_fields *f)
{
	char path[64], text[MAX_STAT];
	const char *p, *open;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	n = proc_file__read(path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	open = strchr(text, '(');
	p = strrchr(text, ')'); /* the command may hold parentheses itself */
	if (!open || !p || p < open)
		return -EBADMSG;
	snprintf(f->comm, sizeof(f->comm), "%.*s", (int)(p - open - 1), open + 1);
	if (sscanf(p + 1,
		   " %c %u %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %u"
		   " %*d %llu %*u %*d %*u %*u %*u %llu"
		   " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &f->state, &f->ppid, &f->flags, &f->cpu_ticks[0], &f->cpu_ticks[1],
		   &f->cpu_ticks[2], &f->cpu_ticks[3], &f->nthreads, &f->start_ticks,
		   &f->stack_start, &f->start_brk) != 11)
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

pid_t proc_task__process(pid_t tid)
{
	struct proc_status s;

	return proc_status__read(tid, &s) ? tid : s.tgid;
}

static bool has_ended(const struct stat_fields *f)
{
	return f->state == 'Z' || f->state == 'X';
}

int proc_task__shares(pid_t thread, pid_t pid)
{
	long r = syscall(SYS_kcmp, thread, pid, KCMP_VM, 0, 0);

	return r < 0 ? -errno : r == 0;
}

pid_t proc_task__shows(pid_t pid)
{
	cleanup_dir DIR *dir = NULL;
	struct stat_fields f;
	struct dirent *d;
	char path[64];

	if (read_stat(pid, &f) || !has_ended(&f) || f.nthreads < 2)
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		pid_t tid = atoi(d->d_name);

		if (tid > 0 && tid != pid && !read_stat(tid, &f) && !has_ended(&f))
			return tid;
	}
	return pid;
}

/* Of a program that the kernel runs in 32-bit mode. */
static bool is_32bit(const char *exe)
{
	unsigned char id[5] = {0};
	struct stat st;
	int fd = safeopen__file(exe, &st);
	bool yes = fd >= 0 && pread(fd, id, sizeof(id), 0) == sizeof(id) &&
		   !memcmp(id, ELFMAG, SELFMAG) && id[EI_CLASS] == ELFCLASS32;

	if (fd >= 0)
		close(fd);
	return yes;
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
	if (has_ended(&f) && proc_task__shows(pid) == pid)
		return say(why, -ESRCH, "PID %d has ended (a zombie waits for its parent)", pid);
	snprintf(path, sizeof(path), "/proc/%d/exe", proc_task__shows(pid));
	if (readlink(path, exe, sizeof(exe)) < 0 && (errno == EACCES || errno == EPERM))
		return say(why, -EACCES,
			   "not permitted to look into PID %d: run as root (sudo), or with "
			   "CAP_SYS_PTRACE",
			   pid);
	if (is_32bit(path))
		return say(why, -EOPNOTSUPP,
			   "PID %d is a 32-bit program: 32-bit programs are not supported; "
			   "memwatch top and memwatch oom see them",
			   pid);
	return 0;
}

int proc_task__comm(pid_t pid, char *buf, size_t size)
{
	char path[64], text[MAX_COMM];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = proc_file__read(path, text, sizeof(text));
	if (n <= 0)
		return n == -ENOENT || !n ? -ESRCH : (int)n;
	text[n - 1] = 0;
	snprintf(buf, size, "%s", text);
	return 0;
}

int proc_task__oom_score_adj(pid_t pid, int *ret)
{
	char path[64], text[16];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	n = proc_file__read(path, text, sizeof(text));
	if (n <= 0)
		return n == -ENOENT || !n ? -ESRCH : (int)n;
	*ret = atoi(text);
	return 0;
}

int proc_task__identity(pid_t pid, struct proc_identity *ret)
{
	struct stat_fields f;
	int err = read_stat(pid, &f);

	if (err)
		return err;
	memcpy(ret->comm, f.comm, sizeof(ret->comm));
	ret->ppid = (pid_t)f.ppid;
	ret->kthread = f.flags & PF_KTHREAD;
	ret->ended = has_ended(&f);
	ret->sleeps = f.state == 'D';
	ret->running = f.state == 'R';
	return 0;
}

bool proc_task__is_running(pid_t pid)
{
	struct proc_identity id;

	return !proc_task__identity(pid, &id) && id.running;
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

__u64 proc_task__cpu_ns(pid_t pid)
{
	struct stat_fields f;
	const unsigned long long *t = f.cpu_ticks;

	return read_stat(pid, &f) ? 0 : ticks_to_ns(t[0] + t[1] + t[2] + t[3]);
}

__u64 proc_task__stack_start(pid_t pid)
{
	struct stat_fields f;

	return read_stat(pid, &f) ? 0 : f.stack_start;
}

__u64 proc_task__start_brk(pid_t pid)
{
	struct stat_fields f;

	return read_stat(pid, &f) ? 0 : f.start_brk;
}

static void take_status(const struct proc_status *s, struct mw_task_row *row)
{
	row->uid = s->euid;
	row->nr_threads = s->threads;
	row->hiwater_virt_bytes = s->size[PROC_VM_PEAK];
	row->virt_bytes = s->size[PROC_VM_SIZE];
	row->locked_bytes = s->size[PROC_VM_LOCKED];
	row->hiwater_rss_bytes = s->size[PROC_RSS_PEAK];
	row->anon_bytes = s->size[PROC_RSS_ANON];
	row->file_bytes = s->size[PROC_RSS_FILE];
	row->shmem_bytes = s->size[PROC_RSS_SHMEM];
	row->pgtables_bytes = s->size[PROC_PAGE_TABLES];
	row->swap_bytes = s->size[PROC_SWAP];
	if (!s->has_memory)
		row->flags |= MW_TASK_NO_MM;
}

int proc_task__read(pid_t pid, struct mw_task_row *ret)
{
	struct proc_status status;
	int adj;
	struct mw_task_row row = {.tgid = pid};
	struct stat_fields before, after;
	int err = read_stat(pid, &before);

	err = err ? err : proc_status__read(proc_task__shows(pid), &status);
	if (err)
		return err;
	proc_task__comm(pid, row.comm, sizeof(row.comm));
	if (!proc_task__oom_score_adj(pid, &adj))
		row.oom_score_adj = (__s16)adj;
	err = read_stat(pid, &after);
	if (err)
		return err;
	if (after.start_ticks != before.start_ticks)
		return -ESRCH; /* two processes had the PID while we read */
	take_status(&status, &row);
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

int proc_task__each_pid(int (*fn)(void *arg, pid_t pid), void *arg)
{
	cleanup_dir DIR *dir = opendir("/proc");
	cleanup_free pid_t *pids = NULL;
	size_t n = 0, cap = 0;
	struct dirent *d;
	int err = 0;

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
	for (size_t i = 0; i < n && !err; i++)
		err = fn(arg, pids[i]);
	return err;
}

struct each_row {
	bool kthreads;
	int (*fn)(void *arg, const struct mw_task_row *row);
	void *arg;
};

static int one_row(void *arg, pid_t pid)
{
	const struct each_row *e = arg;
	struct mw_task_row row;

	if (proc_task__read(pid, &row))
		return 0; /* it ended, or it is not ours to read */
	if ((row.flags & MW_TASK_KTHREAD) && !e->kthreads)
		return 0;
	return e->fn(e->arg, &row);
}

int proc_task__each(bool kthreads, int (*fn)(void *arg, const struct mw_task_row *row), void *arg)
{
	struct each_row e = {kthreads, fn, arg};

	return proc_task__each_pid(one_row, &e);
}

int proc_task__where(pid_t tid, __u64 *ret_ip, __u64 *ret_sp)
{
	unsigned long long ip, sp;
	char path[64], text[512];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	n = proc_file__read(path, text, sizeof(text));
	if (n <= 0)
		return n ? (int)n : -ESRCH;
	if (!strncmp(text, "running", 7))
		return -EAGAIN;
	last = strrchr(text, ' '); /* "NR args… SP PC" or "-1 SP PC" */
	while (last && last > text && last[-1] != ' ')
		last--;
	if (!last || sscanf(last, "%llx %llx", &sp, &ip) != 2)
		return -EBADMSG;
	*ret_ip = ip;
	*ret_sp = sp;
	return 0;
}

struct memory_of {
	pid_t pid, thread; /* of it, one that lives: others have no memory */
};

static int shares_memory(void *arg, pid_t pid)
{
	const struct memory_of *of = arg;

	return pid != of->pid && proc_task__shares(of->thread, pid) > 0;
}

bool proc_task__is_shared(pid_t pid, bool if_unknown)
{
	struct memory_of of = {pid, proc_task__shows(pid)};

	if (proc_task__shares(of.thread, of.thread) < 0) /* a kernel without it */
		return if_unknown;
	return proc_task__each_pid(shares_memory, &of) > 0;
}
