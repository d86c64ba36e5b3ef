/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trend.c - the judgement; trend_text.c puts it into words. See trend.h. */
#include "model/trend.h"

#include "core/util.h"

#include <math.h>
#include <string.h>

#define TURN 0.30	 /* a move of this share of the range is a turn */
#define FLAT_SHARE 0.02	 /* less movement than this share of the level is flat */
#define CALM_SHARE 0.15	 /* swings below this share of the level are flat too */
#define START_SHARE 0.25 /* growth that is over by this share of the time was start-up */
#define JUMP_SHARE 0.80	 /* growth in one jump of at least this share is a step */
#define DYING_RATE 0.40	 /* a fitted rate that falls to this share of its start is dying away */
#define LEAK_POINTS 16	 /* fewer points are no evidence of a leak */
#define HELD_LEAK 0.50	 /* growth of which less is old blocks is no leak */
#define HELD_BLOCKS 20	 /* less growth than this many blocks says nothing of the kind … */
#define HELD_PART 0.10	 /* … nor does less than this share of all growth */
#define STOPPED_RATE 0.1 /* a rate that fell to this share of the growth's has stopped */
#define STEADY_RATE 0.3	 /* one that never fell below this is steady */
#define MAX_TURNS 256

/* Puts the element that belongs at k there, none above it before it, none below it behind it
 * (Hoare's selection). */
static void select_at(double *v, size_t n, size_t k)
{
	size_t low = 0, high = n - 1;

	while (low < high) {
		double pivot = v[low + (high - low) / 2];
		size_t i = low, j = high;

		for (;;) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i >= j)
				break;
			double x = v[i];

			v[i++] = v[j];
			v[j--] = x;
		}
		if (k <= j)
			high = j;
		else
			low = j + 1;
	}
}

static double median(double *v, size_t n)
{
	double below = -INFINITY;

	select_at(v, n, n / 2);
	if (n % 2)
		return v[n / 2];
	for (size_t i = 0; i < n / 2; i++)
		below = fmax(below, v[i]);
	return (below + v[n / 2]) / 2;
}

/* Thins the points out to at most TREND_GRID, evenly, the first and the last among them. */
static size_t thin(const struct trend_point *p, size_t n, struct trend_point *out)
{
	size_t m = min_of(n, (size_t)TREND_GRID);

	for (size_t i = 0; i < m; i++)
		out[i] = p[m > 1 ? i * (n - 1) / (m - 1) : 0];
	return m;
}

double trend__slope(const struct trend_point *p, size_t n)
{
	struct trend_point g[TREND_GRID];
	double v[TREND_GRID * (TREND_GRID - 1) / 2];
	size_t m = thin(p, n, g), k = 0;

	for (size_t i = 0; i < m; i++)
		for (size_t j = i + 1; j < m; j++)
			if (g[j].t_s > g[i].t_s)
				v[k++] = (g[j].bytes - g[i].bytes) / (g[j].t_s - g[i].t_s);
	return k ? median(v, k) : 0;
}

static double r_squared(const struct trend_point *p, size_t n)
{
	double mt = 0, mb = 0, tt = 0, bb = 0, tb = 0;

	for (size_t i = 0; i < n; i++) {
		mt += p[i].t_s / (double)n;
		mb += p[i].bytes / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		double t = p[i].t_s - mt, b = p[i].bytes - mb;

		tt += t * t;
		bb += b * b;
		tb += t * b;
	}
	return tt > 0 && bb > 0 ? tb * tb / (tt * bb) : 0;
}

/*
 * Least squares of a + b·f(x) with f given at each point; returns the sum of squared residuals
 * and the coefficients.
 */
static double fit(const double *f, const struct trend_point *p, size_t n, double *ret_a,
		  double *ret_b)
{
	double mf = 0, my = 0, ff = 0, fy = 0, ss = 0;

	for (size_t i = 0; i < n; i++) {
		mf += f[i] / (double)n;
		my += p[i].bytes / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		ff += (f[i] - mf) * (f[i] - mf);
		fy += (f[i] - mf) * (p[i].bytes - my);
	}
	*ret_b = ff > 0 ? fy / ff : 0;
	*ret_a = my - *ret_b * mf;
	for (size_t i = 0; i < n; i++) {
		double e = p[i].bytes - *ret_a - *ret_b * f[i];

		ss += e * e;
	}
	return ss;
}

/*
 * Does a curve a + b·(1 - exp(-k·x)) whose rate dies away within the series explain it much better
 * than a line? x runs from 0 to 1. rate: what the rate must have fallen to, as a share; better: the
 * share of the line's squared error that may be left. *ret_limit is where the curve heads.
 */
static bool is_dying_away(const struct trend_point *p, size_t n, double rate, double better,
			  double *ret_limit)
{
	struct trend_point g[TREND_GRID];
	double x[TREND_GRID], f[TREND_GRID], a, b, line, best = INFINITY, best_k = 0;
	size_t m = thin(p, n, g);
	double span = g[m - 1].t_s - g[0].t_s;

	for (size_t i = 0; i < m; i++)
		x[i] = (g[i].t_s - g[0].t_s) / span;
	line = fit(x, g, m, &a, &b);
	for (double k = 0.25; k <= 64; k *= 1.19) {
		double ss;

		for (size_t i = 0; i < m; i++)
			f[i] = 1 - exp(-k * x[i]);
		ss = fit(f, g, m, &a, &b);
		if (ss < best && b > 0) {
			best = ss;
			best_k = k;
			*ret_limit = a + b;
		}
	}
	return exp(-best_k) < rate && best < better * line;
}

/* Turning points of the series: alternating lows and highs, first and last point included. */
struct turns {
	size_t at[MAX_TURNS];
	size_t n;
	size_t falls; /* descending legs of at least the threshold */
};

static void find_turns(const struct trend_point *p, size_t n, double threshold, struct turns *t)
{
	size_t lo = 0, hi = 0;
	int dir = 0; /* of the present leg */

	t->n = t->falls = 0;
	for (size_t i = 1; i < n && t->n < MAX_TURNS - 2; i++) {
		if (p[i].bytes > p[hi].bytes)
			hi = i;
		if (p[i].bytes < p[lo].bytes)
			lo = i;
		if (dir >= 0 && p[hi].bytes - p[i].bytes >= threshold && hi < i) {
			t->at[t->n++] = hi;
			t->falls++;
			dir = -1;
			lo = hi = i;
		} else if (dir <= 0 && p[i].bytes - p[lo].bytes >= threshold && lo < i) {
			t->at[t->n++] = lo;
			dir = 1;
			lo = hi = i;
		}
	}
	if (dir < 0)
		t->at[t->n++] = lo;
	else if (dir > 0)
		t->at[t->n++] = hi;
}

static bool is_trough(const struct trend_point *p, const struct turns *t, size_t i)
{
	return (i == 0 || p[t->at[i - 1]].bytes > p[t->at[i]].bytes) &&
	       (i + 1 == t->n || p[t->at[i + 1]].bytes > p[t->at[i]].bytes);
}

/* The least bytes at any time from each point on, at points[i] of the growth: what is retained. */
static void retained(const struct trend_point *p, size_t n, struct trend_point *out)
{
	struct trend_point g[TREND_GRID];
	size_t m = thin(p, n, g), at = n;
	double least = INFINITY;

	for (size_t i = m; i-- > 0;) {
		size_t from = m > 1 ? i * (n - 1) / (m - 1) : 0;

		while (at > from)
			least = fmin(least, p[--at].bytes);
		out[i] = g[i];
		out[i].bytes = least;
	}
}

struct growth {		/* how the growth is spread over the time */
	double total;	/* bytes */
	double x90;	/* share of the time by which 90 % of it had happened */
	double jump;	/* largest share within a twelfth of the time */
	double jump_x;	/* where that jump ends */
	double last;	/* share in the last quarter */
	double stalled; /* share of the time since the last growth of note */
	size_t events;	/* separate rises */
};

static void measure_growth(const struct trend_point *r, size_t m, struct growth *g)
{
	double span = r[m - 1].t_s - r[0].t_s, y0 = r[0].bytes;
	double last_rise = 0;

	memset(g, 0, sizeof(*g));
	g->total = r[m - 1].bytes - y0;
	g->x90 = 1;
	if (g->total <= 0)
		return;
	for (size_t i = m; i-- > 0;) {
		double x = (r[i].t_s - r[0].t_s) / span, share = (r[i].bytes - y0) / g->total;

		if (share >= 0.90)
			g->x90 = x;
		if (x >= 0.75)
			g->last = 1 - share;
		for (size_t j = i; j-- > 0 && (r[i].t_s - r[j].t_s) / span <= 1.0 / 12;) {
			double rise = (r[i].bytes - r[j].bytes) / g->total;

			if (rise > g->jump + 1e-9) {
				g->jump = rise;
				g->jump_x = x;
			}
		}
	}
	for (size_t i = 1; i < m; i++) {
		if (r[i].bytes - r[i - 1].bytes <= 0.01 * g->total)
			continue;
		g->events++;
		last_rise = (r[i].t_s - r[0].t_s) / span;
	}
	g->stalled = 1 - last_rise;
}

/* Share of the blocks alive in mid-series that must still live: those since freed may be others. */
static void bound_survival(const struct trend_point *p, size_t n, struct trend *t)
{
	const struct trend_point *mid = &p[n / 2], *end = &p[n - 1];
	double live = mid->allocs - mid->frees;

	t->survival = -1;
	if (mid->allocs < 0 || mid->frees < 0 || end->frees < mid->frees || live < 1)
		return;
	live = fmax(0, live - (end->frees - mid->frees)) / live;
	if (live < 0.5)
		return; /* says nothing: the blocks freed may all be young ones */
	t->survival = live;
	t->survival_age_s = end->t_s - mid->t_s;
	t->survival_is_bound = live < 1;
}

static void judge(const struct trend_point *p, size_t n, struct trend *t, int depth);

/* Judges what came after `from` on its own: a slow leak may hide behind a large step. */
static void judge_rest(const struct trend_point *p, size_t n, size_t from, struct trend *t,
		       int depth)
{
	struct trend rest;
	size_t m = n - from;

	if (depth >= 3 || m < TREND_MIN_POINTS || m < n / 3)
		return;
	rest = *t;
	judge(p + from, m, &rest, depth + 1);
	if (rest.kind == TREND_LINEAR && rest.r2 >= 0.9) {
		t->kind = rest.kind;
		t->steady_s = rest.steady_s;
		t->in_doubt = rest.in_doubt;
		t->slowing = rest.slowing;
		t->stalled = rest.stalled;
		t->since_s = rest.stalled ? rest.since_s : t->since_s;
		t->slope_bytes_s = rest.slope_bytes_s;
		t->growth_bytes = rest.growth_bytes;
		t->r2 = rest.r2;
	}
}

static size_t index_at(const struct trend_point *p, size_t n, double x)
{
	double at = p[0].t_s + x * (p[n - 1].t_s - p[0].t_s);
	size_t i = 0;

	while (i + 1 < n && p[i].t_s < at)
		i++;
	return i;
}

/* The series falls by a large part of its range at least once. */
static void judge_falling(const struct trend_point *p, size_t n, const struct turns *turns,
			  struct trend *t, int depth)
{
	struct trend_point trough[MAX_TURNS];
	double range = t->high_bytes - t->low_bytes, slope;
	double span = p[n - 1].t_s - p[0].t_s;
	size_t m = 0;

	for (size_t i = 0; i < turns->n; i++)
		if (is_trough(p, turns, i))
			trough[m++] = p[turns->at[i]];
	if (turns->falls >= 3 && m >= 4) {
		slope = trend__slope(trough, m);
		t->r2 = r_squared(trough, m);
		if (slope * span >= 0.25 * range && t->r2 >= 0.7) {
			t->kind = TREND_LINEAR;
			t->slope_bytes_s = slope;
			t->growth_bytes = slope * span;
			return;
		}
	}
	t->kind = TREND_CHURN;
	if (turns->falls == 1) {
		size_t low = turns->at[turns->n - 1];

		/* one fall and no return: given back; what follows may still grow on its own */
		if (p[low].bytes <= p[turns->at[turns->n - 2]].bytes) {
			t->kind = TREND_RELEASED;
			t->since_s = p[n - 1].t_s - p[low].t_s;
			judge_rest(p, n, low, t, depth);
		}
	}
}

/*
 * Less growth in the last quarter than chance explains. Rare events scatter: of E of them a
 * quarter, with a deviation of sqrt(3/16/E), falls into the last quarter of a steady series.
 */
static bool is_slower_lately(const struct growth *g)
{
	return g->last < 0.25 - sqrt(3.0 / 16 / (double)g->events);
}

/* The least growth in k steps in a row that end before point `end`, as a share of the mean. */
static double least_rise(const struct trend_point *r, size_t m, size_t end, size_t k, double total)
{
	double mean = total * (double)k / (double)(m - 1), least = INFINITY;

	for (size_t i = k; i < end; i++)
		least = fmin(least, (r[i].bytes - r[i - k].bytes) / mean);
	return least;
}

/*
 * Nothing came lately: in three steps, where there were never three with so little, or for as long
 * as some four rises should have taken (chance makes that of one leak in fifty). *ret_s: for how
 * long.
 */
static bool is_stalled(const struct trend_point *r, size_t m, const struct growth *g, double *ret_s)
{
	size_t k = 3;
	double mean;

	if (m < LEAK_POINTS)
		return false;
	if (least_rise(r, m, m - k, k, g->total) < STEADY_RATE)
		k = max_of(k, (4 * m + g->events - 1) / g->events);
	if (k > m / 2)
		return false;
	mean = g->total * (double)k / (double)(m - 1);
	*ret_s = r[m - 1].t_s - r[m - 1 - k].t_s;
	return r[m - 1].bytes - r[m - 1 - k].bytes < STOPPED_RATE * mean;
}

/* Nothing grew at first: what matters is how it grows since it does. False: it grew from the start.
 */
static bool judge_late(const struct trend_point *p, size_t n, const struct trend_point *r, size_t m,
		       struct trend *t, int depth)
{
	double least = r[0].bytes + 0.01 * (r[m - 1].bytes - r[0].bytes);
	size_t from = 0;

	while (from + 1 < m && r[from + 1].bytes <= least)
		from++;
	from = m > 1 ? from * (n - 1) / (m - 1) : 0;
	if (depth >= 3 || from < 2 || from < n / 20)
		return false;
	if (n - from < TREND_MIN_POINTS) {
		t->kind = TREND_LINEAR;
		t->slope_bytes_s = trend__slope(p + from, n - from);
		t->steady_s = p[n - 1].t_s - p[from].t_s;
		t->in_doubt = true;
		return true;
	}
	judge(p + from, n - from, t, depth + 1);
	if (t->kind == TREND_STARTUP)
		t->kind = TREND_STEP;
	return true;
}

static void judge_growing(const struct trend_point *p, size_t n, struct trend *t, int depth)
{
	struct trend_point r[TREND_GRID];
	size_t m = min_of(n, (size_t)TREND_GRID);
	double span = p[n - 1].t_s - p[0].t_s, limit = t->bytes;
	struct growth g;

	retained(p, n, r);
	measure_growth(r, m, &g);
	t->growth_bytes = g.total;
	t->r2 = r_squared(p, n);
	t->since_s = (1 - g.x90) * span;
	if (g.total < 0.5 * (t->high_bytes - t->low_bytes) &&
	    g.total < FLAT_SHARE * t->high_bytes) {
		t->kind = TREND_FLAT;
	} else if (g.x90 <= START_SHARE) {
		t->kind = TREND_STARTUP;
		judge_rest(p, n, index_at(p, n, g.x90) + 1, t, depth);
	} else if (g.jump >= JUMP_SHARE || g.events <= 2) {
		t->kind = g.jump_x <= START_SHARE ? TREND_STARTUP : TREND_STEP;
		t->since_s = (1 - g.jump_x) * span;
		judge_rest(p, n, index_at(p, n, g.jump_x) + 1, t, depth);
	} else if (g.last < 0.04 || g.stalled > fmax(0.25, 3.0 / (double)(g.events + 1))) {
		t->kind = TREND_SATURATING; /* it grew and has stopped */
		t->limit_bytes = t->bytes;
	} else if (judge_late(p, n, r, m, t, depth)) {
		;
	} else if (is_slower_lately(&g) && is_dying_away(p, n, DYING_RATE, 0.5, &limit)) {
		t->kind = TREND_SATURATING;
		t->limit_bytes = fmax(limit, t->bytes);
	} else {
		t->kind = TREND_LINEAR;
		t->slope_bytes_s = trend__slope(p, n);
		/* a cache that is half full: slower, but not enough to say so */
		t->slowing = g.last < 0.25 && is_dying_away(p, n, 0.7, 0.6, &limit);
		t->stalled = is_stalled(r, m, &g, &t->since_s);
		t->in_doubt = n < LEAK_POINTS || t->slowing || t->stalled;
	}
}

static void judge(const struct trend_point *p, size_t n, struct trend *t, int depth)
{
	struct turns turns;
	double range;

	t->low_bytes = INFINITY;
	t->high_bytes = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		t->low_bytes = fmin(t->low_bytes, p[i].bytes);
		t->high_bytes = fmax(t->high_bytes, p[i].bytes);
	}
	range = t->high_bytes - t->low_bytes;
	t->kind = TREND_FLAT;
	t->steady_s = 0;
	t->in_doubt = t->slowing = t->stalled = false;
	/* behind a step the slope may be small against the level: there the fit decides */
	if (range <= (depth ? 0.002 : FLAT_SHARE) * fabs(t->high_bytes) || range <= 0)
		return;
	find_turns(p, n, TURN * range, &turns);
	if (turns.falls && range < CALM_SHARE * t->high_bytes && turns.falls >= 3)
		t->kind = TREND_FLAT; /* noise */
	else if (turns.falls)
		judge_falling(p, n, &turns, t, depth);
	else
		judge_growing(p, n, t, depth);
	/* a steady growth hidden in noise: a line explains it although the swings are large */
	if (t->kind != TREND_LINEAR && turns.falls &&
	    r_squared(p, n) >= (turns.falls > 1 ? 0.6 : 0.85) && trend__slope(p, n) > 0) {
		t->kind = TREND_LINEAR;
		t->slope_bytes_s = trend__slope(p, n);
		t->growth_bytes = t->slope_bytes_s * (p[n - 1].t_s - p[0].t_s);
		t->r2 = r_squared(p, n);
	}
	if (t->kind == TREND_LINEAR && !t->steady_s)
		t->steady_s = p[n - 1].t_s - p[0].t_s;
}

/* Nothing speaks against a leak but, perhaps, that it is not known for long. */
static bool looks_like_leak(const struct trend *t)
{
	return t->kind == TREND_LINEAR && !t->in_doubt && !t->turnover && t->slope_bytes_s > 0 &&
	       t->r2 >= 0.7;
}

int trend__classify(const struct trend_point *p, size_t n, struct trend *ret)
{
	return trend__judge(p, n, NULL, 0, TREND_LEAK_AFTER_S, ret);
}

/* Blocks in use at a moment and at every later one: what could have stayed since. */
static double kept_blocks(const struct trend_point *p, size_t n, double t_s)
{
	double least = INFINITY;
	size_t i = n;

	while (i-- > 0 && p[i].t_s >= t_s)
		least = fmin(least, p[i].allocs - p[i].frees);
	if (i != SIZE_MAX && i + 1 < n) { /* the moment itself, between two points */
		double x = (t_s - p[i].t_s) / (p[i + 1].t_s - p[i].t_s);
		double a = p[i].allocs - p[i].frees, b = p[i + 1].allocs - p[i + 1].frees;

		least = fmin(least, a + x * (b - a));
	}
	return least;
}

/* Share of all blocks of an age that live: "98 % of blocks older than 2 minutes survive". */
static void measure_survival(struct trend *t, const struct trend_cohort *c, size_t n)
{
	/* long enough ago that what is temporary would be gone: a quarter of the time, 2 minutes
	 * at most; the oldest cohort where nothing is as old as that */
	double age = fmin(120, t->span_s / 4), allocated = 0, alive = 0;
	size_t from = n - 1;

	for (size_t i = n; i-- > 0 && c[i].age_s >= age;)
		from = i;
	for (size_t i = from; i < n; i++) {
		allocated += c[i].allocated;
		alive += c[i].alive;
	}
	if (allocated < 1)
		return;
	t->survival = fmin(1, alive / allocated);
	t->survival_age_s = c[from].age_s;
	t->survival_is_bound = false;
}

/*
 * How much of the growth up to some moment is blocks from before it, for each moment that a cohort
 * ends at, a quarter of the time ago or longer: the least.
 */
static void measure_held(struct trend *t, const struct trend_point *p, size_t n,
			 const struct trend_cohort *c, size_t nc)
{
	const struct trend_point *end = &p[n - 1];
	double now = end->allocs - end->frees, old = 0;
	/* what is in flight all the time comes at the start and is no growth */
	double first = kept_blocks(p, n, p[0].t_s + t->span_s / 16);

	if (p[0].allocs < 0 || p[0].frees < 0)
		return;
	for (size_t i = nc; i-- > 0 && c[i].age_s >= t->span_s / 4;) {
		double growth = kept_blocks(p, n, end->t_s - c[i].age_s) - first;

		old += c[i].alive;
		/* a few blocks, or a small part of all, are no evidence */
		if (growth < HELD_BLOCKS || growth < HELD_PART * (now - first))
			continue;
		if (t->held < 0 || old / growth < t->held)
			t->held = fmin(1, old / growth);
	}
}

/* A growth that ends while the oldest blocks go: a cache of limited size, filled in a line. */
static bool has_stopped(const struct trend *t, const struct trend_point *p, size_t n)
{
	size_t from = n - 1 - max_of(n / 8, (size_t)3);
	double span = p[n - 1].t_s - p[from].t_s;

	return span > 0 && trend__slope(p + from, n - from) < STOPPED_RATE * t->slope_bytes_s;
}

static void judge_ages(struct trend *t, const struct trend_point *p, size_t n,
		       const struct trend_cohort *c, size_t nc)
{
	measure_survival(t, c, nc);
	measure_held(t, p, n, c, nc);
	if ((t->kind != TREND_LINEAR && t->kind != TREND_SATURATING) || t->held < 0 ||
	    t->held >= HELD_LEAK)
		return;
	t->turnover = true;
	/* (what no line explains, and keeps nothing, is noise about a level) */
	if (t->kind != TREND_LINEAR || (t->r2 >= 0.5 && !has_stopped(t, p, n)))
		return;
	t->kind = TREND_SATURATING;
	t->limit_bytes = t->bytes;
	t->slope_bytes_s = 0;
}

int trend__judge(const struct trend_point *p, size_t n, const struct trend_cohort *c, size_t nc,
		 double leak_after_s, struct trend *ret)
{
	double low = INFINITY, high = -INFINITY;

	memset(ret, 0, sizeof(*ret));
	ret->survival = ret->held = -1;
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(p[i].t_s) || !isfinite(p[i].bytes) || (i && p[i].t_s < p[i - 1].t_s))
			return -EINVAL;
		low = fmin(low, p[i].bytes);
		high = fmax(high, p[i].bytes);
	}
	if (!n)
		return 0;
	ret->bytes = ret->limit_bytes = p[n - 1].bytes;
	ret->span_s = p[n - 1].t_s - p[0].t_s;
	ret->low_bytes = low;
	ret->high_bytes = high;
	if (n < TREND_MIN_POINTS || ret->span_s <= 0)
		return 0;
	judge(p, n, ret, 0);
	ret->low_bytes = low;
	ret->high_bytes = high;
	bound_survival(p, n, ret);
	if (nc)
		judge_ages(ret, p, n, c, nc);
	ret->early = looks_like_leak(ret) && ret->steady_s < leak_after_s;
	ret->likely_leak = looks_like_leak(ret) && !ret->early;
	return 0;
}

double trend__forecast(const struct trend *t, double ahead_s)
{
	if (t->kind == TREND_LINEAR)
		return t->bytes + t->slope_bytes_s * ahead_s;
	return t->kind == TREND_SATURATING ? t->limit_bytes : t->bytes;
}

double trend__reaches(const struct trend *t, double bytes)
{
	if (t->bytes >= bytes)
		return 0;
	if (t->kind != TREND_LINEAR || t->slope_bytes_s <= 0)
		return INFINITY;
	return (bytes - t->bytes) / t->slope_bytes_s;
}

void trend_series__add(struct trend_series *s, struct trend_point p)
{
	if (!s->stride)
		s->stride = 1;
	/* the newest point always stands last; it stays only if its turn has come */
	if (s->n && s->skip) {
		s->p[s->n - 1] = p;
		s->skip--;
		return;
	}
	if (s->n == TREND_SERIES_MAX) {
		for (uint32_t i = 0; i < TREND_SERIES_MAX / 2; i++)
			s->p[i] = s->p[i * 2];
		s->n = TREND_SERIES_MAX / 2;
		s->stride *= 2;
	}
	s->p[s->n++] = p;
	s->skip = s->stride - 1;
}
