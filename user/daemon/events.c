/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/events.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/alert.h"
#include "alert/delivery.h"
#include "alert/kept_files.h"
#include "core/log.h"
#include "core/top_n.h"
#include "core/util.h"
#include "format/output.h"
#include "oom/jsonlog.h"
#include "oom/oom_record.h"
#include "oom/oom_watch.h"
#include "oom/render.h"
#include "run/loop.h"
#include "sys/boot.h"
#include "sys/outfile.h"
#include "sys/protect.h"
#include "sys/statm.h"
#include "top/table.h"

#define MAX_WATCHED 64 /* processes of an alert: each is looked at four times a second */
#define AHEAD_MIN 10   /* of two, the larger is who will be in so many minutes */
#define STAYS 1.25     /* who takes the place of one that is watched is larger by so much */
#define KILLS_KEPT 100 /* profiles of kills */
#define OOM_ADJ (-999)

/* A process that an alert chooses, in this pass. */
struct event_candidate {
	struct deep_id id;
	double weight;
	const char *comm; /* borrowed */
};

struct event_section {
	struct alert *alert;
	struct event_candidate *candidate;
	size_t n, cap, left_out;
	char tag[40]; /* in the names of its files */
	bool told;    /* that some are left out */
};

struct events {
	struct events_opts o;
	struct jsonlog *log;
	struct oom_watch *watch;       /* NULL: kills are not watched for, or cannot be seen */
	struct event_section *section; /* by config->alerts */
	size_t nsections;
	struct textbuf line;
	struct events_stats stats;
	char boot_id[40], dir[OOM_PATH - 128];
	bool log_failed;
};

/* --- profiles of alerts and kills --- */

static int save_of(struct events *e, struct deep_id id, bool was_killed, const char *base,
		   char *ret, size_t size)
{
	const struct deep_process *d = deep__find(e->o.deep, id);
	struct profile *p = NULL;
	int err;

	snprintf(ret, size, "%s.pb.gz", base);
	err = d		      ? deep__profile(e->o.deep, d, 0, DEEP_MAPPINGS | deep__with(d), &p)
	      : e->o.stranger ? e->o.stranger(e->o.arg, id, was_killed, &p)
			      : -ENOENT;
	if (!err && was_killed)
		kept_files__make_room(e->dir, "oom-#", KILLS_KEPT);
	if (!err)
		err = output__write(p, ret);
	profile__free(p);
	if (err)
		ret[0] = 0;
	return err;
}

/* An alert's; of a process of which nothing is known there is none. */
static int save_profile(void *arg, int pid, const char *base, char *ret, size_t size)
{
	struct events *e = arg;

	save_of(e, e->o.whose(e->o.arg, (uint32_t)pid, 0), false, base, ret, size);
	return 0;
}

static void on_alert(void *arg, const char *json, size_t len)
{
	struct events *e = arg;

	if (e->o.alarmed)
		e->o.alarmed(e->o.arg, json, len);
}

static void write_line(struct events *e)
{
	int err = jsonlog__write(e->log, e->line.text, e->line.len);

	if (err && !e->log_failed)
		log_error("failed to write '%s/oom.jsonl': %s; events wait in memory",
			  e->o.config->state_dir, outfile__strerror(err));
	e->log_failed = err != 0;
}

static void save_victim(struct events *e, struct deep_id id, struct oom_event *k)
{
	char base[OOM_PATH - 16];

	snprintf(base, sizeof(base), "%s/memwatch-oom-%u-%" PRId64, e->dir, k->victim.pid,
		 k->time_unix_ms);
	save_of(e, id, true, base, k->profile, sizeof(k->profile));
}

static void say_kill(const struct oom_event *k)
{
	struct textbuf b = {0};

	if (!k->no_victim)
		log_warn("PID %u (%s) was killed: out of memory%s%s%s%s", k->victim.pid,
			 k->victim.comm, k->memcg[0] ? ", limit of cgroup " : "", k->memcg,
			 k->profile[0] ? "; its profile is in " : "", k->profile);
	else if (!render__summary(&b, k))
		log_warn("%s", b.text);
	textbuf__free(&b);
}

/* Or nobody could be killed. */
static void on_kill(void *arg, struct oom_event *k)
{
	struct events *e = arg;
	struct deep_id id = e->o.whose(e->o.arg, k->victim.pid, k->victim.start_ns);

	memcpy(k->boot_id, e->boot_id, sizeof(k->boot_id));
	if (k->no_victim) {
		e->stats.victimless += k->repeats ? k->repeats : 1;
	} else {
		e->stats.kills++;
		save_victim(e, id, k);
	}
	textbuf__reset(&e->line);
	if (render__json(&e->line, k))
		return;
	write_line(e);
	delivery__kill(e->o.delivery, k, e->line.text, e->line.len);
	say_kill(k);
	if (e->o.killed)
		e->o.killed(e->o.arg, k, e->line.text, e->line.len,
			    k->no_victim ? NULL : deep__find(e->o.deep, id));
}

static void on_throttle(void *arg, const struct throttle_event *t)
{
	struct events *e = arg;
	struct textbuf b = {0};

	e->stats.throttles += t->high_cnt;
	textbuf__reset(&e->line);
	if (throttle__json(&e->line, t))
		return;
	write_line(e);
	delivery__throttle(e->o.delivery, t, e->line.text, e->line.len);
	if (!throttle__summary(&b, t))
		log_warn("%s", b.text);
	textbuf__free(&b);
	if (e->o.throttled)
		e->o.throttled(e->o.arg, t, e->line.text, e->line.len);
}

/* --- life --- */

static void free_section(struct event_section *s)
{
	alert__free(s->alert);
	free(s->candidate);
}

static void free_sections(struct event_section *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free_section(&s[i]);
	free(s);
}

/* A name, as part of that of a file. */
static void make_tag(char tag[40], const char *name)
{
	int n = snprintf(tag, 39, "%s", name);

	n = min_of(n, 38);
	for (int i = 0; i < n; i++) {
		if (!isalnum((unsigned char)tag[i]))
			tag[i] = '_';
	}
	strcpy(tag + n, "-");
}

static void complete(struct events *e, struct event_section *s, struct config_alert *c)
{
	make_tag(s->tag, c->name);
	c->alert.dir = e->dir;
	c->alert.tag = s->tag;
	c->alert.told = on_alert;
	c->alert.told_arg = e;
}

static int new_section(struct events *e, struct config_alert *c, struct event_section *s)
{
	const char *why = "";
	int err;

	complete(e, s, c);
	err = alert__new(&c->alert, e->log, save_profile, e, &s->alert, &why);
	if (err)
		log_error("[alert %s]: %s: %s", c->name, why, strerror(-err));
	return err;
}

/* The section of that name, as it was. */
static struct event_section *former_section(const struct events *e, const char *name)
{
	for (size_t i = 0; i < e->nsections; i++) {
		if (!strcmp(e->o.config->alerts[i].name, name))
			return &e->section[i];
	}
	return NULL;
}

/* Those that there are not yet; the others are all zero. */
static int new_sections(struct events *e, const struct config *c, struct event_section **ret)
{
	struct event_section *s = calloc(c->nalerts ? c->nalerts : 1, sizeof(*s));
	int err = s ? 0 : -ENOMEM;

	for (size_t i = 0; i < c->nalerts && !err; i++) {
		if (!former_section(e, c->alerts[i].name))
			err = new_section(e, &c->alerts[i], &s[i]);
	}
	if (err) {
		if (s)
			free_sections(s, c->nalerts);
		return err;
	}
	*ret = s;
	return 0;
}

static void watch_kills(struct events *e)
{
	struct watch_options o = {.from_seq = OOM_UNKNOWN, .throttle_fn = on_throttle};
	int probe_err = 0, kmsg_err = 0;
	int err = oom_watch__new(&o, on_kill, e, &e->watch, &probe_err, &kmsg_err);

	if (!err)
		err = loop__add_fd(e->o.loop, oom_watch__fd(e->watch), NULL, NULL);
	if (err)
		log_warn("OOM kills are not seen: %s (needs CAP_BPF and CAP_PERFMON, or "
			 "CAP_SYSLOG); "
			 "continuing without",
			 strerror(-(probe_err ? probe_err : err)));
	else if (probe_err || kmsg_err)
		log_warn("OOM kills are seen by %s alone: %s",
			 probe_err ? "the kernel's log" : "the probe",
			 strerror(-(probe_err ? probe_err : kmsg_err)));
	if (protect__oom_score_adj(OOM_ADJ))
		log_info(
			"not permitted to lower its own oom_score_adj (CAP_SYS_RESOURCE): memwatch "
			"itself may be chosen by the OOM killer; continuing");
}

int events__new(const struct events_opts *o, struct events **ret)
{
	struct events *e = calloc(1, sizeof(*e));
	char path[4096];
	int err;

	if (!e)
		return -ENOMEM;
	e->o = *o;
	boot__id(e->boot_id);
	snprintf(e->dir, sizeof(e->dir), "%s/alerts", o->config->state_dir);
	snprintf(path, sizeof(path), "%s/oom.jsonl", o->config->state_dir);
	err = render__reserve(&e->line);
	if (!err)
		err = jsonlog__open(path, &e->log);
	if (err)
		log_error("failed to open '%s': %s", path, outfile__strerror(err));
	else
		err = new_sections(e, o->config, &e->section);
	if (err) {
		events__free(e);
		return err;
	}
	e->nsections = o->config->nalerts;
	if (o->config->oom)
		watch_kills(e);
	*ret = e;
	return 0;
}

void events__free(struct events *e)
{
	if (!e)
		return;
	free_sections(e->section, e->nsections);
	if (e->watch) {
		loop__drop_fd(e->o.loop, oom_watch__fd(e->watch));
		oom_watch__free(e->watch);
	}
	jsonlog__close(e->log);
	textbuf__free(&e->line);
	free(e);
}

static size_t told_by(const struct alert *a)
{
	size_t told = 0;

	for (int r = 0; r < ALERT_RULES; r++) {
		struct alert_numbers n;

		alert__numbers(a, r, &n);
		told += n.told;
	}
	return told;
}

/* What fires of a section that there is no more is over. */
static void end_section(struct events *e, struct event_section *s)
{
	alert__drop(s->alert);
	alert__finish(s->alert);
	e->stats.alerts += told_by(s->alert);
	free_section(s);
}

/* The next pass says who is watched. */
int events__reload(struct events *e, const struct config *c)
{
	struct event_section *s;
	int err = new_sections(e, c, &s);

	if (err)
		return err;
	for (size_t i = 0; i < c->nalerts; i++) {
		struct event_section *was = former_section(e, c->alerts[i].name);

		if (!was)
			continue;
		s[i] = *was;
		was->alert = NULL;
		was->candidate = NULL;
		complete(e, &s[i], &c->alerts[i]);
		alert__use(s[i].alert, &c->alerts[i].alert);
	}
	for (size_t i = 0; i < e->nsections; i++) {
		if (e->section[i].alert)
			end_section(e, &e->section[i]);
	}
	free(e->section);
	e->section = s;
	e->nsections = c->nalerts;
	e->o.config = c;
	if (jsonlog__reopen(e->log))
		log_warn("failed to open oom.jsonl anew; continuing with the former");
	return 0;
}

/* --- who is watched --- */

/* The larger, the sooner; who fires stays, and who is watched gives way to clearly larger ones. */
static double weight_of(enum alert_look look, const struct choice_facts *f)
{
	double growth = f->growth(f->growth_arg);
	double size = (double)f->rss_bytes + fmax(growth, 0) * AHEAD_MIN;

	return look == ALERT_FIRING ? INFINITY : look == ALERT_WATCHED ? size * STAYS : size;
}

static void add_candidate(struct event_section *s, struct deep_id id, const char *comm,
			  double weight)
{
	if (array_reserve(s->candidate, s->cap, s->n + 1))
		return;
	s->candidate[s->n++] = (struct event_candidate){id, weight, comm};
}

void events__consider(struct events *e, struct roster_entry *r, const struct table_proc *p)
{
	char cgroups[ROSTER_CGROUPS];
	struct choice_facts f;

	if (!e->nsections || p->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM))
		return;
	roster__facts(r, p, &f, cgroups);
	for (size_t i = 0; i < e->nsections; i++) {
		const struct choice *who = &e->o.config->alerts[i].who;
		enum alert_look look = alert__look(e->section[i].alert, (int)r->id.pid);
		/* Who was chosen by its growth or size stays: what it does next matters. */
		bool stays = look != ALERT_UNWATCHED &&
			     (who->growth_bytes_min > 0 || who->min_rss_bytes);

		if (stays || choice__matches(who, &f))
			add_candidate(&e->section[i], r->id, p->comm, weight_of(look, &f));
	}
}

static int heaviest_first(const void *a, const void *b)
{
	double x = ((const struct event_candidate *)a)->weight,
	       y = ((const struct event_candidate *)b)->weight;

	return x < y ? 1 : x > y ? -1 : 0;
}

static bool is_wanted(void *arg, int pid)
{
	const struct event_section *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		if (s->candidate[i].id.pid == (uint32_t)pid)
			return true;
	}
	return false;
}

static void watch_section(struct event_section *s, const char *name)
{
	size_t chosen = s->n;

	s->n = top_n__sort(s->candidate, s->n, sizeof(*s->candidate), MAX_WATCHED, heaviest_first);
	s->left_out = chosen - s->n;
	if (s->left_out && !s->told)
		log_warn("[alert %s]: %zu processes are chosen; the %d that are largest, with what "
			 "they grow by, are watched",
			 name, chosen, MAX_WATCHED);
	s->told |= s->left_out > 0;
	alert__keep(s->alert, is_wanted, s);
	for (size_t i = 0; i < s->n; i++)
		alert__add(s->alert, (int)s->candidate[i].id.pid, s->candidate[i].id.start_ns,
			   s->candidate[i].comm);
	s->n = 0;
}

void events__watch(struct events *e)
{
	for (size_t i = 0; i < e->nsections; i++)
		watch_section(&e->section[i], e->o.config->alerts[i].name);
}

static bool size_of(void *arg, size_t i, uint32_t *ret_pid, struct statm *ret)
{
	const struct table *t = arg;
	const struct mw_task_row *row = &t->proc[i]->row;

	*ret_pid = row->tgid;
	*ret = (struct statm){.virt = row->virt_bytes,
			      .rss = mw_task_row__rss(row),
			      .shared = row->file_bytes + row->shmem_bytes};
	return !(row->flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM));
}

void events__sizes(struct events *e, const struct table *t)
{
	if (e->watch)
		oom_watch__sizes(e->watch, t->n, size_of, (void *)t);
}

void events__gone(struct events *e, const struct roster_entry *r)
{
	for (size_t i = 0; i < e->nsections; i++)
		alert__remove(e->section[i].alert, (int)r->id.pid);
}

bool events__watches(const struct events *e, uint32_t pid)
{
	for (size_t i = 0; i < e->nsections; i++) {
		if (alert__look(e->section[i].alert, (int)pid) != ALERT_UNWATCHED)
			return true;
	}
	return false;
}

void events__poll(struct events *e)
{
	for (size_t i = 0; i < e->nsections; i++) {
		if (alert__is_busy(e->section[i].alert))
			alert__tick(e->section[i].alert);
	}
	if (e->watch)
		oom_watch__run(e->watch);
	delivery__tick(e->o.delivery);
	if (jsonlog__waiting(e->log) && !jsonlog__retry(e->log) && e->log_failed) {
		log_info("writing to '%s/oom.jsonl' works again", e->o.config->state_dir);
		e->log_failed = false;
	}
}

uint64_t events__turn_ns(const struct events *e)
{
	int ms = e->watch ? oom_watch__timeout_ms(e->watch) : -1;
	uint64_t ns = ms < 0 ? LOOP_NEVER : (uint64_t)ms * 1000000;

	for (size_t i = 0; i < e->nsections; i++) {
		if (alert__is_busy(e->section[i].alert))
			ns = min_of(ns, ALERT_INTERVAL_NS);
	}
	return ns;
}

void events__finish(struct events *e)
{
	if (e->watch) {
		oom_watch__run(e->watch);
		oom_watch__flush(e->watch);
	}
	delivery__finish(e->o.delivery);
	for (size_t i = 0; i < e->nsections; i++)
		alert__finish(e->section[i].alert);
}

void events__stats(const struct events *e, struct events_stats *ret)
{
	struct watch_stats watch;

	*ret = e->stats;
	for (size_t i = 0; i < e->nsections; i++)
		ret->alerts += told_by(e->section[i].alert);
	ret->waiting = jsonlog__waiting(e->log);
	ret->lost = jsonlog__lost(e->log);
	if (!e->watch)
		return;
	oom_watch__stats(e->watch, &watch);
	oom_watch__lost(&watch, true, ret->lost_of_kills);
}

bool events__section(const struct events *e, size_t i, struct events_section *ret)
{
	const struct config_alert *c = &e->o.config->alerts[i];

	if (i >= e->nsections)
		return false;
	*ret = (struct events_section){.name = c->name, .left_out = e->section[i].left_out};
	for (int r = 0; r < ALERT_RULES; r++) {
		if (!c->alert.rules.on[r])
			continue;
		ret->rule[r].name = rules__name(r);
		alert__numbers(e->section[i].alert, r, &ret->rule[r].numbers);
	}
	return true;
}
