/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/rules.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/units.h"
#include "core/util.h"

#define LEAST_OOM_IN_S 1.0    /* it must be foretold by three samples, four a second */
#define MOST_OOM_IN_S 86400.0 /* what is watched for that is less than a forecast keeps */
#define GROWTH_S 300.0	      /* a rate an hour is not judged by an hour */

/* "80%" → 80. A plain decimal number: no sign, no exponent, no "inf". */
static int parse_percent(const char *text, double *ret)
{
	size_t n = strspn(text, "0123456789.");

	if (!n || n > 10 || strcmp(text + n, "%"))
		return -EINVAL;
	*ret = strtod(text, NULL);
	return *ret > 0 && *ret <= 100 ? 0 : -EINVAL;
}

static int parse_rss(const char *text, struct rules *r)
{
	double percent;
	uint64_t bytes = 0;

	if (!parse_percent(text, &percent)) {
		r->rss_share = percent / 100;
		r->rss_bytes = 0;
	} else {
		if (units__parse_size(text, &bytes) || !bytes)
			return -EINVAL;
		r->rss_bytes = bytes;
	}
	return 0;
}

static int parse_cgroup(const char *text, struct rules *r)
{
	double percent;

	if (parse_percent(text, &percent))
		return -EINVAL;
	r->cgroup_share = percent / 100;
	return 0;
}

static int parse_growth(const char *text, struct rules *r)
{
	static const struct {
		const char *name;
		double seconds;
	} per[] = {{"s", 1}, {"sec", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	const char *slash = strchr(text, '/');
	char size[32];
	uint64_t bytes;
	double seconds = 60;
	size_t len = slash ? (size_t)(slash - text) : strlen(text), i;

	if (len >= sizeof(size))
		return -EINVAL;
	memcpy(size, text, len);
	size[len] = 0;
	for (i = 0; slash && i < ARRAY_SIZE(per); i++) {
		if (!strcmp(slash + 1, per[i].name)) {
			seconds = per[i].seconds;
			break;
		}
	}
	if ((slash && i == ARRAY_SIZE(per)) || units__parse_size(size, &bytes) || !bytes)
		return -EINVAL;
	r->growth_bytes_s = (double)bytes / seconds;
	r->growth_per_s = seconds;
	return 0;
}

static int parse_oom_in(const char *text, struct rules *r)
{
	uint64_t ns;

	if (units__parse_time(text, &ns) || (double)ns / 1e9 < LEAST_OOM_IN_S ||
	    (double)ns / 1e9 > MOST_OOM_IN_S)
		return -EINVAL;
	r->oom_in_s = (double)ns / 1e9;
	return 0;
}

static int parse_psi(const char *text, struct rules *r)
{
	const char *eq = strchr(text, '=');
	bool full = !strncmp(text, "full=", 5);
	double percent;

	if (!eq || (!full && strncmp(text, "some=", 5)) || parse_percent(eq + 1, &percent))
		return -EINVAL;
	r->psi_percent = percent;
	r->psi_full = full;
	return 0;
}

/* --- in words --- */

static void say_rss(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		    size_t size)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

	snprintf(buf, size, "RSS %s, threshold %s", units__size(b1, sizeof(b1), llround(v->value)),
		 units__size(b2, sizeof(b2), llround(v->threshold)));
}

static void say_cgroup(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		       size_t size)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

	snprintf(buf, size, "cgroup at %.0f%% of its %s, and %s that can be reclaimed",
		 v->value * 100, units__size(b1, sizeof(b1), (int64_t)x->cgroup_limit_bytes),
		 units__size(b2, sizeof(b2), (int64_t)x->cgroup_reclaimable_bytes));
}

static void say_growth(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		       size_t size)
{
	char b1[UNITS_LEN], b2[UNITS_LEN];

	snprintf(buf, size, "RSS grows by %s/min, threshold %s/min",
		 units__size(b1, sizeof(b1), llround(v->value * 60)),
		 units__size(b2, sizeof(b2), llround(v->threshold * 60)));
}

static void say_oom_in(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		       size_t size)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN];
	int n;

	if (isinf(v->value)) {
		snprintf(buf, size, "no end of the %s's memory in sight",
			 v->machine_limit ? "machine" : "cgroup");
		return;
	}
	n = snprintf(buf, size, "out of memory in %s (%s to %s) at %s/min (limit of the %s)",
		     units__time(b1, sizeof(b1), (uint64_t)(v->value * 1e9)),
		     units__time(b2, sizeof(b2), (uint64_t)(v->from_s * 1e9)),
		     units__time(b3, sizeof(b3), (uint64_t)(v->to_s * 1e9)),
		     units__size(b4, sizeof(b4), llround(v->slope_bytes_s * 60)),
		     v->machine_limit ? "machine" : "cgroup");
	/* It is not counted as used. */
	if (!v->machine_limit && n > 0 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, ", and %s that can be reclaimed",
			 units__size(b1, sizeof(b1), (int64_t)x->cgroup_reclaimable_bytes));
}

static void say_psi(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		    size_t size)
{
	snprintf(buf, size, "memory pressure %.2f%%, threshold %.2f%%", v->value, v->threshold);
}

/* --- the values --- */

/* Each fills in value and threshold. False: nothing can be said now. */

static bool value_rss(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
		      struct rules_verdict *v)
{
	double all = (double)x->machine_total_bytes;

	if (x->cgroup_limit_bytes != RULES_NO_LIMIT && (double)x->cgroup_limit_bytes < all)
		all = (double)x->cgroup_limit_bytes;
	v->value = (double)x->rss_bytes;
	v->threshold = r->rss_bytes ? (double)r->rss_bytes : all * r->rss_share;
	/* 0: a share, and the machine's memory cannot be read now */
	return v->threshold > 0;
}

static bool value_cgroup(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
			 struct rules_verdict *v)
{
	if (x->cgroup_limit_bytes == RULES_NO_LIMIT || !x->cgroup_limit_bytes)
		return false;
	v->value = (double)x->cgroup_used_bytes / (double)x->cgroup_limit_bytes;
	v->threshold = r->cgroup_share;
	return true;
}

static bool value_growth(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
			 struct rules_verdict *v)
{
	v->threshold = r->growth_bytes_s;
	v->value = forecast__growth(&s->series, fmin(r->growth_per_s, GROWTH_S));
	v->slope_bytes_s = v->value;
	return true;
}

static bool forecast_to(const struct rules *r, struct rules_state *s, double limit,
			struct rules_verdict *v)
{
	struct forecast_verdict f;

	forecast__judge(&s->series, limit, &f);
	v->value = v->oom_in_s = f.in_s;
	v->from_s = f.from_s;
	v->to_s = f.to_s;
	v->slope_bytes_s = f.slope_bytes_s;
	v->threshold = r->oom_in_s;
	return true;
}

static bool group_oom_in(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
			 struct rules_verdict *v)
{
	v->machine_limit = false;
	if (x->cgroup_limit_bytes == RULES_NO_LIMIT)
		return false;
	return forecast_to(r, s, (double)x->cgroup_limit_bytes, v);
}

static bool machine_oom_in(const struct rules *r, struct rules_state *s,
			   const struct rules_sample *x, struct rules_verdict *v)
{
	v->machine_limit = true;
	if (!x->machine_total_bytes)
		return false;
	return forecast_to(r, s, (double)x->machine_total_bytes, v);
}

static bool machine_psi(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
			struct rules_verdict *v)
{
	if (x->psi_some10 < 0)
		return false;
	v->value = r->psi_full ? x->psi_full10 : x->psi_some10;
	v->threshold = r->psi_percent;
	return true;
}

/* --- the table --- */

typedef bool value_fn(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
		      struct rules_verdict *v);

static const struct rule_row {
	const char *name, *unit, *wants;
	int (*parse)(const char *text, struct rules *r);
	void (*say)(const struct rules_verdict *v, const struct rules_sample *x, char *buf,
		    size_t size);
	const char *gone; /* why nothing can be said any more */
	value_fn *of[RULES_SCOPES];
	bool below;		  /* fires when the value falls to the threshold */
	double back;		  /* over when the value is beyond this times the threshold … */
	unsigned hold, hold_back; /* … in so many samples in a row; and to fire */
} rows[ALERT_RULES] = {
	[ALERT_RSS] = {"rss",
		       "bytes",
		       "a size (2G) or a percentage (50%)",
		       parse_rss,
		       say_rss,
		       "the machine's memory cannot be read",
		       {[RULES_PROCESS] = value_rss},
		       false,
		       0.9,
		       1,
		       4},
	[ALERT_CGROUP] = {"cgroup",
			  "ratio",
			  "a percentage (80%)",
			  parse_cgroup,
			  say_cgroup,
			  "the cgroup has no limit any more",
			  {[RULES_GROUP] = value_cgroup},
			  false,
			  0.9,
			  1,
			  4},
	[ALERT_GROWTH] = {"growth",
			  "bytes/s",
			  "a rate (10M/min)",
			  parse_growth,
			  say_growth,
			  "",
			  {[RULES_PROCESS] = value_growth},
			  false,
			  0.5,
			  3,
			  120},
	[ALERT_OOM_IN] = {"oom-in",
			  "seconds",
			  "a time between 1s and 1d (5m)",
			  parse_oom_in,
			  say_oom_in,
			  "there is no limit any more",
			  {[RULES_GROUP] = group_oom_in, [RULES_MACHINE] = machine_oom_in},
			  true,
			  2,
			  3,
			  120},
	[ALERT_PSI] = {"psi",
		       "percent",
		       "some=PCT% or full=PCT%",
		       parse_psi,
		       say_psi,
		       "the memory pressure cannot be read",
		       {[RULES_MACHINE] = machine_psi},
		       false,
		       0.9,
		       3,
		       12},
};

const char *rules__name(enum alert_rule r)
{
	return rows[r].name;
}

const char *rules__unit(enum alert_rule r)
{
	return rows[r].unit;
}

const char *rules__wants(enum alert_rule r)
{
	return rows[r].wants;
}

int rules__parse(enum alert_rule rule, const char *text, struct rules *r)
{
	int err = rows[rule].parse(text, r);

	if (!err)
		r->on[rule] = true;
	return err;
}

char *rules__describe(enum alert_rule rule, const struct rules_verdict *v,
		      const struct rules_sample *x, char *buf, size_t size)
{
	if (isnan(v->value))
		snprintf(buf, size, "%s", rows[rule].gone);
	else
		rows[rule].say(v, x, buf, size);
	return buf;
}

bool rules__any(const struct rules *r)
{
	for (int i = 0; i < ALERT_RULES; i++) {
		if (r->on[i])
			return true;
	}
	return false;
}

bool rules__any_of(const struct rules *r, enum rules_scope scope)
{
	for (int i = 0; i < ALERT_RULES; i++) {
		if (r->on[i] && rows[i].of[scope])
			return true;
	}
	return false;
}

/* Fires at most once per excursion. */
static bool edge(struct rules_state *s, enum alert_rule r, const struct rules_verdict *v)
{
	const struct rule_row *row = &rows[r];
	bool over = row->below ? v->value <= v->threshold : v->value >= v->threshold;
	bool back = row->below ? v->value > v->threshold * row->back
			       : v->value < v->threshold * row->back;

	if (s->rule[r].firing) {
		s->rule[r].back = back || isnan(v->value) ? s->rule[r].back + 1 : 0;
		if (s->rule[r].back < row->hold_back)
			return false;
		s->rule[r].firing = false;
		s->rule[r].over = 0;
		s->resolved |= 1u << r;
		return false;
	}
	s->rule[r].over = over ? s->rule[r].over + 1 : 0;
	if (s->rule[r].over < row->hold)
		return false;
	s->rule[r].firing = true;
	s->rule[r].back = 0;
	return true;
}

static void add_to_series(const struct rules *r, enum rules_scope scope, struct forecast *f,
			  const struct rules_sample *x)
{
	if (scope == RULES_PROCESS && r->on[ALERT_GROWTH])
		forecast__add(f, x->t_s, (double)x->rss_bytes);
	else if (scope == RULES_GROUP && r->on[ALERT_OOM_IN] &&
		 x->cgroup_limit_bytes != RULES_NO_LIMIT)
		forecast__add(f, x->t_s, (double)x->cgroup_used_bytes);
	else if (scope == RULES_MACHINE && r->on[ALERT_OOM_IN] && x->machine_total_bytes)
		forecast__add(f, x->t_s,
			      (double)x->machine_total_bytes - (double)x->machine_available_bytes);
}

unsigned rules__step(const struct rules *r, enum rules_scope scope, struct rules_state *s,
		     const struct rules_sample *x, struct rules_verdict ret[ALERT_RULES])
{
	unsigned fires = 0;

	add_to_series(r, scope, &s->series, x);
	s->resolved = 0;
	for (int i = 0; i < ALERT_RULES; i++) {
		value_fn *value = rows[i].of[scope];

		ret[i] = (struct rules_verdict){
			.oom_in_s = INFINITY, .from_s = INFINITY, .to_s = INFINITY};
		if (!r->on[i] || !value)
			continue;
		if (!value(r, s, x, &ret[i]))
			ret[i].value = ret[i].threshold = NAN;
		if (edge(s, i, &ret[i]))
			fires |= 1u << i;
	}
	return fires;
}
