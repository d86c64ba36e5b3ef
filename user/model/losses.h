/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * losses.h - what is missing, by cause: the rows of memwatch/loss.h with their counts. Pure.
 */
#ifndef MODEL_LOSSES_H
#define MODEL_LOSSES_H

#include <stddef.h>
#include <stdint.h>

#include "memwatch/wire.h"
#include "model/profile.h"

enum losses_told {
	LOSSES_SUM,  /* part of "events lost" */
	LOSSES_WARN, /* a line of its own at the end */
	LOSSES_NOTE, /* in profiles only */
};

struct heap_target;

struct losses_row {
	const char *unit, *text, *frame, *means; /* frame "": none */
	enum losses_told told;
};

/* By enum mw_loss. */
extern const struct losses_row losses_rows[MW_LOSS_COUNT];

struct losses_ending {
	const char *text, *frame, *means; /* text "": nothing is missing */
};

/* By enum mw_stack_end. */
extern const struct losses_ending losses_endings[MW_STACK_ENDS];

struct losses {
	uint64_t count[MW_LOSS_COUNT];
	uint64_t bytes[MW_LOSS_COUNT]; /* 0 where a cause does not know them */
	uint64_t ending[MW_STACK_ENDS];
};

void losses__add(struct losses *l, enum mw_loss cause, uint64_t count, uint64_t bytes);
void losses__add_all(struct losses *l, const struct losses *more);
/* What the BPF programs counted: MW_C_COUNT counters. */
void losses__add_counters(struct losses *l, const uint64_t *counters);

/* What a target of the heap lost. */
void losses__add_heap(struct losses *l, const struct heap_target *t);

/* The sum over all that are told so. */
uint64_t losses__sum(const struct losses *l, enum losses_told told);

/* What of a profile's losses are events that are missing, and stacks that are cut or not there. */
uint64_t losses__of_profile(const struct profile *p, uint64_t *ret_cut);

/* "3 events lost (allocations lost: ring full: 2; …), 0 stacks truncated". Returns buf. */
char *losses__line(const struct losses *l, char *buf, size_t size);

/*
 * Into a profile, by name; those with bytes get a frame that counts as allocated, weighted as
 * blocks of their mean size at this sampling rate, so that the totals stay whole (whether they
 * still live is not known: in use they count nothing). 0 or -ENOMEM.
 */
int losses__into_profile(const struct losses *l, uint64_t sample_bytes, struct profile *p);

#endif
