/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cost.c - what observing costs the targets. */
#include "observe/cost.h"

#include "core/util.h"
#include "observe/observer_priv.h"

/*
 * The price of a hit is that of one whose code and data are in the caches. Between two hits a target
 * drives them out: the kernel's way to the probe, its programs and their maps; and the hit drives out
 * what the target works on. A processor that waits for memory works on meanwhile, too, across several
 * calls of the allocator, which a trap ends. All of that goes with how much longer the program of a
 * free takes than in the caches: for each hit one and a half times as much, as measured
 * (docs/footprint.md).
 */
#define WAITS 1.5

static double misses(const struct calibration *k, const uint64_t *c, double hits)
{
	if (!c[MW_C_TIMED_FREES] || k->timed_ns <= 0)
		return 0;
	return hits * WAITS *
	       max_of((double)c[MW_C_TIMED_FREE_NS] / (double)c[MW_C_TIMED_FREES] - k->timed_ns,
		      0);
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
