/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_report.c - memwatch report: what it can be asked for; report/job.h does it. */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "core/usage.h"
#include "core/util.h"
#include "format/output.h"
#include "report/job.h"
#include "report/picture.h"
#include "report/spelling.h"
#include "run/page_server.h"

enum {
	OPT_TOP = 256,
	OPT_CUM,
	OPT_FLAT,
	OPT_TREE,
	OPT_PEEK,
	OPT_LIST,
	OPT_DISASM,
	OPT_WEBLIST,
	OPT_TRACES,
	OPT_RAW,
	OPT_TAGS,
	OPT_COMMENTS,
	OPT_CALLGRIND,
	OPT_PROTO,
	OPT_TOPPROTO,
	OPT_DRAW,
	OPT_REPORT_FILE,
	OPT_COMPACT,
	OPT_SHELL,
	OPT_FOCUS,
	OPT_IGNORE,
	OPT_HIDE,
	OPT_SHOW,
	OPT_SHOW_FROM,
	OPT_PRUNE_FROM,
	OPT_TAG_FOCUS,
	OPT_TAG_IGNORE,
	OPT_TAG_SHOW,
	OPT_TAG_HIDE,
	OPT_TAG_ROOT,
	OPT_TAG_LEAF,
	OPT_NODE_FRACTION,
	OPT_EDGE_FRACTION,
	OPT_NODE_COUNT,
	OPT_TRIM,
	OPT_SAMPLE_INDEX,
	OPT_UNIT,
	OPT_GRANULARITY,
	OPT_NO_INLINES,
	OPT_MEAN,
	OPT_DIVIDE_BY,
	OPT_RELATIVE,
	OPT_INTEL,
	OPT_CALL_TREE,
	OPT_DROP_NEGATIVE,
	OPT_BASE,
	OPT_DIFF_BASE,
	OPT_NORMALIZE,
	OPT_SURVIVORS,
	OPT_SOURCE_PATH,
	OPT_TRIM_PATH,
	OPT_JSON,
	OPT_HTTP,
	OPT_VERSION,
	OPT_VERDICTS,
	OPT_LEDGER,
	OPT_FROM,
	OPT_PID,
	OPT_TO,
	OPT_GRAPH,
	OPT_LEAK_AFTER,
	OPT_HISTOGRAMS,
};

struct report_args {
	struct report_job job;
	const char *listen; /* of --http; NULL: none */
};

static const struct argp_option options[] = {
	{0, 0, 0, 0,
	 "What to print (default: the top 10 functions, totals and what was not seen):", 1},
	{"top", OPT_TOP, "N", OPTION_ARG_OPTIONAL,
	 "Functions with the most memory of their own (flat) and with what they called (cum); all "
	 "that "
	 "matter, or the first N"},
	{"tree", OPT_TREE, "N", OPTION_ARG_OPTIONAL,
	 "Every function with its callers above and its callees below; 80, or the first N"},
	{"peek", OPT_PEEK, "RE", 0, "Callers and callees of functions that match RE"},
	{"list", OPT_LIST, "RE", 0,
	 "Source of functions that match RE, with flat and cum per line"},
	{"disasm", OPT_DISASM, "RE", 0,
	 "Instructions of functions that match RE, with flat and cum; of the binaries of this "
	 "machine, if they are the same build"},
	{"weblist", OPT_WEBLIST, "RE", 0, "Source and instructions as a page"},
	{"traces", OPT_TRACES, 0, 0, "Every stack with its value and labels"},
	{"tags", OPT_TAGS, 0, 0, "All labels with what their samples hold"},
	{"comments", OPT_COMMENTS, 0, 0, "The profile's comments"},
	{"callgrind", OPT_CALLGRIND, 0, 0, "The call graph for KCachegrind"},
	{"shell", OPT_SHELL, 0, 0,
	 "Read pprof's commands from stdin; the default on a terminal where nothing else is asked "
	 "for"},
	{"proto", OPT_PROTO, 0, OPTION_HIDDEN, 0, 0},
	{"topproto", OPT_TOPPROTO, 0, OPTION_HIDDEN, 0, 0},
	{"draw", OPT_DRAW, "FORMAT", OPTION_HIDDEN, 0, 0},
	{"report-file", OPT_REPORT_FILE, "FILE", OPTION_HIDDEN, 0, 0},
	{"flat", OPT_FLAT, 0, OPTION_HIDDEN, 0, 0},
	{"compact-labels", OPT_COMPACT, 0, OPTION_HIDDEN, 0, 0},
	{"raw", OPT_RAW, 0, 0, "The whole profile as text"},
	{"json", OPT_JSON, 0, 0, "The profile as JSON (memwatch.profile/1)"},
	{"http", OPT_HTTP, "ADDR", OPTION_ARG_OPTIONAL,
	 "Serve the files as a page: profiles, recordings, timelines (.csv .json), OOM logs; ADDR "
	 "is "
	 "ADDR:PORT, :PORT or unix:PATH (default: a free port of 127.0.0.1)"},
	{"ledger", OPT_LEDGER, 0, 0,
	 "Where every resident byte belonged, of a .json profile made with --ledger"},
	{"output", 'o', "FILE", 0,
	 "Convert: write FILE, the ending picks the format (.pb.gz .folded .svg .html .json .txt); "
	 "may "
	 "repeat"},
	{"graph", OPT_GRAPH, "FILE", 0,
	 "Draw the call graph: .svg, .png, .pdf (by graphviz) or .dot; may repeat"},
	{"call-tree", OPT_CALL_TREE, 0, 0,
	 "In --graph and --callgrind, keep functions apart that are reached on different paths"},
	{0, 0, 0, 0, "Which values:", 2},
	{"sample-index", OPT_SAMPLE_INDEX, "NAME", 0,
	 "inuse_space (default), inuse_objects, alloc_space, alloc_objects, or what the file has"},
	{"unit", OPT_UNIT, "UNIT", 0,
	 "B, kB, MB, GB, auto (each value its own); default: the smallest "
	 "that keeps two digits"},
	{"cum", OPT_CUM, 0, 0, "Sort by cum instead of flat"},
	{"granularity", OPT_GRANULARITY, "WHAT", 0,
	 "functions (default), filefunctions, files, lines, addresses"},
	{"no-inlines", OPT_NO_INLINES, 0, 0,
	 "Count inlined functions as their first caller that is none"},
	{"mean", OPT_MEAN, 0, 0, "The average size of a block instead of the sum"},
	{"divide-by", OPT_DIVIDE_BY, "N", 0, "Divide all values by N"},
	{"relative-percentages", OPT_RELATIVE, 0, 0,
	 "Percentages of what the filters leave, not of everything"},
	{"intel-syntax", OPT_INTEL, 0, 0,
	 "Instructions of --disasm and --weblist in Intel's syntax"},
	{0, 0, 0, 0, "Which part:", 3},
	{"focus", OPT_FOCUS, "RE", 0, "Only stacks with a function, file or module that matches"},
	{"ignore", OPT_IGNORE, "RE", 0, "No stacks with a match"},
	{"hide", OPT_HIDE, "RE", 0, "Leave matching frames out of the stacks"},
	{"show", OPT_SHOW, "RE", 0, "Leave all other frames out"},
	{"show-from", OPT_SHOW_FROM, "RE", 0, "Cut the stacks above the outermost match"},
	{"tag-focus", OPT_TAG_FOCUS, "[KEY=]RE|RANGE", 0,
	 "Only samples whose label matches: bytes=128kb:512kb for block sizes, comm=worker"},
	{"tag-ignore", OPT_TAG_IGNORE, "[KEY=]RE|RANGE", 0, "No samples whose label matches"},
	{"prune-from", OPT_PRUNE_FROM, "RE", 0, "Cut the stacks below a match"},
	{"tag-root", OPT_TAG_ROOT, "KEY[,KEY]", 0,
	 "Labels become frames at the root of the stacks: comm, pid"},
	{"tag-leaf", OPT_TAG_LEAF, "KEY[,KEY]", 0, "Labels become frames at the leaf"},
	{"tag-show", OPT_TAG_SHOW, "RE", 0, "Only labels whose key matches"},
	{"tag-hide", OPT_TAG_HIDE, "RE", 0, "No labels whose key matches"},
	{"drop-negative", OPT_DROP_NEGATIVE, 0, 0, "No functions with negative values"},
	{"node-count", OPT_NODE_COUNT, "N", 0,
	 "Functions shown at most (default: 80 in trees and graphs)"},
	{"trim", OPT_TRIM, "yes|no", 0, "no: everything is shown, however small (default yes)"},
	{"node-fraction", OPT_NODE_FRACTION, "F", 0,
	 "Hide functions below this share (default 0.005)"},
	{"edge-fraction", OPT_EDGE_FRACTION, "F", 0, "Hide calls below this share (default 0.001)"},
	{0, 0, 0, 0, "Comparing moments:", 4},
	{"base", OPT_BASE, "FILE", 0, "Subtract FILE; may repeat"},
	{"diff-base", OPT_DIFF_BASE, "FILE", 0, "The same, percentages relative to FILE"},
	{"normalize", OPT_NORMALIZE, 0, 0, "Scale to the sum of the base before subtracting it"},
	{"survivors", OPT_SURVIVORS, "FILE", 0,
	 "FILE is an earlier moment of the same run: show what was allocated since and still "
	 "lives"},
	{0, 0, 0, 0, "Recordings (of --record):", 5},
	{"verdicts", OPT_VERDICTS, "N", OPTION_ARG_OPTIONAL,
	 "What each stack's memory does over time: leaks first; the first N (default 20)"},
	{"pid", OPT_PID, "PID", 0,
	 "Only this process, of a profile, recording or timeline of several"},
	{"from", OPT_FROM, "TIME", 0, "What changed since TIME after the start (30s, 5m)"},
	{"histograms", OPT_HISTOGRAMS, 0, 0,
	 "Sizes and lifetimes of the blocks, and who makes temporary ones"},
	{"leak-after", OPT_LEAK_AFTER, "TIME", 0,
	 "Verdicts: call a steady growth a likely leak after TIME (default 1m); until then it may "
	 "be a cache that fills"},
	{"to", OPT_TO, "TIME", 0, "As it was TIME after the start, instead of at the end"},
	{0, 0, 0, 0, "Source for --list:", 6},
	{"source-path", OPT_SOURCE_PATH, "DIR[:DIR]", 0,
	 "Where to search (default: the current directory)"},
	{"trim-path", OPT_TRIM_PATH, "DIR[:DIR]", 0,
	 "Prefixes to remove from the profile's file names"},
	{0, 0, 0, 0, "Messages:", 7},
	{"quiet", 'q', 0, 0, "Errors only"},
	{"verbose", 'v', 0, 0, "More of them"},
	{"version", OPT_VERSION, 0, 0, "Print the version"},
	{0},
};

static const char doc[] =
	"Print, compare and convert memory profiles: memwatch's own, Go's, jemalloc's and "
	"tcmalloc's in "
	"pprof form, and memwatch .json. Text and numbers are those of 'go tool pprof'. Several "
	"files are "
	"added up; '-' reads stdin. On a terminal, with no report asked for, a shell with pprof's "
	"commands opens ('help' there lists them). pprof's own spellings (-top, -sample_index=X) "
	"are "
	"understood too."
	"\vflat is what a function allocated itself, cum includes what it called. Examples:\n"
	"  memwatch report heap.pb.gz                     where is the memory now?\n"
	"  memwatch report --top 20 --cum heap.pb.gz      the same, by whole call paths\n"
	"  memwatch report --peek store heap.pb.gz        who calls it, what does it call?\n"
	"  memwatch report --list store heap.pb.gz        which source line?\n"
	"  memwatch report --base a.pb.gz b.pb.gz         what changed from a to b?\n"
	"  memwatch report --survivors a.pb.gz b.pb.gz    what of the new memory stayed?\n"
	"  memwatch report --sample-index alloc_space a.pb.gz    who allocates most?\n"
	"  memwatch report -o heap.svg -o heap.folded heap.pb.gz  convert";

/* Options that set a variable of pprof's: by its name there. */
static const struct {
	int key;
	const char *name;
} variables[] = {
	{OPT_FOCUS, "focus"},
	{OPT_IGNORE, "ignore"},
	{OPT_HIDE, "hide"},
	{OPT_SHOW, "show"},
	{OPT_SHOW_FROM, "show_from"},
	{OPT_PRUNE_FROM, "prune_from"},
	{OPT_TAG_FOCUS, "tagfocus"},
	{OPT_TAG_IGNORE, "tagignore"},
	{OPT_TAG_SHOW, "tagshow"},
	{OPT_TAG_HIDE, "taghide"},
	{OPT_TAG_ROOT, "tagroot"},
	{OPT_TAG_LEAF, "tagleaf"},
	{OPT_NODE_COUNT, "nodecount"},
	{OPT_TRIM, "trim"},
	{OPT_SAMPLE_INDEX, "sample_index"},
	{OPT_GRANULARITY, "granularity"},
	{OPT_NO_INLINES, "noinlines"},
	{OPT_MEAN, "mean"},
	{OPT_DIVIDE_BY, "divide_by"},
	{OPT_RELATIVE, "relative_percentages"},
	{OPT_INTEL, "intel_syntax"},
	{OPT_CALL_TREE, "call_tree"},
	{OPT_DROP_NEGATIVE, "drop_negative"},
	{OPT_COMPACT, "compact_labels"},
	{OPT_CUM, "cum"},
	{OPT_FLAT, "flat"},
	{OPT_SOURCE_PATH, "source_path"},
	{OPT_TRIM_PATH, "trim_path"},
};

/* Options that ask for a report. */
static const struct {
	int key;
	enum job_mode mode;
	enum report_kind kind;
} reports[] = {
	{OPT_TOP, JOB_REPORT, REPORT_TOP},
	{OPT_TREE, JOB_REPORT, REPORT_TREE},
	{OPT_PEEK, JOB_REPORT, REPORT_PEEK},
	{OPT_LIST, JOB_REPORT, REPORT_LIST},
	{OPT_DISASM, JOB_REPORT, REPORT_DISASM},
	{OPT_WEBLIST, JOB_REPORT, REPORT_WEBLIST},
	{OPT_TRACES, JOB_REPORT, REPORT_TRACES},
	{OPT_RAW, JOB_REPORT, REPORT_RAW},
	{OPT_TAGS, JOB_REPORT, REPORT_TAGS},
	{OPT_COMMENTS, JOB_REPORT, REPORT_COMMENTS},
	{OPT_CALLGRIND, JOB_REPORT, REPORT_CALLGRIND},
	{OPT_PROTO, JOB_REPORT, REPORT_PROTO},
	{OPT_TOPPROTO, JOB_REPORT, REPORT_TOPPROTO},
	{OPT_DRAW, JOB_PICTURE, REPORT_DOT},
	{OPT_SHELL, JOB_SHELL, REPORT_KINDS},
	{OPT_JSON, JOB_JSON, REPORT_KINDS},
	{OPT_LEDGER, JOB_LEDGER, REPORT_KINDS},
	{OPT_VERDICTS, JOB_VERDICTS, REPORT_KINDS},
	{OPT_HISTOGRAMS, JOB_HISTOGRAMS, REPORT_KINDS},
};

static const char *option_name(int key)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (options[i].key == key && options[i].name)
			return options[i].name;
	}
	return "?";
}

/* A share, a number of functions: what pprof would take and nothing sensible follows from. */
static void check_number(int key, const char *text, struct argp_state *state)
{
	bool count = key == OPT_TOP || key == OPT_TREE || key == OPT_VERDICTS;
	bool share = key == OPT_NODE_FRACTION || key == OPT_EDGE_FRACTION;
	char option[64];

	if (!text || (!count && !share))
		return;
	snprintf(option, sizeof(option), "--%s", option_name(key));
	if (count)
		usage__count(state, option, text, 0, INT_MAX, "number of rows");
	else
		usage__fraction(state, option, text);
}

static int set_variable(struct report_job *a, int key, const char *name, const char *value,
			struct argp_state *state)
{
	char why[200];
	int err;

	check_number(key, value, state);
	err = settings__set(&a->s, name, value ? value : "true", why, sizeof(why));
	if (err == -EINVAL)
		argp_error(state, "--%s: %s", option_name(key), why);
	return -err;
}

static int set_mode(struct report_job *a, int key, char *arg, struct argp_state *state)
{
	char option[64];

	for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
		if (reports[i].key != key)
			continue;
		if (a->mode != JOB_DEFAULT &&
		    (a->mode != reports[i].mode || a->kind != reports[i].kind))
			argp_error(state, "--%s: only one report at a time", option_name(key));
		a->mode = reports[i].mode;
		a->kind = reports[i].kind;
		if (key == OPT_TOP || key == OPT_TREE || key == OPT_VERDICTS)
			return arg ? set_variable(a, key, "nodecount", arg, state) : 0;
		if (key == OPT_DRAW) {
			a->draw = arg;
			return 0;
		}
		a->param = arg;
		if (arg) {
			snprintf(option, sizeof(option), "--%s", option_name(key));
			usage__expression(state, option, arg);
		}
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int set_unit(struct report_job *a, const char *text, struct argp_state *state)
{
	static const char *const known[] = {"auto", "minimum", "count", "B",  "kB", "MB", "GB",
					    "TB",   "PB",      "bytes", "ns", "us", "ms", "s"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcasecmp(text, known[i]))
			return -settings__text(&a->s.unit, known[i]);
	}
	usage__choice(state, "--unit", text, known, ARRAY_SIZE(known), "unit");
	return EINVAL;
}

/* A complaint about a setting, under the name of the option that sets it. */
static void wrong_setting(struct argp_state *state, const char *why)
{
	size_t len = strcspn(why, ":");

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (strlen(variables[i].name) == len && !strncmp(variables[i].name, why, len))
			argp_error(state, "--%s%s", option_name(variables[i].key), why + len);
	}
	argp_error(state, "%s", why);
}

/* All expressions compile. */
static void check_expressions(struct report_job *a, struct argp_state *state)
{
	struct rx *rx[SETTINGS_RX];
	struct report_options o;
	char why[256] = "out of memory";
	int err = settings__options(&a->s, &o, rx, why, sizeof(why));

	settings__free_rx(rx);
	if (err)
		wrong_setting(state, why);
}

static void check(struct report_job *a, struct argp_state *state)
{
	if (!a->from.files.n)
		argp_error(state, "no profile file given");
	if (a->from.survivors && a->from.bases.n)
		argp_error(state, "--survivors and --base exclude each other");
	if (a->from.normalize && !a->from.bases.n)
		argp_error(state, "--normalize needs --base or --diff-base");
	for (size_t i = 0; i < a->graphs.n; i++)
		usage__file(state, "--graph", a->graphs.name[i], PICTURE_ENDINGS, NULL);
	if (a->mode == JOB_HISTOGRAMS &&
	    (report_job__is_filtered(a) || a->from.bases.n || a->from.survivors))
		argp_error(state, "--histograms are of everything: no filter, no --base");
	if (a->mode == JOB_VERDICTS && a->from.files.n != 1)
		argp_error(state, "--verdicts reads one recording");
	check_expressions(a, state);
}

static void check_http(const struct report_job *a, struct argp_state *state)
{
	if (a->mode != JOB_DEFAULT || report_job__is_filtered(a) || a->from.bases.n ||
	    a->from.survivors || a->outputs.n || a->graphs.n)
		argp_error(state, "--http takes files alone: reports, filters and differences are "
				  "chosen on the page");
}

static error_t parse_other(int key, char *arg, struct report_job *a, struct argp_state *state)
{
	struct recording_window *w = &a->from.window;

	switch (key) {
	case OPT_VERSION: puts("memwatch " MEMWATCH_VERSION); exit(EXIT_DONE);
	case 'q': log__set_level(LOG_ERROR); return 0;
	case 'v': log__set_level(LOG_DEBUG); return 0;
	case 'o': return -open__add(&a->outputs, arg);
	case OPT_GRAPH: return -open__add(&a->graphs, arg);
	case OPT_REPORT_FILE: usage__once(state, "-output", arg, &a->file); return 0;
	case OPT_NODE_FRACTION: return set_variable(a, key, "nodefraction", arg, state);
	case OPT_EDGE_FRACTION: return set_variable(a, key, "edgefraction", arg, state);
	case OPT_UNIT: return set_unit(a, arg, state);
	case OPT_DIFF_BASE: a->from.diff_base = true; return -open__add(&a->from.bases, arg);
	case OPT_BASE: return -open__add(&a->from.bases, arg);
	case OPT_NORMALIZE: a->from.normalize = true; return 0;
	case OPT_SURVIVORS: usage__once(state, "--survivors", arg, &a->from.survivors); return 0;
	case OPT_PID:
		w->pid = usage__count(state, "--pid", arg, 1, INT32_MAX, "process ID");
		return 0;
	case OPT_FROM:
		w->from_ns = usage__time(state, "--from", arg, 0);
		w->has_from = true;
		return 0;
	case OPT_TO:
		w->to_ns = usage__time(state, "--to", arg, 0);
		w->has_to = true;
		return 0;
	case OPT_LEAK_AFTER:
		w->leak_after_s = (double)usage__time(state, "--leak-after", arg, 0) / 1e9;
		return 0;
	case ARGP_KEY_ARG: return -open__add(&a->from.files, arg);
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct report_args *r = state->input;
	struct report_job *a = &r->job;
	error_t err;

	if (key == OPT_HTTP) {
		r->listen = arg ?: "";
		return 0;
	}
	if (key == ARGP_KEY_END) {
		check(a, state);
		if (r->listen)
			check_http(a, state);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (variables[i].key == key)
			return set_variable(a, key, variables[i].name, arg, state);
	}
	err = set_mode(a, key, arg, state);
	return err == ARGP_ERR_UNKNOWN ? parse_other(key, arg, a, state) : err;
}

static int run(struct report_args *r)
{
	struct open_names *files = &r->job.from.files;

	return r->listen ? page_server__files(files->name, files->n, r->listen)
			 : report_job__run(&r->job);
}

static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp cmd_report_argp = {options, parse, "FILE...", doc, children, NULL, NULL};

int cmd_report(int argc, char **argv)
{
	struct report_args r = {
		.job = {.kind = REPORT_KINDS, .from.window.leak_after_s = TREND_LEAK_AFTER_S}};
	char **words, *name = strdup("memwatch report");
	int rc;

	words = spelling__translate(&argc, argv);
	if (!words || !name || settings__init(&r.job.s))
		return EXIT_FAILED;
	free(words[0]);
	words[0] = name;
	usage__parse(&cmd_report_argp, argc, words, 0, &r);
	rc = run(&r);
	report_job__fini(&r.job);
	spelling__free(words);
	return rc;
}
