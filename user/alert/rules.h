/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules.h - when memory deserves attention: rules over a process's samples. Pure: no clock, no I/O,
 * no allocation.
 *
 * A rule fires once and is armed again only when its value has gone clearly back (by a tenth for
 * shares and sizes, by half for growth and forecasts), so that a value on the edge does not flap.
 * Growth and forecasts are judged from the Theil-Sen slope over a window: single spikes, even a
 * quarter of the samples, do not move it; and they must hold for RULES_HOLD samples in a row.
 * Where a window RULES_SLOW times as long shows a saw-tooth (a collector, a cache that is emptied),
 * growth is that of its floor: such a process rises for a while and does not grow. The forecast
 * looks at the short window alone: what is about to hit its limit cannot wait.
 */
#ifndef ALERT_RULES_H
#define ALERT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/trend.h"

#define RULES_NO_LIMIT UINT64_MAX
#define RULES_WINDOW 64
#define RULES_MIN_SPAN_S 3.0 /* shorter series say nothing about growth */
#define RULES_HOLD 3
#define RULES_SLOW 16 /* one point of the slow window per so many samples */

enum alert_rule {
	ALERT_RSS,    /* resident bytes */
	ALERT_CGROUP, /* share of the cgroup's limit in use */
	ALERT_GROWTH, /* resident bytes per second */
	ALERT_OOM_IN, /* seconds until a limit is reached */
	ALERT_PSI,    /* percent of the time stalled, 10 s average */
	ALERT_RULES,
};

/* "rss", "cgroup", "growth", "oom-in", "psi"; "bytes", "ratio", "bytes/s", "seconds", "percent" */
const char *rules__name(enum alert_rule r);
const char *rules__unit(enum alert_rule r);

struct rules {
	bool on[ALERT_RULES];
	uint64_t rss_bytes;  /* 0: rss_share counts */
	double rss_share;    /* of the machine's memory or the cgroup's limit, whichever is less */
	double cgroup_share; /* 0 to 1 */
	double growth_bytes_s;
	double oom_in_s;
	double psi_percent;
	bool psi_full;
};

/*
 * Read options as people write them: "50%" or "2G"; "80%"; "10M/min" (also /s, /h; per minute
 * without); "5m"; "some=20%" or "full=5%". 0, or -EINVAL.
 */
int rules__parse_rss(const char *text, struct rules *r);
int rules__parse_cgroup(const char *text, struct rules *r);
int rules__parse_growth(const char *text, struct rules *r);
int rules__parse_oom_in(const char *text, struct rules *r);
int rules__parse_psi(const char *text, struct rules *r);
bool rules__any(const struct rules *r);

/* One look at a process and what limits it. */
struct rules_sample {
	double t_s; /* monotonic */
	uint64_t rss_bytes;
	uint64_t cgroup_used_bytes; /* without what can be reclaimed */
	uint64_t cgroup_reclaimable_bytes, cgroup_limit_bytes;
	uint64_t machine_total_bytes, machine_available_bytes;
	double psi_some10, psi_full10; /* percent; negative: not known */
};

struct rules_state {
	struct trend_point rss[RULES_WINDOW], cgroup[RULES_WINDOW], machine[RULES_WINDOW];
	size_t n;			       /* points in the windows, oldest first */
	struct trend_point slow[RULES_WINDOW]; /* RSS */
	size_t nslow;
	unsigned skipped;
	bool fired[ALERT_RULES];
	unsigned held[ALERT_RULES];
};

struct rules_verdict {
	double value, threshold; /* in the rule's unit */
	double slope_bytes_s;	 /* of what heads for the limit; 0 if not judged */
	double oom_in_s;	 /* forecast; INFINITY: no end in sight */
	bool machine_limit;	 /* the limit reached first is the machine's, not the cgroup's */
};

/*
 * Takes a sample in. Returns the set of rules (1 << enum alert_rule) that fire now; ret[rule]
 * describes each of them. Samples come in the order of time.
 */
unsigned rules__step(const struct rules *r, struct rules_state *s, const struct rules_sample *x,
		     struct rules_verdict ret[ALERT_RULES]);

/* Seconds until the first limit is reached at the present rate; INFINITY if none is. */
double rules__forecast(const struct rules_state *s, const struct rules_sample *x,
		       struct rules_verdict *ret);

#endif
