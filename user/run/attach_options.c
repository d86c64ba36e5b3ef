/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memwatch/wire.h"
#include "run/attach_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/usage.h"
#include "core/util.h"
#include "model/profile.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "run/pid_option.h"
#include "run/type_option.h"

enum {
	OPT_TIMELINE = 0x100,
	OPT_RECORD,
	OPT_PEAK,
	OPT_PEAK_RSS,
	OPT_SAMPLE_BYTES,
	OPT_EXACT,
	OPT_SAMPLE_INDEX,
	OPT_TOP,
	OPT_PLAIN,
	OPT_FOLLOW,
	OPT_JSON,
	OPT_MMAP,
	OPT_MAX_OVERHEAD,
	OPT_LEDGER,
	OPT_FAULTS,
	OPT_HISTOGRAMS,
	OPT_TOUCHED,
	OPT_LEAK_AFTER,
	OPT_MAX_DEPTH,
	OPT_HTTP,
	OPT_FAST,
	OPT_ALLOW_SIGNALS,
};

void attach_options__init(struct attach_options *o)
{
	memset(o, 0, sizeof(*o));
	o->interval_ns = 2000000000ULL;
	o->leak_after_ns = TREND_LEAK_AFTER_S * 1000000000ULL;
	o->sample_bytes = 512 << 10;
	o->sample_index = "inuse_space";
	o->top = 10;
	alert_options__init(&o->alert);
}

void attach_options__clear(struct attach_options *o)
{
	alert_options__clear(&o->alert);
	selector__free(take_ptr(o->selector));
}

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "How long, how often:", 1},
	{"duration", 'd', "TIME", 0, "stop after TIME (30s, 5m, 1h; a bare number is seconds)", 1},
	{"interval", 'i', "TIME", 0, "refresh of the view and of the timeline (default 2s)", 1},
	{NULL, 0, NULL, 0, "What is written:", 2},
	{"output", 'o', "FILE", 0,
	 "write the profile at the end; the name's ending picks the format: .pb.gz (pprof), "
	 ".folded, "
	 ".svg, .html, .json, .txt. %p in the name is the PID. May repeat. Ctrl-C, -d and the "
	 "target's "
	 "own end write it; SIGUSR1 writes it and goes on",
	 2},
	{"timeline", OPT_TIMELINE, "FILE", 0, "RSS-vs-VIRT timeline: .csv, .json, .svg, .html", 2},
	{"record", OPT_RECORD, "FILE", 0,
	 "record a snapshot every second: 'memwatch report --verdicts FILE' says what leaks", 2},
	{"peak", OPT_PEAK, "FILE", 0,
	 "the profile at the moment of the highest in-use, endings as -o", 2},
	{"peak-rss", OPT_PEAK_RSS, "FILE", 0, "the profile at the moment of the highest RSS", 2},
	{"ledger", OPT_LEDGER, NULL, 0,
	 "where every resident byte belongs, at each report and at the end", 2},
	{"touched", OPT_TOUCHED, NULL, 0,
	 "how much of what each stack holds is resident: a fifth sample type, resident_space, in "
	 "what "
	 "is written, and 'not resident' in plain reports",
	 2},
	{"mmap", OPT_MMAP, NULL, 0,
	 "list the target's own anonymous mappings too, in the view as in what is written, marked "
	 "class=mmap; without it the header says how much they are",
	 2},
	{NULL, 0, NULL, 0, "What is measured:", 3},
	{"sample-bytes", OPT_SAMPLE_BYTES, "SIZE", 0,
	 "mean bytes between samples (default 512K, as Go's); 1 is every allocation", 3},
	{"exact", OPT_EXACT, NULL, 0, "every allocation: the same as --sample-bytes 1", 3},
	{"fast", OPT_FAST, NULL, 0,
	 "write code into the target that samples there, instead of a trap into the kernel at "
	 "every "
	 "call. The one mode that changes the target; where it cannot be done the "
	 "reason is said and uprobes are used",
	 3},
	{"max-overhead", OPT_MAX_OVERHEAD, "PCT", 0,
	 "keep the cost to the targets under PCT percent of one CPU: sample less, and if that is "
	 "not enough put the allocator probes in for a short time now and then",
	 3},
	{"faults", OPT_FAULTS, "N", OPTION_ARG_OPTIONAL,
	 "instead of allocations: which stacks made pages resident, by every N-th page fault "
	 "(default "
	 "1024). No probes, any language; the profile is resident_space",
	 3},
	{"follow", OPT_FOLLOW, NULL, 0, "children of the target too", 3},
	{NULL, 0, NULL, 0, "What is shown:", 4},
	{"max-depth", OPT_MAX_DEPTH, "N", 0,
	 "frames kept of a stack, those nearest to the allocation (default and most: 1024)", 3},
	{"sample-index", OPT_SAMPLE_INDEX, "NAME", 0,
	 "inuse_space (default), inuse_objects, alloc_space, alloc_objects", 4},
	{"top", OPT_TOP, "N", 0, "rows shown (default 10)", 4},
	{"histograms", OPT_HISTOGRAMS, NULL, 0,
	 "plain reports that end with sizes and lifetimes of blocks (.txt and .json always have "
	 "them)",
	 4},
	{"leak-after", OPT_LEAK_AFTER, "TIME", 0,
	 "call a steady growth a likely leak after TIME (default 1m): until then it may be a cache "
	 "that fills",
	 4},
	{"http", OPT_HTTP, "ADDR", OPTION_ARG_OPTIONAL,
	 "serve the run as a page, live; ADDR is ADDR:PORT, :PORT or unix:PATH (default: a free "
	 "port of "
	 "127.0.0.1). The address with its token is printed",
	 4},
	{"plain", OPT_PLAIN, NULL, 0, "no full-screen view: a text report at each interval", 4},
	{"json", OPT_JSON, NULL, 0, "the report on stdout as JSON, one profile at the end", 4},
	{"quiet", 'q', NULL, 0, "no messages but errors, no live report", 4},
	{"verbose", 'v', NULL, 0, "say what is done, and where each probe went", 4},
	{0}};

#define MAX_SAMPLE_BYTES (1ULL << 40)

static void add_output(struct argp_state *state, struct attach_options *o, const char *arg)
{
	usage__file(state, "--output", arg, output__endings(), NULL);
	if (o->noutputs == ATTACH_MAX_OUTPUTS)
		argp_error(state, "--output: more than %d", ATTACH_MAX_OUTPUTS);
	o->outputs[o->noutputs++] = arg;
}

/* Any name but one that promises another format. */
static void set_record(struct argp_state *state, struct attach_options *o, const char *arg)
{
	static const char *const others[] = {".pb.gz", ".folded", ".svg", ".html",
					     ".json",  ".txt",	  ".csv", ".gz"};
	size_t len = strlen(arg);

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		size_t n = strlen(others[i]);

		if (len > n && !strcmp(arg + len - n, others[i]))
			argp_error(state,
				   "--record: '%s' would be no %s file but a recording, which "
				   "'memwatch "
				   "report' reads (name it FILE.mwr)",
				   arg, others[i]);
	}
	usage__file(state, "--record", arg, "", &o->record);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct attach_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->alert; break;
	case 'd': o->duration_ns = usage__time(state, "--duration", arg, 1000000); break;
	case 'i': o->interval_ns = usage__time(state, "--interval", arg, 10000000); break;
	case 'o': add_output(state, o, arg); break;
	case OPT_TIMELINE:
		usage__file(state, "--timeline", arg, TIMELINE_FILE_ENDINGS, &o->timeline);
		break;
	case OPT_RECORD: set_record(state, o, arg); break;
	case OPT_PEAK: usage__file(state, "--peak", arg, output__endings(), &o->peak); break;
	case OPT_PEAK_RSS:
		usage__file(state, "--peak-rss", arg, output__endings(), &o->peak_rss);
		break;
	case OPT_SAMPLE_BYTES:
		o->sample_bytes = usage__size(state, "--sample-bytes", arg, MAX_SAMPLE_BYTES);
		break;
	case OPT_EXACT: o->sample_bytes = 1; break;
	case OPT_FAST: o->fast = true; break;
	case OPT_SAMPLE_INDEX: o->sample_index = type_option__parse(state, arg); break;
	case OPT_TOP:
		o->top = (int)usage__count(state, "--top", arg, 1, 1000000, "number of rows");
		break;
	case OPT_MAX_OVERHEAD:
		o->max_overhead = usage__percent(state, "--max-overhead", arg);
		break;
	case OPT_PLAIN: o->plain = true; break;
	case OPT_FOLLOW: o->follow = true; break;
	case OPT_MAX_DEPTH:
		o->max_depth = (int)usage__count(state, "--max-depth", arg, 1, MW_MAX_FRAMES,
						 "number of frames");
		break;
	case OPT_HTTP: o->http = arg ? arg : ""; break;
	case OPT_JSON: o->json = true; break;
	case OPT_FAULTS:
		o->faults = true;
		if (arg)
			o->fault_period = (uint32_t)usage__count(state, "--faults", arg, 1, 1 << 24,
								 "number of page faults");
		break;
	case OPT_LEAK_AFTER: o->leak_after_ns = usage__time(state, "--leak-after", arg, 0); break;
	case OPT_HISTOGRAMS: o->histograms = true; break;
	case OPT_LEDGER: o->ledger = true; break;
	case OPT_TOUCHED: o->touched = true; break;
	case OPT_MMAP: o->with_maps = true; break;
	case 'q':
		o->quiet = true;
		log__set_level(LOG_ERROR);
		break;
	case 'v': log__set_level(LOG_DEBUG); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse_pid(int key, char *arg, struct argp_state *state)
{
	struct attach_options *o = state->input;
	int pid;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = &o->selector;
	if (key == OPT_ALLOW_SIGNALS) {
		o->allow_signals = true;
		return 0;
	}
	if (key != 'p')
		return key == ARGP_KEY_INIT ? 0 : ARGP_ERR_UNKNOWN;
	pid = pid_option__parse(state, arg);
	if (o->npids == ATTACH_MAX_PIDS)
		argp_error(state, "more than %d processes", ATTACH_MAX_PIDS);
	for (size_t i = 0; i < o->npids; i++) {
		if (o->pids[i] == pid)
			return 0;
	}
	o->pids[o->npids++] = pid;
	return 0;
}

static const struct argp_option pid_options[] = {
	{"pid", 'p', "PID", 0,
	 "the process to attach to, by its number or, where only one has it, its name; may repeat",
	 0},
	{"allow-signals", OPT_ALLOW_SIGNALS, NULL, 0,
	 "keys of the view may change the process: X and F9 send signals, F7 and F8 set its nice "
	 "value",
	 0},
	{0}};

static const struct argp_child children[] = {
	{&alert_options_argp, 0, NULL, 0}, {&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp attach_options_argp = {options, parse_opt, NULL, NULL, children, NULL, NULL};
static const struct argp_child pid_children[] = {{&selector_options_argp, 0, NULL, 0}, {0}};
const struct argp attach_pid_argp = {pid_options, parse_pid, NULL, NULL, pid_children, NULL, NULL};

int attach_options__check_files(const struct attach_options *o)
{
	const char *const option[] = {"--timeline", "--record", "--peak", "--peak-rss"};
	const char *const path[] = {o->timeline, o->record, o->peak, o->peak_rss};
	int err = alert_options__check_files(&o->alert), e;

	for (size_t i = 0; i < o->noutputs; i++) {
		e = output__check("--output", o->outputs[i]);
		err = err ? err : e;
	}
	for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
		e = output__check(option[i], path[i]);
		err = err ? err : e;
	}
	return err;
}
