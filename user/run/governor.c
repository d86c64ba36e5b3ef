/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/governor.h"

#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"

#define LOOK_NS 1000000000ULL
#define PATIENCE 2		      /* looks above the limit before something is done */
#define MAX_SAMPLE_BYTES (1ULL << 36) /* beyond this nothing is sampled any more */

void governor__init(struct governor *g, double max_percent, uint64_t now_ns)
{
	memset(g, 0, sizeof(*g));
	g->max_percent = max_percent;
	g->last_ns = now_ns;
}

static void detach(struct governor *g, struct observer *o, double percent)
{
	g->detached = true;
	observer__detach_allocators(o);
	log_warn("the allocator probes cost the target %.1f %% of a CPU, more than --max-overhead "
		 "%.1f: "
		 "taken out; the profile stays as it was now, the rest goes on",
		 percent, g->max_percent);
}

static void slow_down(struct observer *o, double percent)
{
	char size[UNITS_LEN];

	observer__set_rate(o, observer__sample_bytes(o) * 2);
	log_info("cost %.1f %% of a CPU: now one sample per %s", percent,
		 units__size(size, sizeof(size), observer__sample_bytes(o)));
}

void governor__tick(struct governor *g, struct observer *o, uint64_t now_ns)
{
	uint64_t c[MW_C_COUNT];
	double cost, percent, sampling;

	if (g->max_percent <= 0 || g->detached || now_ns - g->last_ns < LOOK_NS ||
	    observer__counters(o, NULL, c))
		return;
	observer__cost_ns(o, c, &cost);
	percent = 100 * (cost - g->last_cost_ns) / (double)(now_ns - g->last_ns);
	sampling = 100 * ((double)c[MW_C_SAMPLE_NS] - g->last_sample_ns) /
		   (double)(now_ns - g->last_ns);
	g->last_ns = now_ns;
	g->last_cost_ns = cost;
	g->last_sample_ns = (double)c[MW_C_SAMPLE_NS];
	if (percent <= g->max_percent) {
		g->over = 0;
		return;
	}
	if (++g->over < PATIENCE)
		return;
	g->over = 0;
	/* In exact mode frees are matched outside of the kernel, so the rate cannot change. */
	if (observer__sample_bytes(o) > 1 && percent - sampling / 2 < g->max_percent &&
	    observer__sample_bytes(o) < MAX_SAMPLE_BYTES)
		slow_down(o, percent);
	else
		detach(g, o, percent);
}
