/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * selfexec.h - the program itself executed anew, so that the child knows nothing of this process's
 * memory, environment and descriptors.
 */
#ifndef SYS_SELFEXEC_H
#define SYS_SELFEXEC_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Defined, true, where a program finds out before main() what it was started for (user/services.c):
 * whoever can start it is so linked with that. */
extern const bool selfexec__serves;

/* Starts it with this one argument and `sock` as descriptor 0; of the others it has 1 and 2. 0 or
 * -errno. */
int selfexec__spawn(const char *argument, int sock, pid_t *ret_pid);
/* In the child: whether it was started so. */
bool selfexec__asked(int argc, char **argv, const char *argument);
/* In the child: 1 and 2 become /dev/null, all above are closed; signals of terminals and users are
 * ignored, SIGCHLD is blocked but where ppoll waits with *ret_waiting. */
void selfexec__begin(sigset_t *ret_waiting);

#endif
