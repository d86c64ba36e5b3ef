/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/util.h"
#include "sys/statm.h"

struct id_range {
	uint32_t first, count;
};

/* Ids that nothing is assigned to by distributions and systemd; the second range is systemd's for
 * passing users, for containers that have no higher ids. */
static const struct id_range ranges[] = {{0x70000000, 0x0ffffff0}, {61184, 4336}};

static bool in_map(const char *path, uint32_t id)
{
	cleanup_free char *text = NULL;
	char *line, *save = NULL;

	if (util__read_file(path, 1 << 16, &text) <= 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long first, outer, count;

		if (sscanf(line, "%lu %lu %lu", &first, &outer, &count) == 3 && id >= first &&
		    id - first < count)
			return true;
	}
	return false;
}

/* Whether a process of this user exists. */
static bool in_use(uint32_t id)
{
	cleanup_dir DIR *proc = opendir("/proc");
	struct dirent *d;
	struct stat st;

	while (proc && (d = readdir(proc))) {
		if (*d->d_name >= '1' && *d->d_name <= '9' &&
		    !fstatat(dirfd(proc), d->d_name, &st, 0) && st.st_uid == id)
			return true;
	}
	return false;
}

static uint32_t pick_id(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (int tries = 0; tries < 8; tries++) {
			uint32_t r;

			if (getrandom(&r, sizeof(r), 0) != sizeof(r))
				r = (uint32_t)util__mix64(util__now_ns() ^ getpid());
			r = ranges[i].first + r % ranges[i].count;
			if (in_map("/proc/self/uid_map", r) && in_map("/proc/self/gid_map", r) &&
			    !in_use(r))
				return r;
		}
	}
	return 0;
}

static int write_text(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : util__write_all(fd, text, strlen(text));
}

static int own_namespace(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER))
		return -EPERM;
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", ranges[0].first, uid);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", ranges[0].first, gid);
	write_text("/proc/self/gid_map", map);
	return 0;
}

/*
 * A user and group that no other process has: nobody but root may then signal or trace this one. A
 * random id of a range that distributions assign to nothing, for who may change users; else a user
 * namespace with such an id, in which the process has all capabilities until
 * no_privileges. The process must have one thread. 0, or -EPERM: neither is permitted.
 */
static int own_user(void)
{
	uint32_t id = pick_id();

	/* The capability to change root is needed for one step more. */
	prctl(PR_SET_KEEPCAPS, 1);
	if (id && !setgroups(0, NULL) && !setresgid(id, id, id) && !setresuid(id, id, id))
		return 0;
	return own_namespace();
}

static int set_caps(uint32_t effective)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	if (syscall(SYS_capget, &h, d))
		return -errno;
	effective &= d[0].permitted;
	d[0] = (struct __user_cap_data_struct){effective, effective, 0};
	d[1] = (struct __user_cap_data_struct){0};
	return syscall(SYS_capset, &h, d) ? -errno : 0;
}

/*
 * A process that shares this one's root changes it to a directory of its own in /proc and ends:
 * what remains is a directory that will never have an entry again, on any system.
 */
/* Its root is a directory without entries: no path leads anywhere. 0 or -errno. */
static int no_root(void)
{
	pid_t pid;

	set_caps(1u << CAP_SYS_CHROOT | 1u << CAP_SETPCAP);
	pid = syscall(SYS_clone, CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(chroot("/proc/self/fdinfo") || chdir("/") ? 1 : 0);
	for (int status;;) {
		if (waitpid(pid, &status, 0) == pid)
			return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
		if (errno != EINTR)
			return -errno;
	}
}

/* No capabilities, none to be had again, not dumpable (no core, nobody traces it). */
static int no_privileges(void)
{
	int err;

	for (int cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	err = set_caps(0);
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = err ?: -errno;
	return err;
}

/* Landlock: no file may be opened, made or removed by path, whatever the mode bits say. 0,
 * -EOPNOTSUPP or other negative errno. */
static int no_paths(void)
{
	struct landlock_ruleset_attr attr = {0};
	int abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	cleanup_fd int fd = -1;

	if (abi < 1)
		return -EOPNOTSUPP;
	/* the first version's thirteen rights, then refer, truncate, device ioctl */
	attr.handled_access_fs = (1ULL << (abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13)) - 1;
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (fd < 0)
		return -errno;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_landlock_restrict_self, fd, 0) ? -errno : 0;
}

void sandbox__enter(const struct sandbox_limits *l)
{
	own_user();
	no_root();
	no_privileges();
	no_paths();
	sandbox__limit(l);
}

uint64_t sandbox__memory(void)
{
	struct statm s;

	return statm__read(getpid(), &s) ? 0 : s.data;
}

static void limit(int what, uint64_t soft, uint64_t hard)
{
	struct rlimit rl = {soft, hard};

	if (soft != SANDBOX_NO_LIMIT)
		setrlimit(what, &rl);
}

void sandbox__limit(const struct sandbox_limits *l)
{
	limit(RLIMIT_CORE, 0, 0);
	if (l->memory_bytes != SANDBOX_NO_LIMIT && l->base_bytes)
		limit(RLIMIT_DATA, l->base_bytes + l->memory_bytes,
		      l->base_bytes + l->memory_bytes);
	limit(RLIMIT_FSIZE, l->file_bytes, l->file_bytes);
	limit(RLIMIT_NOFILE, l->files, l->files);
	limit(RLIMIT_NPROC, l->processes, l->processes);
	limit(RLIMIT_CPU, l->cpu_seconds, l->cpu_seconds + 1);
}

static void allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
}

static void add_rules(scmp_filter_ctx ctx, enum sandbox_calls calls)
{
	static const int reader[] = {
		SCMP_SYS(read),
		SCMP_SYS(pread64),
		SCMP_SYS(readv),
		SCMP_SYS(lseek),
		SCMP_SYS(write),
		SCMP_SYS(pwrite64),
		SCMP_SYS(ftruncate),
		SCMP_SYS(memfd_create),
		SCMP_SYS(recvmsg),
		SCMP_SYS(sendmsg),
		SCMP_SYS(close),
		SCMP_SYS(fstat),
		SCMP_SYS(brk),
		SCMP_SYS(mremap),
		SCMP_SYS(munmap),
		SCMP_SYS(madvise),
		SCMP_SYS(futex),
		SCMP_SYS(exit_group),
		SCMP_SYS(exit),
		SCMP_SYS(setitimer),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(restart_syscall),
		SCMP_SYS(getrandom),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(clock_nanosleep),
		SCMP_SYS(sched_yield),
		SCMP_SYS(sysinfo), /* the C library's qsort() asks how much memory there is */
	};
	static const int starter[] = {
		SCMP_SYS(clone),     SCMP_SYS(clone3),	     SCMP_SYS(wait4),
		SCMP_SYS(kill),	     SCMP_SYS(poll),	     SCMP_SYS(ppoll),
		SCMP_SYS(prlimit64), SCMP_SYS(setrlimit),    SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(prctl),     SCMP_SYS(rt_sigaction), SCMP_SYS(set_robust_list),
		SCMP_SYS(getpid),    SCMP_SYS(gettid),	     SCMP_SYS(rseq),
		SCMP_SYS(getppid),   SCMP_SYS(close_range),  SCMP_SYS(set_tid_address),
		SCMP_SYS(dup2),	     SCMP_SYS(dup3),
	};

	static const int server[] = {
		SCMP_SYS(accept4),	SCMP_SYS(recvfrom),	 SCMP_SYS(sendto),
		SCMP_SYS(sendfile),	SCMP_SYS(writev),	 SCMP_SYS(shutdown),
		SCMP_SYS(getsockopt),	SCMP_SYS(setsockopt),	 SCMP_SYS(getsockname),
		SCMP_SYS(getpeername),	SCMP_SYS(epoll_ctl),	 SCMP_SYS(epoll_wait),
		SCMP_SYS(epoll_pwait),	SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2),
		SCMP_SYS(poll),		SCMP_SYS(ppoll),	 SCMP_SYS(gettimeofday),
		SCMP_SYS(clock_getres),
	};

	static const int apart[] = {
		SCMP_SYS(socketpair),	 SCMP_SYS(setsockopt),	   SCMP_SYS(poll),
		SCMP_SYS(ppoll),	 SCMP_SYS(writev),	   SCMP_SYS(rt_sigpending),
		SCMP_SYS(rt_sigaction),	 SCMP_SYS(rt_sigprocmask), SCMP_SYS(signalfd4),
		SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),	   SCMP_SYS(epoll_wait),
		SCMP_SYS(epoll_pwait)};

	allow(ctx, reader, ARRAY_SIZE(reader));
	if (calls == SANDBOX_APART)
		allow(ctx, apart, ARRAY_SIZE(apart));
	if (calls == SANDBOX_STARTER || calls == SANDBOX_SERVER_STARTER)
		allow(ctx, starter, ARRAY_SIZE(starter));
	if (calls == SANDBOX_SERVER || calls == SANDBOX_SERVER_STARTER) {
		allow(ctx, server, ARRAY_SIZE(server));
		seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				 SCMP_A1(SCMP_CMP_EQ, F_SETFL));
	}
	/* memory that is never executable; what libelf asks of a descriptor */
	/* memory that is shared with nobody by a file is in no limit */
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			 SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED, 0));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			 SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFD));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_SETFD));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			 SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
	/* the C library's fstat() */
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
			 SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
}

int sandbox__compile(enum sandbox_calls calls, struct sock_fprog *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	cleanup_free void *code = NULL;
	off_t len;
	int err;

	if (!ctx)
		return -ENOMEM;
	if (fd < 0) {
		seccomp_release(ctx);
		return -errno;
	}
	add_rules(ctx, calls);
	err = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (err)
		return err;
	len = lseek(fd, 0, SEEK_END);
	code = malloc(len);
	if (!code)
		return -ENOMEM;
	if (pread(fd, code, len, 0) != len)
		return -EIO;
	ret->len = len / sizeof(struct sock_filter);
	ret->filter = take_ptr(code);
	return 0;
}

int sandbox__apply(const struct sock_fprog *filter)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, filter, 0, 0) ? -errno : 0;
}
