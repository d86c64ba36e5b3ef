/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/pace.h"

#include "core/log.h"
#include "core/util.h"

#define PACE_NS 250000000ULL
#define PACE_SAMPLES 500 /* a second, at most for long: 5 to 10 us each with its free, and what
			  * runs after it is slower for some 50 us (docs/fast.md) */

static bool has_stubs(const struct observer *o)
{
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		if (t->nfast && !t->ended)
			return true;
	}
	return false;
}

uint64_t pace__next(struct pace *p, uint64_t rate, uint64_t samples, uint64_t now_ns)
{
	double per_second =
		(double)(samples - p->last_samples) * 1e9 / (double)(now_ns - p->last_ns);
	uint64_t was = rate;

	if (!p->wanted)
		p->wanted = rate;
	else
		for (; per_second > PACE_SAMPLES && rate < PACE_MAX_SAMPLE_BYTES; per_second /= 2)
			rate *= 2;
	/* back in steps, and not at once: a pause is no reason to be surprised by what follows */
	if (rate == was && rate > p->wanted && per_second < PACE_SAMPLES / 4.0)
		rate = max_of(rate / 2, p->wanted);
	p->last_ns = now_ns;
	p->last_samples = samples;
	return rate;
}

void pace__tick(struct pace *p, struct observer *o, uint64_t now_ns)
{
	uint64_t c[MW_C_COUNT], was = observer__sample_bytes(o), rate;

	if (now_ns - p->last_ns < PACE_NS || was <= 1 || !has_stubs(o) ||
	    observer__counters(o, NULL, c))
		return;
	rate = pace__next(p, was, c[MW_C_SAMPLED_ALLOCS], now_ns);
	if (rate == was)
		return;
	observer__set_rate(o, rate);
	log__printf(rate > p->told ? LOG_INFO : LOG_DEBUG,
		    "much is allocated: one sample per %lukB for now", (unsigned long)rate >> 10);
	p->told = max_of(p->told, rate);
}
