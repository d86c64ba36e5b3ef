/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cost.c - what observing costs the targets. */
#include "core/util.h"
#include "observe/observer_priv.h"

bool observer__cost_ns(const struct observer *o, const uint64_t *c, double *ret)
{
	const struct calibration *k = &o->calibration;
	uint64_t hits = c[MW_C_ALLOCS] + c[MW_C_FAILED_ALLOCS] + c[MW_C_FREES] +
			c[MW_C_NULL_FREES] + c[MW_C_NESTED];
	uint64_t stepped = min_of(c[MW_C_STEPPED], hits), returns = c[MW_C_RETURNS];

	if (bpfobj__plan(o->obj)->method != PLAN_SESSION)
		returns = c[MW_C_ALLOCS];
	/* A return probe takes a trap more: half an emulated hit, as measured on Linux 6.18. */
	stepped += c[MW_C_RETS];
	hits += c[MW_C_RETS];
	*ret = (double)(hits - stepped) * k->emulated_ns + (double)stepped * k->stepped_ns +
	       (double)returns * k->emulated_ns / 2 + (double)c[MW_C_SAMPLE_NS];
	return k->emulated_ns > 0;
}

double observer__watched_ns(const struct observer *o)
{
	double ns = 0;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t))
		ns = max_of(ns, (double)(util__now_ns() - t->start_ns));
	return ns;
}
