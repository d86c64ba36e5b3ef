/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/tell.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/kept_files.h"
#include "alert/runner.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "core/textbuf.h"
#include "format/timeline_file.h"
#include "oom/render.h"
#include "sys/outfile.h"

#define FIELD 1200

struct teller {
	const struct alert_options *o;
	struct jsonlog *log;
	alert_save_fn save;
	void *arg;
	struct runner *runner;
	struct textbuf json;
	uint64_t told[ALERT_RULES];
	uint64_t not_run; /* alerts without the command */
};

struct alert_case {
	enum alert_rule rule;
	bool resolved;
	const char *ended; /* why it is over, where that is not its value; NULL: it is */
	const struct rules_verdict *v;
	const struct rules_sample *x;
	int64_t time_unix_ms, lasted_ms;
	unsigned counted;
	char profile[FIELD], timeline[FIELD];
};

static int check_directory(const char *dir)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s/memwatch-alert", dir);
	return outfile__check(name);
}

int teller__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
		struct teller **ret, const char **ret_why)
{
	struct teller *t = calloc(1, sizeof(*t));
	int err;

	*ret_why = "out of memory";
	if (!t)
		return -ENOMEM;
	t->o = o;
	t->log = log;
	t->save = save;
	t->arg = arg;
	t->runner = o->runner;
	*ret_why = "the directory of --alert-dir cannot be written";
	err = check_directory(o->dir);
	if (!err)
		err = render__reserve(&t->json);
	if (err) {
		teller__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void teller__free(struct teller *t)
{
	if (!t)
		return;
	if (t->not_run)
		log_warn("%" PRIu64 " alert%s without the command of --on-alert", t->not_run,
			 units__s(t->not_run));
	textbuf__free(&t->json);
	free(t);
}

void teller__use(struct teller *t, const struct alert_options *o)
{
	t->o = o;
	t->runner = o->runner;
}

uint64_t teller__told(const struct teller *t, enum alert_rule rule)
{
	return t->told[rule];
}

/* --- in the log --- */

static void put_number(struct textbuf *b, const char *key, double v)
{
	if (isfinite(v))
		textbuf__format(b, ",\"%s\":%.*f", key, v == floor(v) ? 0 : 3, v);
	else
		textbuf__format(b, ",\"%s\":null", key);
}

static void put_path(struct textbuf *b, const char *key, const char *text)
{
	textbuf__format(b, ",\"%s\":", key);
	if (*text)
		textbuf__json(b, text);
	else
		textbuf__format(b, "null");
}

static const char *const scopes[] = {
	[RULES_PROCESS] = "process", [RULES_GROUP] = "cgroup", [RULES_MACHINE] = "machine"};

static void render_json(struct textbuf *b, const struct alert_subject *who,
			const struct alert_case *f)
{
	char when[WHEN_LEN];
	bool has_limit;

	textbuf__reset(b);
	textbuf__format(b,
			"{\"schema\":\"memwatch.alert/1\",\"time\":\"%s\",\"time_unix_ms\":%" PRId64
			",\"rule\":\"%s\",\"state\":\"%s\",\"scope\":\"%s\"",
			when__utc(when, sizeof(when), f->time_unix_ms), f->time_unix_ms,
			rules__name(f->rule), f->resolved ? "resolved" : "firing",
			scopes[who->scope]);
	if (f->resolved || f->lasted_ms)
		textbuf__format(b, ",\"lasted_ms\":%" PRId64, f->lasted_ms);
	if (f->resolved)
		textbuf__format(b, ",\"ended\":%s", f->ended ? "true" : "false");
	textbuf__format(b, ",\"counted\":%u", f->counted);
	put_number(b, "value", f->v->value);
	put_number(b, "threshold", f->v->threshold);
	textbuf__format(b, ",\"unit\":\"%s\"", rules__unit(f->rule));
	put_number(b, "pid", who->pid ? who->pid : NAN);
	put_path(b, "comm", who->comm);
	put_path(b, "cgroup", who->cgroup);
	textbuf__format(b, ",\"rss_bytes\":%" PRIu64, f->x->rss_bytes);
	has_limit = f->x->cgroup_limit_bytes != RULES_NO_LIMIT;
	put_path(b, "limit_path", has_limit || who->scope == RULES_GROUP ? who->limit_path : "");
	put_number(b, "limit_bytes", has_limit ? (double)f->x->cgroup_limit_bytes : NAN);
	put_number(b, "used_bytes", has_limit ? (double)f->x->cgroup_used_bytes : NAN);
	put_number(b, "reclaimable_bytes",
		   has_limit ? (double)f->x->cgroup_reclaimable_bytes : NAN);
	put_number(b, "available_bytes", (double)f->x->machine_available_bytes);
	put_number(b, "slope_bytes_per_s", f->v->slope_bytes_s);
	put_number(b, "oom_in_s", f->v->oom_in_s);
	put_number(b, "oom_in_from_s", f->v->from_s);
	put_number(b, "oom_in_to_s", f->v->to_s);
	textbuf__format(b, ",\"first_limit\":%s",
			!isfinite(f->v->oom_in_s) ? "null"
			: f->v->machine_limit	  ? "\"machine\""
						  : "\"cgroup\"");
	put_path(b, "profile", f->profile);
	put_path(b, "timeline", f->timeline);
	textbuf__format(b, "}\n");
}

/* --- on stderr --- */

static void name_subject(const struct alert_subject *who, char *buf, size_t size)
{
	char largest[64] = "";

	if (who->pid)
		snprintf(largest, sizeof(largest), " (largest: PID %d, %s)", who->pid, who->comm);
	if (who->scope == RULES_MACHINE)
		snprintf(buf, size, "machine%s", largest);
	else if (who->scope == RULES_GROUP)
		snprintf(buf, size, "cgroup %s%s", who->limit_path, largest);
	else
		snprintf(buf, size, "PID %d (%s)", who->pid, who->comm);
}

static void say(const struct alert_subject *who, const struct alert_case *f)
{
	char what[RULES_TEXT], lasted[UNITS_LEN], subject[CGROUP_PATH + 96];

	name_subject(who, subject, sizeof(subject));
	units__time(lasted, sizeof(lasted), (uint64_t)f->lasted_ms * 1000000);
	if (f->ended)
		snprintf(what, sizeof(what), "%s", f->ended);
	else
		rules__describe(f->rule, f->v, f->x, what, sizeof(what));
	if (f->resolved)
		log_warn("alert %s resolved after %s: %s: %s", rules__name(f->rule), lasted,
			 subject, what);
	else
		log_warn("alert %s: %s: %s%s%s%s%s", rules__name(f->rule), subject, what,
			 f->lasted_ms ? "; began within the cooldown, and has lasted " : "",
			 f->lasted_ms ? lasted : "", f->profile[0] ? "; profile in " : "",
			 f->profile);
	if (f->counted)
		log_warn("alert %s: %s: began %u more time%s within the cooldown, not told",
			 rules__name(f->rule), subject, f->counted, units__s(f->counted));
}

/* --- to the command --- */

/* NAME=value; a value that is too long is left out rather than cut. */
#define ENV_MAX 16
struct env {
	char text[ENV_MAX][FIELD + 64];
	const char *list[ENV_MAX + 1];
	size_t n;
};
__attribute__((format(printf, 2, 3))) static void add_env(struct env *e, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (e->n == ENV_MAX)
		return;
	va_start(ap, fmt);
	n = vsnprintf(e->text[e->n], sizeof(e->text[0]), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(e->text[0]))
		return;
	e->list[e->n] = e->text[e->n];
	e->list[++e->n] = NULL;
}

/* Names are the target's: nothing in them may steer a terminal or end a line. */
static void add_env_name(struct env *e, const char *name, const char *text)
{
	struct textbuf clean = {};

	textbuf__plain(&clean, text, "");
	if (!clean.err)
		add_env(e, "%s=%s", name, clean.text ? clean.text : "");
	textbuf__free(&clean);
}

static void run_command(struct teller *t, const struct alert_subject *who,
			const struct alert_case *f)
{
	struct env *e = calloc(1, sizeof(*e));
	int err;

	if (!e) {
		log_warn("no memory to run the command of --on-alert");
		return;
	}
	add_env(e, "MEMWATCH_ALERT_RULE=%s", rules__name(f->rule));
	add_env(e, "MEMWATCH_ALERT_STATE=%s", f->resolved ? "resolved" : "firing");
	add_env(e, "MEMWATCH_ALERT_SCOPE=%s", scopes[who->scope]);
	if (who->pid)
		add_env(e, "MEMWATCH_ALERT_PID=%d", who->pid);
	add_env_name(e, "MEMWATCH_ALERT_COMM", who->comm);
	add_env_name(e, "MEMWATCH_ALERT_CGROUP", who->cgroup);
	add_env(e, "MEMWATCH_ALERT_VALUE=%.15g", f->v->value);
	add_env(e, "MEMWATCH_ALERT_THRESHOLD=%.15g", f->v->threshold);
	add_env(e, "MEMWATCH_ALERT_UNIT=%s", rules__unit(f->rule));
	add_env(e, "MEMWATCH_ALERT_RSS_BYTES=%" PRIu64, f->x->rss_bytes);
	if (who->scope == RULES_GROUP)
		add_env_name(e, "MEMWATCH_ALERT_LIMIT_PATH", who->limit_path);
	if (f->x->cgroup_limit_bytes != RULES_NO_LIMIT)
		add_env(e, "MEMWATCH_ALERT_LIMIT_BYTES=%" PRIu64, f->x->cgroup_limit_bytes);
	if (isfinite(f->v->oom_in_s))
		add_env(e, "MEMWATCH_ALERT_OOM_IN_SECONDS=%.1f", f->v->oom_in_s);
	add_env(e, "MEMWATCH_ALERT_PROFILE=%s", f->profile);
	add_env(e, "MEMWATCH_ALERT_TIMELINE=%s", f->timeline);
	err = runner__start(t->runner, runner__whose(who->pid, UINT32_MAX, who->cgroup), e->list,
			    t->json.text, t->json.len);
	t->not_run += err != 0;
	if (err)
		log_warn_of_many("failed to run the command of --on-alert: %s (%" PRIu64
				 " alert%s without it so far)",
				 runner__why(err), t->not_run, units__s(t->not_run));
	free(e);
}

/* --- in files --- */

/* In the file the rows have the wall clock's times, as it is now. */
static int save_timeline(struct timeline *t, const char *path)
{
	int64_t step = util__wall_ms() - util__steady_ms();
	int err;

	for (size_t i = 0; i < t->nrows; i++)
		t->rows[i].time_unix_ms += step;
	err = timeline_file__save(path, &(const struct timeline *){t}, 1);
	for (size_t i = 0; i < t->nrows; i++)
		t->rows[i].time_unix_ms -= step;
	return err;
}

/* No two have the same name: groups with the same largest process fire at once. */
static int64_t time_for_name(int64_t now_unix_ms)
{
	static int64_t last;

	return last = max_of(now_unix_ms, last + 1);
}

static void save_files(struct teller *t, const struct alert_subject *who, struct alert_case *f)
{
	char base[FIELD - 16], what[128];
	int err;

	snprintf(what, sizeof(what), "alert-%s#-%s", t->o->tag, rules__name(f->rule));
	kept_files__make_room(t->o->dir, what, t->o->keep);
	snprintf(base, sizeof(base), "%s/memwatch-alert-%s%d-%s-%" PRId64, t->o->dir, t->o->tag,
		 who->pid, rules__name(f->rule), time_for_name(f->time_unix_ms));
	err = t->save ? t->save(t->arg, who->pid, base, f->profile, sizeof(f->profile)) : 0;
	if (err) {
		log_warn("failed to save the profile of an alert: %s", outfile__strerror(err));
		f->profile[0] = 0;
	}
	snprintf(f->timeline, sizeof(f->timeline), "%s.csv", base);
	err = save_timeline(who->timeline, f->timeline);
	if (err) {
		log_warn("failed to save the timeline of an alert '%s': %s", f->timeline,
			 outfile__strerror(err));
		f->timeline[0] = 0;
	}
}

static void tell(struct teller *t, const struct alert_subject *who, const struct alert_case *f)
{
	int err = 0;

	render_json(&t->json, who, f);
	say(who, f);
	if (t->log)
		err = jsonlog__write(t->log, t->json.text, t->json.len);
	if (err)
		log_error("failed to write an alert to the log: %s", strerror(-err));
	if (t->o->told)
		t->o->told(t->o->told_arg, t->json.text, t->json.len);
	if (t->runner)
		run_command(t, who, f);
}

static bool is_cool(const struct teller *t, const struct told *told)
{
	return !told->last_ns || util__now_ns() - told->last_ns >= t->o->cooldown_ns;
}

static void tell_beginning(struct teller *t, const struct alert_subject *who, struct alert_case *f)
{
	struct told *told = &who->told[f->rule];

	f->counted = told->counted;
	told->firing = true;
	told->held = false;
	told->last_ns = util__now_ns();
	told->counted = 0;
	t->told[f->rule]++;
	if (who->timeline)
		save_files(t, who, f);
	tell(t, who, f);
}

void teller__begins(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		    const struct rules_verdict *v, const struct rules_sample *x)
{
	struct alert_case f = {.rule = rule, .v = v, .x = x, .time_unix_ms = util__wall_ms()};
	struct told *told = &who->told[rule];

	told->since_unix_ms = f.time_unix_ms;
	if (is_cool(t, told)) {
		tell_beginning(t, who, &f);
	} else {
		told->counted++;
		told->held = true;
	}
}

static int64_t lasted_ms(const struct told *told, int64_t now_unix_ms)
{
	return max_of(now_unix_ms - told->since_unix_ms, (int64_t)0);
}

void teller__lasts(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		   const struct rules_verdict *v, const struct rules_sample *x)
{
	struct alert_case f = {.rule = rule, .v = v, .x = x, .time_unix_ms = util__wall_ms()};
	struct told *told = &who->told[rule];

	if (!told->held || !is_cool(t, told))
		return;
	f.lasted_ms = lasted_ms(told, f.time_unix_ms);
	told->counted--; /* it is told now */
	tell_beginning(t, who, &f);
}

static void tell_end(struct teller *t, const struct alert_subject *who, struct alert_case *f)
{
	struct told *told = &who->told[f->rule];

	told->held = false;
	if (!told->firing)
		return; /* its beginning was within the cooldown, and its end is */
	f->resolved = true;
	f->time_unix_ms = util__wall_ms();
	f->lasted_ms = lasted_ms(told, f->time_unix_ms);
	f->counted = told->counted;
	told->firing = false;
	told->counted = 0;
	tell(t, who, f);
}

void teller__ends(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		  const struct rules_verdict *v, const struct rules_sample *x)
{
	struct alert_case f = {.rule = rule, .v = v, .x = x};

	tell_end(t, who, &f);
}

void teller__drops(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		   const char *why)
{
	static const struct rules_verdict nothing = {.value = NAN,
						     .threshold = NAN,
						     .oom_in_s = INFINITY,
						     .from_s = INFINITY,
						     .to_s = INFINITY};
	static const struct rules_sample nobody = {.cgroup_limit_bytes = RULES_NO_LIMIT};
	struct alert_case f = {.rule = rule, .ended = why, .v = &nothing, .x = &nobody};

	tell_end(t, who, &f);
}

void teller__tick(struct teller *t)
{
	if (t->runner)
		runner__tick(t->runner);
}

void teller__finish(struct teller *t)
{
	if (t->runner)
		runner__finish(t->runner);
}
