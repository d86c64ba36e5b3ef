/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viewer.c - see viewer.h. */
#include "report/viewer.h"

#include "core/log.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "sys/outfile.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* The child has the signals as they were before memwatch ignored them. */
static int start(char *const argv[], int in, int out, pid_t *ret)
{
	posix_spawn_file_actions_t acts;
	posix_spawnattr_t attr;
	sigset_t reset;
	int err = posix_spawn_file_actions_init(&acts);

	if (err)
		return -err;
	err = posix_spawnattr_init(&attr);
	if (err) {
		posix_spawn_file_actions_destroy(&acts);
		return -err;
	}
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&acts, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&acts, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&acts, out, STDOUT_FILENO);
	sigemptyset(&reset);
	sigaddset(&reset, SIGINT);
	sigaddset(&reset, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &reset);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	err = posix_spawnp(ret, argv[0], &acts, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&acts);
	return -err;
}

static void wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

int viewer__pipe(const char *command, int (*fn)(FILE *f, void *arg), void *arg)
{
	char *argv[] = {"/bin/sh", "-c", (char *)command, NULL};
	void (*interrupt)(int);
	int ends[2], err;
	pid_t pid;
	FILE *f;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	err = start(argv, ends[0], -1, &pid);
	close(ends[0]);
	if (err) {
		close(ends[1]);
		return err;
	}
	/* Ctrl-C is for the pager alone. */
	interrupt = signal(SIGINT, SIG_IGN);
	f = fdopen(ends[1], "w");
	if (f) {
		err = fn(f, arg);
		if (fclose(f) && !err)
			err = -errno;
	} else {
		err = -errno;
		close(ends[1]);
	}
	wait_for(pid);
	signal(SIGINT, interrupt);
	return err == -EPIPE ? 0 : err;
}

/* Programs that may show a file, the user's own choice first. */
static size_t programs(const char *name, const char *list[8])
{
	size_t n = 0;

	if (strcmp(name, "web") && strcmp(name, "weblist")) {
		list[n++] = name;
		return n;
	}
	if (surroundings.browser)
		list[n++] = surroundings.browser;
	list[n++] = "sensible-browser";
	list[n++] = "xdg-open";
	list[n++] = "chromium";
	list[n++] = "google-chrome";
	list[n++] = "firefox";
	return n;
}

/* A program that shows windows needs a place for them. */
static bool has_display(void)
{
	return surroundings.has_display || surroundings.browser;
}

int viewer__show(const char *name, const char *ending, int (*fn)(FILE *f, void *arg), void *arg)
{
	const char *list[8], *dir = surroundings.tmp ? surroundings.tmp : "/tmp";
	cleanup_free char *path = NULL;
	size_t n = programs(name, list);
	int fd, err;

	if (asprintf(&path, "%s/memwatch-XXXXXX.%s", dir, ending) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = mkostemps(path, (int)strlen(ending) + 1, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	err = outfile__write(path, fn, arg);
	if (err) {
		unlink(path);
		return err;
	}
	for (size_t i = 0; i < n && has_display(); i++) {
		char *argv[] = {(char *)list[i], path, NULL};
		pid_t pid;

		if (!start(argv, -1, STDERR_FILENO, &pid)) {
			log_info("%s shows %s", list[i], path);
			return 0;
		}
	}
	log_info("no program to show it: the report is in %s", path);
	return 0;
}
