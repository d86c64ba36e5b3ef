/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ration.h"

/* With as many samples as before the last step, half of what is allowed would not be reached. */
static bool would_cost_little(const struct ration_cost *c)
{
	double more = c->sampling_percent * ((1 << RATION_STEP) - 1);

	return c->percent + more < c->limit / 2 && c->all_percent + more < c->all_limit / 2;
}

void ration__look(struct ration *r, const struct ration_cost *c)
{
	r->over = c->percent > c->limit ? r->over + 1 : 0;
	r->under = r->octaves && would_cost_little(c) ? r->under + 1 : 0;
}

bool ration__is_over(const struct ration *r)
{
	return r->over >= RATION_PATIENCE;
}

bool ration__less_helps(const struct ration *r, const struct ration_cost *c)
{
	double traps = c->percent - c->sampling_percent;

	return r->octaves + RATION_STEP <= RATION_MAX_OCTAVES &&
	       (c->percent > c->limit ? traps < c->limit : traps < c->sampling_percent);
}

bool ration__is_calm(const struct ration *r)
{
	return r->under >= RATION_CALM;
}

void ration__set(struct ration *r, unsigned octaves)
{
	*r = (struct ration){.octaves = octaves};
}
