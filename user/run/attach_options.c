/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memwatch/wire.h"
#include "run/attach_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "model/profile.h"
#include "format/output.h"

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
	OPT_FAST,
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
	 "put anonymous mappings into the profile too, labelled class=mmap (always in .txt and the "
	 "view)",
	 2},
	{NULL, 0, NULL, 0, "What is measured:", 3},
	{"sample-bytes", OPT_SAMPLE_BYTES, "SIZE", 0,
	 "mean bytes between samples (default 512K, as Go's); 1 is every allocation", 3},
	{"exact", OPT_EXACT, NULL, 0, "every allocation: the same as --sample-bytes 1", 3},
	{"fast", OPT_FAST, NULL, 0,
	 "write code into the target that samples there, instead of a trap into the kernel at every "
	 "call. The one mode that changes the target; where it cannot be done the "
	 "reason is said and uprobes are used",
	 3},
	{"max-overhead", OPT_MAX_OVERHEAD, "PCT", 0,
	 "keep the cost to the targets under PCT percent of one CPU: sample less, and take the "
	 "allocator "
	 "probes out if that is not enough",
	 3},
	{"faults", OPT_FAULTS, "N", OPTION_ARG_OPTIONAL,
	 "instead of allocations: which stacks made pages resident, by every N-th page fault "
	 "(default "
	 "1024). No probes, any language; the profile is resident_space",
	 3},
	{"follow", OPT_FOLLOW, NULL, 0, "children of the target too", 3},
	{NULL, 0, NULL, 0, "What is shown:", 4},
	{"max-depth", OPT_MAX_DEPTH, "N", 0,
	 "frames kept of a stack, those nearest to the allocation (default and most: 2048)", 3},
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
	{"plain", OPT_PLAIN, NULL, 0, "no full-screen view: a text report at each interval", 4},
	{"json", OPT_JSON, NULL, 0, "the report on stdout as JSON, one profile at the end", 4},
	{"quiet", 'q', NULL, 0, "no messages but errors, no live report", 4},
	{"verbose", 'v', NULL, 0, "say what is done, and where each probe went", 4},
	{0}};

static void usage_error(struct argp_state *state, const char *what, const char *arg)
{
	argp_error(state, "%s: '%s'", what, arg);
}

static int parse_count(const char *arg, long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(arg, &end, 10);
	if (errno || *end || end == arg || v < 1 || v > max || arg[0] == '+' || arg[0] == ' ')
		return -EINVAL;
	return v;
}

static bool parse_percent(const char *arg, double *ret)
{
	char *end;

	if (arg[0] < '0' || arg[0] > '9')
		return false;
	*ret = strtod(arg, &end);
	if (*end == '%')
		end++;
	return !*end && *ret > 0 && *ret <= 100000;
}

static bool has_ending(const char *name, const char *const *endings)
{
	size_t n = strlen(name);

	for (; *endings; endings++) {
		size_t m = strlen(*endings);

		if (n > m && !strcmp(name + n - m, *endings))
			return true;
	}
	return false;
}

static void parse_time(struct argp_state *state, const char *what, const char *arg, uint64_t min_ns,
		       uint64_t *ret)
{
	if (units__parse_time(arg, ret) || *ret < min_ns || *ret > 366ULL * 86400 * 1000000000)
		usage_error(state, what, arg);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	static const char *const timeline_endings[] = {".csv", ".json", ".svg", ".html", NULL};
	struct attach_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->alert; break;
	case 'd': parse_time(state, "no duration", arg, 1000000, &o->duration_ns); break;
	case 'i':
		parse_time(state, "no interval (at least 10ms)", arg, 10000000, &o->interval_ns);
		break;
	case 'o':
		if (!output__known(arg))
			argp_error(state, "output '%s': the name must end in one of %s", arg,
				   output__endings());
		if (o->noutputs == ATTACH_MAX_OUTPUTS)
			argp_error(state, "more than %d outputs", ATTACH_MAX_OUTPUTS);
		o->outputs[o->noutputs++] = arg;
		break;
	case OPT_TIMELINE:
		if (!has_ending(arg, timeline_endings))
			argp_error(state,
				   "timeline '%s': the name must end in .csv, .json, .svg or .html",
				   arg);
		o->timeline = arg;
		break;
	case OPT_RECORD: o->record = arg; break;
	case OPT_PEAK:
	case OPT_PEAK_RSS:
		if (!output__known(arg))
			argp_error(state, "peak '%s': the name must end in one of %s", arg,
				   output__endings());
		*(key == OPT_PEAK ? &o->peak : &o->peak_rss) = arg;
		break;
	case OPT_SAMPLE_BYTES:
		if (units__parse_size(arg, &o->sample_bytes) || !o->sample_bytes ||
		    o->sample_bytes > 1ULL << 40)
			usage_error(state, "no sampling size (1 to 1T)", arg);
		break;
	case OPT_EXACT: o->sample_bytes = 1; break;
	case OPT_FAST: o->fast = true; break;
	case OPT_SAMPLE_INDEX:
		if (profile__heap_type(arg) < 0)
			usage_error(state,
				    "no sample type (inuse_space, inuse_objects, alloc_space, "
				    "alloc_objects)",
				    arg);
		o->sample_index = arg;
		break;
	case OPT_TOP:
		o->top = parse_count(arg, 1000000);
		if (o->top < 0)
			usage_error(state, "no number of rows", arg);
		break;
	case OPT_MAX_OVERHEAD:
		if (!parse_percent(arg, &o->max_overhead))
			usage_error(state, "no percentage", arg);
		break;
	case OPT_PLAIN: o->plain = true; break;
	case OPT_FOLLOW: o->follow = true; break;
	case OPT_MAX_DEPTH:
		o->max_depth = parse_count(arg, MW_MAX_FRAMES);
		if (o->max_depth <= 0)
			usage_error(state, "no number of frames up to 2048", arg);
		break;
	case OPT_JSON: o->json = true; break;
	case OPT_FAULTS:
		o->faults = true;
		if (arg) {
			int n = parse_count(arg, 1 << 24);

			if (n <= 0)
				usage_error(state, "no number of page faults", arg);
			o->fault_period = n;
		}
		break;
	case OPT_LEAK_AFTER: parse_time(state, "no time", arg, 0, &o->leak_after_ns); break;
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

	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	pid = parse_count(arg, 1 << 30);
	if (pid < 0)
		usage_error(state, "no process ID", arg);
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
	{"pid", 'p', "PID", 0, "the process to attach to; may repeat", 0}, {0}};

static const struct argp_child children[] = {
	{&alert_options_argp, 0, NULL, 0}, {&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp attach_options_argp = {options, parse_opt, NULL, NULL, children, NULL, NULL};
const struct argp attach_pid_argp = {pid_options, parse_pid, NULL, NULL, NULL, NULL, NULL};
