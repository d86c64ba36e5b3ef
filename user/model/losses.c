/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/losses.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "model/heap.h"

const struct losses_row losses_rows[MW_LOSS_COUNT] = {
#define X(name_, unit_, told_, text_, frame_, means_) \
	[MW_LOSS_##name_] = {.unit = unit_,           \
			     .text = text_,           \
			     .frame = frame_,         \
			     .means = means_,         \
			     .told = LOSSES_##told_},
	MW_LOSSES(X)
#undef X
};

const struct losses_ending losses_endings[MW_STACK_ENDS] = {
#define X(name_, text_, frame_, means_) [MW_STACK_##name_] = {text_, frame_, means_},
	MW_STACK_ENDINGS(X)
#undef X
};

void losses__add(struct losses *l, enum mw_loss cause, uint64_t count, uint64_t bytes)
{
	l->count[cause] += count;
	l->bytes[cause] += bytes;
}

void losses__add_all(struct losses *l, const struct losses *more)
{
	for (int i = 0; i < MW_LOSS_COUNT; i++)
		losses__add(l, i, more->count[i], more->bytes[i]);
	for (int i = 0; i < MW_STACK_ENDS; i++)
		l->ending[i] += more->ending[i];
}

void losses__add_counters(struct losses *l, const uint64_t *c)
{
	for (int i = 0; i < MW_LOSS_KERNEL; i++)
		losses__add(l, i, c[MW_C_LOST + i], i < MW_LOSS_SIZED ? c[MW_C_LOST_BYTES + i] : 0);
	for (int i = 0; i < MW_STACK_ENDS; i++)
		l->ending[i] += c[MW_C_STACK_END + i];
}

void losses__add_heap(struct losses *ret, const struct heap_target *h)
{
	losses__add(ret, MW_LOSS_BLOCKS_FULL, h->lost_blocks, h->lost_bytes);
	losses__add(ret, MW_LOSS_STACK_LATE, h->late_stacks, 0);
	losses__add(ret, MW_LOSS_STACKS_FULL, h->roomless_stacks, 0);
	losses__add(ret, MW_LOSS_HISTOGRAMS, h->lost_hist, 0);
	losses__add(ret, MW_LOSS_IMPLIED_FREE, h->implied_frees, 0);
	losses__add(ret, MW_LOSS_UNKNOWN_FREE, h->unknown_frees, 0);
	losses__add(ret, MW_LOSS_UNKNOWN_UNFREE, h->unknown_unfrees, 0);
	losses__add(ret, MW_LOSS_FOLLOW_GAP, h->follow_gap_ns > 0, 0);
	for (int i = 0; i < MW_STACK_ENDS; i++)
		ret->ending[i] += h->endings[i];
}

uint64_t losses__sum(const struct losses *l, enum losses_told told)
{
	uint64_t sum = 0;

	for (int i = 0; i < MW_LOSS_COUNT; i++)
		sum += losses_rows[i].told == told ? l->count[i] : 0;
	return sum;
}

/* Stacks that do not reach the root. */
static uint64_t cut_stacks(const struct losses *l)
{
	uint64_t sum = 0;

	for (int i = 0; i < MW_STACK_ENDS; i++)
		sum += losses_endings[i].text[0] ? l->ending[i] : 0;
	return sum;
}

char *losses__line(const struct losses *l, char *buf, size_t size)
{
	const char *before = " (";
	size_t n;

	n = snprintf(buf, size, "%" PRIu64 " events lost", losses__sum(l, LOSSES_SUM));
	for (int i = 0; i < MW_LOSS_COUNT; i++) {
		if (losses_rows[i].told != LOSSES_SUM || !l->count[i] || n >= size)
			continue;
		n += snprintf(buf + n, size - n, "%s%s: %" PRIu64, before, losses_rows[i].text,
			      l->count[i]);
		before = "; ";
	}
	if (n < size)
		snprintf(buf + n, size - n, "%s, %" PRIu64 " stacks truncated",
			 before[0] == ';' ? ")" : "", cut_stacks(l));
	return buf;
}

static int put_frame(const struct losses *l, int cause, uint64_t sample_bytes, struct profile *p)
{
	double w = heap__weight(l->bytes[cause] / l->count[cause], sample_bytes);
	int64_t v[4] = {0};
	uint32_t loc;
	int err;

	v[PROFILE_ALLOC_OBJECTS] = llround(w * (double)l->count[cause]);
	v[PROFILE_ALLOC_SPACE] = llround(w * (double)l->bytes[cause]);
	err = profile__pseudo_location(p, losses_rows[cause].frame, &loc);
	return err ? err : profile__sample(p, &loc, 1, v, NULL, 0);
}

int losses__into_profile(const struct losses *l, uint64_t sample_bytes, struct profile *p)
{
	int err = 0;

	for (int i = 0; i < MW_LOSS_COUNT && !err; i++) {
		if (!l->count[i])
			continue;
		err = profile__loss(p, losses_rows[i].text, l->count[i], l->bytes[i]);
		if (!err && losses_rows[i].frame[0])
			err = put_frame(l, i, sample_bytes, p);
	}
	for (int i = 0; i < MW_STACK_ENDS && !err; i++) {
		if (losses_endings[i].text[0] && l->ending[i])
			err = profile__loss(p, losses_endings[i].text, l->ending[i], 0);
	}
	return err;
}

static bool is_lost(const char *cause)
{
	for (size_t i = 0; i < MW_LOSS_COUNT; i++) {
		if (losses_rows[i].told == LOSSES_SUM && !strcmp(losses_rows[i].text, cause))
			return true;
	}
	return false;
}

static bool is_cut(const char *cause)
{
	for (size_t i = 0; i < MW_STACK_ENDS; i++) {
		if (*losses_endings[i].text && !strcmp(losses_endings[i].text, cause))
			return true;
	}
	return false;
}

uint64_t losses__of_profile(const struct profile *p, uint64_t *ret_cut)
{
	uint64_t lost = 0;

	*ret_cut = 0;
	for (size_t i = 0; i < p->nlosses; i++) {
		const char *cause = profile__text(p, p->losses[i].cause);

		lost += is_lost(cause) ? p->losses[i].count : 0;
		*ret_cut += is_cut(cause) ? p->losses[i].count : 0;
	}
	return lost;
}
