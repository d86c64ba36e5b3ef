/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/alert.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/runner.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "model/timeline.h"
#include "oom/render.h"
#include "format/escape.h"
#include "format/timeline_file.h"
#include "sys/cgroup.h"
#include "sys/outfile.h"
#include "sys/psi.h"
#include "sys/statm.h"

#define TIMELINE_ROWS 1024
#define FIELD 1200

struct watched {
	int pid;
	char comm[32];
	char cgroup[CGROUP_PATH];
	struct cgroup_memory memory;
	struct rules_state state;
	struct timeline timeline;
};

struct alert {
	const struct alert_options *o;
	struct jsonlog *log;
	alert_save_fn save;
	void *arg;
	struct runner *runner;
	struct cgroup_mounts mounts;
	struct watched **procs;
	size_t nprocs, procs_cap;
	uint64_t due_ns;
	struct escape_buf json;
};

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n;
}

/* The file may be there and refuse to be read: psi=0. */
static bool has_pressure(void)
{
	char text[512];
	struct psi psi;

	return read_file("/proc/pressure/memory", text, sizeof(text)) > 0 &&
	       !psi__parse(text, &psi);
}

int alert__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
	       struct alert **ret, const char **ret_why)
{
	struct alert *a = calloc(1, sizeof(*a));
	int err = 0;

	*ret_why = "out of memory";
	if (!a)
		return -ENOMEM;
	if (o->rules.on[ALERT_PSI] && !has_pressure())
		log_warn("this kernel gives no pressure stall information "
			 "(/proc/pressure/memory): --alert-psi cannot fire; continuing without");
	a->o = o;
	a->log = log;
	a->save = save;
	a->arg = arg;
	cgroup__mounts(&a->mounts);
	if (o->command) {
		*ret_why = "the command of --on-alert cannot be run";
		err = runner__new(o->command, o->timeout_ns, o->cooldown_ns, &a->runner);
	}
	if (!err && access(o->dir, W_OK | X_OK)) {
		*ret_why = "the directory of --alert-dir cannot be written";
		err = -errno;
	}
	if (!err)
		err = render__reserve(&a->json);
	if (err) {
		alert__free(a);
		return err;
	}
	*ret = a;
	return 0;
}

static void free_watched(struct watched *w)
{
	timeline__clear(&w->timeline);
	free(w);
}

void alert__free(struct alert *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nprocs; i++)
		free_watched(a->procs[i]);
	free(a->procs);
	runner__free(a->runner);
	escape__free(&a->json);
	free(a);
}

int alert__add(struct alert *a, int pid, const char *comm)
{
	struct watched *w;

	for (size_t i = 0; i < a->nprocs; i++) {
		if (a->procs[i]->pid == pid)
			return 0;
	}
	if (array_reserve(a->procs, a->procs_cap, a->nprocs + 1))
		return -ENOMEM;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->pid = pid;
	snprintf(w->comm, sizeof(w->comm), "%s", comm);
	timeline__init(&w->timeline, pid, comm, TIMELINE_ROWS);
	a->procs[a->nprocs++] = w;
	return 0;
}

void alert__remove(struct alert *a, int pid)
{
	for (size_t i = 0; i < a->nprocs; i++) {
		if (a->procs[i]->pid != pid)
			continue;
		free_watched(a->procs[i]);
		a->procs[i] = a->procs[--a->nprocs];
		return;
	}
}

/* --- looking --- */

static uint64_t meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

/* The machine's part, the same for all processes. */
static void look_at_machine(struct rules_sample *x)
{
	char text[2048];
	struct psi psi = {.valid = false};

	memset(x, 0, sizeof(*x));
	x->t_s = (double)util__now_ns() / 1e9;
	x->cgroup_limit_bytes = RULES_NO_LIMIT;
	x->psi_some10 = x->psi_full10 = -1;
	if (read_file("/proc/meminfo", text, sizeof(text)) > 0) {
		x->machine_total_bytes = meminfo(text, "MemTotal:");
		x->machine_available_bytes = meminfo(text, "MemAvailable:");
	}
	if (read_file("/proc/pressure/memory", text, sizeof(text)) > 0 && !psi__parse(text, &psi)) {
		x->psi_some10 = psi.some.avg10;
		x->psi_full10 = psi.full.avg10;
	}
}

static int look_at(struct alert *a, struct watched *w, struct rules_sample *x)
{
	struct timeline_row row = timeline__row(util__steady_ms());
	struct cgroup_stat stat;
	struct statm s;

	if (statm__read(w->pid, &s))
		return -ESRCH;
	x->rss_bytes = s.rss;
	row.value[TIMELINE_VIRT] = s.virt;
	row.value[TIMELINE_RSS] = s.rss;
	row.value[TIMELINE_RSS_ANON] = s.rss - min_of(s.rss, s.shared);
	timeline__append(&w->timeline, &row);
	if (!a->mounts.version || cgroup__of(&a->mounts, w->pid, w->cgroup, sizeof(w->cgroup)) ||
	    cgroup__tightest(&a->mounts, w->cgroup, &w->memory))
		return 0;
	if (w->memory.limit_bytes == CGROUP_NO_LIMIT)
		return 0;
	cgroup__stat(&a->mounts, w->memory.path, &stat);
	x->cgroup_limit_bytes = w->memory.limit_bytes;
	x->cgroup_reclaimable_bytes =
		min_of(cgroup_stat__reclaimable(&stat), w->memory.usage_bytes);
	x->cgroup_used_bytes = w->memory.usage_bytes - x->cgroup_reclaimable_bytes;
	return 0;
}

/* --- telling --- */

static void put_number(struct escape_buf *b, const char *key, double v)
{
	if (isfinite(v))
		escape__format(b, ",\"%s\":%.*f", key, v == floor(v) ? 0 : 3, v);
	else
		escape__format(b, ",\"%s\":null", key);
}

static void put_path(struct escape_buf *b, const char *key, const char *text)
{
	escape__format(b, ",\"%s\":", key);
	if (*text)
		escape__json(b, text);
	else
		escape__format(b, "null");
}

struct firing {
	enum alert_rule rule;
	const struct rules_verdict *v;
	const struct rules_sample *x;
	int64_t time_unix_ms;
	char profile[FIELD], timeline[FIELD];
};

static void render_json(struct escape_buf *b, const struct watched *w, const struct firing *f)
{
	char when[WHEN_LEN];

	b->len = 0;
	escape__format(b,
		       "{\"schema\":\"memwatch.alert/1\",\"time\":\"%s\",\"time_unix_ms\":%" PRId64
		       ",\"rule\":\"%s\"",
		       when__utc(when, sizeof(when), f->time_unix_ms), f->time_unix_ms,
		       rules__name(f->rule));
	put_number(b, "value", f->v->value);
	put_number(b, "threshold", f->v->threshold);
	escape__format(b, ",\"unit\":\"%s\",\"pid\":%d", rules__unit(f->rule), w->pid);
	put_path(b, "comm", w->comm);
	put_path(b, "cgroup", w->cgroup);
	escape__format(b, ",\"rss_bytes\":%" PRIu64, f->x->rss_bytes);
	if (f->x->cgroup_limit_bytes != RULES_NO_LIMIT) {
		put_path(b, "limit_path", w->memory.path);
		put_number(b, "limit_bytes", (double)f->x->cgroup_limit_bytes);
		put_number(b, "used_bytes", (double)f->x->cgroup_used_bytes);
	} else {
		escape__format(b, ",\"limit_path\":null,\"limit_bytes\":null,\"used_bytes\":null");
	}
	put_number(b, "available_bytes", (double)f->x->machine_available_bytes);
	put_number(b, "slope_bytes_per_s", f->v->slope_bytes_s);
	put_number(b, "oom_in_s", f->v->oom_in_s);
	escape__format(b, ",\"first_limit\":%s",
		       !isfinite(f->v->oom_in_s) ? "null"
		       : f->v->machine_limit	 ? "\"machine\""
						 : "\"cgroup\"");
	put_path(b, "profile", f->profile);
	put_path(b, "timeline", f->timeline);
	escape__format(b, "}\n");
}

static void say(const struct watched *w, const struct firing *f)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], what[160];

	switch (f->rule) {
	case ALERT_RSS:
		snprintf(what, sizeof(what), "RSS %s, threshold %s",
			 units__size(b1, sizeof(b1), llround(f->v->value)),
			 units__size(b2, sizeof(b2), llround(f->v->threshold)));
		break;
	case ALERT_CGROUP:
		snprintf(what, sizeof(what), "cgroup at %.0f%% of its %s", f->v->value * 100,
			 units__size(b1, sizeof(b1), (int64_t)f->x->cgroup_limit_bytes));
		break;
	case ALERT_GROWTH:
		snprintf(what, sizeof(what), "RSS grows by %s/min, threshold %s/min",
			 units__size(b1, sizeof(b1), llround(f->v->value * 60)),
			 units__size(b2, sizeof(b2), llround(f->v->threshold * 60)));
		break;
	case ALERT_OOM_IN:
		snprintf(what, sizeof(what), "out of memory in %s at %s/min (limit of the %s)",
			 units__time(b1, sizeof(b1), (uint64_t)(f->v->value * 1e9)),
			 units__size(b2, sizeof(b2), llround(f->v->slope_bytes_s * 60)),
			 f->v->machine_limit ? "machine" : "cgroup");
		break;
	default:
		snprintf(what, sizeof(what), "memory pressure %.2f%%, threshold %.2f%%",
			 f->v->value, f->v->threshold);
	}
	log_warn("alert %s: PID %d (%s): %s%s%s", rules__name(f->rule), w->pid, w->comm, what,
		 f->profile[0] ? "; profile in " : "", f->profile);
}

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

static void run_command(struct alert *a, const struct watched *w, const struct firing *f)
{
	struct env *e = calloc(1, sizeof(*e));
	int err;

	if (!e) {
		log_warn("no memory to run the command of --on-alert");
		return;
	}
	add_env(e, "MEMWATCH_ALERT_RULE=%s", rules__name(f->rule));
	add_env(e, "MEMWATCH_ALERT_PID=%d", w->pid);
	add_env(e, "MEMWATCH_ALERT_COMM=%s", w->comm);
	add_env(e, "MEMWATCH_ALERT_CGROUP=%s", w->cgroup);
	add_env(e, "MEMWATCH_ALERT_VALUE=%.6g", f->v->value);
	add_env(e, "MEMWATCH_ALERT_THRESHOLD=%.6g", f->v->threshold);
	add_env(e, "MEMWATCH_ALERT_UNIT=%s", rules__unit(f->rule));
	add_env(e, "MEMWATCH_ALERT_RSS_BYTES=%" PRIu64, f->x->rss_bytes);
	if (f->x->cgroup_limit_bytes != RULES_NO_LIMIT)
		add_env(e, "MEMWATCH_ALERT_LIMIT_BYTES=%" PRIu64, f->x->cgroup_limit_bytes);
	if (isfinite(f->v->oom_in_s))
		add_env(e, "MEMWATCH_ALERT_OOM_IN_SECONDS=%.1f", f->v->oom_in_s);
	add_env(e, "MEMWATCH_ALERT_PROFILE=%s", f->profile);
	add_env(e, "MEMWATCH_ALERT_TIMELINE=%s", f->timeline);
	err = runner__start(a->runner, (uint32_t)w->pid << 3 | f->rule, e->list, a->json.text,
			    a->json.len);
	if (err && err != -EAGAIN)
		log_warn("failed to run the command of --on-alert: %s", strerror(-err));
	free(e);
}

/* In the file the rows have the wall clock's times, as it is now. */
static int save_timeline(struct watched *w, const char *path)
{
	struct timeline *t = &w->timeline;
	int64_t step = util__wall_ms() - util__steady_ms();
	int err;

	for (size_t i = 0; i < t->nrows; i++)
		t->rows[i].time_unix_ms += step;
	err = timeline_file__save(path, &(const struct timeline *){t}, 1);
	for (size_t i = 0; i < t->nrows; i++)
		t->rows[i].time_unix_ms -= step;
	return err;
}

static void fire(struct alert *a, struct watched *w, enum alert_rule rule,
		 const struct rules_verdict *v, const struct rules_sample *x)
{
	struct firing f = {.rule = rule, .v = v, .x = x, .time_unix_ms = util__wall_ms()};
	char base[FIELD - 16];
	int err;

	snprintf(base, sizeof(base), "%s/memwatch-alert-%d-%s-%" PRId64, a->o->dir, w->pid,
		 rules__name(rule), f.time_unix_ms);
	err = a->save ? a->save(a->arg, w->pid, base, f.profile, sizeof(f.profile)) : 0;
	if (err) {
		log_warn("failed to save the profile of an alert: %s", outfile__strerror(err));
		f.profile[0] = 0;
	}
	snprintf(f.timeline, sizeof(f.timeline), "%s.csv", base);
	err = save_timeline(w, f.timeline);
	if (err) {
		log_warn("failed to save the timeline of an alert '%s': %s", f.timeline,
			 outfile__strerror(err));
		f.timeline[0] = 0;
	}
	render_json(&a->json, w, &f);
	say(w, &f);
	if (a->log) {
		err = jsonlog__write(a->log, a->json.text, a->json.len);
		if (err)
			log_error("failed to write an alert to the log: %s", strerror(-err));
	}
	if (a->runner)
		run_command(a, w, &f);
}

void alert__tick(struct alert *a)
{
	struct rules_verdict v[ALERT_RULES];
	struct rules_sample machine;
	uint64_t now = util__now_ns();

	if (a->runner)
		runner__tick(a->runner);
	if (now < a->due_ns || !rules__any(&a->o->rules))
		return;
	a->due_ns = now + ALERT_INTERVAL_NS;
	look_at_machine(&machine);
	for (size_t i = 0; i < a->nprocs; i++) {
		struct watched *w = a->procs[i];
		struct rules_sample x = machine;
		unsigned fires;

		if (look_at(a, w, &x))
			continue;
		fires = rules__step(&a->o->rules, &w->state, &x, v);
		for (int r = 0; r < ALERT_RULES; r++) {
			if (fires & 1u << r)
				fire(a, w, r, &v[r], &x);
		}
	}
}

void alert__finish(struct alert *a)
{
	if (a->runner)
		runner__finish(a->runner);
}
