/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trend.h - what a series of sizes over time looks like: a leak, a cache that fills, a load at the
 * start, a saw-tooth, a step. For the in-use bytes of one stack, and as well for a process's RSS.
 *
 * Method: turning points (zig-zag with a threshold of 30 % of the range) separate series that give
 * memory back from those that only grow; where memory is given back, the troughs decide. Growing
 * series are judged by how the growth is spread over time, and by least squares of a line against
 * a saturating exponential. Slopes are Theil-Sen medians: a third of the points may be outliers.
 * What is in doubt is called less than a leak. Pure; no allocation beyond the stack; O(n) plus a
 * constant for at most TREND_GRID points.
 */
#ifndef MODEL_TREND_H
#define MODEL_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_MIN_POINTS 8
#define TREND_GRID 64

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
	double slope_bytes_s; /* of the present trend; 0 unless growing */
	double r2; /* of a straight line through what was judged (troughs of a saw-tooth) */
	double limit_bytes; /* saturating: where it heads; others: bytes */
	double since_s;	    /* seconds since it last changed shape (step, start-up, release) */
	double survival;    /* share of blocks at least survival_age_s old that live; < 0 unknown */
	double survival_age_s;
	bool survival_is_bound; /* at least that share */
	bool in_doubt;		/* linear, but too short a time or slowing down: no leak yet */
	bool likely_leak;
};

/* Judges n points. Always fills *ret; returns 0, or -EINVAL if times descend or values are NaN. */
int trend__classify(const struct trend_point *p, size_t n, struct trend *ret);

/*
 * Adds what is known of the blocks' ages (youngest cohort first) to a verdict; a steady growth
 * whose old blocks do get freed is no longer called a leak.
 */
void trend__add_cohorts(struct trend *t, const struct trend_cohort *c, size_t n);

/*
 * Puts the share that cohorts tell in the place of what the series only bounds. Changes no other
 * part of the verdict: where most old blocks are gone the few left may still be a leak.
 */
void trend__measure_survival(struct trend *t, const struct trend_cohort *c, size_t n);

/* Median of pairwise slopes, bytes per second; 0 for fewer than two points. */
double trend__slope(const struct trend_point *p, size_t n);

/* Bytes expected `ahead_s` seconds after the last point. */
double trend__forecast(const struct trend *t, double ahead_s);
/* Seconds until `bytes` is reached; INFINITY if it never is, 0 if it is now. */
double trend__reaches(const struct trend *t, double bytes);

/* "linear growth", "step", … for tables. */
const char *trend__kind_name(enum trend_kind k);
/* One or two words for a narrow column: "LEAK", "growing", "cache", "churn", … */
const char *trend__short(const struct trend *t);

/*
 * The verdict in words: "likely leak: 3.2 MiB/min, r² 0.99, 98 % of blocks older than 2 minutes
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
