/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/windows.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/util.h"
#include "snapshot/inuse.h"

#define LENGTH_NS 200000000ULL /* putting probes in and taking them out takes some 10 to 60 ms */
#define EDGES_NS 60000000.0    /* that they are in beyond it, at first */
#define BACK 1.2	       /* windows this close to each other are not worth it */
#define MAX_PAUSE_NS 600e9
#define STEPS 32 /* of the scale, to the octave: a block remembers its own by a number */

uint64_t windows__pause(double cost_of_one, double share)
{
	double cycle = cost_of_one / share;

	if (cycle < BACK * (double)LENGTH_NS)
		return 0;
	return (uint64_t)min_of(max_of(cycle - (double)LENGTH_NS, (double)LENGTH_NS / 2),
				MAX_PAUSE_NS);
}

double windows__scale(double time_ns)
{
	double octaves = log2(max_of(time_ns / (double)LENGTH_NS, 1.0));

	return exp2(round(octaves * STEPS) / STEPS);
}

/* Half of the mean to half more. */
void windows__plan(struct windows *w, uint64_t pause_ns, uint64_t now_ns)
{
	w->seed = util__mix64(w->seed + now_ns);
	w->closed_ns = now_ns;
	w->next_ns = now_ns + pause_ns / 2 + w->seed % (pause_ns + 1);
}

double windows__open(struct windows *w, uint64_t now_ns)
{
	double scale;

	w->next_ns = now_ns + LENGTH_NS;
	w->state = WINDOWS_OPEN;
	scale = windows__scale((double)(w->next_ns - w->start_ns) - w->represented_ns);
	w->represented_ns += scale * (double)LENGTH_NS;
	return scale;
}

/* Whatever was sampled so far counts by what its window stands for. */
static void take_out(struct windows *w, struct observer *o)
{
	w->state = WINDOWS_OUT;
	observer__catch_up(o);
	inuse__note(o); /* while it is seen if one of them is freed */
	observer__probes_out(o);
	observer__catch_up(o);
}

void windows__begin(struct windows *w, struct observer *o, double cost_ns, double per_ns,
		    double share)
{
	w->cost_of_one = per_ns * ((double)LENGTH_NS + EDGES_NS);
	w->cost_ns = cost_ns;
	w->start_ns = util__now_ns();
	w->represented_ns = 0;
	observer__window(o, 1, w->start_ns);
	take_out(w, o);
	windows__plan(w, max_of(windows__pause(w->cost_of_one, share), LENGTH_NS / 2),
		      util__now_ns());
}

static void open_window(struct windows *w, struct observer *o)
{
	uint64_t start = util__now_ns(), now;
	int err = observer__probes_in(o);
	double scale;

	now = util__now_ns();
	if (err)
		log_debug("windows: probes: %s", strerror(-err));
	scale = windows__open(w, now);
	observer__window(o, scale, w->next_ns);
	log_debug("windows: open for %lu ms, which stand for %.0f; probes in after %.1f ms",
		  (unsigned long)(LENGTH_NS / 1000000), scale * (double)LENGTH_NS / 1e6,
		  (double)(now - start) / 1e6);
}

/* What the last one cost decides how long the next pause is. False: none is needed. */
static bool close_window(struct windows *w, struct observer *o, double cost_ns, double share)
{
	uint64_t since = util__now_ns() - w->closed_ns;
	double cost = cost_ns - w->cost_ns;
	uint64_t pause;

	log_debug("windows: %.0f ms cost %.1f %% of what is allowed", (double)since / 1e6,
		  100 * cost / (double)since / share);
	w->cost_ns = cost_ns;
	w->cost_of_one += (cost - w->cost_of_one) / 2;
	pause = windows__pause(w->cost_of_one, share);
	if (pause) {
		take_out(w, o);
		windows__plan(w, pause, util__now_ns());
		return true;
	}
	observer__catch_up(o);
	w->state = WINDOWS_ALWAYS;
	observer__window(o, 1, 0);
	return false;
}

bool windows__tick(struct windows *w, struct observer *o, double cost_ns, double share,
		   uint64_t now_ns)
{
	if (w->state == WINDOWS_ALWAYS)
		return false;
	if (now_ns < w->next_ns)
		return true;
	if (w->state == WINDOWS_OPEN)
		return close_window(w, o, cost_ns, share);
	open_window(w, o);
	return true;
}

void windows__end(struct windows *w, struct observer *o)
{
	if (w->state == WINDOWS_ALWAYS)
		return;
	if (w->state == WINDOWS_OUT && observer__living(o) &&
	    util__now_ns() - w->closed_ns > LENGTH_NS)
		open_window(w, o);
	while (w->state == WINDOWS_OPEN && observer__living(o) && util__now_ns() < w->next_ns) {
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		observer__poll(o);
	}
	take_out(w, o);
}
