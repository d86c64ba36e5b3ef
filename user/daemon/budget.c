/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/budget.h"

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "observe/observer.h"
#include "run/attach.h"
#include "run/loop.h"

#define LOOK_NS 900000000ULL /* between looks at the cost */

double budget__limit(const struct config *c, const struct deep_one *x)
{
	return x->rule && x->rule->max_overhead > 0 ? x->rule->max_overhead
						    : c->max_overhead;
}

/* What it has cost since the last time, ns of CPU. */
static double take_cost(struct deep *d, struct deep_one *x, uint64_t now)
{
	const struct observer *o = d->attach[x->mode]->observer;
	uint64_t c[MW_C_COUNT];
	double spent;

	if (x->p.ended || now <= x->looked_ns || observer__counters(o, x->p.target, c))
		return 0;
	spent = observer__cost_since(o, x->counters, c);
	x->p.cost_percent = 100 * spent / (double)(now - x->looked_ns);
	x->sampling_percent =
		100 * ((double)c[MW_C_SAMPLE_NS] - x->sample_ns) / (double)(now - x->looked_ns);
	x->sample_ns = (double)c[MW_C_SAMPLE_NS];
	x->looked_ns = now;
	return spent;
}

/* Windows take out and put in probes alone: not what a program's own sampler tells by. */
static bool may_have_windows(const struct deep_one *x)
{
	return x->mode % WAYS == BY_WINDOWS && x->p.target->nprobes && !x->p.target->samples_itself;
}

static bool in_windows(const struct deep *d, const struct deep_one *x)
{
	return may_have_windows(x) && d->windows[x->mode / WAYS].state != WINDOWS_ALWAYS;
}

/* --- sampling less --- */

static struct ration_cost cost_of(const struct deep *d, const struct deep_one *x)
{
	return (struct ration_cost){.percent = x->p.cost_percent,
				    .sampling_percent = x->sampling_percent,
				    .limit = budget__limit(d->o.config, x),
				    .all_percent = d->stats.cost_percent,
				    .all_limit = d->o.config->max_overhead_total};
}

static bool can_sample_less(const struct deep *d, const struct deep_one *x)
{
	struct ration_cost c = cost_of(d, x);

	return !x->p.target->samples_itself &&
	       observer__sample_bytes(d->attach[x->mode]->observer) > 1 &&
	       ration__less_helps(&x->ration, &c);
}

static void sample(struct deep *d, struct deep_one *x, unsigned octaves)
{
	const struct observer *o = d->attach[x->mode]->observer;
	bool less = octaves > x->ration.octaves;
	char size[UNITS_LEN];

	observer__thin(d->attach[x->mode]->observer, x->p.target, octaves);
	ration__set(&x->ration, octaves);
	log_info("profiling PID %d (%s) costs it %.1f %% of a CPU, %s: one sample per %s from now "
		 "on",
		 x->p.target->pid, x->p.target->comm, x->p.cost_percent,
		 less ? "more than is allowed" : "which leaves room",
		 units__size(size, sizeof(size),
			     (int64_t)observer__sample_bytes_of(o, x->p.target)));
}

void budget__allow_all(struct deep *d, struct deep_one *x)
{
	if (x->ration.octaves && !x->p.ended)
		sample(d, x, 0);
}

/* --- measuring --- */

/* In windows that is done at the end of each. */
static void measure(struct deep *d, struct deep_one *x, uint64_t now)
{
	struct ration_cost c;

	if (now - x->looked_ns < LOOK_NS || x->p.ended || in_windows(d, x))
		return;
	take_cost(d, x, now);
	c = cost_of(d, x);
	ration__look(&x->ration, &c);
}

/* The costliest: of those that were above their limit for a while, or of all. */
static struct deep_one *find_costliest(struct deep *d, bool of_all, size_t *ret)
{
	struct deep_one *found = NULL;

	for (size_t i = 0; i < d->n; i++) {
		struct deep_one *x = d->one[i];

		if (x->p.ended || (!of_all && !ration__is_over(&x->ration)) ||
		    x->p.cost_percent <= (found ? found->p.cost_percent : 0))
			continue;
		found = x;
		*ret = i;
	}
	return found;
}

/* --- windows --- */

/* What the processes in windows have cost since the last time, in what they are allowed. */
static double windows_cost(struct deep *d, unsigned rate)
{
	uint64_t now = util__now_ns();
	double most = 0, all = 0;

	for (size_t i = 0; i < d->n; i++) {
		struct deep_one *x = d->one[i];
		bool counts = may_have_windows(x) && x->mode / WAYS == rate;
		double spent = counts ? take_cost(d, x, now) : 0;

		most = max_of(most, 100 * spent / budget__limit(d->o.config, x));
		all += spent;
	}
	return max_of(most, 100 * all / d->o.config->max_overhead_total);
}

static void set_windows_timer(struct deep *d)
{
	uint64_t due = LOOP_NEVER;

	for (unsigned r = 0; r < RATES; r++) {
		if (d->windows[r].state != WINDOWS_ALWAYS)
			due = min_of(due, d->windows[r].next_ns);
	}
	loop__set_timer(d->o.loop, d->windows_timer, due);
}

static void begin_windows(struct deep *d, struct deep_one *x)
{
	double share = max_of(x->p.cost_percent / budget__limit(d->o.config, x),
			      d->stats.cost_percent / d->o.config->max_overhead_total);
	unsigned rate = x->mode / WAYS;

	log_info("profiling PID %d (%s) costs it %.1f %% of a CPU, more than is allowed: probes "
		 "work in windows from now on",
		 x->p.target->pid, x->p.target->comm, x->p.cost_percent);
	windows_cost(d, rate); /* from here on */
	windows__begin(&d->windows[rate], d->attach[x->mode]->observer, 0, share, 1);
	set_windows_timer(d);
}

void budget__end_windows(struct deep *d)
{
	for (unsigned r = 0; r < RATES; r++) {
		struct observer *o;

		if (d->windows[r].state == WINDOWS_ALWAYS)
			continue;
		o = d->attach[r * WAYS + BY_WINDOWS]->observer;
		if (observer__living(o))
			continue;
		observer__probes_in(o);
		observer__window(o, 1, 0);
		d->windows[r].state = WINDOWS_ALWAYS;
	}
}

void budget__windows_due(void *arg)
{
	struct deep *d = arg;
	uint64_t now = util__now_ns();

	budget__end_windows(d);
	for (unsigned r = 0; r < RATES; r++) {
		struct windows *w = &d->windows[r];
		double cost = w->cost_ns;

		if (w->state == WINDOWS_ALWAYS)
			continue;
		if (w->state == WINDOWS_OPEN && now >= w->next_ns)
			cost += windows_cost(d, r);
		windows__tick(w, d->attach[r * WAYS + BY_WINDOWS]->observer, cost, 1, now);
	}
	set_windows_timer(d);
}

/* --- the budget --- */

struct deep_one *budget__look(struct deep *d, size_t *ret)
{
	struct deep_one *x;
	double total = 0;

	for (size_t i = 0; i < d->n; i++) {
		measure(d, d->one[i], d->pass_ns);
		total += d->one[i]->p.cost_percent;
		if (ration__is_calm(&d->one[i]->ration))
			sample(d, d->one[i], d->one[i]->ration.octaves - RATION_STEP);
	}
	d->stats.cost_percent = total;
	d->over_all = total > d->o.config->max_overhead_total ? d->over_all + 1 : 0;
	x = find_costliest(d, false, ret);
	if (!x && d->over_all >= RATION_PATIENCE)
		x = find_costliest(d, true, ret);
	if (!x)
		return NULL;
	d->over_all = 0;
	if (can_sample_less(d, x)) {
		sample(d, x, x->ration.octaves + RATION_STEP);
		return NULL;
	}
	if (!may_have_windows(x) || in_windows(d, x) || !x->rule || !x->rule->windows)
		return x;
	x->ration.over = 0;
	begin_windows(d, x);
	return NULL;
}
