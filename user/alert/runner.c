/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alert/launcher.h"
#include "core/keyhash.h"
#include "core/log.h"
#include "core/surroundings.h"
#include "core/util.h"

#define KILL_AFTER_NS 2000000000ULL /* between TERM and KILL */

struct runner {
	char **argv;
	struct launcher *launcher;
	const char *option; /* whose command it is, for messages */
	uint64_t timeout_ns;
	struct {
		pid_t pid; /* 0: free */
		uint64_t whose, start_ns;
		bool told; /* TERM was sent */
	} job[RUNNER_MAX];
};

int runner__split(const char *command, char ***ret)
{
	size_t len = strlen(command), max = len / 2 + 2, n = 0;
	char **argv = calloc(1, max * sizeof(*argv) + len + 1);
	char *to = (char *)(argv + max), quote = 0;
	bool in_word = false;

	if (!argv)
		return -ENOMEM;
	for (const char *p = command; *p; p++) {
		if (!quote && strchr(" \t\n", *p)) {
			if (in_word)
				*to++ = 0;
			in_word = false;
			continue;
		}
		if (!in_word)
			argv[n++] = to;
		in_word = true;
		if (quote && *p == quote)
			quote = 0;
		else if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
		else if (*p == '\\' && quote != '\'' && p[1])
			*to++ = *++p;
		else
			*to++ = *p;
	}
	*to = 0;
	if (quote || !n || !argv[0][0]) {
		free(argv);
		return -EINVAL;
	}
	*ret = argv;
	return 0;
}

static int check_executable(const char *name)
{
	const char *path = surroundings.path;
	char full[4096];
	int err = -ENOENT;

	if (strchr(name, '/'))
		return access(name, X_OK) ? -errno : 0;
	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");

		snprintf(full, sizeof(full), "%.*s/%s", (int)len, path, name);
		if (!access(full, X_OK))
			return 0;
		if (errno == EACCES)
			err = -EACCES;
		path += len + (path[len] == ':');
	}
	return err;
}

int runner__check(const char *command)
{
	char **argv = NULL;
	int err = runner__split(command, &argv);

	if (!err)
		err = check_executable(argv[0]);
	free(argv);
	return err;
}

int runner__new(const char *command, const char *option, uint64_t timeout_ns, struct runner **ret)
{
	struct runner *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->timeout_ns = timeout_ns;
	r->option = option;
	err = runner__split(command, &r->argv);
	if (!err)
		err = check_executable(r->argv[0]);
	if (!err)
		err = launcher__new(r->argv, &r->launcher);
	if (err) {
		runner__free(r);
		return err;
	}
	*ret = r;
	return 0;
}

/* A file in memory: the command reads it at its own pace, or not at all, and nobody blocks. */
static int stdin_of(const char *json, size_t len)
{
	int fd = memfd_create("memwatch-alert", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = util__write_all(fd, json, len);
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

uint64_t runner__whose(pid_t pid, uint32_t uid, const char *cgroup)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (uid == UINT32_MAX && pid > 0 && !stat(path, &st))
		uid = st.st_uid;
	return uid && uid != UINT32_MAX ? uid : keyhash__bytes(cgroup, strlen(cgroup)) << 32;
}

/* A free place, RUNNER_MAX: there is none. Who has two leaves others as many as he may have. */
static size_t find_place(const struct runner *r, uint64_t whose, int *ret_err)
{
	size_t slot = RUNNER_MAX, free_cnt = 0, own = 0;

	for (size_t i = RUNNER_MAX; i-- > 0;) {
		if (!r->job[i].pid)
			slot = i;
		free_cnt += !r->job[i].pid;
		own += r->job[i].pid && r->job[i].whose == whose;
	}
	*ret_err = !free_cnt ? -EBUSY : -EDQUOT;
	return own >= 2 && free_cnt <= RUNNER_MAX - RUNNER_OF_ONE ? RUNNER_MAX : slot;
}

const char *runner__why(int err)
{
	switch (err) {
	case -EBUSY: return "too many of them run already";
	case -EDQUOT: return "too many of them run for the same user or cgroup already";
	default: return strerror(-err);
	}
}

int runner__start(struct runner *r, uint64_t whose, const char *const *env, const char *json,
		  size_t len)
{
	uint64_t now = util__now_ns();
	size_t slot;
	int fd, err;

	runner__tick(r);
	slot = find_place(r, whose, &err);
	if (slot == RUNNER_MAX)
		return err;
	fd = stdin_of(json, len);
	if (fd < 0)
		return fd;
	err = launcher__start(r->launcher, env, fd, &r->job[slot].pid);
	close(fd);
	if (err) {
		r->job[slot].pid = 0;
		return err;
	}
	r->job[slot].whose = whose;
	r->job[slot].start_ns = now;
	r->job[slot].told = false;
	return 0;
}

static bool any_running(const struct runner *r)
{
	for (size_t i = 0; i < RUNNER_MAX; i++) {
		if (r->job[i].pid)
			return true;
	}
	return false;
}

/* pid 0: whatever runs; nobody is there to tell how it ends. */
static void has_ended(struct runner *r, pid_t pid, int status)
{
	for (size_t i = 0; i < RUNNER_MAX; i++) {
		if (!pid || r->job[i].pid == pid)
			r->job[i].pid = 0;
	}
	if (WIFSIGNALED(status))
		log_warn("the command of %s was ended by signal %d", r->option, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		log_warn("the command of %s failed with status %d", r->option, WEXITSTATUS(status));
}

void runner__tick(struct runner *r)
{
	uint64_t now = util__now_ns();
	int status;
	pid_t pid;

	while (any_running(r) && launcher__ended(r->launcher, &pid, &status))
		has_ended(r, pid, status);
	for (size_t i = 0; i < RUNNER_MAX; i++) {
		uint64_t ran;

		if (!r->job[i].pid)
			continue;
		ran = now - r->job[i].start_ns;
		if (ran < r->timeout_ns)
			continue;
		if (!r->job[i].told) {
			log_warn("the command of %s takes too long: ending it", r->option);
			launcher__kill(r->launcher, r->job[i].pid, SIGTERM);
			r->job[i].told = true;
		} else if (ran > r->timeout_ns + KILL_AFTER_NS) {
			launcher__kill(r->launcher, r->job[i].pid, SIGKILL);
		}
	}
}

void runner__finish(struct runner *r)
{
	while (any_running(r)) {
		runner__tick(r);
		if (any_running(r))
			poll(NULL, 0, 20);
	}
}

void runner__free(struct runner *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < RUNNER_MAX; i++) {
		if (r->job[i].pid)
			launcher__kill(r->launcher, r->job[i].pid, SIGKILL);
	}
	launcher__free(r->launcher);
	free(r->argv);
	free(r);
}
