/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/runner.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/usage.h"
#include "format/output.h"

/* The rules' options are OPT_RULE + enum alert_rule. */
enum {
	OPT_RULE = 0x300,
	OPT_ON_ALERT = OPT_RULE + ALERT_RULES,
	OPT_TIMEOUT,
	OPT_COOLDOWN,
	OPT_KEEP,
	OPT_DIR,
	OPT_OOM_LOG,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Alerts:", 6},
	{"alert-rss", OPT_RULE + ALERT_RSS, "SIZE|PCT%", 0,
	 "RSS reaches SIZE, or PCT% of the machine or of the cgroup's limit where that is lower",
	 6},
	{"alert-cgroup", OPT_RULE + ALERT_CGROUP, "PCT%", 0,
	 "the cgroup, or one above it, uses PCT% of its limit", 6},
	{"alert-growth", OPT_RULE + ALERT_GROWTH, "SIZE/min", 0,
	 "RSS grows faster than this (also /s, /h)", 6},
	{"alert-oom-in", OPT_RULE + ALERT_OOM_IN, "TIME", 0,
	 "a limit is reached within TIME, as it grows now", 6},
	{"alert-psi", OPT_RULE + ALERT_PSI, "some=PCT%", 0,
	 "tasks stalled for memory (also full=PCT%)", 6},
	{"on-alert", OPT_ON_ALERT, "CMD", 0,
	 "run CMD at each alert, without a shell: MEMWATCH_ALERT_* in its environment, the alert "
	 "as JSON "
	 "on its standard input",
	 6},
	{"alert-timeout", OPT_TIMEOUT, "TIME", 0, "end CMD after TIME (default 30s)", 6},
	{"alert-cooldown", OPT_COOLDOWN, "TIME", 0,
	 "a rule that fires again within TIME is counted, and told then if it lasts (default 1m)",
	 6},
	{"alert-keep", OPT_KEEP, "N", 0,
	 "keep the files of the last N alerts of a rule, and of N OOM kills (default 10; 0: all)",
	 6},
	{"alert-dir", OPT_DIR, "DIR", 0,
	 "profiles and timelines of alerts and OOM kills go there (default: current directory)", 6},
	{"oom-log", OPT_OOM_LOG, "FILE", 0, "append OOM kills and alerts, one JSON object a line",
	 6},
	{0},
};

void alert_options__init(struct alert_options *o)
{
	memset(o, 0, sizeof(*o));
	o->timeout_ns = 30000000000ULL;
	o->cooldown_ns = 60000000000ULL;
	o->dir = ".";
	o->tag = "";
	o->keep = 10;
}

int alert_options__start(struct alert_options *o)
{
	int err = 0;

	if (o->command)
		err = runner__new(o->command, "--on-alert", o->timeout_ns, &o->runner);
	if (!err)
		return EXIT_DONE;
	log_error("the command of --on-alert cannot be run: %s", strerror(-err));
	return err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

int alert_options__check_files(const struct alert_options *o)
{
	char name[PATH_MAX];
	int err = 0, e = 0;

	snprintf(name, sizeof(name), "%s/memwatch-alert", o->dir);
	if (rules__any(&o->rules))
		err = output__check("--alert-dir", name);
	if (o->oom_log && access(o->oom_log, F_OK)) /* one that is there is added to */
		e = output__check("--oom-log", o->oom_log);
	return err ? err : e;
}

void alert_options__clear(struct alert_options *o)
{
	runner__free(o->runner);
	o->runner = NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct alert_options *o = state->input;

	if (key >= OPT_RULE && key < OPT_RULE + ALERT_RULES) {
		char option[32];

		snprintf(option, sizeof(option), "--alert-%s", rules__name(key - OPT_RULE));
		if (rules__parse(key - OPT_RULE, arg, &o->rules))
			usage__wrong(state, option, arg, "threshold", rules__wants(key - OPT_RULE));
		return 0;
	}
	switch (key) {
	case OPT_ON_ALERT: usage__once(state, "--on-alert", arg, &o->command); break;
	case OPT_TIMEOUT: o->timeout_ns = usage__time(state, "--alert-timeout", arg, 1); break;
	case OPT_COOLDOWN: o->cooldown_ns = usage__time(state, "--alert-cooldown", arg, 0); break;
	case OPT_KEEP:
		o->keep =
			usage__count(state, "--alert-keep", arg, 0, UINT32_MAX, "number of alerts");
		break;
	case OPT_DIR: o->dir = arg; break;
	case OPT_OOM_LOG: usage__once(state, "--oom-log", arg, &o->oom_log); break;
	case ARGP_KEY_END:
		if (o->command && !rules__any(&o->rules))
			argp_error(state,
				   "--on-alert without any --alert-... has nothing to act on");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp alert_options_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
