/* SPDX-License-Identifier: GPL-2.0-or-later */
/* windows.c - the probes of allocators are in for a short time now and then. */
#include "core/util.h"
#include "observe/observer_priv.h"

void observer__probes_out(struct observer *o)
{
	if (!o->probe || o->windows.out)
		return;
	o->windows.out = o->windows.used = true;
	if (!o->windows.until_ns)
		o->windows.until_ns = util__now_ns();
	o->windows.scale = max_of(o->windows.scale, 2.0); /* until the window says */
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		if (t && !t->pub.ended && observed__in_windows(o, t) &&
		    !heap__set_windowed(o->heap, i, true))
			alloc_probe__detach_target(o->probe, i, false);
	}
}

int observer__probes_in(struct observer *o)
{
	int first_err = 0;

	if (!o->probe || !o->windows.out)
		return 0;
	/* two probes at one place would count twice */
	alloc_probe__wait_detached(o->probe);
	alloc_probe__sample_until(o->probe, 1);
	o->windows.out = false;
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];
		int err;

		if (!t || t->pub.ended || !o->heap->targets[i].windowed)
			continue;
		err = mappings__probe_again(o, t);
		if (err && err != -ESRCH && !observer__gone(&t->pub))
			first_err = first_err ? first_err : err;
	}
	return first_err;
}

int observer__window(struct observer *o, double scale, uint64_t until_ns)
{
	uint64_t now = util__now_ns();
	int err = 0;

	if (!o->probe)
		return 0;
	if (o->windows.until_ns && now > o->windows.until_ns)
		o->windows.unseen_ns += now - o->windows.until_ns;
	o->windows.scale = scale;
	o->windows.until_ns = until_ns;
	heap__set_scale(o->heap, scale);
	for (size_t i = 0; !until_ns && i < o->ntargets && !err; i++) {
		if (o->targets[i])
			err = heap__set_windowed(o->heap, i, false);
	}
	alloc_probe__sample_until(o->probe, until_ns);
	return err;
}

bool observer__window_is_open(const struct observer *o)
{
	return o->windows.used && !o->windows.out && o->windows.until_ns;
}

uint64_t observer__unseen_ns(const struct observer *o)
{
	uint64_t now = util__now_ns(), until = o->windows.until_ns;

	return o->windows.unseen_ns + (until && now > until ? now - until : 0);
}

double observer__window_share(const struct observer *o, const struct target *t)
{
	double watched = t ? (double)(util__now_ns() - t->start_ns) : observer__watched_ns(o);
	uint64_t before = t ? observed_of(t)->unseen_before_ns : 0;
	double unseen = (double)(observer__unseen_ns(o) - before);

	if (!o->windows.used || watched <= 0)
		return 1;
	return 1 - min_of(unseen / watched, 1.0);
}

uint64_t observer__unseen_end_ns(const struct target *t)
{
	return observed_of(t)->unseen_end_ns;
}

void observer__bury(struct observer *o, const struct target *t, uint64_t addr)
{
	if (heap__bury(o->heap, t->index, addr) && o->probe && o->opts.sample_bytes > 1)
		alloc_probe__forget(o->probe, MW_LIVE_KEY(t->index, addr));
}
