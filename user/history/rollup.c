/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rollup.c - coarser steps out of the next finer one, from the file itself, so that a step that a
 * crash cut short is made at the next start. A step tells the last values in it, the highest RSS of
 * each process (also of one that ended in it), the least memory and the most pressure.
 */
#include "history/history_priv.h"

#include "core/util.h"

struct rollup {
	struct history *h;
	int step;
	int64_t end_ms; /* of the step that is being made; 0: none */
	struct pass_state sum;
};

static int64_t step_end(int step, int64_t time_ms)
{
	int64_t ms = history_step_ms[step];

	return (time_ms + ms - 1) / ms * ms;
}

static void add_peak(int64_t *of, int64_t before)
{
	if (before != TIMELINE_UNKNOWN && (*of == TIMELINE_UNKNOWN || before > *of))
		*of = before;
}

static void add_values(struct pass_entry *to, const struct pass_entry *before)
{
	if (to->id != HISTORY_MACHINE_ID) {
		add_peak(&to->value[HISTORY_PEAK_RSS], before->value[HISTORY_PEAK_RSS]);
		return;
	}
	add_peak(&to->value[HISTORY_PSI_SOME], before->value[HISTORY_PSI_SOME]);
	add_peak(&to->value[HISTORY_PSI_FULL], before->value[HISTORY_PSI_FULL]);
	if (before->value[HISTORY_MEM_AVAILABLE] != TIMELINE_UNKNOWN)
		to->value[HISTORY_MEM_AVAILABLE] = min_of(to->value[HISTORY_MEM_AVAILABLE],
							  before->value[HISTORY_MEM_AVAILABLE]);
}

static int add_pass(struct pass_state *sum, const struct pass_state *s)
{
	const struct pass_entry *x, *y;
	struct pass_pair pair = {0};
	struct pass_state all = {0};
	int err = array_reserve(all.e, all.cap, sum->n + s->n + 1);

	while (!err && pass_pair__next(&pair, sum, s, &x, &y)) {
		all.e[all.n] = y ? *y : *x;
		if (x && y)
			add_values(&all.e[all.n], x);
		all.n++;
	}
	if (!err) {
		pass_state__clear(sum);
		*sum = all;
	}
	return err;
}

static int finish(struct rollup *r)
{
	int err = r->end_ms ? history__write_pass(r->h, r->step, r->end_ms, &r->sum) : 0;

	r->end_ms = 0;
	r->sum.n = 0;
	return err;
}

static int on_pass(void *arg, int64_t time_ms, const struct pass_state *s)
{
	struct rollup *r = arg;
	int64_t end_ms = step_end(r->step, time_ms);
	int err = r->end_ms && end_ms != r->end_ms ? finish(r) : 0;

	r->end_ms = end_ms;
	return err ? err : add_pass(&r->sum, s);
}

static int roll_up(struct history *h, int step, int64_t to_ms)
{
	struct rollup r = {.h = h, .step = step};
	int err = 0;

	if (!h->rolled_ms[step])
		err = history__value(h, HISTORY_LAST_PASS, step, 0, 0, &h->rolled_ms[step]);
	if (err || h->rolled_ms[step] >= to_ms)
		return err;
	err = history__walk(h, step - 1, HISTORY_ALL, h->rolled_ms[step], to_ms, on_pass, &r);
	if (!err)
		err = finish(&r);
	pass_state__clear(&r.sum);
	if (!err)
		h->rolled_ms[step] = to_ms;
	return err;
}

int history__roll_up(struct history *h, int64_t now_ms)
{
	int err = 0;

	for (int step = 1; step < HISTORY_STEPS && !err; step++) {
		/* what is over: the pass at its very end belongs to it */
		int64_t over_ms = now_ms / history_step_ms[step] * history_step_ms[step];

		if (h->rolled_ms[step] < over_ms)
			err = roll_up(h, step, over_ms);
	}
	return err;
}
