/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * growth.c - a line from the first point to the last would call a jump a slope, and a tooth of a
 * garbage collector nothing at all. So the last movement is told: what came after the last time
 * that RSS turned by more than TURN of its range; and if it stood still for a good part of that
 * movement, how long, and how it moved before or after.
 */
#include "oom/growth.h"

#include <math.h>

#include "core/units.h"
#include "core/util.h"

#define STEADY 50	 /* less than a 50th of it: it did not move */
#define TURN 5		 /* a fifth of the range the other way: another movement */
#define FLAT_OF_ITSELF 4 /* what is called flat moves by less than a quarter of what it is */

/* And by less than this part of the range, for at least this part of the movement's time: a
 * straight line is nowhere flat. */
static const struct {
	uint64_t of_range;
	int64_t of_time;
} flat_kinds[] = {{100, 8}, {20, 4}};
#define FLAT_END 20

struct stretch {
	size_t first, last; /* points */
};

/* Of a record that may say anything: its times may be any. */
static int64_t ms_of(const struct oom_point *p, struct stretch s)
{
	return (int64_t)((uint64_t)p[s.last].time_unix_ms - (uint64_t)p[s.first].time_unix_ms);
}

static uint64_t spread_of(const struct oom_point *p, struct stretch s, uint64_t *ret_low)
{
	uint64_t low = p[s.first].rss_bytes, high = low;

	for (size_t i = s.first + 1; i <= s.last; i++) {
		low = min_of(low, p[i].rss_bytes);
		high = max_of(high, p[i].rss_bytes);
	}
	*ret_low = low;
	return high - low;
}

/* The last movement: where it may have begun, and which way it goes. `turn` is at most the range.
 */
static size_t last_movement(const struct oom_point *p, size_t n, uint64_t turn, bool *ret_rises)
{
	uint64_t end = p[n - 1].rss_bytes, low = end, high = end;
	size_t i = n - 1;

	while (i && end - low < turn && high - end < turn) {
		i--;
		low = min_of(low, p[i].rss_bytes);
		high = max_of(high, p[i].rss_bytes);
	}
	*ret_rises = end - low >= turn;
	for (; i; i--) {
		uint64_t v = p[i - 1].rss_bytes;

		if (*ret_rises ? v >= low + turn : v + turn <= high)
			break;
		low = min_of(low, v);
		high = max_of(high, v);
	}
	return i;
}

/* Where the movement turned: the last of its lowest points, or highest. */
static size_t turning_point(const struct oom_point *p, struct stretch s, bool rises)
{
	size_t at = s.first;

	for (size_t i = s.first + 1; i <= s.last; i++) {
		if (rises ? p[i].rss_bytes <= p[at].rss_bytes : p[i].rss_bytes >= p[at].rss_bytes)
			at = i;
	}
	return at;
}

/* The longest stretch that moves by less than `spread`. */
static struct stretch longest_flat(const struct oom_point *p, struct stretch in, uint64_t spread)
{
	struct stretch best = {in.first, in.first};

	for (size_t i = in.first; i < in.last; i++) {
		struct stretch s = {i, i + 1};
		uint64_t low, moved = spread_of(p, s, &low);

		while (moved <= min_of(spread, low / FLAT_OF_ITSELF)) {
			if (ms_of(p, s) >= ms_of(p, best))
				best = s;
			if (s.last++ == in.last)
				break;
			moved = spread_of(p, s, &low);
		}
	}
	return best;
}

/* False: no part of the movement is flat for long enough. */
static bool find_flat(const struct oom_point *p, struct stretch in, uint64_t range,
		      struct stretch *ret)
{
	uint64_t low;

	for (size_t i = 0; i < ARRAY_SIZE(flat_kinds); i++) {
		int64_t ms;

		*ret = longest_flat(p, in, range / flat_kinds[i].of_range);
		ms = ms_of(p, *ret);
		if (ms <= 1000 || ms < ms_of(p, in) / flat_kinds[i].of_time)
			continue;
		/* What is left of a curve that levels out is no movement of its own. */
		if (spread_of(p, (struct stretch){ret->first, in.last}, &low) <= range / FLAT_END)
			ret->last = in.last;
		return true;
	}
	return false;
}

static char *for_ms(char *buf, int64_t ms)
{
	return units__time(buf, UNITS_LEN, (uint64_t)ms * 1000000);
}

/* "from 1.30MB to 48.94MB in 9.9s (288.73MB/min)" */
static void put_move(struct textbuf *b, const struct oom_point *from, const struct oom_point *to)
{
	int64_t ms = ms_of(from, (struct stretch){0, (size_t)(to - from)});
	uint64_t moved =
		max_of(from->rss_bytes, to->rss_bytes) - min_of(from->rss_bytes, to->rss_bytes);
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN];

	textbuf__format(b, "from %s to %s", units__size(b1, sizeof(b1), (int64_t)from->rss_bytes),
			units__size(b2, sizeof(b2), (int64_t)to->rss_bytes));
	if (ms > 0)
		textbuf__format(
			b, " in %s (%s/min)", for_ms(b1, ms),
			units__size(b3, sizeof(b3), llround((double)moved * 60000 / (double)ms)));
}

static void put_movement(struct textbuf *b, const struct oom_point *p, struct stretch s,
			 uint64_t range, bool rises)
{
	struct stretch flat = {0, 0};
	bool has_flat = find_flat(p, s, range, &flat);
	const struct oom_point *from = &p[turning_point(p, s, rises)], *to = &p[s.last];
	char b1[UNITS_LEN];

	/* What comes after it goes the same way, or it is no part of this movement. */
	if (has_flat && flat.last < s.last) {
		has_flat = rises ? p[flat.last].rss_bytes < to->rss_bytes
				 : p[flat.last].rss_bytes > to->rss_bytes;
		from = has_flat ? &p[flat.last] : from;
	} else if (has_flat) {
		struct stretch before = {s.first, flat.first};

		from = &p[turning_point(p, before, rises)];
		to = &p[flat.first];
	}
	textbuf__format(b, rises ? "  grew      " : "  fell      ");
	if (has_flat && flat.last < s.last)
		textbuf__format(b, "flat for %s, then ", for_ms(b1, ms_of(p, flat)));
	put_move(b, from, to);
	if (has_flat && flat.last == s.last)
		textbuf__format(b, ", then flat for %s", for_ms(b1, ms_of(p, flat)));
}

void growth__text(struct textbuf *b, const struct oom_point *p, size_t n)
{
	struct stretch all = {0, n - 1}, last = all;
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN];
	uint64_t low, range;
	bool rises;

	if (n < 2 || ms_of(p, all) <= 0)
		return;
	range = spread_of(p, all, &low);
	if (low + range >= OOM_NO_LIMIT)
		return; /* not known at some time */
	if (range <= (low + range) / STEADY) {
		textbuf__format(b, "  grew      not in the last %s: %s throughout\n",
				for_ms(b1, ms_of(p, all)),
				units__size(b2, sizeof(b2), (int64_t)p[n - 1].rss_bytes));
		return;
	}
	last.first = last_movement(p, n, max_of(range / TURN, (uint64_t)1), &rises);
	put_movement(b, p, last, range, rises);
	if (last.first)
		textbuf__format(b, "; between %s and %s in the last %s",
				units__size(b1, sizeof(b1), (int64_t)low),
				units__size(b2, sizeof(b2), (int64_t)(low + range)),
				for_ms(b3, ms_of(p, all)));
	textbuf__format(b, "\n");
}
