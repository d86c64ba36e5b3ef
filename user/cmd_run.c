/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_run.c - memwatch run -- CMD: start a command held until the probes are in. */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <string.h>

#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "run/attach.h"
#include "run/hold.h"
#include "run/live_page.h"
#include "run/monitor.h"
#include "sys/privilege.h"
#include "sys/signals.h"

static const char doc[] =
	"Start a command and profile it from its first allocation.\v"
	"The command is held after each exec and at each library that the dynamic linker loads, "
	"until the probes are in; between them it runs freely. With --follow its children are "
	"held too. Options end at the command; '--' ends them for sure.\n\n"
	"  sudo memwatch run --exact -o heap.pb.gz -- ./server --port 80\n\n"
	"Exit status: the command's own; 128+N if signal N ended it; 126 and 127 as in a shell if "
	"it "
	"cannot be run; 2, 3 as 'memwatch --help' says; 1 if an output could not be written.";

struct run_options {
	struct attach_options attach;
	char **command;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct run_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->attach; return 0;
	case ARGP_KEY_END:
		if (o->attach.fast && (o->attach.sample_bytes <= 1 || o->attach.faults))
			argp_error(state,
				   "--fast samples allocations: not with --exact or --faults");
		return 0;
	case ARGP_KEY_ARGS:
		o->command = state->argv + state->next;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS: argp_error(state, "no command to run"); return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* The command's own failure counts more than that of an output. */
static int command_status(struct hold *h, const struct monitor *m, int status)
{
	int own = hold__wait(h, monitor__signal(m));

	return own ? own : status;
}

static void serve(void *arg, struct attach *a)
{
	hold__serve(arg, a);
}

static const struct argp_child children[] = {{&attach_options_argp, 0, NULL, 0}, {0}};

const struct argp cmd_run_argp = {NULL, parse, "[--] COMMAND [ARGS...]", doc, children, NULL, NULL};

int cmd_run(int argc, char **argv)
{
	struct run_options o = {.command = NULL};
	struct monitor *m = NULL;
	struct attach *attach = NULL;
	struct live_page *page = NULL;
	struct hold *h = NULL;
	int err, status;

	attach_options__init(&o.attach);
	cmd_tuning(&o.attach.tuning);
	o.attach.shares_terminal = true;
	o.attach.from_start = true;
	usage__parse(&cmd_run_argp, argc, argv, ARGP_IN_ORDER, &o);
	signals__block();
	progress__prepare_thread();
	status = hold__fork(o.command, &h); /* as its caller would start it, with all privileges */
	if (!status && o.attach.http)
		status = live_page__start(o.attach.http, &page);
	if (!status)
		status =
			attach__prepare(&o.attach, PRIVILEGE(SIGNAL) | PRIVILEGE(TRACE) |
							   (o.attach.fast ? PRIVILEGE(MEMORY) : 0));
	if (!status)
		status = attach__open(&o.attach, &attach);
	if (!status)
		status = hold__start(h, o.attach.follow);
	if (!status)
		status = hold__attach(h, attach);
	if (!status) {
		err = monitor__new(&o.attach, attach, &m);
		if (!err)
			err = monitor__serve(m, hold__fd(h), serve, h);
		if (!err)
			monitor__show(m, page);
		status = err ? EXIT_FAILED : monitor__run(m);
		if (m)
			status = command_status(h, m, status);
	}
	monitor__free(m);
	live_page__free(page);
	hold__free(h);
	attach__close(attach);
	attach_options__clear(&o.attach);
	return status;
}
