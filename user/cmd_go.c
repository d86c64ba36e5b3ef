/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_go.c - `memwatch go`: what only Go programs tell. */
#include "cmd.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "run/go_watch.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "sys/box.h"
#include "sys/privilege.h"

#include <argp.h>
#include <string.h>

#define MAX_OUTPUTS 16

enum {
	OPT_GOROUTINES = 256,
	OPT_GCTRACE,
	OPT_MEMSTATS,
	OPT_TIMELINE,
	OPT_JSON,
	OPT_ENABLE,
	OPT_INDEX
};

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "the Go program", 0},
	{"output", 'o', "FILE", 0, "write the profile (.pb.gz .folded .svg .html .json .txt)", 0},
	{"duration", 'd', "TIME", 0, "stop after TIME", 0},
	{"interval", 'i', "TIME", 0, "time between looks (default 2s)", 0},
	{"goroutines", OPT_GOROUTINES, NULL, 0, "the profile is that of the goroutines", 0},
	{"gctrace", OPT_GCTRACE, NULL, 0, "print each GC cycle as GODEBUG=gctrace=1 does", 0},
	{"memstats", OPT_MEMSTATS, NULL, 0, "print MemStats and where RSS is at each look", 0},
	{"timeline", OPT_TIMELINE, "FILE", 0, "MemStats over time (.csv .json .svg .html)", 0},
	{"sample-index", OPT_INDEX, "NAME", 0,
	 "inuse_space, inuse_objects, alloc_space, alloc_objects", 0},
	{"json", OPT_JSON, NULL, 0, "JSON objects instead of text on stdout", 0},
	{"go-enable-memprofile", OPT_ENABLE, NULL, 0,
	 "switch heap profiling on in a program that was linked without it: CHANGES THE TARGET", 0},
	{"quiet", 'q', NULL, 0, "errors only", 0},
	{"verbose", 'v', NULL, 0, "more messages", 0},
	{0},
};

struct go_args {
	struct go_watch_opts o;
	const char *outputs[MAX_OUTPUTS];
	bool have_interval;
};

static int parse_pid(const char *text, int *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*end || end == text || v <= 0 || v > INT32_MAX)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct go_args *a = state->input;

	switch (key) {
	case 'p':
		if (a->o.pid || parse_pid(arg, &a->o.pid))
			argp_error(state, "-p takes one process number");
		return 0;
	case 'o':
		if (!output__known(arg))
			argp_error(state, "'%s': a profile's name ends in one of %s", arg,
				   output__endings());
		if (a->o.noutputs == MAX_OUTPUTS)
			argp_error(state, "at most %d outputs", MAX_OUTPUTS);
		a->outputs[a->o.noutputs++] = arg;
		return 0;
	case 'd':
		if (units__parse_time(arg, &a->o.duration_ns))
			argp_error(state, "-d '%s' is no time", arg);
		return 0;
	case 'i':
		if (units__parse_time(arg, &a->o.interval_ns) || a->o.interval_ns < 10000000)
			argp_error(state, "-i '%s' is no time of at least 10ms", arg);
		a->have_interval = true;
		return 0;
	case OPT_GOROUTINES: a->o.goroutines = true; return 0;
	case OPT_GCTRACE: a->o.gctrace = true; return 0;
	case OPT_MEMSTATS: a->o.memstats = true; return 0;
	case OPT_JSON: a->o.json = true; return 0;
	case OPT_ENABLE: a->o.enable_memprofile = true; return 0;
	case OPT_INDEX: a->o.sample_index = arg; return 0;
	case OPT_TIMELINE:
		if (!timeline_file__known(arg))
			argp_error(state, "'%s': a timeline ends in .csv, .json, .svg or .html",
				   arg);
		a->o.timeline = arg;
		return 0;
	case 'q': log__set_level(LOG_ERROR); return 0;
	case 'v': log__set_level(LOG_DEBUG); return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
	case ARGP_KEY_END:
		if (!a->o.pid)
			argp_error(state, "which process? (-p PID)");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

int cmd_go(int argc, char **argv)
{
	static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = children,
		.doc = "Reads a running Go program from outside: its own heap profile, MemStats, "
		       "GC "
		       "trace and goroutines.\vWithout -d, -i, --gctrace and --timeline it looks "
		       "once. "
		       "Nothing is injected and the program is not stopped.",
	};
	struct go_args a = {.o = {.interval_ns = 2000000000}};

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &a))
		return EXIT_USAGE;
	a.o.outputs = a.outputs;
	a.o.once = !a.o.duration_ns && !a.have_interval && !a.o.gctrace && !a.o.timeline;
	if (a.o.timeline && !a.have_interval)
		a.o.interval_ns = 1000000000;
	box__start(); /* said there if not */
	if (privilege__keep(PRIVILEGE(OBSERVE) | PRIVILEGE(FILES) | PRIVILEGE(LIMITS))) {
		log_error("failed to give up privileges");
		return EXIT_FAILED;
	}
	return go_watch__run(&a.o);
}
