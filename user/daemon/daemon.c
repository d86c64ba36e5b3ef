/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "alert/delivery.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "daemon/deep.h"
#include "daemon/events.h"
#include "daemon/keeper.h"
#include "daemon/pagefaults.h"
#include "daemon/roster.h"
#include "daemon/serve.h"
#include "daemon/statedir.h"
#include "http/http.h"
#include "oom/event.h"
#include "oom/throttle.h"
#include "probe/layers.h"
#include "probe/mm_probe.h"
#include "run/loop.h"
#include "sys/box.h"
#include "sys/filer.h"
#include "sys/memreader.h"
#include "sys/opener.h"
#include "sys/privilege.h"
#include "sys/signals.h"
#include "top/machine.h"
#include "top/names.h"
#include "top/table.h"

#define PEAK_SLOTS 8192 /* processes whose peaks between passes are kept */
#define MAX_FAILED_PASSES 10
#define MOST_ANSWER_NS 3000000000ULL /* what one process of others' may hold the rest up */

struct daemon {
	const struct daemon_opts *o;
	struct config *config;
	int state_fd;
	struct loop *loop;
	struct mm_probe *probe;
	struct names *names;
	struct table table;
	struct roster roster;
	struct machine machine;
	struct deep *deep;
	struct delivery *delivery; /* of kills */
	struct events *events;
	struct http *http;	   /* NULL: none */
	struct serve *serve;	   /* NULL: none */
	struct keeper *keeper;	   /* NULL: no history */
	struct pagefaults *faults; /* NULL: none are sampled */
	unsigned timer, watchdog, failed_passes;
	uint64_t watchdog_ns; /* between signs of life; 0: nobody waits for them */
	uint64_t next_ns, pass_ns, passes;
	bool is_ready;
};

void daemon__tell_errors(const char *path, const struct config_errors *e)
{
	for (size_t i = 0; i < min_of(e->n, (size_t)CONFIG_MAX_ERRORS); i++) {
		if (e->e[i].line)
			log_error("%s:%u: %s", path, e->e[i].line, e->e[i].text);
		else
			log_error("%s: %s", path, e->e[i].text);
	}
	if (e->n > CONFIG_MAX_ERRORS)
		log_error("%s: %zu more", path, e->n - CONFIG_MAX_ERRORS);
}

/* --- a pass --- */

static void on_event(void *arg, const struct mw_mm_ev *ev)
{
	struct daemon *d = arg;

	table__event(&d->table, ev);
}

static void on_gone(void *arg, struct roster_entry *e)
{
	struct daemon *d = arg;

	events__gone(d->events, e);
}

static int read_processes(struct daemon *d, double *ret_seconds)
{
	const struct task_rows *rows;
	int err = mm_probe__pass(d->probe, &rows);

	if (!err)
		err = min_of(mm_probe__events(d->probe, on_event, d), 0);
	if (!err)
		err = machine__read(&d->machine);
	if (err)
		return err;
	*ret_seconds = (double)util__now_ns() / 1e9;
	d->table.total_pages =
		(d->machine.total_bytes + d->machine.swap_total_bytes) / sysconf(_SC_PAGESIZE);
	err = table__update(&d->table, rows->row, rows->n, *ret_seconds);
	return err ? err : roster__update(&d->roster, &d->table, on_gone, d);
}

static void choose(struct daemon *d, double seconds)
{
	uint32_t self = (uint32_t)getpid();

	deep__begin(d->deep);
	for (size_t i = 0; i < d->table.n; i++) {
		const struct table_proc *p = d->table.proc[i];
		struct roster_entry *e = &d->roster.e[i];
		char cgroups[ROSTER_CGROUPS];
		struct choice_facts f;
		bool is_go;

		if (p->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM) || e->id.pid == self)
			continue;
		roster__facts(e, p, &f, cgroups);
		is_go = d->config->go && roster__is_go(&d->roster, e, p, seconds);
		deep__consider(d->deep, e->id, mw_task_row__rss(&p->row),
			       roster__rule(&d->roster, e, p->row.ppid, d->config, &f), is_go);
		events__consider(d->events, e, p);
	}
	deep__end(d->deep);
	events__watch(d->events);
}

static struct scrape_sources sources(const struct daemon *d)
{
	return (struct scrape_sources){.config = d->config,
				       .table = &d->table,
				       .machine = &d->machine,
				       .deep = d->deep,
				       .events = d->events,
				       .faults = d->faults,
				       .keeper = d->keeper,
				       .pass_ns = d->pass_ns,
				       .passes = d->passes};
}

/* A pass: by the clock, or for somebody who asks for a process that none has met (roster__meet). */
static void look(void *arg)
{
	struct daemon *d = arg;
	uint64_t now = util__now_ns();
	double seconds = 0;
	int err = read_processes(d, &seconds);

	if (err) {
		if (!d->failed_passes++)
			log_error("failed to read the processes: %s; tried again", strerror(-err));
		if (d->failed_passes == MAX_FAILED_PASSES)
			loop__stop(d->loop);
		return;
	}
	d->failed_passes = 0;
	events__sizes(d->events, &d->table);
	if (d->serve)
		serve__before_pass(d->serve);
	choose(d, seconds);
	deep__look_at_ledgers(d->deep);
	keeper__pass(d->keeper, &d->table, &d->roster, &d->machine, d->deep);
	d->pass_ns = util__now_ns() - now;
	d->passes++;
	if (d->serve) {
		struct scrape_sources from = sources(d);

		serve__pass(d->serve, &from);
	}
	if (!d->is_ready) {
		d->is_ready = true;
		log_info("daemon ready: %zu processes", d->table.n);
		sd_notify(0, "READY=1\nSTATUS=Watching");
	}
}

static void pass(void *arg)
{
	struct daemon *d = arg;
	uint64_t now = util__now_ns();

	d->next_ns += d->config->interval_ns;
	if (d->next_ns <= now)
		d->next_ns = now + d->config->interval_ns;
	loop__set_timer(d->loop, d->timer, d->next_ns);
	look(d);
	if (!deep__more_to_come(d->deep))
		return;
	d->next_ns = util__now_ns();
	loop__set_timer(d->loop, d->timer, d->next_ns);
}

/* That the loop turns: passes may be an hour apart. */
static void sign_of_life(void *arg)
{
	struct daemon *d = arg;

	sd_notify(0, "WATCHDOG=1");
	loop__set_timer(d->loop, d->watchdog, util__now_ns() + d->watchdog_ns);
}

static int start_watchdog(struct daemon *d)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	d->watchdog_ns = usec * 1000 / 2;
	return loop__add_timer(d->loop, util__now_ns(), sign_of_life, d, &d->watchdog);
}

static void each_turn(void *arg)
{
	struct daemon *d = arg;
	uint64_t turn_ns;

	deep__poll(d->deep);
	pagefaults__poll(d->faults);
	events__poll(d->events);
	turn_ns = min_of(deep__turn_ns(d->deep), events__turn_ns(d->events));
	if (d->faults)
		turn_ns = min_of(turn_ns, PAGEFAULTS_TURN_NS);
	loop__each_turn(d->loop, turn_ns, each_turn, d);
}

/* --- what is kept --- */

static void on_profile(void *arg, const struct deep_process *p, struct profile *profile,
		       enum deep_why why)
{
	struct daemon *d = arg;

	keeper__profile(d->keeper, p, profile, deep__why(why));
	if (why != DEEP_REGULAR && why != DEEP_PEAK && why != DEEP_PEAK_RSS)
		keeper__end(d->keeper, p);
}

/* A process at the moment of a kill or an alert. */
struct moment {
	struct deep_id id;
	const char *comm;
	const struct deep_process *profiled; /* NULL: it is not */
	bool was_killed;
	const char *why;
};

/* The profile of a process at this moment, of its heap or, where that is not profiled, of what is
 * resident; its id, 0: none. */
static int64_t keep_moment(struct daemon *d, const struct moment *m)
{
	struct profile *profile = NULL;
	int64_t id;

	if (!d->keeper || !m->id.pid ||
	    (m->profiled ? deep__profile(d->deep, m->profiled, 0,
					 deep__with(m->profiled) & ~DEEP_RESIDENCY, &profile)
			 : pagefaults__profile(d->faults, m->id, m->was_killed, &profile)))
		return 0;
	id = m->profiled ? keeper__profile(d->keeper, m->profiled, profile, m->why)
			 : keeper__stranger(d->keeper, m->id, m->comm, profile, m->why);
	profile__free(profile);
	return id;
}

/* Where the start is not known: who had the PID when all were looked at, which is whom an alert is
 * about. */
static struct deep_id whose(void *arg, uint32_t pid, uint64_t start_ns)
{
	const struct daemon *d = arg;
	const struct table_proc *p = pid && !start_ns ? table__find(&d->table, pid) : NULL;

	return (struct deep_id){pid, p ? p->row.start_ns : start_ns};
}

static void on_kill(void *arg, const struct oom_event *e, const char *json, size_t len,
		    const struct deep_process *p)
{
	struct daemon *d = arg;
	struct moment m = {.id = whose(d, e->victim.pid, e->victim.start_ns),
			   .comm = e->victim.comm,
			   .profiled = p,
			   .was_killed = true,
			   .why = "OOM kill"};

	keeper__event(d->keeper, "oom", e->time_unix_ms, e->victim.pid, e->victim.comm, json, len,
		      keep_moment(d, &m));
}

static void on_throttle(void *arg, const struct throttle_event *e, const char *json, size_t len)
{
	struct daemon *d = arg;

	keeper__event(d->keeper, "throttle", e->time_unix_ms, 0, e->path, json, len, 0);
}

static void on_alert(void *arg, const char *json, size_t len)
{
	struct daemon *d = arg;
	json_t *o = json_loadb(json, len, 0, NULL);
	struct moment m = {.comm = json_string_value(json_object_get(o, "comm")), .why = "alert"};
	const char *state = "";
	json_int_t time_unix_ms = util__wall_ms();

	json_unpack(o, "{s?I s?s}", "time_unix_ms", &time_unix_ms, "state", &state);
	m.comm = m.comm ? m.comm : "";
	/* 0: the machine's, and no process is watched */
	m.id = whose(d, (uint32_t)json_integer_value(json_object_get(o, "pid")), 0);
	m.profiled = m.id.pid ? deep__find(d->deep, m.id) : NULL;
	keeper__event(d->keeper, "alert", time_unix_ms, m.id.pid, m.comm, json, len,
		      strcmp(state, "firing") ? 0 : keep_moment(d, &m));
	json_decref(o);
}

static int profile_stranger(void *arg, struct deep_id id, bool was_killed, struct profile **ret)
{
	struct daemon *d = arg;

	return pagefaults__profile(d->faults, id, was_killed, ret);
}

/* SIGUSR1 */
static void keep_now(void *arg)
{
	struct daemon *d = arg;

	deep__keep_all(d->deep, DEEP_REGULAR);
}

/* --- reload --- */

/* The processes that start commands were forked when memwatch was what its caller started; they
 * are taken over. */
static int take_commands(struct config *from, struct config *to)
{
	for (size_t i = 0; i < to->nalerts; i++) {
		struct alert_options *want = &to->alerts[i].alert;
		bool found = !want->command;

		for (size_t k = 0; k < from->nalerts && !found; k++) {
			struct alert_options *have = &from->alerts[k].alert;

			found = have->runner && !strcmp(have->command, want->command) &&
				have->timeout_ns == want->timeout_ns;
			if (found)
				want->runner = take_ptr(have->runner);
		}
		if (found)
			continue;
		log_error("[alert %s]: a new on-alert command takes a restart", to->alerts[i].name);
		return -EPERM;
	}
	return 0;
}

/* Back again. */
static void give_commands_back(struct config *from, struct config *to)
{
	for (size_t i = 0; i < from->nalerts; i++) {
		struct alert_options *have = &from->alerts[i].alert;

		for (size_t k = 0; k < to->nalerts && have->runner; k++) {
			struct alert_options *lack = &to->alerts[k].alert;

			if (lack->command && !lack->runner && !strcmp(have->command, lack->command))
				lack->runner = take_ptr(have->runner);
		}
	}
}

static void use_config(struct daemon *d, struct config *c)
{
	struct config *old = d->config;

	deep__reload(d->deep, c);
	roster__reload(&d->roster, c);
	d->table.window_seconds = (double)c->growth_over_ns / 1e9;
	d->config = c;
	config__free(old);
	if (d->serve) {
		struct scrape_sources from = sources(d);

		serve__pass(d->serve, &from);
	}
	d->next_ns = util__now_ns();
	loop__set_timer(d->loop, d->timer, d->next_ns);
}

static bool differ(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b));
}

/* What a reload cannot change is told and stays. */
static int check_reload(struct daemon *d, struct config *c)
{
	if (strcmp(c->state_dir, d->config->state_dir)) {
		log_error("state-dir: another directory takes a restart");
		return -EPERM;
	}
	if (strcmp(c->listen, d->config->listen) || differ(c->group, d->config->group) ||
	    differ(c->hosts, d->config->hosts)) {
		log_error("listen, group, hosts: to change them takes a restart");
		return -EPERM;
	}
	if (c->faults != d->config->faults || c->fault_period != d->config->fault_period ||
	    c->oom != d->config->oom || differ(c->on_kill, d->config->on_kill) ||
	    c->kills.journal != d->config->kills.journal ||
	    c->kills.syslog != d->config->kills.syslog || c->history != d->config->history ||
	    c->history_bytes != d->config->history_bytes ||
	    c->history_age_ns != d->config->history_age_ns) {
		log_error("[oom], [faults], [history]: to change them takes a restart");
		return -EPERM;
	}
	if (c->max_depth != d->config->max_depth) {
		log_error("max-depth: to change it takes a restart");
		return -EPERM;
	}
	if (config__wants_fast(c) && !config__wants_fast(d->config)) {
		log_error(
			"fast: the privilege for it was given up at the start; it takes a restart");
		return -EPERM;
	}
	return take_commands(d->config, c);
}

static int replace(char **text, const char *by)
{
	char *copy = by ? strdup(by) : NULL;

	if (!copy)
		return by ? -ENOMEM : 0;
	free(*text);
	*text = copy;
	return 0;
}

static int override(const struct daemon_opts *o, struct config *c)
{
	int err = replace(&c->state_dir, o->state_dir);

	return err ? err : replace(&c->listen, o->listen);
}

static int read_config(struct daemon *d, struct config **ret)
{
	struct config_errors errors = {.n = 0};
	struct config *c = NULL;
	int err = config__new(&c);

	if (!err)
		err = config__read(c, d->o->config_path, false, &errors);
	daemon__tell_errors(d->o->config_path, &errors);
	if (!err)
		err = override(d->o, c);
	if (err) {
		config__free(c);
		return err;
	}
	*ret = c;
	return 0;
}

/* SIGHUP */
static void reload(void *arg)
{
	struct daemon *d = arg;
	struct config *c = NULL;
	char text[64];
	int err;

	if (!d->o->config_path) {
		log_info("there is no configuration file to read anew");
		return;
	}
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, util__now_ns() / 1000);
	sd_notify(0, text);
	err = read_config(d, &c);
	if (!err) {
		err = check_reload(d, c);
		if (!err)
			err = events__reload(d->events, c);
		if (err)
			give_commands_back(c, d->config);
	}
	if (err) {
		config__free(c);
		log_error("'%s' is not used; continuing with the former configuration",
			  d->o->config_path);
	} else {
		use_config(d, c);
		log_info("read '%s' anew: %zu profile and %zu alert sections", d->o->config_path,
			 c->nprofiles, c->nalerts);
	}
	sd_notify(0, "READY=1");
}

/* --- life --- */

/* In words of the text, which is changed. */
static size_t split_hosts(char *text, const char *ret[CONFIG_MAX_HOSTS])
{
	size_t n = 0;
	char *rest;

	for (char *p = strtok_r(text, " \t", &rest); p; p = strtok_r(NULL, " \t", &rest))
		ret[n++] = p;
	return n;
}

/* The token stands in the state directory, so that scrapers keep theirs over a restart. */
static int start_http(struct daemon *d)
{
	cleanup_free char *names = strdup(d->config->hosts ? d->config->hosts : "");
	const char *hosts[CONFIG_MAX_HOSTS];
	struct http_opts o = {
		.listen = d->config->listen, .group = d->config->group, .hosts = hosts};
	char path[4096];
	int err;

	if (!strcmp(d->config->listen, "none"))
		return EXIT_DONE;
	snprintf(path, sizeof(path), "%s/token", d->config->state_dir);
	o.token_file = path;
	o.nhosts = names ? split_hosts(names, hosts) : 0;
	err = http__start(&o, &d->http); /* said there */
	if (err)
		return err == -EINVAL			 ? EXIT_USAGE
		       : err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED
							 : EXIT_FAILED;
	log_info("listening on %s", http__address(d->http));
	if (http__token(d->http)) {
		log_info("token: %s (also in %s)", http__token(d->http), path);
		log_info("page: %s", http__url(d->http));
	}
	return EXIT_DONE;
}

/* What must be done while this process may do everything. */
static int prepare(struct daemon *d)
{
	unsigned kinds = PRIVILEGE(OBSERVE) | PRIVILEGE(LIMITS) | filer__start(true);
	struct config *c = d->config;
	char why[256] = "";
	int err = statedir__take(c->state_dir, &d->state_fd, why, sizeof(why)), status;

	if (err) {
		log_error("failed to use the state directory '%s': %s", c->state_dir, why);
		return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	for (size_t i = 0; i < c->nalerts; i++) {
		status = alert_options__start(&c->alerts[i].alert);
		if (status)
			return status;
	}
	status = delivery__new(&c->kills, &d->delivery);
	if (status)
		return status;
	delivery__check(d->delivery);
	opener__start(layers__are_ours);
	memreader__start();
	box__start();
	box__hurry(MOST_ANSWER_NS);
	status = start_http(d);
	if (status)
		return status;
	kinds |= c->oom ? PRIVILEGE(KERNEL_LOG) : 0;
	kinds |= config__wants_fast(c) ? PRIVILEGE(TRACE) | PRIVILEGE(MEMORY) : 0;
	err = privilege__keep(kinds);
	if (!err)
		return EXIT_DONE;
	log_error("failed to give up privileges: %s", strerror(-err));
	return EXIT_FAILED;
}

static int set_up(struct daemon *d)
{
	struct mm_probe_opts popts = {.peaks = true, .slots = PEAK_SLOTS};
	int err;
	struct history_opts hopts = {.max_bytes = d->config->history_bytes,
				     .max_age_ms = d->config->history_age_ns / 1000000};

	signals__watch();
	err = names__new(&d->names);
	table__init(&d->table);
	d->table.window_seconds = (double)d->config->growth_over_ns / 1e9;
	if (!err && d->config->history)
		err = keeper__new(d->config->state_dir, &hopts, &d->keeper);
	d->roster.look = look;
	d->roster.look_arg = d;
	d->table.name = names__fill;
	d->table.name_arg = d->names;
	if (!err)
		err = mm_probe__new(&popts, &d->probe);
	if (!err && *mm_probe__note(d->probe))
		log_warn("%s", mm_probe__note(d->probe));
	if (!err)
		err = loop__new(&d->loop);
	if (!err) {
		struct deep_opts o = {.config = d->config,
				      .tuning = d->o->tuning,
				      .loop = d->loop,
				      .fast = config__wants_fast(d->config),
				      .keep = d->keeper ? on_profile : NULL,
				      .arg = d};

		err = deep__new(&o, &d->deep);
	}
	if (!err) {
		struct events_opts o = {.config = d->config,
					.deep = d->deep,
					.loop = d->loop,
					.delivery = d->delivery,
					.killed = on_kill,
					.alarmed = on_alert,
					.throttled = on_throttle,
					.whose = whose,
					.stranger = profile_stranger,
					.arg = d};

		err = events__new(&o, &d->events);
	}
	if (!err)
		err = loop__add_timer(d->loop, util__now_ns(), pass, d, &d->timer);
	if (!err)
		err = start_watchdog(d);
	/* Without it (an old kernel, privileges) the rest goes on; said there. */
	if (!err && d->config->faults &&
	    pagefaults__new(d->loop, d->config->fault_period, &d->o->tuning, &d->faults))
		d->faults = NULL;
	if (!err && d->http) {
		struct scrape_sources from = sources(d);

		err = serve__new(d->http, &from, &d->roster, d->keeper, d->faults, d->loop,
				 &d->serve);
	}
	if (err)
		log_error("failed to start: %s", strerror(-err));
	return err ? EXIT_FAILED : EXIT_DONE;
}

static int run(struct daemon *d)
{
	int err;

	d->next_ns = util__now_ns();
	signals__finish_first(true); /* what it keeps is closed in good order */
	loop__on_hangup(d->loop, reload, d);
	loop__on_write(d->loop, keep_now, d);
	loop__set_duration(d->loop, d->o->duration_ns);
	loop__each_turn(d->loop, 0, each_turn, d);
	err = loop__run(d->loop);
	sd_notify(0, "STOPPING=1");
	deep__poll(d->deep);
	events__finish(d->events);
	deep__keep_all(d->deep, DEEP_STOP);
	if (err)
		log_error("failed to wait: %s", strerror(-err));
	return err || d->failed_passes ? EXIT_FAILED : EXIT_DONE;
}

static void close_books(struct daemon *d)
{
	struct events_stats e;
	struct deep_stats s;

	deep__stats(d->deep, &s);
	events__stats(d->events, &e);
	delivery__close_books(d->delivery);
	if (*e.lost_of_kills)
		log_warn("missing in what is told of OOM kills: %s", e.lost_of_kills);
	log_info("done: %" PRIu64 " processes profiled, %" PRIu64 " let go for their cost, %" PRIu64
		 " could not be attached to, %" PRIu64 " had no room; %" PRIu64
		 " OOM kills, %" PRIu64 " OOMs without a victim, %" PRIu64 " alerts; %" PRIu64
		 " events lost",
		 s.attached, s.over_budget, s.failed, s.refused, e.kills, e.victimless, e.alerts,
		 s.events_lost);
}

static void free_daemon(struct daemon *d)
{
	serve__free(d->serve);
	http__free(d->http);
	events__free(d->events);
	delivery__free(d->delivery);
	pagefaults__free(d->faults);
	deep__free(d->deep);
	loop__free(d->loop);
	mm_probe__free(d->probe);
	roster__clear(&d->roster);
	table__clear(&d->table);
	names__free(d->names);
	keeper__free(d->keeper);
	config__free(d->config);
	if (d->state_fd >= 0)
		close(d->state_fd);
}

int daemon__run(const struct daemon_opts *o, struct config *c)
{
	struct daemon d = {.o = o, .config = c, .state_fd = -1};
	int status = override(o, c) ? EXIT_FAILED : EXIT_DONE;

	signals__block();
	signals__hangup_is_news();
	if (!status)
		status = prepare(&d);
	if (!status)
		status = set_up(&d);
	if (!status) {
		status = run(&d);
		close_books(&d);
	}
	free_daemon(&d);
	return status;
}
