/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trend.h - what a series of sizes over time looks like: a leak, a cache that fills, a load at the
 * start, a saw-tooth, a step. For the in-use bytes of one stack, and as well for a process's RSS.
 *
 * Method: turning points (zig-zag with a threshold of 30 % of the range) separate series that give
 * memory back from those that only grow; where memory is given back, the troughs decide. Growing
 * series are judged by how the growth is spread over time, and by least squares of a line against
 * a saturating exponential. Slopes are Theil-Sen medians: a third of the points may be outliers.
 * Where the ages of the blocks are known they decide with: growth of which the old blocks do not
 * stay is no leak, and what stopped growing while its oldest blocks go is a cache that is full.
 * What is in doubt is called less than a leak: so is what has not grown for long, which a cache
 * that fills does too. Pure; no allocation beyond the stack; O(n) plus a constant for at most
 * TREND_GRID points.
 */
#ifndef MODEL_TREND_H
#define MODEL_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_MIN_POINTS 8
#define TREND_GRID 64
#define TREND_LEAK_AFTER_S 60 /* steady growth for less than this may be a cache that fills */

struct trend_point {
	double t_s;	      /* seconds, ascending, any origin */
	double bytes;	      /* in use at that moment */
	double allocs, frees; /* blocks since the start of the recording; negative: not known */
};

/* Blocks that were allocated `age_s` ago or longer (and less than the next cohort's age ago). */
struct trend_cohort {
	double age_s;
	double allocated, alive; /* blocks */
};

enum trend_kind {
	TREND_TOO_EARLY, /* too few points */
	TREND_FLAT,
	TREND_LINEAR,	  /* grows steadily, in small steps or large ones */
	TREND_STEP,	  /* grew once, later than the start */
	TREND_SATURATING, /* growth dies away: a cache filling */
	TREND_CHURN,	  /* rises and falls, floor stays: a saw-tooth */
	TREND_STARTUP,	  /* grew at the start, flat since */
	TREND_RELEASED,	  /* grew and was given back */
};

struct trend {
	enum trend_kind kind;
	double span_s; /* of the series */
	double bytes;  /* now */
	double low_bytes, high_bytes;
	double growth_bytes;  /* over the part that was judged */
	double steady_s;      /* linear: how long it has grown so, as far as it was watched */
	double slope_bytes_s; /* of the present trend; 0 unless growing */
	double r2; /* of a straight line through what was judged (troughs of a saw-tooth) */
	double limit_bytes; /* saturating: where it heads; others: bytes */
	double since_s;	 /* seconds since it last changed shape (step, start-up, release, stall) */
	double survival; /* share of blocks at least survival_age_s old that live; < 0 unknown */
	double survival_age_s;
	bool survival_is_bound; /* at least that share */
	/* Of the growth up to a moment in the past the share that is blocks from before it, at the
	 * moment where that is least; < 0: not known. A leak keeps all, also where few of all
	 * blocks survive; a population that only gets larger keeps little. */
	double held;
	bool turnover; /* linear or saturating: its old blocks get freed (held is small) */
	bool in_doubt; /* linear, but too few points, slowing down or stalled: no leak yet */
	bool stalled;  /* linear, but not in the last since_s seconds */
	bool slowing;  /* linear, but less so lately: a cache that is half full does that */
	bool early; /* nothing speaks against a leak but that it grows for less than leak_after */
	bool likely_leak;
};

/* Judges n points. Always fills *ret; returns 0, or -EINVAL if times descend or values are NaN. */
int trend__classify(const struct trend_point *p, size_t n, struct trend *ret);

/*
 * The same, with the ages of the blocks as of the last point (youngest cohort first; nc 0: not
 * known), and how long a growth must have been steady to be called a leak (seconds; 0: at once).
 */
int trend__judge(const struct trend_point *p, size_t n, const struct trend_cohort *c, size_t nc,
		 double leak_after_s, struct trend *ret);

/* Median of pairwise slopes, bytes per second; 0 for fewer than two points. */
double trend__slope(const struct trend_point *p, size_t n);

/* Bytes expected `ahead_s` seconds after the last point. */
double trend__forecast(const struct trend *t, double ahead_s);
/* Seconds until `bytes` is reached; INFINITY if it never is, 0 if it is now. */
double trend__reaches(const struct trend *t, double bytes);

/* "linear growth", "step", … for tables. */
const char *trend__kind_name(enum trend_kind k);
/* One word for a narrow column: "LEAK", "leak?" (too early), "growing", "cache", "churn", … */
const char *trend__short(const struct trend *t);

/*
 * The verdict in words: "likely leak: 3.2MB/min, r² 0.99, 98 % of blocks older than 2 minutes
 * survive — main.c:42 store_session". `where` may be NULL. Returns buf.
 */
char *trend__verdict(char *buf, size_t len, const struct trend *t, const char *where);

/*
 * A bounded series for one stack or process: when it is full every second point goes, and points
 * are taken half as often. The last point is always the newest.
 */
#define TREND_SERIES_MAX 64
#define TREND_COHORTS 8
struct trend_series {
	struct trend_point p[TREND_SERIES_MAX];
	uint32_t n, stride, skip;
	uint32_t ncohorts;			   /* 0: ages are not known */
	struct trend_cohort cohort[TREND_COHORTS]; /* as of the last point, youngest first */
};
void trend_series__add(struct trend_series *s, struct trend_point p);

#endif
