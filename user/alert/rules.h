/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules.h - when memory deserves attention: rules over the samples of a process, of a control group
 * with a limit, and of the machine. Pure: no clock, no I/O, no allocation. A rule is a row of the
 * table in rules.c.
 *
 * A rule fires once and is over ("resolved") only when its value has gone clearly back, and stayed
 * there (by a tenth for shares and sizes, by half for growth and forecasts), so that a value on the
 * edge does not flap; what can no longer be told (the limit is gone) counts as gone back. Growth
 * and forecasts are forecast.h's: single spikes, steps and saw-teeth do not move them; and they
 * must hold for some samples in a row.
 */
#ifndef ALERT_RULES_H
#define ALERT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/forecast.h"

#define RULES_NO_LIMIT UINT64_MAX
#define RULES_TEXT 160

enum alert_rule {
	ALERT_RSS,    /* resident bytes */
	ALERT_CGROUP, /* share of the cgroup's limit in use */
	ALERT_GROWTH, /* resident bytes per second */
	ALERT_OOM_IN, /* seconds until a limit is reached: the cgroup's, or the machine's */
	ALERT_PSI,    /* percent of the time stalled, 10 s average */
	ALERT_RULES,
};

/* Whose samples a rule is over. */
enum rules_scope { RULES_PROCESS, RULES_GROUP, RULES_MACHINE, RULES_SCOPES };

struct rules;
struct rules_sample;
struct rules_verdict;

/* "rss", "cgroup", "growth", "oom-in", "psi": the options are --alert-NAME. */
const char *rules__name(enum alert_rule r);
/* "bytes", "ratio", "bytes/s", "seconds", "percent" */
const char *rules__unit(enum alert_rule r);
/* What the option takes, in words, for a complaint. */
const char *rules__wants(enum alert_rule r);

/* Reads an option as people write it: "50%" or "2G"; "80%"; "10M/min" (also /s, /h; per minute
 * without); "5m"; "some=20%" or "full=5%". 0, or -EINVAL. */
int rules__parse(enum alert_rule rule, const char *text, struct rules *r);

/* "RSS 2.00GB, threshold 1.50GB". Returns buf (RULES_TEXT bytes). */
char *rules__describe(enum alert_rule rule, const struct rules_verdict *v,
		      const struct rules_sample *x, char *buf, size_t size);

struct rules {
	bool on[ALERT_RULES];
	uint64_t rss_bytes;  /* 0: rss_share counts */
	double rss_share;    /* of the machine's memory or the cgroup's limit, whichever is less */
	double cgroup_share; /* 0 to 1 */
	double growth_bytes_s;
	double growth_per_s; /* the unit's time: a rate a minute is judged by what a minute brings
			      */
	double oom_in_s;
	double psi_percent;
	bool psi_full;
};

bool rules__any(const struct rules *r);
/* Whether any is over such samples. */
bool rules__any_of(const struct rules *r, enum rules_scope scope);

/* One look at a process, a group or the machine. */
struct rules_sample {
	double t_s; /* monotonic */
	uint64_t rss_bytes;
	uint64_t cgroup_used_bytes; /* without what can be reclaimed */
	uint64_t cgroup_reclaimable_bytes, cgroup_limit_bytes;
	uint64_t machine_total_bytes, machine_available_bytes;
	double psi_some10, psi_full10; /* percent; negative: not known */
};

struct rules_verdict {
	double value, threshold; /* in the rule's unit; NAN: nothing can be said */
	double slope_bytes_s;	 /* of what heads for the limit; 0 if not judged */
	double oom_in_s;	 /* forecast; INFINITY: no end in sight */
	double from_s, to_s;	 /* the interval in which it may be */
	bool machine_limit;	 /* the limit is the machine's, not the cgroup's */
};

/* Of one process, one group, or the machine. */
struct rules_state {
	struct forecast series; /* what a process has resident; what a group, the machine uses */
	struct {
		bool firing;
		unsigned over, back; /* samples in a row */
	} rule[ALERT_RULES];
	unsigned resolved; /* rules that were over with the last sample, 1 << enum alert_rule */
};

/*
 * Takes a sample in. Returns the set of rules (1 << enum alert_rule) that begin to fire; ret[rule]
 * describes all that are over such samples. Samples come in the order of time.
 */
unsigned rules__step(const struct rules *r, enum rules_scope scope, struct rules_state *s,
		     const struct rules_sample *x, struct rules_verdict ret[ALERT_RULES]);

#endif
