/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_oom.c - memwatch oom: follows OOM kills, lists what was recorded, or explains those of a
 * saved log. The order of work per kill: the log file first (synced), then journal and syslog, then
 * stdout, whose reader may be slow, or gone, or a terminal that was stopped: it holds up nothing.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "alert/delivery.h"
#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "format/output.h"
#include "oom/jsonlog.h"
#include "oom/oom_list.h"
#include "oom/render.h"
#include "oom/oom_watch.h"
#include "sys/boot.h"
#include "sys/filer.h"
#include "sys/outfile.h"
#include "run/console.h"
#include "run/loop.h"
#include "sys/privilege.h"
#include "sys/protect.h"
#include "sys/signals.h"

#define RETRY_MS 1000 /* between attempts to write what a full disk refused */
#define OOM_ADJ (-999)
#define LISTED 1000 /* events, unless --top says otherwise */

struct oom_cmd {
	/* options */
	bool quiet, follows, lists, no_probe, no_kmsg;
	struct delivery_opts told;
	const char **files; /* saved logs */
	size_t nfiles, files_cap;
	uint64_t duration_ns;
	struct oom_list list; /* with the log's name, and what it has of this boot */
	/* state */
	struct jsonlog *log;
	struct oom_watch *watch;
	struct loop *loop;
	struct console *console;
	uint64_t unread; /* reports that were left out of it */
	int watch_err;
	struct delivery *delivery;
	struct textbuf line, text;
	char boot_id[40];
	uint64_t reported, recorded;
	bool log_failed, stdout_gone;
};

/* --- output --- */

/* What nobody reads waits, and what is too much to wait is left out: the log has it. */
static void print_out(struct oom_cmd *c, const struct textbuf *b)
{
	FILE *f;

	if (c->stdout_gone || c->quiet)
		return;
	f = console__begin_line(c->console);
	if (!f) {
		c->unread++;
		return;
	}
	fwrite(b->text, 1, b->len, f);
	if (console__end(c->console, f))
		c->stdout_gone = true;
}

static void write_log(struct oom_cmd *c)
{
	int err = c->log ? jsonlog__write(c->log, c->line.text, c->line.len) : -ENOENT;

	if (!c->log)
		return;
	if (!err) {
		c->recorded++;
		if (c->log_failed)
			log_info("writing to '%s' works again", c->list.log_path);
		c->log_failed = false;
	} else if (err == -ENOBUFS) {
		log_error("lost one event: '%s' cannot be written and no more can wait",
			  c->list.log_path);
	} else if (!c->log_failed) {
		log_error("failed to write '%s': %s; events wait in memory", c->list.log_path,
			  strerror(-err));
		c->log_failed = true;
	}
}

static void report(void *arg, struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (e->from == OOM_FROM_KMSG && known__has(&c->list.known, e))
		return;
	memcpy(e->boot_id, c->boot_id, sizeof(e->boot_id));
	c->reported++;
	textbuf__reset(&c->line);
	textbuf__reset(&c->text);
	if (render__json(&c->line, e))
		return;
	write_log(c);
	delivery__kill(c->delivery, e, c->line.text, c->line.len);
	if (c->list.json) {
		print_out(c, &c->line);
	} else {
		render__text(&c->text, e);
		print_out(c, &c->text);
	}
}

static void report_throttle(void *arg, const struct throttle_event *e)
{
	struct oom_cmd *c = arg;

	c->reported++;
	textbuf__reset(&c->line);
	textbuf__reset(&c->text);
	if (throttle__json(&c->line, e) || throttle__text(&c->text, e))
		return;
	write_log(c);
	delivery__throttle(c->delivery, e, c->line.text, c->line.len);
	print_out(c, c->list.json ? &c->line : &c->text);
}

static void retry_log(struct oom_cmd *c)
{
	size_t before = c->log ? jsonlog__waiting(c->log) : 0;

	if (!before)
		return;
	jsonlog__retry(c->log);
	c->recorded += before - jsonlog__waiting(c->log);
	if (c->log_failed && !jsonlog__waiting(c->log)) {
		log_info("writing to '%s' works again", c->list.log_path);
		c->log_failed = false;
	}
}

/* --- following --- */

static void protect(void)
{
	int err = protect__lock_memory();

	if (err)
		log_info("failed to lock memory: %s (CAP_IPC_LOCK); continuing without",
			 strerror(-err));
	err = protect__oom_score_adj(OOM_ADJ);
	if (err)
		log_info(
			"not permitted to lower its own oom_score_adj (CAP_SYS_RESOURCE): memwatch "
			"itself may be chosen; continuing");
}

/* After a rotation: the new file is there before there is anything to write. */
static void reopen_log(void *arg)
{
	struct oom_cmd *c = arg;
	int err = c->log ? jsonlog__reopen(c->log) : 0;

	if (err)
		log_error("failed to open '%s': %s", c->list.log_path, outfile__strerror(err));
}

/* How long nothing need be done if nothing happens. */
static uint64_t longest_wait_ns(const struct oom_cmd *c)
{
	int wait = oom_watch__timeout_ms(c->watch);

	if (c->log && jsonlog__waiting(c->log) && (wait < 0 || wait > RETRY_MS))
		wait = RETRY_MS;
	return wait < 0 ? LOOP_NEVER : (uint64_t)wait * 1000000;
}

static void each_turn(void *arg)
{
	struct oom_cmd *c = arg;

	c->watch_err = oom_watch__run(c->watch);
	retry_log(c);
	delivery__tick(c->delivery);
	c->stdout_gone |= console__error(c->console) != 0;
	if (c->watch_err || (c->stdout_gone && !c->log && !c->told.journal && !c->told.syslog))
		loop__stop(c->loop);
	loop__each_turn(c->loop, longest_wait_ns(c), each_turn, c);
}

static int wait_for_kills(struct oom_cmd *c)
{
	int err = loop__add_fd(c->loop, oom_watch__fd(c->watch), NULL, NULL);

	if (err)
		return err;
	loop__on_hangup(c->loop, reopen_log, c);
	loop__set_duration(c->loop, c->duration_ns);
	loop__each_turn(c->loop, longest_wait_ns(c), each_turn, c);
	err = loop__run(c->loop);
	return err ? err : c->watch_err;
}

static const char *reason(int err)
{
	return err == -EPERM || err == -EACCES ? "not permitted" : strerror(-err);
}

/* What is missing, in words; EXIT_UNSUPPORTED if nothing is left. */
static int explain(const struct oom_cmd *c, int err, int probe_err, int kmsg_err)
{
	if (err && !probe_err && !kmsg_err) {
		log_error("failed to start: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (err) {
		if (probe_err != -ECANCELED)
			log_error(
				"failed to load the OOM probe: %s (needs CAP_BPF and CAP_PERFMON, "
				"or root)",
				reason(probe_err));
		if (kmsg_err != -ECANCELED)
			log_error(
				"failed to read the kernel's log /dev/kmsg: %s (needs CAP_SYSLOG, "
				"or root)",
				reason(kmsg_err));
		return EXIT_UNSUPPORTED;
	}
	if (probe_err && !c->no_probe)
		log_warn("failed to load the OOM probe: %s (needs CAP_BPF and CAP_PERFMON); "
			 "continuing with the kernel's log alone",
			 reason(probe_err));
	if (kmsg_err && !c->no_kmsg)
		log_warn("failed to read /dev/kmsg: %s (needs CAP_SYSLOG); continuing with the "
			 "probe alone",
			 reason(kmsg_err));
	return 0;
}

static void close_books(const struct oom_cmd *c)
{
	struct watch_stats s;
	char lost[WATCH_LOST];

	oom_watch__stats(c->watch, &s);
	delivery__close_books(c->delivery);
	log_info("%llu event%s reported, %llu written to the log, %zu not written; lost: %s",
		 (unsigned long long)c->reported, units__s(c->reported),
		 (unsigned long long)c->recorded,
		 (c->log ? jsonlog__waiting(c->log) + (size_t)jsonlog__lost(c->log) : 0),
		 oom_watch__lost(&s, false, lost));
}

static int follow(struct oom_cmd *c)
{
	struct watch_options o = {
		.no_probe = c->no_probe, .no_kmsg = c->no_kmsg, .throttle_fn = report_throttle};
	int probe_err = 0, kmsg_err = 0, err, status;

	signals__hangup_is_news();
	signals__watch();
	err = loop__new(&c->loop);
	if (err) {
		log_error("failed to take signals: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (c->list.log_path) {
		err = jsonlog__open(c->list.log_path, &c->log);
		if (err) {
			log_error("failed to open the log '%s': %s", c->list.log_path,
				  outfile__strerror(err));
			return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
		}
	}
	/* A log continues where it ended, a list where it did; without them, what is past is past.
	 */
	o.from_seq = !c->log && !c->lists ? OOM_UNKNOWN : known__next_seq(&c->list.known);
	delivery__check(c->delivery);
	protect();
	err = console__new(&c->console);
	if (err) {
		log_error("failed to start: %s", strerror(-err));
		return EXIT_FAILED;
	}
	err = oom_watch__new(&o, report, c, &c->watch, &probe_err, &kmsg_err);
	status = explain(c, err, probe_err, kmsg_err);
	if (status)
		return status;
	oom_watch__run(c->watch);
	if (!c->quiet)
		log_info("attached to the OOM killer: %s%s%s", probe_err ? "" : "probe",
			 probe_err || kmsg_err ? "" : " and ", kmsg_err ? "" : "kernel log");
	sd_notify(0, "READY=1\nSTATUS=Watching for OOM kills");
	if (c->log || c->told.command)
		signals__finish_first(true); /* kills are still recorded, their commands end */
	err = wait_for_kills(c);
	if (err)
		log_error("failed to watch: %s", strerror(-err));
	oom_watch__flush(c->watch);
	retry_log(c);
	if (c->unread)
		log_warn("%" PRIu64 " reports were left out of stdout, which nobody read",
			 c->unread);
	if (!c->quiet)
		close_books(c);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* --- options --- */

enum {
	OPT_SINCE = 256,
	OPT_UNTIL,
	OPT_ON_KILL,
	OPT_LIST,
	OPT_TOP,
	OPT_FOLLOW,
	OPT_LOG,
	OPT_JSON,
	OPT_JOURNAL,
	OPT_SYSLOG,
	OPT_SOURCE
};

static const struct argp_option options[] = {
	{"log", OPT_LOG, "FILE", 0,
	 "append every kill to FILE, one JSON object a line, synced; kills "
	 "that the file lacks are filled in from the kernel's log",
	 0},
	{"json", OPT_JSON, NULL, 0, "JSON lines on standard output", 0},
	{"since", OPT_SINCE, "TIME", 0,
	 "list the kills since TIME and exit: " WHEN_FORMS "; local time, as printed", 0},
	{"until", OPT_UNTIL, "TIME", 0, "list the kills until TIME and exit", 0},
	{"list", OPT_LIST, NULL, 0, "list all recorded kills and exit", 0},
	{"top", OPT_TOP, "N", 0,
	 "list the newest N of the log, and of what the kernel's log has beyond it (default 1000)",
	 0},
	{"follow", OPT_FOLLOW, NULL, 0, "with --since or --list: go on with new kills", 0},
	{"on-kill", OPT_ON_KILL, "CMD", 0,
	 "run CMD for each kill: no shell; the facts are in MEMWATCH_KILL_* of its environment and "
	 "as JSON on its standard input; also where nobody could be killed (MEMWATCH_KILL_PID=0)",
	 0},
	{"journal", OPT_JOURNAL, NULL, 0, "to the systemd journal too, with structured fields", 0},
	{"syslog", OPT_SYSLOG, NULL, 0, "to syslog too", 0},
	{"source", OPT_SOURCE, "NAME", 0, "probe, kmsg (the kernel's log) or both (default)", 0},
	{"duration", 'd', "TIME", 0, "stop after TIME", 0},
	{"quiet", 'q', NULL, 0, "no report on standard output while following, fewer messages", 0},
	{"verbose", 'v', NULL, 0, "more messages", 0},
	{0},
};

static void set_source(struct oom_cmd *c, const char *text, struct argp_state *state)
{
	static const char *const names[] = {"probe", "kmsg", "both"};
	size_t i = usage__choice(state, "--source", text, names, ARRAY_SIZE(names), "witness");

	c->no_kmsg = i == 0;
	c->no_probe = i == 1;
}

/* Nothing that is asked for is left out without a word. */
static void check(const struct oom_cmd *c, struct argp_state *state)
{
	bool tells = c->told.command || c->told.journal || c->told.syslog;

	if (c->nfiles && (c->list.log_path || c->follows || tells))
		argp_error(state, "a saved log is explained once: --log, --follow, --on-kill, "
				  "--journal and --syslog do not go with it");
	if (c->lists && !c->follows && tells)
		argp_error(state, "what is listed is told to nobody else: --on-kill, --journal and "
				  "--syslog take --follow too");
	if (c->list.top && !c->lists)
		argp_error(state, "--top takes --list, --since or --until");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct oom_cmd *c = state->input;

	switch (key) {
	case OPT_LOG: usage__once(state, "--log", arg, &c->list.log_path); break;
	case OPT_JSON: c->list.json = true; break;
	case OPT_SINCE:
		c->list.since_unix_ms = usage__moment(state, "--since", arg);
		c->lists = true;
		break;
	case OPT_UNTIL:
		c->list.until_unix_ms = usage__moment(state, "--until", arg);
		c->lists = true;
		break;
	case OPT_ON_KILL: usage__once(state, "--on-kill", arg, &c->told.command); break;
	case OPT_LIST: c->lists = true; break;
	case OPT_TOP:
		c->list.top = usage__count(state, "--top", arg, 1, INT64_MAX, "number of events");
		break;
	case OPT_FOLLOW: c->follows = true; break;
	case OPT_JOURNAL: c->told.journal = true; break;
	case OPT_SYSLOG: c->told.syslog = true; break;
	case OPT_SOURCE: set_source(c, arg, state); break;
	case 'd': c->duration_ns = usage__time(state, "--duration", arg, 1); break;
	case 'q': c->quiet = true; break;
	case 'v': log__set_level(LOG_DEBUG); break;
	case ARGP_KEY_ARG:
		if (array_reserve(c->files, c->files_cap, c->nfiles + 1))
			return ENOMEM;
		c->files[c->nfiles++] = arg;
		break;
	case ARGP_KEY_END: check(c, state); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int run(struct oom_cmd *c)
{
	unsigned privileges = PRIVILEGE(OBSERVE) | PRIVILEGE(KERNEL_LOG) | PRIVILEGE(LIMITS);
	int status;

	if (c->nfiles)
		return oom_list__saved(&c->list, c->files, c->nfiles);
	privileges |= filer__start(true);
	status = delivery__new(&c->told, &c->delivery);
	if (!status && c->list.log_path) {
		status = oom_list__log(&c->list, privileges);
	} else if (!status && privilege__keep(privileges)) {
		log_error("failed to give up privileges");
		status = EXIT_FAILED;
	}
	if (status)
		return status;
	if (c->lists)
		status = oom_list__kernel(&c->list);
	c->stdout_gone = c->list.stdout_gone;
	return status || (c->lists && !c->follows) ? status : follow(c);
}

static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp cmd_oom_argp = {
	options,
	parse_option,
	"[FILE...]",
	"Follow OOM kills: who was killed, who asked for memory, which limit was hit, what "
	"the largest processes were. With --since, --until or --list: what was recorded. "
	"With "
	"FILE (- is standard input): explain the kills in a saved log of a kernel: dmesg, "
	"journalctl -k (also -o json), syslog, compressed by gzip or not.",
	children,
	NULL,
	NULL};

int cmd_oom(int argc, char **argv)
{
	struct oom_cmd c = {.list = {.until_unix_ms = INT64_MAX},
			    .told = {.on_kill = "--on-kill", .prefix = "--"}};
	int status;

	argv[0] = (char *)"memwatch oom";
	usage__parse(&cmd_oom_argp, argc, argv, 0, &c);
	c.list.top = c.list.top ? c.list.top : LISTED;
	boot__id(c.boot_id);
	c.list.boot_id = c.boot_id;
	c.list.lists = c.lists;
	c.list.quiet = c.quiet;
	if (render__reserve(&c.line) || render__reserve(&c.text)) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	status = run(&c);
	if (c.delivery)
		delivery__finish(c.delivery);
	delivery__free(c.delivery);
	jsonlog__close(c.log);
	oom_watch__free(c.watch);
	console__free(c.console);
	loop__free(c.loop);
	oom_list__fini(&c.list);
	free(c.files);
	textbuf__free(&c.line);
	textbuf__free(&c.text);
	return status;
}
