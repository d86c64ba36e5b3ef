/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pid_option.h - the value of -p: the number of a process, or its name where only one has it. */
#ifndef RUN_PID_OPTION_H
#define RUN_PID_OPTION_H

#include <argp.h>

/*
 * Does not return where it is neither: ends the program with EXIT_NO_PROCESS where no process has
 * the name, with EXIT_USAGE and the candidates where several have it. The name is that of the
 * command (comm) or of the program's file.
 */
int pid_option__parse(struct argp_state *state, const char *arg);

#endif
