/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_report.c - memwatch report: reads profile files, merges or subtracts them, and prints what
 * `go tool pprof` would print, or converts them.
 */
#include "cmd.h"

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "core/units.h"
#include "format/callgraph.h"
#include "format/ledger_out.h"
#include "format/output.h"
#include "format/text.h"
#include "format/hist_out.h"
#include "format/record.h"
#include "report/load.h"
#include "report/processes.h"
#include "report/merge.h"
#include "report/report.h"
#include "sys/outfile.h"
#include "sys/privilege.h"

#include <argp.h>
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

enum mode {
	MODE_DEFAULT,
	MODE_TOP,
	MODE_TREE,
	MODE_PEEK,
	MODE_LIST,
	MODE_TRACES,
	MODE_RAW,
	MODE_VERDICTS,
	MODE_HISTOGRAMS,
	MODE_JSON,
	MODE_LEDGER
};

enum {
	OPT_TOP = 256,
	OPT_CUM,
	OPT_TREE,
	OPT_PEEK,
	OPT_LIST,
	OPT_TRACES,
	OPT_RAW,
	OPT_FOCUS,
	OPT_IGNORE,
	OPT_HIDE,
	OPT_SHOW,
	OPT_SHOW_FROM,
	OPT_TAG_FOCUS,
	OPT_TAG_IGNORE,
	OPT_NODE_FRACTION,
	OPT_EDGE_FRACTION,
	OPT_SAMPLE_INDEX,
	OPT_UNIT,
	OPT_GRANULARITY,
	OPT_BASE,
	OPT_DIFF_BASE,
	OPT_SURVIVORS,
	OPT_SOURCE_PATH,
	OPT_TRIM_PATH,
	OPT_JSON,
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

struct type_names {
	char **name;
	size_t n, cap;
};

struct report_args {
	enum mode mode;
	struct report_options o;
	const char *sample_index, *survivors;
	struct type_names files, bases, outputs, graphs;
	struct recording_window window;
	bool diff_base;
	struct rx *rx[6]; /* owned: symbol, focus, ignore, hide, show, show_from */
	char *symbol_text;
};

static const struct argp_option options[] = {
	{0, 0, 0, 0,
	 "What to print (default: the top 10 functions, totals and what was not seen):", 1},
	{"top", OPT_TOP, "N", OPTION_ARG_OPTIONAL,
	 "Functions with the most memory of their own (flat) and with what they called (cum); all "
	 "that "
	 "matter, or the first N"},
	{"tree", OPT_TREE, 0, 0, "Every function with its callers above and its callees below"},
	{"peek", OPT_PEEK, "RE", 0, "Callers and callees of functions that match RE"},
	{"list", OPT_LIST, "RE", 0,
	 "Source of functions that match RE, with flat and cum per line"},
	{"traces", OPT_TRACES, 0, 0, "Every stack with its value and labels"},
	{"raw", OPT_RAW, 0, 0, "The whole profile as text"},
	{"json", OPT_JSON, 0, 0, "The profile as JSON (memwatch.profile/1)"},
	{"ledger", OPT_LEDGER, 0, 0,
	 "Where every resident byte belonged, of a .json profile made with --ledger"},
	{"output", 'o', "FILE", 0,
	 "Convert: write FILE, the ending picks the format (.pb.gz .folded .svg .html .json .txt); "
	 "may "
	 "repeat"},
	{"graph", OPT_GRAPH, "FILE", 0,
	 "Draw the call graph: .svg, .png (by graphviz) or .dot; may repeat"},
	{0, 0, 0, 0, "Which values:", 2},
	{"sample-index", OPT_SAMPLE_INDEX, "NAME", 0,
	 "inuse_space (default), inuse_objects, alloc_space, alloc_objects, or what the file has"},
	{"unit", OPT_UNIT, "UNIT", 0,
	 "B, kB, MB, GB, auto (each value its own); default: the smallest "
	 "that keeps two digits"},
	{"cum", OPT_CUM, 0, 0, "Sort by cum instead of flat"},
	{"granularity", OPT_GRANULARITY, "WHAT", 0,
	 "functions (default), filefunctions, files, lines, addresses"},
	{0, 0, 0, 0, "Which part:", 3},
	{"focus", OPT_FOCUS, "RE", 0, "Only stacks with a function, file or module that matches"},
	{"ignore", OPT_IGNORE, "RE", 0, "No stacks with a match"},
	{"hide", OPT_HIDE, "RE", 0, "Leave matching frames out of the stacks"},
	{"show", OPT_SHOW, "RE", 0, "Leave all other frames out"},
	{"show-from", OPT_SHOW_FROM, "RE", 0, "Cut the stacks above the outermost match"},
	{"tag-focus", OPT_TAG_FOCUS, "[KEY=]RE|RANGE", 0,
	 "Only samples whose label matches: bytes=128kb:512kb for block sizes, comm=worker"},
	{"tag-ignore", OPT_TAG_IGNORE, "[KEY=]RE|RANGE", 0, "No samples whose label matches"},
	{"node-fraction", OPT_NODE_FRACTION, "F", 0,
	 "Hide functions below this share (default 0.005)"},
	{"edge-fraction", OPT_EDGE_FRACTION, "F", 0, "Hide calls below this share (default 0.001)"},
	{0, 0, 0, 0, "Comparing moments:", 4},
	{"base", OPT_BASE, "FILE", 0, "Subtract FILE; may repeat"},
	{"diff-base", OPT_DIFF_BASE, "FILE", 0, "The same, percentages relative to FILE"},
	{"survivors", OPT_SURVIVORS, "FILE", 0,
	 "FILE is an earlier moment of the same run: show what was allocated since and still "
	 "lives"},
	{0, 0, 0, 0, "Recordings (of --record):", 5},
	{"verdicts", OPT_VERDICTS, "N", OPTION_ARG_OPTIONAL,
	 "What each stack's memory does over time: leaks first; the first N (default 20)"},
	{"pid", OPT_PID, "PID", 0, "Only this process, of a profile or recording of several"},
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
	"added up; '-' reads stdin."
	"\vflat is what a function allocated itself, cum includes what it called. Examples:\n"
	"  memwatch report heap.pb.gz                     where is the memory now?\n"
	"  memwatch report --top 20 --cum heap.pb.gz      the same, by whole call paths\n"
	"  memwatch report --peek store heap.pb.gz        who calls it, what does it call?\n"
	"  memwatch report --list store heap.pb.gz        which source line?\n"
	"  memwatch report --base a.pb.gz b.pb.gz         what changed from a to b?\n"
	"  memwatch report --survivors a.pb.gz b.pb.gz    what of the new memory stayed?\n"
	"  memwatch report --sample-index alloc_space a.pb.gz    who allocates most?\n"
	"  memwatch report -o heap.svg -o heap.folded heap.pb.gz  convert";

static int add_name(struct type_names *n, char *name)
{
	int err = array_reserve(n->name, n->cap, n->n + 1);

	if (!err)
		n->name[n->n++] = name;
	return err;
}

static int set_mode(struct report_args *a, enum mode mode, struct argp_state *state)
{
	if (a->mode != MODE_DEFAULT && a->mode != mode)
		argp_error(state,
			   "only one of --top, --tree, --peek, --list, --traces, --raw, --json, "
			   "--ledger, --verdicts");
	a->mode = mode;
	return 0;
}

static int set_rx(struct report_args *a, size_t i, const char *option, const char *text,
		  struct rx **slot, struct argp_state *state)
{
	char why[200];
	int err;

	rx__free(a->rx[i]);
	a->rx[i] = NULL;
	err = rx__new(text, &a->rx[i], why, sizeof(why));
	if (err == -EINVAL)
		argp_error(state, "--%s: '%s': %s", option, text, why);
	*slot = a->rx[i];
	return err;
}

static int set_fraction(const char *option, const char *text, double *ret, struct argp_state *state)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= 0 && v <= 1))
		argp_error(state, "--%s: '%s' is not a fraction from 0 to 1", option, text);
	*ret = v;
	return 0;
}

static int set_top(struct report_args *a, const char *text, struct argp_state *state)
{
	char *end;
	long n;

	if (!text)
		return 0;
	errno = 0;
	n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < 0 || n > INT_MAX)
		argp_error(state, "--top: '%s' is not a number of rows", text);
	a->o.top = (int)n;
	return 0;
}

static error_t set_pid(struct report_args *a, const char *text, struct argp_state *state)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || *end || pid < 1 || pid > INT32_MAX)
		argp_error(state, "--pid: '%s' is not a PID", text);
	a->window.pid = (uint32_t)pid;
	return 0;
}

static int set_moment(struct report_args *a, int key, const char *text, struct argp_state *state)
{
	bool from = key == OPT_FROM;

	if (units__parse_time(text, from ? &a->window.from_ns : &a->window.to_ns))
		argp_error(state, "--%s: '%s' is not a time", from ? "from" : "to", text);
	*(from ? &a->window.has_from : &a->window.has_to) = true;
	return 0;
}

static int set_leak_after(struct report_args *a, const char *text, struct argp_state *state)
{
	uint64_t ns;

	if (units__parse_time(text, &ns))
		argp_error(state, "--leak-after: '%s' is not a time", text);
	a->window.leak_after_s = (double)ns / 1e9;
	return 0;
}

static int set_unit(struct report_args *a, const char *text, struct argp_state *state)
{
	static const char *const known[] = {"auto", "minimum", "count", "B",  "kB", "MB", "GB",
					    "TB",   "PB",      "bytes", "ns", "us", "ms", "s"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcasecmp(text, known[i])) {
			a->o.unit = known[i];
			return 0;
		}
	}
	argp_error(state, "--unit: '%s' is none of auto, minimum, B, kB, MB, GB, TB, PB", text);
	return EINVAL;
}

static int set_granularity(struct report_args *a, const char *text, struct argp_state *state)
{
	static const char *const name[] = {"functions", "filefunctions", "files", "lines",
					   "addresses"};

	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		if (!strcmp(text, name[i])) {
			a->o.granularity = (enum graph_granularity)i;
			return 0;
		}
	}
	argp_error(state,
		   "--granularity: '%s' is none of functions, filefunctions, files, lines, "
		   "addresses",
		   text);
	return EINVAL;
}

static int parse_filter(int key, char *arg, struct report_args *a, struct argp_state *state)
{
	struct filter *f = &a->o.filter;

	switch (key) {
	case OPT_FOCUS: return set_rx(a, 1, "focus", arg, &f->focus, state);
	case OPT_IGNORE: return set_rx(a, 2, "ignore", arg, &f->ignore, state);
	case OPT_HIDE: return set_rx(a, 3, "hide", arg, &f->hide, state);
	case OPT_SHOW: return set_rx(a, 4, "show", arg, &f->show, state);
	case OPT_SHOW_FROM: return set_rx(a, 5, "show-from", arg, &f->show_from, state);
	case OPT_TAG_FOCUS: f->tag_focus = arg; return 0;
	case OPT_TAG_IGNORE: f->tag_ignore = arg; return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static bool is_filtered(const struct report_args *a)
{
	const struct filter *f = &a->o.filter;

	return f->focus || f->ignore || f->hide || f->show || f->show_from || f->tag_focus ||
	       f->tag_ignore;
}

static void check(struct report_args *a, struct argp_state *state)
{
	if (!a->files.n)
		argp_error(state, "no profile file given");
	if (a->survivors && a->bases.n)
		argp_error(state, "--survivors and --base exclude each other");
	for (size_t i = 0; i < a->outputs.n; i++) {
		if (!output__known(a->outputs.name[i]))
			argp_error(state, "-o: the name '%s' has none of the endings %s",
				   a->outputs.name[i], output__endings());
	}
	for (size_t i = 0; i < a->graphs.n; i++) {
		if (!callgraph__known(a->graphs.name[i]))
			argp_error(state,
				   "--graph: the name '%s' has none of the endings .svg .png .dot",
				   a->graphs.name[i]);
	}
	if (a->mode == MODE_HISTOGRAMS && (is_filtered(a) || a->bases.n || a->survivors))
		argp_error(state, "--histograms are of everything: no filter, no --base");
	if (a->mode == MODE_VERDICTS && a->files.n != 1)
		argp_error(state, "--verdicts reads one recording");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct report_args *a = state->input;

	switch (key) {
	case OPT_TOP: set_mode(a, MODE_TOP, state); return set_top(a, arg, state);
	case OPT_CUM: a->o.cum = true; return 0;
	case OPT_TREE: return set_mode(a, MODE_TREE, state);
	case OPT_PEEK:
		set_mode(a, MODE_PEEK, state);
		return set_rx(a, 0, "peek", arg, &a->o.symbol, state);
	case OPT_LIST:
		set_mode(a, MODE_LIST, state);
		return set_rx(a, 0, "list", arg, &a->o.symbol, state);
	case OPT_TRACES: return set_mode(a, MODE_TRACES, state);
	case OPT_RAW: return set_mode(a, MODE_RAW, state);
	case OPT_JSON: return set_mode(a, MODE_JSON, state);
	case OPT_LEDGER: return set_mode(a, MODE_LEDGER, state);
	case OPT_VERSION: puts("memwatch " MEMWATCH_VERSION); exit(EXIT_DONE);
	case 'q': log__set_level(LOG_ERROR); return 0;
	case 'v': log__set_level(LOG_DEBUG); return 0;
	case 'o': return add_name(&a->outputs, arg);
	case OPT_NODE_FRACTION:
		return set_fraction("node-fraction", arg, &a->o.node_fraction, state);
	case OPT_EDGE_FRACTION:
		return set_fraction("edge-fraction", arg, &a->o.edge_fraction, state);
	case OPT_SAMPLE_INDEX: a->sample_index = arg; return 0;
	case OPT_UNIT: return set_unit(a, arg, state);
	case OPT_GRANULARITY: return set_granularity(a, arg, state);
	case OPT_DIFF_BASE: a->diff_base = true; return add_name(&a->bases, arg);
	case OPT_BASE: return add_name(&a->bases, arg);
	case OPT_SURVIVORS: a->survivors = arg; return 0;
	case OPT_SOURCE_PATH: a->o.source_path = arg; return 0;
	case OPT_TRIM_PATH: a->o.trim_path = arg; return 0;
	case OPT_VERDICTS: set_mode(a, MODE_VERDICTS, state); return set_top(a, arg, state);
	case OPT_PID: return set_pid(a, arg, state);
	case OPT_FROM:
	case OPT_TO: return set_moment(a, key, arg, state);
	case OPT_HISTOGRAMS: return set_mode(a, MODE_HISTOGRAMS, state);
	case OPT_LEAK_AFTER: return set_leak_after(a, arg, state);
	case OPT_GRAPH: return add_name(&a->graphs, arg);
	case ARGP_KEY_ARG: return add_name(&a->files, arg);
	case ARGP_KEY_END: check(a, state); return 0;
	}
	return parse_filter(key, arg, a, state);
}

static void free_profiles(struct profile **p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		profile__free(p[i]);
	free(p);
}

static bool any_negative(const struct profile *p)
{
	for (size_t i = 0; i < p->nsamples; i++) {
		for (size_t k = 0; k < p->nvalues; k++) {
			if (p->samples[i].value[k] < 0)
				return true;
		}
	}
	return false;
}

/*
 * pprof merges even a single profile with itself: equal samples become one, everything is
 * renumbered. Sums over samples do not show it unless values of opposite sign meet or comments
 * repeat, so where only sums are printed the work is left out.
 */
static bool same_when_merged(const struct profile *p)
{
	if (p->ncomments > 16)
		return false;
	for (size_t i = 0; i < p->ncomments; i++) {
		for (size_t j = 0; j < i; j++) {
			if (p->comments[i] == p->comments[j])
				return false;
		}
	}
	return !any_negative(p);
}

/* Reads and merges. */
/* Says which processes there are where the wanted one is not. */
static int keep_process(struct profile *p, uint32_t pid, const char *path)
{
	struct process *list = calloc(PROCESSES_MAX, sizeof(*list));
	size_t n = list ? processes__list(p, list) : 0;
	int err = !list ? -ENOMEM : !n && p->pid == pid ? 0 : processes__keep(p, pid);

	if (err)
		log_error("no process %u in '%s'%s", pid, path, n ? "; it has:" : "");
	for (size_t i = 0; err && i < n && i < 20; i++)
		log_error("  %u %s", list[i].pid, list[i].comm);
	free(list);
	return err;
}

static int load(const struct type_names *files, const struct recording_window *window, bool compact,
		struct profile **ret)
{
	struct profile **p = calloc(files->n, sizeof(*p));
	const char *reason;
	char why[256];
	int err = p ? 0 : -ENOMEM;

	for (size_t i = 0; i < files->n && !err; i++) {
		err = load__file_window(files->name[i], window, &p[i], why, sizeof(why));
		if (err)
			log_error("failed to read '%s': %s", files->name[i], why);
		else if (window && window->pid)
			err = keep_process(p[i], window->pid, files->name[i]);
	}
	if (!err && files->n == 1 && !compact && same_when_merged(p[0])) {
		*ret = p[0];
		free(p);
		return 0;
	}
	if (!err) {
		err = merge__profiles(p, files->n, ret, &reason);
		if (err)
			log_error("failed to merge the files: %s", reason);
	}
	free_profiles(p, p ? files->n : 0);
	return err;
}

static int subtract(struct report_args *a, struct profile **p)
{
	struct profile *both[2] = {*p, NULL}, *diff;
	const char *why = "out of memory";
	int err = load(&a->bases, NULL, true, &both[1]);

	if (err)
		return err;
	if (a->diff_base)
		err = merge__label(both[1], "pprof::base", "true");
	merge__negate(both[1]);
	err = err ? err : merge__profiles(both, 2, &diff, &why);
	profile__free(both[1]);
	if (err) {
		log_error("failed to compare the files: %s", why);
		return err;
	}
	profile__free(*p);
	*p = diff;
	return 0;
}

static int survive(struct report_args *a, struct profile **p)
{
	struct type_names one = {.name = (char **)&a->survivors, .n = 1};
	struct profile *then, *result;
	const char *why = "out of memory";
	int err = load(&one, NULL, true, &then);

	if (err)
		return err;
	err = merge__survivors(then, *p, &result, &why);
	profile__free(then);
	if (err) {
		log_error("failed to compare '%s' with '%s': %s", a->survivors, a->files.name[0],
			  why);
		return err;
	}
	profile__free(*p);
	*p = result;
	return 0;
}

/* pprof gives a profile without mappings an empty one. */
static int fake_mapping(struct profile *p)
{
	struct profile_mapping m = {0};
	uint32_t id;
	int err = p->nmappings ? 0 : profile__mapping(p, &m, &id);

	if (err || p->nmappings > 1 || p->mappings[0].file || p->mappings[0].limit)
		return err;
	for (size_t i = 0; i < p->nlocations; i++)
		p->locations[i].mapping = 0;
	return 0;
}

static int find_type(const struct profile *p, const char *name)
{
	char *end;
	long i;
	int type;

	if (name && *name) {
		i = strtol(name, &end, 10);
		if (!*end)
			return i >= 0 && (size_t)i < p->nvalues ? (int)i : -ENOENT;
	}
	type = profile__find_type(p, name);
	return type;
}

static void no_such_type(const struct profile *p, const char *name)
{
	char text[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < p->nvalues && n < sizeof(text); i++)
		n += snprintf(text + n, sizeof(text) - n, "%s%.60s", i ? ", " : "",
			      profile__text(p, p->sample_type[i].type));
	log_error("--sample-index: '%s' is none of %s", name ? name : "", text);
}

static void warn_unmatched(unsigned bits)
{
	static const char *const name[] = {"focus",	"ignore",    "hide",	  "show",
					   "show-from", "tag-focus", "tag-ignore"};

	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		if (bits & 1u << i)
			log_warn("--%s matched nothing", name[i]);
	}
}

/* The files of -o get the profile with the filters applied, all frames included. */
static int convert(const struct report_args *a, struct profile *p, int type)
{
	struct report r;
	unsigned unmatched;
	char why[200] = "out of memory";
	int failed = 0, err;

	if (is_filtered(a)) {
		err = report__begin(&r, p, &a->o, &unmatched, why, sizeof(why));
		if (err) {
			log_error("failed to filter: %s", why);
			return err;
		}
	}
	for (size_t i = 0; i < a->outputs.n; i++) {
		err = output__write_type(p, a->outputs.name[i], type);
		if (!err)
			continue;
		failed = err;
		log_error("failed to write '%s': %s", a->outputs.name[i], outfile__strerror(err));
	}
	for (size_t i = 0; i < a->graphs.n; i++) {
		double node = a->o.node_fraction >= 0 ? a->o.node_fraction : 0.005;
		double edge = a->o.edge_fraction >= 0 ? a->o.edge_fraction : 0.001;

		err = callgraph__save(a->graphs.name[i], p, type, node, edge);
		if (!err)
			continue;
		failed = err;
		log_error("failed to draw '%s': %s", a->graphs.name[i],
			  err == -ENOPKG ? "graphviz's dot is not installed (package graphviz)"
					 : outfile__strerror(err));
	}
	return failed;
}

/* Prints nothing, no header either, when no function matches: as pprof. */
static int peek(struct report *r)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err = f ? report__tree(r, f) : -ENOMEM;

	if (f && fclose(f) && !err)
		err = -ENOMEM;
	if (!err && (fwrite(text, 1, len, stdout) != len || fflush(stdout)))
		err = errno ? -errno : -EIO;
	return err;
}

static int print(const struct report_args *a, struct report *r)
{
	int err;

	switch (a->mode) {
	case MODE_TREE: return report__tree(r, stdout);
	case MODE_PEEK: return peek(r);
	case MODE_LIST: return report__list(r, stdout);
	case MODE_TRACES: return report__traces(r, stdout);
	case MODE_RAW: return report__raw(r, stdout);
	case MODE_TOP: return report__top(r, stdout);
	case MODE_JSON:
		err = json__write(stdout, r->p);
		return err ? err : fflush(stdout) ? -errno : 0;
	case MODE_LEDGER:
		err = ledger_out__profile(stdout, r->p, "");
		return err ? err : fflush(stdout) ? -errno : 0;
	case MODE_HISTOGRAMS:
	case MODE_VERDICTS:
	case MODE_DEFAULT: break;
	}
	if (r->o.top < 0)
		r->o.top = 10;
	err = report__top(r, stdout);
	report__books(r->p, stdout);
	err = err ? err : ledger_out__profile(stdout, r->p, "\n");
	return err ? err : fflush(stdout) ? -errno : 0;
}

static int show_histograms(const struct profile *p)
{
	if (!p->hist_total) {
		log_error("no histograms in this file: recordings (memwatch --record) and "
			  "memwatch's .json have them");
		return -ENOENT;
	}
	hist_out__text(stdout, p, HIST_OUT_BAR);
	return fflush(stdout) ? -errno : 0;
}

static int show(struct report_args *a, struct profile *p)
{
	char why[200] = "out of memory";
	unsigned unmatched;
	struct report r;
	/* JSON is for programs: all frames. */
	int err = a->mode == MODE_JSON ? 0 : filter__drop_frames(p);

	if (a->mode == MODE_HISTOGRAMS)
		return err && err != -EINVAL ? err : show_histograms(p);

	if (err == -EINVAL)
		log_warn("the profile's drop_frames is no valid expression: all frames are shown");
	else if (err)
		return err;
	err = report__begin(&r, p, &a->o, &unmatched, why, sizeof(why));
	if (err) {
		log_error("failed to filter: %s", why);
		return err;
	}
	warn_unmatched(unmatched);
	err = print(a, &r);
	if (err == -ENOENT)
		log_error("no function matches '%s'", rx__pattern(a->o.symbol));
	else if (err && err != -EPIPE)
		log_error("failed to print the report: %s", strerror(-err));
	return err;
}

static int verdicts(const struct report_args *a)
{
	cleanup_free char *buf = NULL;
	const char *path = a->files.name[0], *reason = "";
	char why[256];
	size_t len;
	int err = load__bytes(path, &buf, &len, why, sizeof(why));

	if (!err && !record__is(buf, len)) {
		err = -EBADMSG;
		snprintf(why, sizeof(why), "--verdicts needs a recording (memwatch --record FILE)");
	} else if (!err) {
		err = recording__verdicts(stdout, buf, len, &a->window,
					  a->o.top < 0 ? 20 : a->o.top, &reason);
		snprintf(why, sizeof(why), "%s", reason);
	}
	if (err && err != -EPIPE)
		log_error("failed to read '%s': %s", path, why);
	return err ? EXIT_FAILED : EXIT_DONE;
}

static int report(struct report_args *a)
{
	/* These print what merging changes: order, numbers and duplicates of samples. */
	bool compact = a->mode == MODE_RAW || a->mode == MODE_TRACES || a->mode == MODE_JSON ||
		       a->bases.n || a->survivors || a->outputs.n || a->graphs.n ||
		       a->o.granularity == GRAPH_ADDRESSES;
	bool text = a->mode != MODE_DEFAULT || !(a->outputs.n || a->graphs.n);
	struct profile *p = NULL, *copy = NULL;
	const char *why;
	int err = load(&a->files, &a->window, compact, &p);

	if (!err && is_filtered(a))
		profile__drop_hists(p); /* they are of everything */
	if (!err && a->bases.n)
		err = subtract(a, &p);
	if (!err && a->survivors)
		err = survive(a, &p);
	if (!err) {
		a->o.type = find_type(p, a->sample_index);
		if (a->o.type < 0) {
			no_such_type(p, a->sample_index);
			profile__free(p);
			return EXIT_USAGE;
		}
	}
	if (!err && (a->outputs.n || a->graphs.n)) {
		err = merge__profiles(&p, 1, &copy, &why);
		err = err ? err : convert(a, copy, a->o.type);
		profile__free(copy);
	}
	if (!err && a->mode == MODE_LEDGER && !p->nledgers) {
		log_error("no ledger in '%s': 'memwatch -p PID --ledger -o FILE.json' puts one "
			  "into the profile",
			  a->files.name[0]);
		err = -ENOENT;
	} else if (!err && text) {
		err = fake_mapping(p);
		err = err ? err : show(a, p);
	}
	profile__free(p);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* "--top 20" as well as "--top=20": a number behind --top is its argument. */
static char **join_top(int *argc, char **argv)
{
	char **out = calloc(*argc + 1, sizeof(*out));
	int n = 0;

	for (int i = 0; out && i < *argc; i++) {
		const char *next = i + 1 < *argc ? argv[i + 1] : "";

		if ((!strcmp(argv[i], "--top") || !strcmp(argv[i], "--verdicts")) && *next &&
		    !next[strspn(next, "0123456789")]) {
			if (asprintf(&out[n++], "%s=%s", argv[i], next) < 0)
				return NULL;
			i++;
		} else {
			out[n++] = strdup(argv[i]);
		}
	}
	*argc = n;
	return out;
}

int cmd_report(int argc, char **argv)
{
	struct report_args a = {.o = {.top = -1, .node_fraction = -1, .edge_fraction = -1},
				.window.leak_after_s = TREND_LEAK_AFTER_S};
	static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};
	struct argp argp = {options, parse, "FILE...", doc, children, NULL, NULL};
	char **joined, name[] = "memwatch report";
	int rc;

	argp_err_exit_status = EXIT_USAGE;
	joined = join_top(&argc, argv);
	if (!joined)
		return EXIT_FAILED;
	free(joined[0]);
	joined[0] = name;
	rc = argp_parse(&argp, argc, joined, 0, NULL, &a) ? EXIT_USAGE
	     : privilege__keep(PRIVILEGE(READ) | PRIVILEGE(FILES) |
			       (a.graphs.n ? PRIVILEGE(EXEC) : 0))
		     ? EXIT_FAILED
	     : a.mode == MODE_VERDICTS ? verdicts(&a)
				       : report(&a);
	for (size_t i = 0; i < ARRAY_SIZE(a.rx); i++)
		rx__free(a.rx[i]);
	free(a.files.name);
	free(a.bases.name);
	free(a.outputs.name);
	free(a.graphs.name);
	for (int i = 1; i < argc; i++)
		free(joined[i]);
	free(joined);
	return rc;
}
