/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd.h - the subcommands. Each takes its own argv (argv[0] is its name) and returns an
 * enum mw_exit, or for `run` the command's own status. */
#ifndef CMD_H
#define CMD_H

#include <argp.h>

/* X(name, what it is for), as they are listed. */
#define CMD_COMMANDS(X)                                                               \
	X(run, "start a command held until the probes are in, and profile it")        \
	X(go, "what only Go programs tell: MemStats, GC trace, goroutines")           \
	X(top, "every process: VIRT, RSS by kind, growth, peaks")                     \
	X(oom, "OOM kills: follow, or list what was recorded")                        \
	X(daemon, "everything, continuously: rules, alerts, OOM kills")               \
	X(history, "what the daemon recorded: who grew, kills, alerts, profiles")     \
	X(report, "print, compare and convert profile files: top, tree, list, diffs") \
	X(detach, "take out of a process what a killed --fast run left there")        \
	X(features, "what this kernel and machine offer, and what falls back")

#define CMD_DECLARE(name, help)                \
	int cmd_##name(int argc, char **argv); \
	extern const struct argp cmd_##name##_argp;

CMD_COMMANDS(CMD_DECLARE)
CMD_DECLARE(attach, ) /* without a command's name: -p and its kin */

/* Reads the environment into core/surroundings.h, before anything else runs. */
void cmd_surroundings(void);

/* What the environment says of how to observe. Strings are borrowed from it. */
struct plan_tuning;
void cmd_tuning(struct plan_tuning *ret);

#endif
