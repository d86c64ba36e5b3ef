/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/rules.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/units.h"
#include "core/util.h"

const char *rules__name(enum alert_rule r)
{
	static const char *const name[ALERT_RULES] = {"rss", "cgroup", "growth", "oom-in", "psi"};

	return name[r];
}

const char *rules__unit(enum alert_rule r)
{
	static const char *const unit[ALERT_RULES] = {"bytes", "ratio", "bytes/s", "seconds",
						      "percent"};

	return unit[r];
}

/* "80%" → 80. A plain decimal number: no sign, no exponent, no "inf". */
static int parse_percent(const char *text, double *ret)
{
	size_t n = strspn(text, "0123456789.");

	if (!n || n > 10 || strcmp(text + n, "%"))
		return -EINVAL;
	*ret = strtod(text, NULL);
	return *ret > 0 && *ret <= 100 ? 0 : -EINVAL;
}

int rules__parse_rss(const char *text, struct rules *r)
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
	r->on[ALERT_RSS] = true;
	return 0;
}

int rules__parse_cgroup(const char *text, struct rules *r)
{
	double percent;

	if (parse_percent(text, &percent))
		return -EINVAL;
	r->cgroup_share = percent / 100;
	r->on[ALERT_CGROUP] = true;
	return 0;
}

int rules__parse_growth(const char *text, struct rules *r)
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
	r->on[ALERT_GROWTH] = true;
	return 0;
}

int rules__parse_oom_in(const char *text, struct rules *r)
{
	uint64_t ns;

	if (units__parse_time(text, &ns) || !ns)
		return -EINVAL;
	r->oom_in_s = (double)ns / 1e9;
	r->on[ALERT_OOM_IN] = true;
	return 0;
}

int rules__parse_psi(const char *text, struct rules *r)
{
	const char *eq = strchr(text, '=');
	bool full = !strncmp(text, "full=", 5);
	double percent;

	if (!eq || (!full && strncmp(text, "some=", 5)) || parse_percent(eq + 1, &percent))
		return -EINVAL;
	r->psi_percent = percent;
	r->psi_full = full;
	r->on[ALERT_PSI] = true;
	return 0;
}

bool rules__any(const struct rules *r)
{
	for (int i = 0; i < ALERT_RULES; i++) {
		if (r->on[i])
			return true;
	}
	return false;
}

static void push(struct trend_point *p, size_t n, double t_s, double bytes)
{
	if (n == RULES_WINDOW)
		memmove(p, p + 1, sizeof(*p) * --n);
	p[n] = (struct trend_point){.t_s = t_s, .bytes = bytes, .allocs = -1, .frees = -1};
}

static bool is_judgeable(const struct rules_state *s)
{
	return s->n >= TREND_MIN_POINTS && s->rss[s->n - 1].t_s - s->rss[0].t_s >= RULES_MIN_SPAN_S;
}

/* Seconds until `room` is used up at `slope`. */
static double seconds_to(double room, double slope)
{
	if (slope <= 0)
		return INFINITY;
	return room <= 0 ? 0 : room / slope;
}

double rules__forecast(const struct rules_state *s, const struct rules_sample *x,
		       struct rules_verdict *ret)
{
	double slope, at;

	ret->oom_in_s = INFINITY;
	ret->slope_bytes_s = 0;
	if (!is_judgeable(s))
		return INFINITY;
	if (x->cgroup_limit_bytes != RULES_NO_LIMIT) {
		slope = trend__slope(s->cgroup, s->n);
		at = seconds_to((double)x->cgroup_limit_bytes - (double)x->cgroup_used_bytes,
				slope);
		if (at < ret->oom_in_s) {
			ret->oom_in_s = at;
			ret->slope_bytes_s = slope;
			ret->machine_limit = false;
		}
	}
	/* The machine: what is still available, against how fast that goes. */
	slope = trend__slope(s->machine, s->n);
	at = seconds_to((double)x->machine_available_bytes, slope);
	if (x->machine_total_bytes && at < ret->oom_in_s) {
		ret->oom_in_s = at;
		ret->slope_bytes_s = slope;
		ret->machine_limit = true;
	}
	return ret->oom_in_s;
}

/* Fires at most once per excursion: over `level` `hold` times in a row, armed below `back`. */
static bool edge(struct rules_state *s, enum alert_rule r, bool over, bool back, unsigned hold)
{
	if (s->fired[r]) {
		if (back)
			s->fired[r] = false;
		s->held[r] = 0;
		return false;
	}
	s->held[r] = over ? s->held[r] + 1 : 0;
	if (s->held[r] < hold)
		return false;
	s->fired[r] = true;
	s->held[r] = 0;
	return true;
}

static bool step_above(struct rules_state *s, enum alert_rule r, const struct rules_verdict *v,
		       double back, unsigned hold)
{
	return edge(s, r, v->value >= v->threshold, v->value < v->threshold * back, hold);
}

static double rss_threshold(const struct rules *r, const struct rules_sample *x)
{
	double all = (double)x->machine_total_bytes;

	if (r->rss_bytes)
		return (double)r->rss_bytes;
	if (x->cgroup_limit_bytes != RULES_NO_LIMIT && (double)x->cgroup_limit_bytes < all)
		all = (double)x->cgroup_limit_bytes;
	return all * r->rss_share;
}

static double growth_of(const struct rules_state *s)
{
	double fast = trend__slope(s->rss, s->n);
	struct trend slow;

	if (s->nslow < TREND_MIN_POINTS || trend__classify(s->slow, s->nslow, &slow))
		return fast;
	if (slow.kind != TREND_CHURN && slow.kind != TREND_RELEASED)
		return fast;
	return slow.slope_bytes_s < fast ? slow.slope_bytes_s : fast;
}

static unsigned step_trends(const struct rules *r, struct rules_state *s, struct rules_verdict *ret,
			    double growth)
{
	struct rules_verdict *v = &ret[ALERT_GROWTH];
	unsigned fires = 0;

	if (r->on[ALERT_GROWTH]) {
		v->value = growth;
		v->threshold = r->growth_bytes_s;
		if (is_judgeable(s) && step_above(s, ALERT_GROWTH, v, 0.5, RULES_HOLD))
			fires |= 1u << ALERT_GROWTH;
	}
	v = &ret[ALERT_OOM_IN];
	if (r->on[ALERT_OOM_IN]) {
		v->value = v->oom_in_s;
		v->threshold = r->oom_in_s;
		if (edge(s, ALERT_OOM_IN, v->value <= v->threshold, v->value > 2 * v->threshold,
			 RULES_HOLD))
			fires |= 1u << ALERT_OOM_IN;
	}
	return fires;
}

unsigned rules__step(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
		     struct rules_verdict ret[ALERT_RULES])
{
	struct rules_verdict common = {.oom_in_s = INFINITY};
	unsigned fires = 0;

	push(s->rss, s->n, x->t_s, (double)x->rss_bytes);
	push(s->cgroup, s->n, x->t_s, (double)x->cgroup_used_bytes);
	push(s->machine, s->n, x->t_s,
	     (double)x->machine_total_bytes - (double)x->machine_available_bytes);
	if (s->n < RULES_WINDOW)
		s->n++;
	if (s->skipped++ % RULES_SLOW == 0) {
		push(s->slow, s->nslow, x->t_s, (double)x->rss_bytes);
		if (s->nslow < RULES_WINDOW)
			s->nslow++;
	}
	rules__forecast(s, x, &common);
	for (int i = 0; i < ALERT_RULES; i++)
		ret[i] = common;
	if (r->on[ALERT_RSS]) {
		ret[ALERT_RSS].value = (double)x->rss_bytes;
		ret[ALERT_RSS].threshold = rss_threshold(r, x);
		/* 0: a share, and the machine's memory cannot be read now */
		if (ret[ALERT_RSS].threshold > 0 &&
		    step_above(s, ALERT_RSS, &ret[ALERT_RSS], 0.9, 1))
			fires |= 1u << ALERT_RSS;
	}
	if (r->on[ALERT_CGROUP] && x->cgroup_limit_bytes != RULES_NO_LIMIT &&
	    x->cgroup_limit_bytes) {
		ret[ALERT_CGROUP].value =
			(double)x->cgroup_used_bytes / (double)x->cgroup_limit_bytes;
		ret[ALERT_CGROUP].threshold = r->cgroup_share;
		if (step_above(s, ALERT_CGROUP, &ret[ALERT_CGROUP], 0.9, 1))
			fires |= 1u << ALERT_CGROUP;
	}
	if (r->on[ALERT_PSI] && x->psi_some10 >= 0) {
		ret[ALERT_PSI].value = r->psi_full ? x->psi_full10 : x->psi_some10;
		ret[ALERT_PSI].threshold = r->psi_percent;
		if (step_above(s, ALERT_PSI, &ret[ALERT_PSI], 0.9, RULES_HOLD))
			fires |= 1u << ALERT_PSI;
	}
	return fires | step_trends(r, s, ret, growth_of(s));
}
