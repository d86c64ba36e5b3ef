/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_oom.c - memwatch oom: follows OOM kills, or lists what was recorded. The order of work per
 * kill: the log file first (synced), then journal and syslog, then stdout, whose reader may be
 * slow.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "oom/journal.h"
#include "oom/jsonlog.h"
#include "oom/record.h"
#include "oom/render.h"
#include "oom/watch.h"
#include "sys/protect.h"
#include "sys/signals.h"

#define RETRY_MS 1000 /* between attempts to write what a full disk refused */
#define OOM_ADJ (-999)
#define SAME_KILL_MS 60000 /* the kernel's log has a clock of its own */

struct oom_cmd {
	/* options */
	bool json, quiet, follow, list, journal, syslog, no_probe, no_kmsg;
	const char *log_path;
	int64_t since_unix_ms; /* of list */
	uint64_t duration_ns;
	/* state */
	struct jsonlog *log;
	struct watch *watch;
	struct escape_buf line, text, summary;
	char boot_id[40];
	uint64_t reported, recorded;
	bool log_failed, stdout_gone;
	/* what the log has of this boot */
	uint64_t last_seq;
	bool has_seq;
	struct known {
		uint64_t seq; /* OOM_UNKNOWN: the probe alone told of it */
		uint32_t tid;
		int64_t time_unix_ms;
	} * known;
	size_t nknown, known_cap;
};

/* --- output --- */

static void print_out(struct oom_cmd *c, const struct escape_buf *b)
{
	if (c->stdout_gone || (c->quiet && !c->list))
		return;
	if (util__write_all(STDOUT_FILENO, b->text, b->len))
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
			log_info("writing to '%s' works again", c->log_path);
		c->log_failed = false;
	} else if (err == -ENOBUFS) {
		log_error("lost one event: '%s' cannot be written and no more can wait",
			  c->log_path);
	} else if (!c->log_failed) {
		log_error("failed to write '%s': %s; events wait in memory", c->log_path,
			  strerror(-err));
		c->log_failed = true;
	}
}

static void remember(struct oom_cmd *c, const struct oom_event *e)
{
	if (e->seq != OOM_UNKNOWN) {
		c->last_seq = c->has_seq ? max_of(c->last_seq, e->seq) : e->seq;
		c->has_seq = true;
	}
	if (!array_reserve(c->known, c->known_cap, c->nknown + 1))
		c->known[c->nknown++] = (struct known){e->seq, e->victim.tid, e->time_unix_ms};
}

/* Whether the log has a kill that the kernel's log tells of: under its number, or, if the probe
 * alone told of it, at about its time. */
static bool is_known(const struct oom_cmd *c, const struct oom_event *e)
{
	for (size_t i = 0; i < c->nknown; i++) {
		const struct known *k = &c->known[i];

		if (k->seq != OOM_UNKNOWN
			    ? k->seq == e->seq
			    : k->tid == e->victim.tid &&
				      llabs(k->time_unix_ms - e->time_unix_ms) < SAME_KILL_MS)
			return true;
	}
	return false;
}

static void report(void *arg, struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (e->from == OOM_FROM_KMSG && is_known(c, e))
		return;
	memcpy(e->boot_id, c->boot_id, sizeof(e->boot_id));
	c->reported++;
	c->line.len = c->text.len = c->summary.len = 0;
	if (render__json(&c->line, e))
		return;
	write_log(c);
	if (c->journal || c->syslog) {
		render__summary(&c->summary, e);
		if (c->journal)
			journal__send(e, c->summary.text, c->line.text);
		if (c->syslog)
			journal__syslog(e, c->summary.text);
	}
	if (c->json) {
		print_out(c, &c->line);
	} else {
		render__text(&c->text, e);
		print_out(c, &c->text);
	}
}

static void retry_log(struct oom_cmd *c)
{
	size_t before = c->log ? jsonlog__waiting(c->log) : 0;

	if (!before)
		return;
	jsonlog__retry(c->log);
	c->recorded += before - jsonlog__waiting(c->log);
	if (c->log_failed && !jsonlog__waiting(c->log)) {
		log_info("writing to '%s' works again", c->log_path);
		c->log_failed = false;
	}
}

/* --- what was recorded --- */

static void list_recorded(void *arg, const char *line, size_t len, const struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (!strcmp(e->boot_id, c->boot_id))
		remember(c, e);
	if (!c->list || e->time_unix_ms < c->since_unix_ms)
		return;
	c->reported++;
	c->text.len = 0;
	if (c->json)
		escape__raw(&c->text, line, len);
	else
		render__text(&c->text, e);
	print_out(c, &c->text);
}

static void list_past(void *arg, struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (is_known(c, e))
		return;
	if (!c->log_path)
		remember(c, e); /* following goes on after it */
	if (e->time_unix_ms < c->since_unix_ms)
		return;
	memcpy(e->boot_id, c->boot_id, sizeof(e->boot_id));
	c->reported++;
	c->text.len = 0;
	if (c->json)
		render__json(&c->text, e);
	else
		render__text(&c->text, e);
	print_out(c, &c->text);
}

static int read_log(struct oom_cmd *c)
{
	uint64_t bad;
	int err;

	if (!c->log_path)
		return 0;
	err = record__each(c->log_path, list_recorded, c, &bad);
	if (err == -ENOENT && !c->list)
		return 0;
	if (err) {
		log_error("failed to read '%s': %s", c->log_path, strerror(-err));
		return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	if (bad)
		log_warn("'%s' has %llu lines that are no events; left out", c->log_path,
			 (unsigned long long)bad);
	return 0;
}

static int list(struct oom_cmd *c)
{
	int status = read_log(c), err;

	if (status)
		return status;
	err = watch__past(list_past, c);
	if (err && !c->log_path) {
		log_error(
			"failed to read the kernel's log: %s; run as root, or with CAP_SYSLOG, or "
			"name a log with --log",
			strerror(-err));
		return EXIT_UNSUPPORTED;
	}
	if (err)
		log_warn("failed to read the kernel's log: %s; continuing with '%s' alone",
			 strerror(-err), c->log_path);
	if (!c->quiet)
		log_info("%llu kills", (unsigned long long)c->reported);
	return EXIT_DONE;
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

static int loop(struct oom_cmd *c, int sig_fd)
{
	uint64_t end = c->duration_ns ? util__now_ns() + c->duration_ns : UINT64_MAX;

	for (;;) {
		struct pollfd fds[] = {{.fd = sig_fd, .events = POLLIN},
				       {.fd = watch__fd(c->watch), .events = POLLIN}};
		int wait = watch__timeout_ms(c->watch), err;
		uint64_t now = util__now_ns();

		if (now >= end)
			return 0;
		if (end != UINT64_MAX)
			wait = (int)min_of((uint64_t)(wait < 0 ? 60000 : wait),
					   (end - now) / 1000000 + 1);
		if (c->log && jsonlog__waiting(c->log) && (wait < 0 || wait > RETRY_MS))
			wait = RETRY_MS;
		if (poll(fds, 2, wait) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents) {
			struct signalfd_siginfo si;

			if (read(sig_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGHUP)
				return 0;
		}
		err = watch__run(c->watch);
		if (err)
			return err;
		retry_log(c);
		if (c->stdout_gone && !c->log && !c->journal && !c->syslog)
			return 0;
	}
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

	watch__stats(c->watch, &s);
	log_info("%llu kills reported, %llu written to the log, %zu not written; lost: %llu ring "
		 "full, "
		 "%llu victim not noted, %llu log records overwritten",
		 (unsigned long long)c->reported, (unsigned long long)c->recorded,
		 (c->log ? jsonlog__waiting(c->log) + (size_t)jsonlog__lost(c->log) : 0),
		 (unsigned long long)s.lost_ring, (unsigned long long)s.lost_stash,
		 (unsigned long long)s.lost_log_records);
}

static int follow(struct oom_cmd *c)
{
	struct watch_options o = {.no_probe = c->no_probe, .no_kmsg = c->no_kmsg};
	int probe_err = 0, kmsg_err = 0, err, status;
	cleanup_fd int sig_fd = signals__fd();

	status = read_log(c);
	if (status)
		return status;
	if (c->log_path) {
		err = jsonlog__open(c->log_path, &c->log);
		if (err) {
			log_error("failed to open the log '%s': %s", c->log_path, strerror(-err));
			return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
		}
	}
	/* A log continues where it ended, a list where it did; without them, what is past is past.
	 */
	o.from_seq = !c->log && !c->follow ? OOM_UNKNOWN : c->has_seq ? c->last_seq + 1 : 0;
	protect();
	err = watch__new(&o, report, c, &c->watch, &probe_err, &kmsg_err);
	status = explain(c, err, probe_err, kmsg_err);
	if (status)
		return status;
	watch__run(c->watch);
	if (!c->quiet)
		log_info("attached to the OOM killer: %s%s%s", probe_err ? "" : "probe",
			 probe_err || kmsg_err ? "" : " and ", kmsg_err ? "" : "kernel log");
	sd_notify(0, "READY=1\nSTATUS=Watching for OOM kills");
	err = loop(c, sig_fd);
	if (err)
		log_error("failed to watch: %s", strerror(-err));
	watch__flush(c->watch);
	retry_log(c);
	if (!c->quiet)
		close_books(c);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* --- options --- */

enum {
	OPT_SINCE = 256,
	OPT_LIST,
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
	 "list the kills since TIME (2h, 3d, 2026-01-31, "
	 "'2026-01-31 08:00') and exit",
	 0},
	{"list", OPT_LIST, NULL, 0, "list all recorded kills and exit", 0},
	{"follow", OPT_FOLLOW, NULL, 0, "with --since or --list: go on with new kills", 0},
	{"journal", OPT_JOURNAL, NULL, 0, "to the systemd journal too, with structured fields", 0},
	{"syslog", OPT_SYSLOG, NULL, 0, "to syslog too", 0},
	{"source", OPT_SOURCE, "NAME", 0, "probe, kmsg (the kernel's log) or both (default)", 0},
	{"duration", 'd', "TIME", 0, "stop after TIME", 0},
	{"quiet", 'q', NULL, 0, "no report on standard output while following, fewer messages", 0},
	{"verbose", 'v', NULL, 0, "more messages", 0},
	{0},
};

/* "2h" ago, or a local date and time. */
static int parse_since(const char *text, int64_t *ret_unix_ms)
{
	static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
					      "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
	uint64_t ns;

	if (!units__parse_time(text, &ns)) {
		*ret_unix_ms = util__wall_ms() - (int64_t)(ns / 1000000);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(text, formats[i], &tm);
		bool utc = end && !strcmp(end, "Z");

		if (!end || (*end && !utc))
			continue;
		*ret_unix_ms = (int64_t)(utc ? timegm(&tm) : mktime(&tm)) * 1000;
		return 0;
	}
	return -EINVAL;
}

static error_t parse_source(struct oom_cmd *c, const char *text)
{
	if (!strcmp(text, "probe"))
		c->no_kmsg = true;
	else if (!strcmp(text, "kmsg"))
		c->no_probe = true;
	else if (strcmp(text, "both"))
		return EINVAL;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct oom_cmd *c = state->input;

	switch (key) {
	case OPT_LOG: c->log_path = arg; break;
	case OPT_JSON: c->json = true; break;
	case OPT_SINCE:
		if (parse_since(arg, &c->since_unix_ms))
			argp_error(state, "--since: '%s' is no time", arg);
		c->list = true;
		break;
	case OPT_LIST: c->list = true; break;
	case OPT_FOLLOW: c->follow = true; break;
	case OPT_JOURNAL: c->journal = true; break;
	case OPT_SYSLOG: c->syslog = true; break;
	case OPT_SOURCE:
		if (parse_source(c, arg))
			argp_error(state, "--source: '%s' is none of probe, kmsg, both", arg);
		break;
	case 'd':
		if (units__parse_time(arg, &c->duration_ns))
			argp_error(state, "--duration: '%s' is no time", arg);
		break;
	case 'q': c->quiet = true; break;
	case 'v': log__set_level(LOG_DEBUG); break;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int cmd_oom(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse_option,
		NULL,
		"Follow OOM kills: who was killed, who asked for memory, which limit was hit, what "
		"the largest processes were. With --since or --list: what was recorded.",
		NULL,
		NULL,
		NULL};
	struct oom_cmd c = {};
	int status = EXIT_DONE;

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = (char *)"memwatch oom";
	if (argp_parse(&argp, argc, argv, 0, NULL, &c))
		return EXIT_USAGE;
	record__boot_id(c.boot_id);
	if (render__reserve(&c.line) || render__reserve(&c.text) || render__reserve(&c.summary)) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	if (c.list)
		status = list(&c);
	if (!status && (!c.list || c.follow)) {
		c.follow = c.list; /* what is listed is gone on with */
		c.list = false;
		c.reported = 0;
		status = follow(&c);
	}
	jsonlog__close(c.log);
	watch__free(c.watch);
	free(c.known);
	escape__free(&c.line);
	escape__free(&c.text);
	escape__free(&c.summary);
	return status;
}
