/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * windows.h - when the allocator probes are in, where they cost too much to be in all the time.
 *
 * They are in for windows of one length; the pause before each is drawn at random, so that nothing
 * periodic in the target falls in with it, and its mean follows from what the last ones cost and
 * what is allowed. What is sampled in a window stands for all the time that no window stands for
 * yet: the pause before it, however long that came to be, and itself.
 */
#ifndef RUN_WINDOWS_H
#define RUN_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "observe/observer.h"

struct windows {
	enum windows_state { WINDOWS_ALWAYS, WINDOWS_OUT, WINDOWS_OPEN } state;
	uint64_t start_ns;     /* of the time that windows stand for */
	double represented_ns; /* of it, by those that there were */
	uint64_t next_ns;      /* when one is opened or closed */
	uint64_t closed_ns;    /* when the last one was */
	double cost_ns;	       /* of the targets, then */
	double cost_of_one;    /* with what is around it, ns, of the last ones */
	uint64_t seed;
};

/* From now on in windows. cost_ns: of the targets so far; per_ns: what they cost with the probes
 * in; share: what is allowed; both ns of CPU in a ns. */
void windows__begin(struct windows *w, struct observer *o, double cost_ns, double per_ns,
		    double share);
/* Opens, closes and plans. True as long as it is in windows. now: CLOCK_MONOTONIC. */
bool windows__tick(struct windows *w, struct observer *o, double cost_ns, double share,
		   uint64_t now_ns);
/* The run ends: what has passed since the last window is stood for by a last one. */
void windows__end(struct windows *w, struct observer *o);

/* The parts of these that know no processes. A pause begins: when the next window is to be opened.
 */
void windows__plan(struct windows *w, uint64_t pause_ns, uint64_t now_ns);
/* A window is open from now on: what it stands for, in windows; *w says how long. */
double windows__open(struct windows *w, uint64_t now_ns);
/* Mean pause, ns, for which windows that cost so much are not more than `share` of the time; 0: the
 * probes may stay in. */
uint64_t windows__pause(double cost_of_one, double share);
/* What a window stands for, in windows: a step of a bounded number of steps, 2 % from each other.
 */
double windows__scale(double time_ns);

#endif
