/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_top.c - `memwatch top`: every process with its VIRT and RSS, growth and peaks. Full screen on
 * a terminal, text or JSON elsewhere.
 */
#include <argp.h>
#include <string.h>

#include "cmd.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "format/ledger_out.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "run/attach.h"
#include "run/monitor.h"
#include "run/top_run.h"
#include "snapshot/heapwalk.h"
#include "sys/outfile.h"
#include "sys/proc_task.h"
#include "sys/signals.h"
#include "top/top.h"

struct options {
	uint64_t interval_ns, duration_ns, iterations;
	size_t rows;
	bool plain, json, tree, reverse, kthreads, no_bpf, full_command, ledger;
	struct attach_options faults; /* .faults set: that is what is asked for */
	const char *sort, *filter, *timeline;
	uint32_t *pids;
	size_t npids, pids_cap;
};

enum {
	OPT_PLAIN = 256,
	OPT_JSON,
	OPT_TREE,
	OPT_SORT,
	OPT_FILTER,
	OPT_REVERSE,
	OPT_KTHREADS,
	OPT_TOP,
	OPT_NO_BPF,
	OPT_CMDLINE,
	OPT_TIMELINE,
	OPT_LEDGER,
	OPT_FAULTS
};

static const struct argp_option option_list[] = {
	{"pid", 'p', "PID", 0, "only this process; may repeat", 0},
	{"interval", 'i', "TIME", 0, "time between two refreshes (default 2s)", 0},
	{"duration", 'd', "TIME", 0, "stop after this time", 0},
	{"iterations", 'n', "N", 0, "stop after N refreshes", 0},
	{"plain", OPT_PLAIN, NULL, 0, "text, no full screen (the default when not on a terminal)",
	 0},
	{"json", OPT_JSON, NULL, 0, "one JSON object a line at each refresh", 0},
	{"sort", OPT_SORT, "KEY", 0,
	 "rss (default), virt, anon, file, shmem, swap, growth, peak, oom, pid, user, command", 0},
	{"reverse", OPT_REVERSE, NULL, 0, "lowest first", 0},
	{"filter", OPT_FILTER, "RE", 0,
	 "only processes whose command, user, cgroup or container matches", 0},
	{"tree", OPT_TREE, NULL, 0, "children below their parents", 0},
	{"top", OPT_TOP, "N", 0, "rows shown (default: what fits, 40 as text, all as JSON)", 0},
	{"full-command", OPT_CMDLINE, NULL, 0, "command lines instead of names", 0},
	{"timeline", OPT_TIMELINE, "FILE", 0,
	 "record VIRT and RSS over time: .csv, .json, .svg, .html (of -p, else of all)", 0},
	{"ledger", OPT_LEDGER, NULL, 0, "with -p: where every resident byte belongs, once", 0},
	{"faults", OPT_FAULTS, "N", OPTION_ARG_OPTIONAL,
	 "which stacks make pages resident, of -p or of all processes, by every N-th page fault "
	 "(default 1024)",
	 0},
	{"output", 'o', "FILE", 0,
	 "with --faults: write the profile at the end (.pb.gz, .folded, .svg, .html, .json, .txt)",
	 0},
	{"kernel-threads", OPT_KTHREADS, NULL, 0, "kernel threads too", 0},
	{"no-bpf", OPT_NO_BPF, NULL, 0, "read /proc even where BPF works", 0},
	{0},
};

static int parse_number(const char *arg, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (errno || !*arg || *arg == '-' || *end || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t n;

	switch (key) {
	case 'p':
		if (parse_number(arg, INT32_MAX, &n) || !n)
			argp_error(state, "'%s' is no process id", arg);
		if (array_reserve(o->pids, o->pids_cap, o->npids + 1))
			return ENOMEM;
		o->pids[o->npids++] = n;
		break;
	case 'i':
		if (units__parse_time(arg, &o->interval_ns) || o->interval_ns < 10000000)
			argp_error(state, "'%s' is no interval (10ms at least)", arg);
		break;
	case 'd':
		if (units__parse_time(arg, &o->duration_ns) || !o->duration_ns)
			argp_error(state, "'%s' is no duration", arg);
		break;
	case 'n':
		if (parse_number(arg, UINT32_MAX, &o->iterations) || !o->iterations)
			argp_error(state, "'%s' is no number of refreshes", arg);
		break;
	case OPT_TOP:
		if (parse_number(arg, UINT32_MAX, &n))
			argp_error(state, "'%s' is no number of rows", arg);
		o->rows = n;
		break;
	case OPT_SORT:
		if (top_view__sort_by_name(arg) < 0)
			argp_error(state, "'%s' is no sort key", arg);
		o->sort = arg;
		break;
	case OPT_TIMELINE:
		if (!timeline_file__known(arg))
			argp_error(state, "'%s' must end in .csv, .json, .svg or .html", arg);
		o->timeline = arg;
		break;
	case OPT_FILTER: o->filter = arg; break;
	case OPT_FAULTS:
		o->faults.faults = true;
		if (arg) {
			if (parse_number(arg, 1 << 24, &n) || !n)
				argp_error(state, "'%s' is no number of page faults", arg);
			o->faults.fault_period = n;
		}
		break;
	case 'o':
		if (!output__known(arg))
			argp_error(state, "output '%s': the name must end in one of %s", arg,
				   output__endings());
		if (o->faults.noutputs == ATTACH_MAX_OUTPUTS)
			argp_error(state, "more than %d outputs", ATTACH_MAX_OUTPUTS);
		o->faults.outputs[o->faults.noutputs++] = arg;
		break;
	case OPT_LEDGER: o->ledger = true; break;
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->faults.alert; break;
	case ARGP_KEY_END:
		if (rules__any(&o->faults.alert.rules) && !o->npids)
			argp_error(state, "--alert-... needs -p PID");
		if (o->faults.noutputs && !o->faults.faults)
			argp_error(state, "-o needs --faults");
		if (o->faults.faults && o->npids > ATTACH_MAX_PIDS)
			argp_error(state, "more than %d processes", ATTACH_MAX_PIDS);
		if (o->ledger && !o->npids)
			argp_error(state, "--ledger needs -p PID");
		break;
	case OPT_PLAIN: o->plain = true; break;
	case OPT_JSON: o->json = true; break;
	case OPT_TREE: o->tree = true; break;
	case OPT_REVERSE: o->reverse = true; break;
	case OPT_KTHREADS: o->kthreads = true; break;
	case OPT_NO_BPF: o->no_bpf = true; break;
	case OPT_CMDLINE: o->full_command = true; break;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = {
	{&alert_options_argp, 0, NULL, 0}, {&output_mode_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	option_list,
	parse_option,
	"",
	"Every process: virtual size, resident memory by kind, swap, growth with its trend, peak, "
	"OOM score.\v"
	"Peaks between two refreshes are seen too. With -p, the stacks that made its memory "
	"resident "
	"are shown as well. Keys of the full-screen view: F1 or h.",
	children,
	NULL,
	NULL};

static int start_timeline(struct top *t, const struct options *o)
{
	struct proc_timeline_opts topts = {
		.interval_ns = o->interval_ns,
		.external = true,
		.all = !o->npids,
		.max_rows = o->npids ? 0 : 512,
	};
	int err;

	if (!o->timeline)
		return EXIT_DONE;
	err = proc_timeline__new(&topts, &t->timeline);
	for (size_t i = 0; i < o->npids && !err; i++)
		err = proc_timeline__add(t->timeline, o->pids[i]);
	if (err == -ESRCH)
		return EXIT_NO_PROCESS;
	if (err && err != -EEXIST) {
		log_error("failed to start the timeline: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int set_up(struct top *t, const struct options *o, bool text)
{
	struct mm_probe_opts popts = {
		.peaks = true,
		.kthreads = o->kthreads || !text || o->npids,
		.no_bpf = o->no_bpf,
		.pids = (const pid_t *)o->pids,
		.npids = o->npids,
	};
	int err, status;

	table__init(&t->table);
	t->kthreads = o->kthreads || o->npids;
	t->interval_ns = o->interval_ns;
	t->duration_ns = o->duration_ns;
	t->tuning = o->faults.tuning;
	t->max_ticks = o->iterations;
	t->rows = o->rows != SIZE_MAX ? o->rows : o->json ? 0 : 40;
	t->view.sort = o->sort ? top_view__sort_by_name(o->sort) : SORT_RSS;
	t->view.reverse = o->reverse;
	t->view.tree = o->tree;
	t->view.full_command = o->full_command;
	t->view.pids = o->pids;
	t->wants_stacks = o->npids && o->npids <= ATTACH_MAX_PIDS && !o->no_bpf;
	t->view.npids = o->npids;
	if (top_view__set_filter(&t->view, o->filter)) {
		log_error("'%s' is no regular expression", o->filter);
		return EXIT_USAGE;
	}
	err = names__new(&t->names);
	if (!err)
		err = mm_probe__new(&popts, &t->probe);
	if (err) {
		log_error("failed to start: %s", strerror(-err));
		return EXIT_FAILED;
	}
	t->table.name = names__fill;
	t->table.name_arg = t->names;
	if (*mm_probe__note(t->probe) && !o->no_bpf) {
		log_warn("%s", mm_probe__note(t->probe));
		t->wants_stacks = false;
	}
	status = start_timeline(t, o);
	if (status)
		return status;
	status = top__watch(t, &o->faults.alert);
	if (status)
		return status;
	return EXIT_DONE;
}

static int print_ledger(uint32_t pid, bool json)
{
	const struct ledger_heap no_profile = {0};
	struct ledger l;
	char comm[17], why[PROC_TASK_WHY] = "";
	int err = heapwalk__ledger(pid, &no_profile, &l, comm);

	if (err) {
		int reason = proc_task__check(pid, why);

		if (reason && *why)
			log_error("no ledger: %s", why);
		else
			log_error("failed to read the mappings of %u: %s", pid, strerror(-err));
		switch (reason ? reason : err) {
		case -ESRCH: return EXIT_NO_PROCESS;
		case -EACCES:
		case -EPERM:
		case -EOPNOTSUPP: return EXIT_UNSUPPORTED;
		default: return EXIT_FAILED;
		}
	}
	if (json) {
		json_t *o = ledger_out__json(&l, pid, comm);

		err = !o || json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else {
		ledger_out__text(stdout, &l, pid, comm);
	}
	return err || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

/* The page-fault profile is a run of its own: the loop of attach, without probes. */
static int run_faults(struct options *o)
{
	struct attach_options *a = &o->faults;
	struct monitor *m = NULL;
	struct attach *attach;
	int status;

	a->duration_ns = o->duration_ns;
	a->interval_ns = o->interval_ns;
	a->json = o->json;
	a->timeline = o->timeline;
	a->faults_all = !o->npids;
	signals__block();
	status = attach__open(a, &attach);
	if (status)
		return status;
	for (size_t i = 0; i < o->npids && !status; i++)
		status = attach__add(attach, o->pids[i]);
	if (!status && a->faults_all)
		log_info("attached to all processes: one page fault in %u is sampled",
			 observer__opts(attach->observer)->fault_period);
	if (!status && monitor__new(a, attach, &m))
		status = EXIT_FAILED;
	if (!status)
		status = monitor__run(m);
	monitor__free(m);
	attach__close(attach);
	return status;
}

/* None of the processes is there, or none is shown. */
static int tell_missing(uint32_t pid)
{
	char why[PROC_TASK_WHY];
	int err = proc_task__check(pid, why);

	if (err == -EACCES) {
		log_error("%s", why);
		return EXIT_UNSUPPORTED;
	}
	log_error("no such process: %u", pid);
	return EXIT_NO_PROCESS;
}

int cmd_top(int argc, char **argv)
{
	struct options o = {.interval_ns = 2000000000ULL, .rows = SIZE_MAX};
	struct top t = {0};
	bool text;
	int status;

	attach_options__init(&o.faults);
	cmd_tuning(&o.faults.tuning);
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	status = attach__prepare(&o.faults, 0);
	if (status)
		return status;
	if (o.faults.faults) {
		status = run_faults(&o);
		free(o.pids);
		return status;
	}
	if (o.ledger) {
		status = EXIT_DONE;
		for (size_t i = 0; i < o.npids && !status; i++)
			status = print_ledger(o.pids[i], o.json);
		free(o.pids);
		return status;
	}
	text = o.plain || o.json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
	status = set_up(&t, &o, text);
	if (!status)
		status = text ? top_run__text(&t, o.json, o.timeline)
			      : top_run__screen(&t, o.timeline);
	if (status == EXIT_NO_PROCESS)
		status = tell_missing(o.pids[0]);
	top__unwatch(&t);
	top__close_books(&t);
	if (t.timeline && status == EXIT_DONE)
		status = top_run__save(&t, o.timeline);
	proc_timeline__free(t.timeline);
	top_stacks__free(t.stacks);
	mm_probe__free(t.probe);
	table__clear(&t.table);
	top_view__clear(&t.view); /* owns o.pids */
	names__free(t.names);
	return status;
}
