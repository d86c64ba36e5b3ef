/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cost.c - what observing costs the targets. */
#include "observe/cost.h"

#include "core/util.h"
#include "observe/observer_priv.h"

/*
 * A processor works on while it waits for memory, on what comes after, across several calls of the
 * allocator. A trap ends that: it begins when all before it is done, and what comes after it begins
 * when it is over. So a target whose memory is not in the caches waits for what it did not wait for
 * before: for each hit, one and a half times what a look takes longer, as measured
 * (docs/footprint.md).
 */
#define WAITS 1.5

static double misses(const struct calibration *k, const uint64_t *c, double hits)
{
	if (!c[MW_C_LOOKS] || k->look_ns <= 0)
		return 0;
	return hits * WAITS *
	       max_of((double)c[MW_C_LOOK_NS] / (double)c[MW_C_LOOKS] - k->look_ns, 0);
}

struct cost cost__of(const struct calibration *k, const uint64_t *c)
{
	double allocs = (double)(c[MW_C_ALLOCS] + c[MW_C_FAILED_ALLOCS]);
	/* a return probe on a ret instruction is a hit as simple as a free */
	double frees = (double)(c[MW_C_FREES] - min_of(c[MW_C_REALLOCS], c[MW_C_FREES]) +
				c[MW_C_NULL_FREES] + c[MW_C_NESTED] + c[MW_C_RETS]);
	double stepped = min_of((double)(c[MW_C_STEPPED] + c[MW_C_RETS]), allocs + frees);
	double returns = k->every_return ? 0 : (double)c[MW_C_RETURNS];

	return (struct cost){
		/* a return takes a trap more: half an emulated hit, as measured on Linux 6.18 */
		.hits_ns = allocs * k->alloc_ns + frees * k->free_ns +
			   stepped * (k->stepped_ns - k->free_ns) + returns * k->free_ns / 2,
		.misses_ns = misses(k, c, allocs + frees),
		.samples_ns = (double)c[MW_C_SAMPLE_NS],
	};
}

/* A counter of calls goes back when one turns out to be none. */
double cost__since(const struct calibration *k, uint64_t *last, const uint64_t *now)
{
	uint64_t since[MW_C_COUNT];
	struct cost cost;

	for (int i = 0; i < MW_C_COUNT; i++) {
		since[i] = now[i] > last[i] ? now[i] - last[i] : 0;
		last[i] = now[i];
	}
	cost = cost__of(k, since);
	return cost.hits_ns + cost.misses_ns + cost.samples_ns;
}

double observer__cost_since(const struct observer *o, uint64_t *last, const uint64_t *now)
{
	return cost__since(&o->calibration, last, now);
}

bool observer__cost_ns(const struct observer *o, const uint64_t *c, double *ret)
{
	struct cost cost = cost__of(&o->calibration, c);

	*ret = cost.hits_ns + cost.misses_ns + cost.samples_ns;
	return o->calibration.free_ns > 0;
}

double observer__watched_ns(const struct observer *o)
{
	double ns = 0;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t))
		ns = max_of(ns, (double)(util__now_ns() - t->start_ns));
	return ns;
}
