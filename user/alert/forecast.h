/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * forecast.h - where a size heads: the time until it reaches a limit, with the interval in which
 * that may be, and how fast it grows over a given time. Pure; fixed memory.
 *
 * The series is kept at several paces (a point a sample, every fourth, sixteenth, …), 64 points
 * each, and each pace is judged by model/trend, which tells growth from saw-teeth, steps, start-up
 * and what saturates. A forecast is believed only when the growth has been watched for
 * FORECAST_SEEN times as long as it looks ahead, so that minutes are not foretold from seconds; and
 * where a slower pace shows a saw-tooth or a series that levels off, a rise within what it has done
 * before is no growth.
 */
#ifndef ALERT_FORECAST_H
#define ALERT_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/trend.h"

#define FORECAST_POINTS 64
#define FORECAST_PACES 8	/* of four samples a second: three days, which is 45 hours ahead */
#define FORECAST_STEP 4		/* from one pace to the next */
#define FORECAST_SEEN 1.6	/* watched, per time ahead */
#define FORECAST_SEEN_YOUNG 3.0 /* … of growth watched for less than FORECAST_YOUNG_S */
#define FORECAST_YOUNG_S 60.0
#define FORECAST_MIN_SPAN_S 3.0 /* shorter series say nothing */

struct forecast_pace {
	struct trend_point p[FORECAST_POINTS];
	/* least and most of all samples since the point before */
	double low[FORECAST_POINTS], high[FORECAST_POINTS];
	double low_now, high_now; /* since the newest point */
	size_t n;
	unsigned skip;
	bool judged; /* trend is of the points as they are */
	struct trend trend;
};

struct forecast {
	struct forecast_pace pace[FORECAST_PACES];
	double t_s, bytes; /* the newest sample */
};

struct forecast_verdict {
	double in_s;	     /* INFINITY: no end in sight */
	double from_s, to_s; /* the interval */
	double slope_bytes_s;
	double span_s; /* how long the growth was watched */
};

/* Samples come in the order of time. */
void forecast__add(struct forecast *f, double t_s, double bytes);

void forecast__judge(struct forecast *f, double limit_bytes, struct forecast_verdict *ret);

/* Growth in bytes per second that has been steady for so long; 0: none. A saw-tooth counts by its
 * floor. */
double forecast__growth(struct forecast *f, double steady_s);

#endif
