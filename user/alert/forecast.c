/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/forecast.h"

#include <math.h>
#include <string.h>

#include "core/util.h"

#define JUDGE_POINTS 12	  /* fewer points at a pace are not judged */
#define KNOWN_MARGIN 0.10 /* a rise this share of the range above all before it is new */
#define FALL 0.25	  /* … and coming down by this share of it is falling */
#define STRAIGHT 0.98	  /* r² of a line */
#define TOOTH 0.1	  /* a fall of less than this share of the range is none */
#define MAX_STEP 0.3	  /* of a growth may come at once: fewer than four steps are none */

void forecast__add(struct forecast *f, double t_s, double bytes)
{
	struct trend_point x = {.t_s = t_s, .bytes = bytes, .allocs = -1, .frees = -1};
	unsigned every = 1;

	f->t_s = t_s;
	f->bytes = bytes;
	for (size_t i = 0; i < FORECAST_PACES; i++, every *= FORECAST_STEP) {
		struct forecast_pace *p = &f->pace[i];

		if (p->n && p->skip + 1 < every) {
			p->low_now = fmin(p->low_now, bytes);
			p->high_now = fmax(p->high_now, bytes);
		} else {
			p->low_now = p->high_now = bytes;
		}
		if (p->skip) {
			p->skip--;
			continue;
		}
		if (p->n == FORECAST_POINTS) {
			memmove(p->p, p->p + 1, sizeof(*p->p) * --p->n);
			memmove(p->low, p->low + 1, sizeof(*p->low) * p->n);
			memmove(p->high, p->high + 1, sizeof(*p->high) * p->n);
		}
		p->low[p->n] = p->low_now;
		p->high[p->n] = p->high_now;
		p->p[p->n++] = x;
		p->skip = every - 1;
		p->judged = false;
	}
}

/* Whether the faster pace has all of it, with more points. */
static bool is_covered(const struct forecast *f, size_t i)
{
	return i && f->pace[i - 1].n && f->pace[i].n &&
	       f->pace[i - 1].p[0].t_s <= f->pace[i].p[0].t_s;
}

/* NULL: too little to judge, or nothing that the faster pace does not say better. */
static const struct trend *judged(struct forecast *f, size_t i)
{
	struct forecast_pace *p = &f->pace[i];

	if (p->n < JUDGE_POINTS || p->p[p->n - 1].t_s - p->p[0].t_s < FORECAST_MIN_SPAN_S ||
	    is_covered(f, i))
		return NULL;
	if (!p->judged && trend__classify(p->p, p->n, &p->trend))
		return NULL;
	p->judged = true;
	return &p->trend;
}

/* Whether the series was about as high as now before, and came down by a good part of its range. */
static bool came_down(const struct forecast_pace *p, double now, double range)
{
	double high = -INFINITY;

	for (size_t i = 0; i < p->n; i++) {
		high = fmax(high, p->p[i].bytes);
		if (high >= now - KNOWN_MARGIN * range && p->p[i].bytes <= high - FALL * range)
			return true;
	}
	return false;
}

/*
 * Whether a slower pace has seen the size be as high before, and come down or level off: then the
 * rise that a faster one sees is one of many.
 */
static bool is_known_rise(struct forecast *f, size_t from)
{
	for (size_t i = from + 1; i < FORECAST_PACES; i++) {
		const struct trend *t = judged(f, i);
		double range;

		if (!t)
			continue;
		range = t->high_bytes - t->low_bytes;
		if (t->kind == TREND_SATURATING &&
		    f->bytes <= fmax(t->limit_bytes, t->high_bytes) + KNOWN_MARGIN * range)
			return true;
		if (came_down(&f->pace[i], f->bytes, range))
			return true;
	}
	return false;
}

/* The first point of the steady part that the trend is of. */
static size_t steady_from(const struct forecast_pace *p)
{
	size_t i = 0;

	while (i + 4 < p->n && p->p[i].t_s < p->p[p->n - 1].t_s - p->trend.steady_s)
		i++;
	return i;
}

/* Slope over the last half of it. */
static double late_slope(const struct forecast_pace *p)
{
	size_t from = steady_from(p);

	from += (p->n - from) / 2;
	return trend__slope(p->p + from, p->n - from);
}

/* When a growth in proportion to the size, as both halves show it, reaches the limit. */
static double exponential(const struct forecast_pace *p, double now, double limit)
{
	size_t from = steady_from(p), mid = from + (p->n - from) / 2;
	const struct trend_point *a = &p->p[from], *m = &p->p[mid], *z = &p->p[p->n - 1];
	double early = (m->bytes - a->bytes) / (m->t_s - a->t_s);
	double late = (z->bytes - m->bytes) / (z->t_s - m->t_s);
	double k, grown;

	if (early <= 0 || late <= 1.15 * early || late > 8 * early)
		return INFINITY;
	/* From the middle of one half to that of the other the rate grows by exp(k·time). */
	k = log(late / early) / ((z->t_s - a->t_s) / 2);
	grown = late * exp(k * (z->t_s - m->t_s) / 2) / k; /* present rate over k */
	return log1p((limit - now) / grown) / k;
}

/* The least of the samples, all of them, from point `from` up to `to`. */
static double floor_of(const struct forecast_pace *p, size_t from, size_t to)
{
	double low = INFINITY;

	for (size_t i = from; i < to; i++)
		low = fmin(low, p->low[i]);
	return low;
}

/* The largest part of a growth, as far as it stays, that came between two points. */
static double largest_step(const struct forecast_pace *p, size_t from)
{
	double stays = p->low[p->n - 1], most = 0, top = stays;

	for (size_t i = p->n - 1; i-- > from;) {
		double before = fmin(stays, p->low[i]);

		most = fmax(most, stays - before);
		stays = before;
	}
	return top > stays ? most / (top - stays) : 1;
}

/* The top of all samples of the steady part. */
static double top_of(const struct forecast_pace *p)
{
	double top = p->high_now;

	for (size_t i = steady_from(p); i < p->n; i++)
		top = fmax(top, p->high[i]);
	return top;
}

/*
 * A line, or its teeth, stands out of the noise; and the growth is of several steps; and the floor
 * under all samples rises with it: teeth between the points of a pace can look like a slope.
 */
static bool is_clear(const struct forecast_pace *p, const struct trend *t)
{
	double range = t->high_bytes - t->low_bytes;
	size_t from = steady_from(p), third = (p->n - from) / 3;
	double rise = floor_of(p, p->n - third, p->n) - floor_of(p, from, from + third);
	double time = p->p[p->n - third].t_s - p->p[from].t_s;

	if (!third || rise < 0.3 * t->slope_bytes_s * time || largest_step(p, from) > MAX_STEP)
		return false;
	return p->n >= 2 * JUDGE_POINTS
		       ? t->r2 >= 0.7 || t->slope_bytes_s * t->span_s >= 0.7 * range
		       : t->r2 >= 0.9;
}

/* Whether the steady part falls by more than a little from what it had before: teeth, or noise.
 * *ret_period_s: how far apart, as far as the points show it. */
static bool has_teeth(const struct forecast_pace *p, double *ret_period_s)
{
	size_t from = steady_from(p), falls = 0;
	double top = p->high[from], deepest = 0;

	for (size_t i = from + 1; i < p->n; i++) {
		deepest = fmax(deepest, top - p->low[i]);
		top = fmax(top, p->high[i]);
	}
	for (size_t i = from + 1; i < p->n; i++)
		falls += p->p[i].bytes < p->p[i - 1].bytes - deepest / 4;
	*ret_period_s = (p->p[p->n - 1].t_s - p->p[from].t_s) / (double)(falls + 1);
	return deepest > TOOTH * (p->trend.high_bytes - p->trend.low_bytes);
}

static bool judge_pace(struct forecast *f, size_t i, double limit, struct forecast_verdict *ret)
{
	const struct trend *t = judged(f, i);
	const struct forecast_pace *p = &f->pace[i];
	double now, room, line, late, curve, period_s;
	bool toothed, straight;

	if (!t || t->kind != TREND_LINEAR || t->slope_bytes_s <= 0 || t->stalled || !is_clear(p, t))
		return false;
	/* The teeth of a growing saw-tooth reach the limit before its floor does. */
	toothed = has_teeth(p, &period_s);
	straight = !toothed && t->r2 >= STRAIGHT;
	now = straight ? f->bytes : fmax(f->bytes, top_of(p));
	room = limit - now;
	ret->span_s = fmin(t->steady_s, p->p[p->n - 1].t_s - p->p[0].t_s);
	ret->slope_bytes_s = t->slope_bytes_s;
	if (room <= 0) {
		ret->in_s = ret->from_s = ret->to_s = 0;
		return true;
	}
	line = room / t->slope_bytes_s;
	late = straight ? late_slope(p) : t->slope_bytes_s;
	if (late <= 0)
		return false;
	ret->slope_bytes_s = late;
	curve = t->r2 >= 0.8 ? exponential(p, now, limit) : INFINITY;
	late = room / late;
	ret->in_s = fmin(late, curve);
	ret->from_s = 0.7 * fmin(fmin(line, late), curve);
	ret->to_s = 1.4 * fmax(fmax(line, late), isinf(curve) ? 0 : curve);
	if (toothed) /* a tooth reaches it, which may be the next one */
		ret->to_s = fmax(ret->to_s, ret->in_s + period_s);
	/* Less and less: it may never get there. */
	if (t->slowing || late > 1.15 * line)
		ret->to_s = fmax(ret->to_s, 4 * late);
	return true;
}

/* Whether the growth was watched long enough to look so far ahead. What only just began may be a
 * start-up, whose end nothing foretells. */
static bool is_seen(const struct forecast_verdict *v)
{
	double seen = v->span_s < FORECAST_YOUNG_S ? FORECAST_SEEN_YOUNG : FORECAST_SEEN;

	return v->in_s * seen <= v->span_s;
}

void forecast__judge(struct forecast *f, double limit_bytes, struct forecast_verdict *ret)
{
	struct forecast_verdict v;

	*ret = (struct forecast_verdict){.in_s = INFINITY, .from_s = INFINITY, .to_s = INFINITY};
	/* From the longest view to the shortest, which counts where it is clearly faster. */
	for (size_t i = FORECAST_PACES; i-- > 0;) {
		if (!judge_pace(f, i, limit_bytes, &v) || !is_seen(&v) ||
		    v.in_s > 0.6 * ret->in_s || is_known_rise(f, i))
			continue;
		*ret = v;
	}
}

double forecast__growth(struct forecast *f, double steady_s)
{
	double most = 0;

	for (size_t i = 0; i < FORECAST_PACES; i++) {
		const struct trend *t = judged(f, i);
		const struct forecast_pace *p = &f->pace[i];
		double slope, period_s;

		if (!t || t->kind != TREND_LINEAR || t->stalled || !is_clear(p, t))
			continue;
		slope = t->r2 >= STRAIGHT && !has_teeth(p, &period_s)
				? fmin(t->slope_bytes_s, late_slope(p))
				: t->slope_bytes_s;
		if (slope > most && t->steady_s >= steady_s && !is_known_rise(f, i))
			most = slope;
	}
	return most;
}
