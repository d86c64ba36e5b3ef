/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_top.c - `memwatch top`: every process with its VIRT and RSS, growth and peaks. Full screen on
 * a terminal, text or JSON elsewhere.
 */
#include <argp.h>
#include <string.h>

#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "format/ledger_out.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "run/attach.h"
#include "run/monitor.h"
#include "run/pid_option.h"
#include "run/top_run.h"
#include "snapshot/heapwalk.h"
#include "sys/chooser.h"
#include "sys/proc_task.h"
#include "sys/signals.h"
#include "top/top.h"

#define MAX_CHOSEN \
	256 /* timelines of those that match a selector: a service may restart for ever */

struct options {
	uint64_t interval_ns, duration_ns, iterations;
	size_t rows;
	bool plain, json, tree, reverse, kthreads, no_bpf, full_command, ledger;
	struct attach_options faults; /* .faults set: that is what is asked for */
	const char *sort, *filter;
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
	OPT_FAULTS,
	OPT_ALLOW_SIGNALS
};

static bool names_some(const struct options *o)
{
	return o->npids || o->faults.selector;
}

static const struct argp_option option_list[] = {
	{"pid", 'p', "PID", 0,
	 "only this process, by its number or its name where only one has it; may repeat", 0},
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
	 "record VIRT and RSS over time: .csv, .json, .svg, .html (of -p and the like, else of "
	 "all)",
	 0},
	{"ledger", OPT_LEDGER, NULL, 0,
	 "with -p or the like: where every resident byte belongs, once", 0},
	{"faults", OPT_FAULTS, "N", OPTION_ARG_OPTIONAL,
	 "which stacks make pages resident, of -p or of all processes, by every N-th page fault "
	 "(default 1024)",
	 0},
	{"output", 'o', "FILE", 0,
	 "with --faults: write the profile at the end (.pb.gz, .folded, .svg, .html, .json, .txt)",
	 0},
	{"kernel-threads", OPT_KTHREADS, NULL, 0, "kernel threads too", 0},
	{"allow-signals", OPT_ALLOW_SIGNALS, NULL, 0,
	 "keys of the full-screen view may change processes: X and F9 send signals, F7 and F8 set "
	 "nice values",
	 0},
	{"no-bpf", OPT_NO_BPF, NULL, 0, "read /proc even where BPF works", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p':
		if (array_reserve(o->pids, o->pids_cap, o->npids + 1))
			return ENOMEM;
		o->pids[o->npids] = (uint32_t)pid_option__parse(state, arg);
		o->npids++;
		break;
	case 'i': o->interval_ns = usage__time(state, "--interval", arg, 10000000); break;
	case 'd': o->duration_ns = usage__time(state, "--duration", arg, 1000000); break;
	case 'n':
		o->iterations = usage__count(state, "--iterations", arg, 1, UINT32_MAX,
					     "number of refreshes");
		break;
	case OPT_TOP:
		o->rows = usage__count(state, "--top", arg, 0, UINT32_MAX, "number of rows");
		break;
	case OPT_SORT:
		usage__choice(state, "--sort", arg, top_view__sort_names(), SORT_KEYS, "sort key");
		o->sort = arg;
		break;
	case OPT_TIMELINE:
		usage__file(state, "--timeline", arg, TIMELINE_FILE_ENDINGS, &o->faults.timeline);
		break;
	case OPT_FILTER:
		usage__expression(state, "--filter", arg);
		o->filter = arg;
		break;
	case OPT_FAULTS:
		o->faults.faults = true;
		if (arg)
			o->faults.fault_period = (uint32_t)usage__count(
				state, "--faults", arg, 1, 1 << 24, "number of page faults");
		break;
	case 'o':
		usage__file(state, "--output", arg, output__endings(), NULL);
		if (o->faults.noutputs == ATTACH_MAX_OUTPUTS)
			argp_error(state, "--output: more than %d", ATTACH_MAX_OUTPUTS);
		o->faults.outputs[o->faults.noutputs++] = arg;
		break;
	case OPT_LEDGER: o->ledger = true; break;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->faults.alert;
		state->child_inputs[2] = &o->faults.selector;
		break;
	case ARGP_KEY_END:
		if (rules__any(&o->faults.alert.rules) && !names_some(o))
			argp_error(state, "--alert-... needs -p PID, --unit, --cgroup, --name or "
					  "--container");
		if (o->faults.noutputs && !o->faults.faults)
			argp_error(state, "-o needs --faults");
		if (o->faults.faults && o->npids > ATTACH_MAX_PIDS)
			argp_error(state, "more than %d processes", ATTACH_MAX_PIDS);
		if (o->ledger && !names_some(o))
			argp_error(state, "--ledger needs -p PID, --unit, --cgroup, --name or "
					  "--container");
		break;
	case OPT_ALLOW_SIGNALS: o->faults.allow_signals = true; break;
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

static const struct argp_child children[] = {{&alert_options_argp, 0, NULL, 0},
					     {&output_mode_argp, 0, NULL, 0},
					     {&selector_options_argp, 0, NULL, 0},
					     {0}};

const struct argp cmd_top_argp = {
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
		.all = !names_some(o),
		.max_rows = names_some(o) ? 0 : 512,
		.max_processes = o->faults.selector ? MAX_CHOSEN : 0,
	};
	int err;

	if (!o->faults.timeline)
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
		.pids = o->faults.selector ? NULL : (const pid_t *)o->pids,
		.npids = o->faults.selector ? 0 : o->npids,
	};
	int err, status;

	table__init(&t->table);
	t->kthreads = o->kthreads || o->npids;
	t->interval_ns = o->interval_ns;
	t->duration_ns = o->duration_ns;
	t->tuning = o->faults.tuning;
	t->allow_signals = o->faults.allow_signals;
	t->max_ticks = o->iterations;
	t->rows = o->rows != SIZE_MAX ? o->rows : o->json ? 0 : 40;
	t->view.sort = o->sort ? top_view__sort_by_name(o->sort) : SORT_RSS;
	t->view.reverse = o->reverse;
	t->view.tree = o->tree;
	t->view.full_command = o->full_command;
	t->view.pids = o->pids;
	t->wants_stacks = names_some(o) && o->npids <= ATTACH_MAX_PIDS && !o->no_bpf;
	t->view.npids = o->npids;
	t->view.only_chosen = o->faults.selector != NULL;
	err = top_view__set_filter(&t->view, o->filter, NULL, 0);
	if (!err)
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
	status = chosen__new(&(struct chosen_opts){.pids = o->pids,
						   .npids = o->npids,
						   .selector = o->faults.selector,
						   .alert = &o->faults.alert,
						   .is_screen = !text},
			     &t->chosen);
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

static int ledger_of_chosen(void *arg, pid_t pid)
{
	struct options *o = arg;

	if (array_reserve(o->pids, o->pids_cap, o->npids + 1))
		return -ENOMEM;
	o->pids[o->npids++] = (uint32_t)pid;
	return 0;
}

/* Of -p, and of those that match now. */
static int print_ledgers(struct options *o)
{
	int status = EXIT_DONE;

	if (o->faults.selector && chooser__each(o->faults.selector, ledger_of_chosen, o))
		return EXIT_FAILED;
	if (!o->npids) {
		log_error("no process matches");
		return EXIT_NO_PROCESS;
	}
	for (size_t i = 0; i < o->npids && !status; i++)
		status = print_ledger(o->pids[i], o->json);
	return status;
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
	a->faults_all = !names_some(o);
	signals__block();
	progress__prepare_thread();
	status = attach__open(a, &attach);
	if (status)
		return status;
	for (size_t i = 0; i < o->npids && !status; i++)
		status = attach__add(attach, o->pids[i]);
	if (!status)
		attach__choose(attach);
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
	log_error("no process with PID %u", pid);
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
	usage__parse(&cmd_top_argp, argc, argv, 0, &o);
	status = attach__prepare(&o.faults, 0);
	if (status)
		return status;
	if (o.faults.faults) {
		status = run_faults(&o);
		attach_options__clear(&o.faults);
		free(o.pids);
		return status;
	}
	if (o.ledger) {
		status = print_ledgers(&o);
		attach_options__clear(&o.faults);
		free(o.pids);
		return status;
	}
	text = o.plain || o.json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
	status = set_up(&t, &o, text);
	if (!status)
		status = text ? top_run__text(&t, o.json, o.faults.timeline)
			      : top_run__screen(&t, o.faults.timeline);
	if (status == EXIT_NO_PROCESS)
		status = tell_missing(o.pids[0]);
	if (status == EXIT_DONE && chosen__never(t.chosen)) {
		log_error("no process matched");
		status = EXIT_NO_PROCESS;
	}
	chosen__free(t.chosen);
	top__close_books(&t);
	if (t.timeline && status == EXIT_DONE)
		status = top_run__save(&t, o.faults.timeline);
	proc_timeline__free(t.timeline);
	top_stacks__free(t.stacks);
	mm_probe__free(t.probe);
	table__clear(&t.table);
	top_view__clear(&t.view); /* owns o.pids */
	names__free(t.names);
	attach_options__clear(&o.faults);
	return status;
}
