/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alert/runner.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"

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
	 "the cgroup uses PCT% of the limit that is nearest", 6},
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
	 "a rule that fires again for a process within TIME is counted, not told (default 1m)", 6},
	{"alert-keep", OPT_KEEP, "N", 0,
	 "keep the profiles and timelines of the last N alerts of a rule (default 10; 0: all)", 6},
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

void alert_options__clear(struct alert_options *o)
{
	runner__free(o->runner);
	o->runner = NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct alert_options *o = state->input;
	char *end;

	if (key >= OPT_RULE && key < OPT_RULE + ALERT_RULES) {
		if (rules__parse(key - OPT_RULE, arg, &o->rules))
			argp_error(state, "--alert-%s: '%s' is not %s", rules__name(key - OPT_RULE),
				   arg, rules__wants(key - OPT_RULE));
		return 0;
	}
	switch (key) {
	case OPT_ON_ALERT: o->command = arg; break;
	case OPT_TIMEOUT:
		if (units__parse_time(arg, &o->timeout_ns) || !o->timeout_ns)
			argp_error(state, "--alert-timeout: '%s' is no time", arg);
		break;
	case OPT_COOLDOWN:
		if (units__parse_time(arg, &o->cooldown_ns))
			argp_error(state, "--alert-cooldown: '%s' is no time", arg);
		break;
	case OPT_KEEP:
		errno = 0;
		o->keep = strtoul(arg, &end, 10);
		if (errno || end == arg || *end || *arg == '-')
			argp_error(state, "--alert-keep: '%s' is no number", arg);
		break;
	case OPT_DIR: o->dir = arg; break;
	case OPT_OOM_LOG: o->oom_log = arg; break;
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
