/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/options.h"

#include <string.h>

#include "core/units.h"

enum {
	OPT_RSS = 0x300,
	OPT_CGROUP,
	OPT_GROWTH,
	OPT_OOM_IN,
	OPT_PSI,
	OPT_ON_ALERT,
	OPT_TIMEOUT,
	OPT_COOLDOWN,
	OPT_DIR,
	OPT_OOM_LOG,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Alerts:", 6},
	{"alert-rss", OPT_RSS, "SIZE|PCT%", 0,
	 "RSS reaches SIZE, or PCT% of the machine or of the cgroup's limit where that is lower",
	 6},
	{"alert-cgroup", OPT_CGROUP, "PCT%", 0, "the cgroup uses PCT% of the limit that is nearest",
	 6},
	{"alert-growth", OPT_GROWTH, "SIZE/min", 0, "RSS grows faster than this (also /s, /h)", 6},
	{"alert-oom-in", OPT_OOM_IN, "TIME", 0, "at this rate a limit is reached within TIME", 6},
	{"alert-psi", OPT_PSI, "some=PCT%", 0, "tasks stalled for memory (also full=PCT%)", 6},
	{"on-alert", OPT_ON_ALERT, "CMD", 0,
	 "run CMD at each alert, without a shell: MEMWATCH_ALERT_* in its environment, the alert "
	 "as JSON "
	 "on its standard input",
	 6},
	{"alert-timeout", OPT_TIMEOUT, "TIME", 0, "end CMD after TIME (default 30s)", 6},
	{"alert-cooldown", OPT_COOLDOWN, "TIME", 0,
	 "run CMD at most once in TIME for a rule and process (default 1m)", 6},
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
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct alert_options *o = state->input;

	switch (key) {
	case OPT_RSS:
		if (rules__parse_rss(arg, &o->rules))
			argp_error(state, "--alert-rss: '%s' is neither a size nor a percentage",
				   arg);
		break;
	case OPT_CGROUP:
		if (rules__parse_cgroup(arg, &o->rules))
			argp_error(state, "--alert-cgroup: '%s' is no percentage (80%%)", arg);
		break;
	case OPT_GROWTH:
		if (rules__parse_growth(arg, &o->rules))
			argp_error(state, "--alert-growth: '%s' is no rate (10M/min)", arg);
		break;
	case OPT_OOM_IN:
		if (rules__parse_oom_in(arg, &o->rules))
			argp_error(state, "--alert-oom-in: '%s' is no time (5m)", arg);
		break;
	case OPT_PSI:
		if (rules__parse_psi(arg, &o->rules))
			argp_error(state, "--alert-psi: '%s' is not some=PCT%% or full=PCT%%", arg);
		break;
	case OPT_ON_ALERT: o->command = arg; break;
	case OPT_TIMEOUT:
		if (units__parse_time(arg, &o->timeout_ns) || !o->timeout_ns)
			argp_error(state, "--alert-timeout: '%s' is no time", arg);
		break;
	case OPT_COOLDOWN:
		if (units__parse_time(arg, &o->cooldown_ns))
			argp_error(state, "--alert-cooldown: '%s' is no time", arg);
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
