/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_go.c - `memwatch go`: what only Go programs tell. */
#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "run/go_watch.h"
#include "run/pid_option.h"
#include "run/type_option.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "probe/layers.h"
#include "sys/box.h"
#include "sys/filer.h"
#include "sys/memreader.h"
#include "sys/opener.h"
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
	{"pid", 'p', "PID", 0, "the Go program: its number, or its name where only one has it", 0},
	{"output", 'o', "FILE", 0, "write the profile (.pb.gz .folded .svg .html .json .txt)", 0},
	{"duration", 'd', "TIME", 0, "stop after TIME", 0},
	{"interval", 'i', "TIME", 0, "time between looks (default 2s)", 0},
	{"goroutines", OPT_GOROUTINES, NULL, 0, "the profile is that of the goroutines", 0},
	{"gctrace", OPT_GCTRACE, NULL, 0, "print each GC cycle as GODEBUG=gctrace=1 does", 0},
	{"memstats", OPT_MEMSTATS, NULL, 0, "print MemStats and where RSS is at each look", 0},
	{"timeline", OPT_TIMELINE, "FILE", 0, "MemStats over time (" TIMELINE_FILE_ENDINGS ")", 0},
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

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct go_args *a = state->input;

	switch (key) {
	case 'p':
		if (a->o.pid)
			argp_error(state, "--pid: one process at a time");
		a->o.pid = pid_option__parse(state, arg);
		return 0;
	case 'o':
		usage__file(state, "--output", arg, output__endings(), NULL);
		if (a->o.noutputs == MAX_OUTPUTS)
			argp_error(state, "at most %d outputs", MAX_OUTPUTS);
		a->outputs[a->o.noutputs++] = arg;
		return 0;
	case 'd': a->o.duration_ns = usage__time(state, "--duration", arg, 1000000); return 0;
	case 'i':
		a->o.interval_ns = usage__time(state, "--interval", arg, 10000000);
		a->have_interval = true;
		return 0;
	case OPT_GOROUTINES: a->o.goroutines = true; return 0;
	case OPT_GCTRACE: a->o.gctrace = true; return 0;
	case OPT_MEMSTATS: a->o.memstats = true; return 0;
	case OPT_JSON: a->o.json = true; return 0;
	case OPT_ENABLE: a->o.enable_memprofile = true; return 0;
	case OPT_INDEX: a->o.sample_index = type_option__parse(state, arg); return 0;
	case OPT_TIMELINE:
		usage__file(state, "--timeline", arg, TIMELINE_FILE_ENDINGS, &a->o.timeline);
		return 0;
	case 'q': log__set_level(LOG_ERROR); return 0;
	case 'v': log__set_level(LOG_DEBUG); return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
	case ARGP_KEY_END:
		if (!a->o.pid)
			argp_error(state, "which process? (-p PID)");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static int check_files(const struct go_watch_opts *o)
{
	int err = output__check("--timeline", o->timeline), e;

	for (size_t i = 0; i < o->noutputs; i++) {
		e = output__check("--output", o->outputs[i]);
		err = err ? err : e;
	}
	return err;
}

static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp cmd_go_argp = {
	.options = options,
	.parser = parse,
	.children = children,
	.doc = "Reads a running Go program from outside: its own heap profile, MemStats, "
	       "GC "
	       "trace and goroutines.\vWithout -d, -i, --gctrace and --timeline it looks "
	       "once. "
	       "Nothing is injected and the program is not stopped.",
};

int cmd_go(int argc, char **argv)
{
	struct go_args a = {.o = {.interval_ns = 2000000000}};
	unsigned files;

	usage__parse(&cmd_go_argp, argc, argv, 0, &a);
	progress__prepare_thread();
	a.o.outputs = a.outputs;
	a.o.once = !a.o.duration_ns && !a.have_interval && !a.o.gctrace && !a.o.timeline;
	if (a.o.timeline && !a.have_interval)
		a.o.interval_ns = 1000000000;
	files = filer__start(true);
	opener__start(layers__are_ours);
	memreader__start();
	box__start(); /* said there if not */
	if (privilege__keep(PRIVILEGE(OBSERVE) | PRIVILEGE(LIMITS) | files |
			    (a.o.enable_memprofile ? PRIVILEGE(MEMORY) : 0))) {
		log_error("failed to give up privileges");
		return EXIT_FAILED;
	}
	return check_files(&a.o) ? EXIT_FAILED : go_watch__run(&a.o);
}
