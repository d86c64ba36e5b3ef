/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runner.h - runs the command of --on-alert or --on-kill: no shell, the facts as environment
 * variables and as JSON on standard input, its own process group, a timeout (TERM, then KILL). Its
 * output goes to stderr: stdout carries data.
 */
#ifndef ALERT_RUNNER_H
#define ALERT_RUNNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUNNER_MAX 8	/* commands at the same time */
#define RUNNER_OF_ONE 4 /* of one who causes them; two, where others have the rest */

struct runner;

/*
 * command: words separated by blanks; quotes ("…", '…') and backslashes keep blanks, nothing else
 * is special. option: its name, for messages (borrowed). 0, -EINVAL (no word, an open quote),
 * -ENOENT or -EACCES (not to be executed), -ENOMEM. Forks the process that will start it
 * (launcher.h).
 */
int runner__new(const char *command, const char *option, uint64_t timeout_ns, struct runner **ret);
/* Whether runner__new would take it: 0, or its errors. */
int runner__check(const char *command);
/* Ends what still runs. */
void runner__free(struct runner *r);

/*
 * Starts the command. whose: tells apart who cause commands; one alone never has all places. env:
 * NULL-terminated "MEMWATCH_NAME=value" strings added to ours; json goes to its stdin. 0; -EBUSY:
 * RUNNER_MAX are running; -EDQUOT: there are places left, for others; other -errno.
 */
int runner__start(struct runner *r, uint64_t whose, const char *const *env, const char *json,
		  size_t len);
/* What an error of runner__start means, for messages. */
const char *runner__why(int err);
/* Whose doing what a process does is, for runner__start: its user's; its group's, if that is root.
 * uid: UINT32_MAX: the process has it, or had. */
uint64_t runner__whose(pid_t pid, uint32_t uid, const char *cgroup);
/* Collects what ended, ends what takes too long. Call now and then. */
void runner__tick(struct runner *r);
/* Waits for what runs, at most its timeout. */
void runner__finish(struct runner *r);

/* Splits as runner__new does; *ret is a NULL-terminated array in one allocation. Pure. */
int runner__split(const char *command, char ***ret);

#endif
