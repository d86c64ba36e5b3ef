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
#include <time.h>
#include <unistd.h>

#include "alert/delivery.h"
#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "format/output.h"
#include "oom/jsonlog.h"
#include "oom/oom_record.h"
#include "oom/render.h"
#include "oom/rotated.h"
#include "oom/saved.h"
#include "oom/oom_watch.h"
#include "sys/apart.h"
#include "sys/boot.h"
#include "sys/box.h"
#include "sys/filer.h"
#include "sys/outfile.h"
#include "run/console.h"
#include "run/loop.h"
#include "sys/privilege.h"
#include "sys/protect.h"
#include "sys/signals.h"

#define RETRY_MS 1000 /* between attempts to write what a full disk refused */
#define OOM_ADJ (-999)
#define MAX_TOLD_BYTES ((size_t)64 << 20)
#define SAME_KILL_MS 60000 /* the kernel's log has a clock of its own */

struct oom_cmd {
	/* options */
	bool json, quiet, follow, list, no_probe, no_kmsg;
	const char *log_path;
	struct delivery_opts told;
	const char **files; /* saved logs */
	size_t nfiles, files_cap;
	int64_t since_unix_ms, until_unix_ms; /* of lists */
	uint64_t duration_ns;
	/* state */
	struct jsonlog *log;
	struct oom_watch *watch;
	struct loop *loop;
	struct console *console; /* while kills are waited for */
	uint64_t unread;	 /* reports that were left out of it */
	int watch_err;
	struct delivery *delivery; /* NULL: a saved log is explained */
	struct textbuf line, text;
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

/* What nobody reads waits, and what is too much to wait is left out: the log has it. */
static void hand_over(struct oom_cmd *c, const struct textbuf *b)
{
	FILE *f = console__begin_line(c->console);

	if (!f) {
		c->unread++;
		return;
	}
	fwrite(b->text, 1, b->len, f);
	if (console__end(c->console, f))
		c->stdout_gone = true;
}

static void print_out(struct oom_cmd *c, const struct textbuf *b)
{
	if (c->stdout_gone || (c->quiet && !c->list && !c->nfiles))
		return;
	progress__hide();
	if (c->console)
		hand_over(c, b);
	else if (util__write_all(STDOUT_FILENO, b->text, b->len))
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
	textbuf__reset(&c->line);
	textbuf__reset(&c->text);
	if (render__json(&c->line, e))
		return;
	write_log(c);
	if (c->delivery)
		delivery__kill(c->delivery, e, c->line.text, c->line.len);
	if (c->json) {
		print_out(c, &c->line);
	} else {
		render__text(&c->text, e);
		print_out(c, &c->text);
	}
}

static void report_throttle(void *arg, const struct throttle_event *e)
{
	struct oom_cmd *c = arg;

	textbuf__reset(&c->line);
	textbuf__reset(&c->text);
	if (throttle__json(&c->line, e) || throttle__text(&c->text, e))
		return;
	write_log(c);
	print_out(c, c->json ? &c->line : &c->text);
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

static bool is_in_window(const struct oom_cmd *c, const struct oom_event *e)
{
	return !e->has_time ||
	       (e->time_unix_ms >= c->since_unix_ms && e->time_unix_ms <= c->until_unix_ms);
}

/* Other events of the log: groups that were held up. */
static void list_other(void *arg, const char *line, size_t len)
{
	struct throttle_event e;
	struct oom_cmd *c = arg;

	if (!c->list || throttle__parse(line, len, &e) || e.time_unix_ms < c->since_unix_ms ||
	    e.time_unix_ms > c->until_unix_ms)
		return;
	textbuf__reset(&c->text);
	if (!(c->json ? throttle__json(&c->text, &e) : throttle__text(&c->text, &e)))
		print_out(c, &c->text);
}

static void list_recorded(void *arg, const char *line, size_t len, const struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (!e) {
		list_other(c, line, len);
		return;
	}
	if (!strcmp(e->boot_id, c->boot_id))
		remember(c, e);
	if (!c->list || !is_in_window(c, e))
		return;
	c->reported++;
	textbuf__reset(&c->text);
	if (c->json) {
		textbuf__raw(&c->text, line, len);
		textbuf__raw(&c->text, "\n", 1);
	} else {
		render__text(&c->text, e);
	}
	print_out(c, &c->text);
}

/* A kill that the kernel's log tells of, live or saved. */
static void list_kill(void *arg, struct oom_event *e)
{
	struct oom_cmd *c = arg;

	if (!is_in_window(c, e))
		return;
	c->reported++;
	textbuf__reset(&c->text);
	if (c->json)
		render__json(&c->text, e);
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
	memcpy(e->boot_id, c->boot_id, sizeof(e->boot_id));
	list_kill(c, e);
}

/* Says why a file cannot be read; an enum mw_exit. */
static int cannot_read(const char *path, int err)
{
	log_error("failed to read '%s': %s", path,
		  err == -EINVAL ? "it is not a regular file" : strerror(-err));
	return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

static int read_file(struct oom_cmd *c, const char *path)
{
	struct record_stats stats;
	int err = oom_record__each(path, list_recorded, c, &stats);

	/* A terminal or a pipe can be written, but tells nothing of the past. */
	if ((err == -ENOENT || err == -EINVAL) && !c->list)
		return 0;
	if (err)
		return cannot_read(path, err);
	if (stats.bad)
		log_warn("'%s': %llu line%s that cannot be read as events left out", path,
			 (unsigned long long)stats.bad, units__s(stats.bad));
	if (stats.cut)
		log_warn("'%s' goes on after the first 1GB; the rest was not read", path);
	return 0;
}

/* What a process apart has read of the log, told in a memory file; the kills that are known follow.
 */
struct log_told {
	uint64_t reported, last_seq, has_seq;
};

struct log_reading {
	struct oom_cmd *c;
	struct rotated old;
	int told; /* the memory file */
};

/* In the process apart. */
static int read_log_files(void *arg)
{
	struct log_reading *r = arg;
	struct oom_cmd *c = r->c;
	struct log_told t;
	int status = 0;

	for (size_t i = 0; i < r->old.n && !status; i++)
		status = read_file(c, r->old.path[i]);
	if (!status)
		status = read_file(c, c->log_path);
	t = (struct log_told){c->reported, c->last_seq, c->has_seq};
	if (util__write_all(r->told, &t, sizeof(t)) ||
	    util__write_all(r->told, c->known, c->nknown * sizeof(*c->known)))
		return EXIT_FAILED;
	return status;
}

static bool may_read_log(const void *arg, enum apart_wish wish, const char *path)
{
	const struct log_reading *r = arg;

	for (size_t i = 0; i < r->old.n && wish == APART_READ_FILE; i++) {
		if (!strcmp(r->old.path[i], path))
			return true;
	}
	return wish == APART_READ_FILE && !strcmp(r->c->log_path, path);
}

static int take_told(struct oom_cmd *c, int fd)
{
	cleanup_free void *data = NULL;
	const struct log_told *t;
	size_t len = 0;
	int err = box__take(fd, MAX_TOLD_BYTES, &data, &len);

	if (err || len < sizeof(*t) || (len - sizeof(*t)) % sizeof(*c->known))
		return err ? err : -EBADMSG;
	t = data;
	c->nknown = (len - sizeof(*t)) / sizeof(*c->known);
	err = array_reserve(c->known, c->known_cap, c->nknown);
	if (err)
		return err;
	memcpy(c->known, t + 1, c->nknown * sizeof(*c->known));
	c->reported = t->reported;
	c->last_seq = t->last_seq;
	c->has_seq = t->has_seq != 0;
	return 0;
}

/*
 * The log, by a process that holds nothing (sys/apart.h); it prints what is to be listed. What was
 * rotated away is known too: else the kernel's log, which goes back further than the new file,
 * would have it written again. Privileges are given up here.
 */
static int read_log(struct oom_cmd *c, unsigned privileges)
{
	struct log_reading r = {.c = c, .told = box__memory()};
	const struct apart_opts o = {
		.work = read_log_files, .may = may_read_log, .arg = &r, .privileges = privileges};
	int status, err = r.told < 0 ? r.told : rotated__list(c->log_path, &r.old);

	if (err) {
		log_warn("failed to look for rotated files of '%s': %s; continuing without",
			 c->log_path, strerror(-err));
		r.old.n = 0;
	}
	status = apart__run(&o);
	err = status ? 0 : take_told(c, r.told);
	if (err) {
		log_error("failed to read '%s': %s", c->log_path, strerror(-err));
		status = EXIT_FAILED;
	}
	rotated__free(&r.old);
	util__close_fd(&r.told);
	return status;
}

static int list(struct oom_cmd *c)
{
	int err = oom_watch__past(list_past, c);

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
		log_info("%llu kill%s", (unsigned long long)c->reported, units__s(c->reported));
	return EXIT_DONE;
}

/* --- saved logs --- */

static int explain_file(struct oom_cmd *c, const char *path)
{
	uint64_t before = c->reported;
	struct saved_stats s;
	int err = saved__read(path, list_kill, c, &s);

	if (err)
		return cannot_read(path, err);
	if (s.damaged)
		log_warn("'%s': %llu damaged lines were left out", path,
			 (unsigned long long)s.damaged);
	if (s.cut)
		log_warn("'%s': it goes on after the first 1GB, or is a cut archive; the rest was "
			 "not read",
			 path);
	if (s.assumed_year)
		log_info("'%s': its times have no year; the latest before the file was written is "
			 "assumed",
			 path);
	if (!c->quiet)
		log_info("'%s': %llu kill%s in %llu line%s, %llu of them the kernel's", path,
			 (unsigned long long)(c->reported - before), units__s(c->reported - before),
			 (unsigned long long)s.lines, units__s(s.lines),
			 (unsigned long long)s.kernel_lines);
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

/* After a rotation: the new file is there before there is anything to write. */
static void reopen_log(void *arg)
{
	struct oom_cmd *c = arg;
	int err = c->log ? jsonlog__reopen(c->log) : 0;

	if (err)
		log_error("failed to open '%s': %s", c->log_path, outfile__strerror(err));
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
	char lost[256];
	size_t n = 0;

	oom_watch__stats(c->watch, &s);
#define X(name, text)                                                        \
	if (n < sizeof(lost))                                                \
		n += snprintf(lost + n, sizeof(lost) - n, "%llu " text ", ", \
			      (unsigned long long)s.lost[MW_OOM_C_LOST_##name]);
	MW_OOM_LOSSES(X)
#undef X
	delivery__close_books(c->delivery);
	log_info("%llu kill%s reported, %llu written to the log, %zu not written; lost: %s%llu log "
		 "records overwritten",
		 (unsigned long long)c->reported, units__s(c->reported),
		 (unsigned long long)c->recorded,
		 (c->log ? jsonlog__waiting(c->log) + (size_t)jsonlog__lost(c->log) : 0), lost,
		 (unsigned long long)s.lost_log_records);
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
	if (c->log_path) {
		err = jsonlog__open(c->log_path, &c->log);
		if (err) {
			log_error("failed to open the log '%s': %s", c->log_path,
				  outfile__strerror(err));
			return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
		}
	}
	/* A log continues where it ended, a list where it did; without them, what is past is past.
	 */
	o.from_seq = !c->log && !c->follow ? OOM_UNKNOWN : c->has_seq ? c->last_seq + 1 : 0;
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
	{"follow", OPT_FOLLOW, NULL, 0, "with --since or --list: go on with new kills", 0},
	{"on-kill", OPT_ON_KILL, "CMD", 0,
	 "run CMD for each kill: no shell; the facts are in MEMWATCH_KILL_* of its environment and "
	 "as JSON on its standard input",
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

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct oom_cmd *c = state->input;

	switch (key) {
	case OPT_LOG: c->log_path = arg; break;
	case OPT_JSON: c->json = true; break;
	case OPT_SINCE:
		c->since_unix_ms = usage__moment(state, "--since", arg);
		c->list = true;
		break;
	case OPT_UNTIL:
		c->until_unix_ms = usage__moment(state, "--until", arg);
		c->list = true;
		break;
	case OPT_ON_KILL: c->told.command = arg; break;
	case OPT_LIST: c->list = true; break;
	case OPT_FOLLOW: c->follow = true; break;
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
	case ARGP_KEY_END:
		if (c->nfiles && (c->log_path || c->follow || c->told.command))
			argp_error(state,
				   "a saved log is explained once: --log, --follow and --on-kill "
				   "do not go with it");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int explain_files(void *arg)
{
	struct oom_cmd *c = arg;
	int status = EXIT_DONE;

	for (size_t i = 0; i < c->nfiles; i++) {
		int one;

		progress__begin("reading '%s'", c->files[i]);
		one = explain_file(c, c->files[i]);
		progress__end();
		status = status ? status : one;
	}
	return status;
}

/* The files of the command line, and nothing else. */
static bool may_read(const void *arg, enum apart_wish wish, const char *path)
{
	const struct oom_cmd *c = arg;

	for (size_t i = 0; i < c->nfiles && wish == APART_READ_FILE; i++) {
		if (!strcmp(c->files[i], path))
			return true;
	}
	return false;
}

static int run(struct oom_cmd *c)
{
	const struct apart_opts saved = {.work = explain_files,
					 .may = may_read,
					 .arg = c,
					 .privileges = PRIVILEGE(READ) | PRIVILEGE(FILES)};
	unsigned privileges = PRIVILEGE(OBSERVE) | PRIVILEGE(KERNEL_LOG) | PRIVILEGE(LIMITS);
	int status;

	if (c->nfiles)
		return apart__run(&saved);
	privileges |= filer__start(true);
	status = delivery__new(&c->told, &c->delivery);
	if (!status && c->log_path) {
		status = read_log(c, privileges);
	} else if (!status && privilege__keep(privileges)) {
		log_error("failed to give up privileges");
		status = EXIT_FAILED;
	}
	if (status)
		return status;
	if (c->list)
		status = list(c);
	if (!status && (!c->list || c->follow)) {
		c->follow = c->list; /* what is listed is gone on with */
		c->list = false;
		c->reported = 0;
		status = follow(c);
	}
	return status;
}

int cmd_oom(int argc, char **argv)
{
	static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {
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
	struct oom_cmd c = {.until_unix_ms = INT64_MAX,
			    .told = {.on_kill = "--on-kill", .prefix = "--"}};
	int status;

	argv[0] = (char *)"memwatch oom";
	usage__parse(&argp, argc, argv, 0, &c);
	boot__id(c.boot_id);
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
	free(c.known);
	free(c.files);
	textbuf__free(&c.line);
	textbuf__free(&c.text);
	return status;
}
