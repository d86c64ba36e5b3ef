/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * launcher.h - the process that starts the commands of --on-alert and --on-kill.
 *
 * It is forked while memwatch still is what its caller started: the commands get the caller's
 * privileges, signals, limits and descriptors, whatever memwatch has given up since. All that it
 * can be asked for is to run the one command line that it was forked with, to add MEMWATCH_...
 * variables, and to signal what it started. It ends when memwatch does; what runs then goes on.
 */
#ifndef ALERT_LAUNCHER_H
#define ALERT_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct launcher;

/* argv is borrowed by the new process only. 0 or -errno. */
int launcher__new(char **argv, struct launcher **ret);
void launcher__free(struct launcher *l);

/*
 * Starts the command in a process group of its own, with stdin_fd as its standard input and the
 * "NAME=value" strings of env (NULL-terminated) before the caller's. 0 or -errno.
 */
int launcher__start(struct launcher *l, const char *const *env, int stdin_fd, pid_t *ret_pid);

/* Signals the command's process group. */
void launcher__kill(struct launcher *l, pid_t pid, int sig);

/* One command that has ended since the last call, and its wait status; false: none. If the launcher
 * is gone, every command counts as ended: *ret_pid is 0. */
bool launcher__ended(struct launcher *l, pid_t *ret_pid, int *ret_status);

#endif
