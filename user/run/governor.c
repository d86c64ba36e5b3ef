/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/governor.h"

#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"

#define LOOK_NS 250000000ULL
#define PATIENCE 2 /* looks above the limit before something is done */

void governor__init(struct governor *g, double max_percent, uint64_t now_ns)
{
	memset(g, 0, sizeof(*g));
	g->max_percent = max_percent;
	g->last_ns = now_ns;
}

static void slow_down(struct observer *o, double percent)
{
	char size[UNITS_LEN];

	observer__set_rate(o, observer__sample_bytes(o) * 2);
	log_info("cost %.1f %% of a CPU: now one sample per %s", percent,
		 units__size(size, sizeof(size), observer__sample_bytes(o)));
}

/* Probes that windows take out and put in. */
static bool has_probes(const struct observer *o)
{
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		if (t->nprobes && !t->nfast && !t->samples_itself && !t->ended)
			return true;
	}
	return false;
}

/* The probes alone cost too much. */
static void begin_windows(struct governor *g, struct observer *o, double cost, double percent)
{
	windows__begin(&g->windows, o, cost, percent / 100, g->max_percent / 100);
	log__printf(g->told ? LOG_DEBUG : LOG_WARN,
		    "the allocator probes cost the target %.1f %% of a CPU, more than "
		    "--max-overhead %.1f: they work in windows from now on (what was allocated is "
		    "estimated from them, what is in use by a walk of the heap)",
		    percent, g->max_percent);
	g->told = true;
}

static void look(struct governor *g, struct observer *o, const uint64_t *c, double cost,
		 uint64_t now_ns)
{
	double since = (double)(now_ns - g->last_ns);
	double percent = 100 * (cost - g->last_cost_ns) / since;
	double sampling = 100 * ((double)c[MW_C_SAMPLE_NS] - g->last_sample_ns) / since;

	g->last_ns = now_ns;
	g->last_cost_ns = cost;
	g->last_sample_ns = (double)c[MW_C_SAMPLE_NS];
	g->over = percent > g->max_percent ? g->over + 1 : 0;
	if (g->over < PATIENCE)
		return;
	g->over = 0;
	/* In exact mode frees are matched outside of the kernel, so the rate cannot change. */
	if (observer__sample_bytes(o) > 1 && percent - sampling / 2 < g->max_percent &&
	    observer__sample_bytes(o) < PACE_MAX_SAMPLE_BYTES)
		slow_down(o, percent);
	else if (has_probes(o))
		begin_windows(g, o, cost, percent);
}

void governor__tick(struct governor *g, struct observer *o, uint64_t now_ns)
{
	bool in_windows = g->windows.state != WINDOWS_ALWAYS;
	uint64_t c[MW_C_COUNT];

	pace__tick(&g->pace, o, now_ns);
	if (g->max_percent <= 0 || (!in_windows && now_ns - g->last_ns < LOOK_NS) ||
	    observer__counters(o, NULL, c))
		return;
	g->cost_ns += observer__cost_since(o, g->last, c);
	if (!in_windows) {
		look(g, o, c, g->cost_ns, now_ns);
	} else if (!windows__tick(&g->windows, o, g->cost_ns, g->max_percent / 100, now_ns)) {
		g->last_ns = now_ns;
		g->last_cost_ns = g->cost_ns;
		g->last_sample_ns = (double)c[MW_C_SAMPLE_NS];
	}
}

uint64_t governor__due_ns(const struct governor *g)
{
	return g->windows.state == WINDOWS_ALWAYS ? UINT64_MAX : g->windows.next_ns;
}

void governor__finish(struct governor *g, struct observer *o)
{
	if (g->windows.state != WINDOWS_ALWAYS)
		windows__end(&g->windows, o);
}
