/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd.h - the subcommands. Each takes its own argv (argv[0] is its name) and returns an
 * enum mw_exit, or for `run` the command's own status. */
#ifndef CMD_H
#define CMD_H

int cmd_attach(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_go(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_oom(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_daemon(int argc, char **argv);

/* Reads the environment into core/surroundings.h, before anything else runs. */
void cmd_surroundings(void);

/* What the environment says of how to observe. Strings are borrowed from it. */
struct plan_tuning;
void cmd_tuning(struct plan_tuning *ret);

#endif
