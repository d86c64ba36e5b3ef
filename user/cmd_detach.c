/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_detach.c - takes out of a process what a `--fast` run that was killed left there. */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "fast/inject.h"
#include "probe/layers.h"
#include "run/pid_option.h"
#include "sys/box.h"
#include "sys/memreader.h"
#include "sys/opener.h"
#include "sys/privilege.h"
#include "sys/proc_task.h"

static const char doc[] =
	"Take out of a process what a --fast run left there that was killed.\v"
	"Every changed byte of its code is restored. The code that sampled stays mapped, unused: a "
	"thread might still be on its way through it.";

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "the process: its number, or its name where only one has it", 0},
	{0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	int *pid = state->input;

	switch (key) {
	case 'p':
		if (*pid)
			argp_error(state, "--pid: one process at a time");
		*pid = pid_option__parse(state, arg);
		return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
	case ARGP_KEY_END:
		if (!*pid)
			argp_error(state, "which process? (-p PID)");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp cmd_detach_argp = {options, parse, "", doc, NULL, NULL, NULL};

int cmd_detach(int argc, char **argv)
{
	char why[FAST_WHY], check[PROC_TASK_WHY];
	struct fast_left left;
	int pid = 0, err;

	usage__parse(&cmd_detach_argp, argc, argv, 0, &pid);
	box__start(); /* said there if not */
	opener__start(layers__are_ours);
	memreader__start();
	if (privilege__keep(PRIVILEGE(OBSERVE) | PRIVILEGE(TRACE) | PRIVILEGE(MEMORY))) {
		log_error("failed to give up privileges");
		return EXIT_FAILED;
	}
	err = proc_task__check(pid, check);
	if (err) {
		log_error("%s", check);
		return err == -ESRCH ? EXIT_NO_PROCESS : EXIT_UNSUPPORTED;
	}
	err = fast__clean(pid, NULL, true, &left, why);
	if (!err && left.owner) {
		log_error("PID %d is being sampled by memwatch, PID %d: end that one", pid,
			  left.owner);
		return EXIT_FAILED;
	}
	if (!err)
		err = fast__clean(pid, NULL, false, &left, why);
	if (err) {
		log_error("failed to clean PID %d: %s", pid, *why ? why : strerror(-err));
		return err == -EPERM || err == -EACCES ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	if (left.has_files)
		log_info("PID %d: a file of a --fast run that was killed stays open", pid);
	else if (!left.regions)
		log_info("nothing of --fast is in PID %d", pid);
	if (left.regions)
		log_info("PID %d: %zu jumps taken out; %lukB stay mapped, unused", pid,
			 left.patched, (unsigned long)(left.bytes >> 10));
	return EXIT_DONE;
}
