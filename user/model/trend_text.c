/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trend_text.c - verdicts in words. */
#include "model/trend.h"

#include "core/units.h"

#include <math.h>
#include <stdio.h>

#define NUMBER_LEN 32

static const char *size_text(char *buf, double bytes)
{
	return units__size(buf, NUMBER_LEN, (int64_t)bytes);
}

static const char *time_text(char *buf, double s)
{
	if (s < 1.95)
		snprintf(buf, NUMBER_LEN, "%.1f seconds", s);
	else if (s < 99.5)
		snprintf(buf, NUMBER_LEN, "%.0f seconds", s);
	else if (s < 5400)
		snprintf(buf, NUMBER_LEN, "%.0f minutes", s / 60);
	else if (s < 172800)
		snprintf(buf, NUMBER_LEN, "%.0f hours", s / 3600);
	else
		snprintf(buf, NUMBER_LEN, "%.0f days", s / 86400);
	return buf;
}

/* Per minute, hour or day: the shortest in which at least a kB comes together. */
static const char *rate_text(char *buf, double bytes_s)
{
	static const struct {
		double s;
		const char *name;
	} per[] = {{60, "min"}, {3600, "hour"}, {86400, "day"}};
	char size[NUMBER_LEN];
	size_t i = 0;

	while (i < 2 && fabs(bytes_s) * per[i].s < 1024)
		i++;
	snprintf(buf, NUMBER_LEN * 2, "%s/%s", size_text(size, bytes_s * per[i].s), per[i].name);
	return buf;
}

const char *trend__kind_name(enum trend_kind k)
{
	static const char *const name[] = {
		"too early to say", "flat",  "linear growth", "step",
		"saturating",	    "churn", "start-up only", "released"};

	return name[k];
}

const char *trend__short(const struct trend *t)
{
	static const char *const name[] = {"...",   "flat",  "growing", "step",
					   "cache", "churn", "startup", "released"};

	return t->likely_leak ? "LEAK" : t->early ? "leak?" : name[t->kind];
}

static int survival_text(char *buf, size_t len, const struct trend *t)
{
	char age[NUMBER_LEN];

	/* where few survive it matters what became of the growth; of one block that grows by
	 * reallocation nothing is left but itself, and that tells nothing */
	if (t->survival < 0 || (t->survival < 0.5 && t->held < 0))
		return 0;
	return snprintf(buf, len, ", %s%.0f %% of blocks older than %s survive%s",
			t->survival_is_bound ? "at least " : "", floor(t->survival * 100),
			time_text(age, t->survival_age_s),
			t->likely_leak && t->survival < 0.5 ? " and pile up" : "");
}

/* "growing: 3.2MB/min, r² 0.99, 98 % of blocks older than 2 minutes survive", and what is not
 * known. */
static int growth_text(char *buf, size_t len, const struct trend *t)
{
	char rate[NUMBER_LEN * 2], time[NUMBER_LEN], what[NUMBER_LEN * 2];
	size_t n;

	if (t->early)
		snprintf(what, sizeof(what), "growing steadily for %s",
			 time_text(time, t->steady_s));
	else
		snprintf(what, sizeof(what), "%s",
			 t->likely_leak ? "likely leak"
			 : t->turnover	? "growing, but blocks are freed"
					: "growing");
	n = snprintf(buf, len, "%s: %s, r² %.2f", what, rate_text(rate, t->slope_bytes_s),
		     fmin(t->r2, t->r2 < 0.9999 ? 0.99 : 1));
	if (n < len)
		n += survival_text(buf + n, len - n, t);
	if (n < len && t->early)
		n += snprintf(buf + n, len - n,
			      "; too early to tell a leak from a cache that fills");
	else if (n < len && t->stalled && !t->turnover)
		n += snprintf(buf + n, len - n, "; nothing in the last %s",
			      time_text(time, t->since_s));
	else if (n < len && t->slowing && !t->turnover)
		n += snprintf(buf + n, len - n, "; slower lately, as a cache that fills");
	return (int)n;
}

static int kind_text(char *buf, size_t len, const struct trend *t)
{
	char a[NUMBER_LEN * 2], b[NUMBER_LEN], c[NUMBER_LEN];

	switch (t->kind) {
	case TREND_TOO_EARLY:
		return snprintf(buf, len, "too early to say: %s after %s", size_text(a, t->bytes),
				time_text(b, t->span_s));
	case TREND_LINEAR: return growth_text(buf, len, t);
	case TREND_STEP:
		if (t->since_s < 0.05)
			return snprintf(buf, len, "step: grew by %s at once, just now",
					size_text(a, t->growth_bytes));
		return snprintf(buf, len, "step: grew by %s at once, no growth in the %s since",
				size_text(a, t->growth_bytes), time_text(b, t->since_s));
	case TREND_SATURATING:
		if (t->limit_bytes <= t->bytes * 1.02)
			return snprintf(buf, len, "saturating: filled to %s, growth has stopped%s",
					size_text(a, t->bytes),
					t->turnover ? ", old blocks are freed" : "");
		return snprintf(buf, len, "saturating: %s now, heading for about %s",
				size_text(a, t->bytes), size_text(b, t->limit_bytes));
	case TREND_CHURN:
		return snprintf(buf, len, "churn: swings between %s and %s, returns to its floor",
				size_text(a, t->low_bytes), size_text(b, t->high_bytes));
	case TREND_STARTUP:
		return snprintf(buf, len, "start-up only: %s, no growth in the %s since",
				size_text(a, t->bytes), time_text(b, t->since_s));
	case TREND_RELEASED:
		return snprintf(buf, len, "released: grew to %s, %s left, %s since",
				size_text(a, t->high_bytes), size_text(b, t->bytes),
				time_text(c, t->since_s));
	default: return snprintf(buf, len, "flat: %s", size_text(a, t->bytes));
	}
}

char *trend__verdict(char *buf, size_t len, const struct trend *t, const char *where)
{
	size_t n = kind_text(buf, len, t);

	if (where && *where && n < len)
		snprintf(buf + n, len - n, " — %s", where);
	return buf;
}
