/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_attach.c - memwatch -p PID: attach to running programs. */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "run/attach.h"
#include "run/attach_options.h"
#include "run/live_page.h"
#include "run/monitor.h"
#include "sys/privilege.h"
#include "sys/signals.h"

static const char doc[] =
	"Attach to running programs and show which call stacks hold their memory.\v"
	"Examples:\n"
	"  sudo memwatch -p 1234                       live view until Ctrl-C\n"
	"  sudo memwatch -p 1234 -d 30s -o heap.pb.gz  a profile for 'go tool pprof'\n"
	"  sudo memwatch -p 1234 --exact -o now.json   every allocation, to the byte\n"
	"  sudo memwatch --unit nginx                  a service, across its restarts\n"
	"  sudo memwatch -p 1234 --http                a page in the browser, live\n"
	"\n"
	"Blocks allocated before the attach are not seen; their frees are counted. The target is "
	"neither stopped nor changed, and goes on as before when memwatch ends, however it ends.\n"
	"\n"
	"--unit, --cgroup, --name and --container take in all processes that match, now and later, "
	"and wait while there is none; the profile is of those that live, of those that ended "
	"last when none does.\n"
	"\n"
	"Exit status: 0 done; 1 failed; 2 wrong usage; 3 not permitted or not supported; 4 no such "
	"process.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct attach_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = state->child_inputs[1] = o; return 0;
	case ARGP_KEY_ARG:
		argp_error(state,
			   "what to do with '%s'? (a process is named by -p PID, or by --name %s)",
			   arg, arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->npids && !o->selector)
			argp_error(state, "no process named: -p PID, or --unit, --cgroup, --name, "
					  "--container");
		if (o->fast && (o->sample_bytes <= 1 || o->faults))
			argp_error(state,
				   "--fast samples allocations: not with --exact or --faults");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {
	{&attach_pid_argp, 0, NULL, 0}, {&attach_options_argp, 0, NULL, 0}, {0}};

const struct argp cmd_attach_argp = {NULL, parse, "PID|NAME [-p PID...]", doc, children,
				     NULL, NULL};

int cmd_attach(int argc, char **argv)
{
	static char name[] = "memwatch -p"; /* whose --help is the one to look at */
	struct attach_options opts;
	struct live_page *page = NULL;
	struct monitor *m = NULL;
	struct attach *attach;
	int err, status;

	argv[0] = name;
	attach_options__init(&opts);
	cmd_tuning(&opts.tuning);
	usage__parse(&cmd_attach_argp, argc, argv, 0, &opts);
	signals__block();
	progress__prepare_thread();
	status = opts.http ? live_page__start(opts.http, &page) : EXIT_DONE;
	if (!status)
		status = attach__prepare(&opts,
					 opts.fast ? PRIVILEGE(TRACE) | PRIVILEGE(MEMORY) : 0);
	if (!status)
		status = attach__open(&opts, &attach);
	if (status) {
		live_page__free(page);
		return status;
	}
	for (size_t i = 0; i < opts.npids && !status; i++)
		status = attach__add(attach, opts.pids[i]);
	if (!status)
		attach__choose(attach);
	if (!status) {
		err = monitor__new(&opts, attach, &m);
		if (err)
			log_error("failed to start: %s", strerror(-err));
		else
			monitor__show(m, page);
		status = err ? EXIT_FAILED : monitor__run(m);
	}
	monitor__free(m);
	live_page__free(page);
	attach__close(attach);
	attach_options__clear(&opts);
	return status;
}
