/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/selfexec.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "core/util.h"

int selfexec__spawn(const char *argument, int sock, pid_t *ret_pid)
{
	static const char *const kept[] = {"LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS="};
	char *argv[] = {"memwatch", (char *)argument, NULL}, *env[ARRAY_SIZE(kept) + 1] = {0};
	posix_spawn_file_actions_t fa;
	size_t n = 0;
	int err;

	if (!selfexec__serves)
		return -ENOSYS;
	for (char **e = environ; e && *e; e++) {
		for (size_t i = 0; i < ARRAY_SIZE(kept) && n < ARRAY_SIZE(kept); i++) {
			if (!strncmp(*e, kept[i], strlen(kept[i])))
				env[n++] = *e;
		}
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, sock, 0);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	err = posix_spawn(ret_pid, "/proc/self/exe", &fa, NULL, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	return -err;
}

bool selfexec__asked(int argc, char **argv, const char *argument)
{
	int type;
	socklen_t len = sizeof(type);

	return argc == 2 && !strcmp(argv[1], argument) &&
	       !getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_SEQPACKET;
}

static volatile sig_atomic_t nothing;

static void on_child(int sig)
{
	nothing = sig; /* its only use is to end poll() */
}

static void set_signals(sigset_t *ret_waiting)
{
	static const int ignored[] = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP,  SIGPIPE,
				      SIGUSR1, SIGUSR2, SIGTSTP, SIGALRM, SIGTTIN};
	struct sigaction sa = {.sa_handler = on_child};
	sigset_t child;

	for (int s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigaction(SIGCHLD, &sa, NULL);
	sigemptyset(&child);
	sigprocmask(SIG_SETMASK, &child, NULL);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigemptyset(ret_waiting);
}

void selfexec__begin(sigset_t *ret_waiting)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, 1);
		dup2(null, 2);
	}
	syscall(SYS_close_range, 3, ~0U, 0);
	set_signals(ret_waiting);
}
