/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hist.h - histograms of blocks: how large they were, and how long they lived before their free.
 *
 * Sizes by powers of two of the bytes asked for; lifetimes by powers of ten and minutes. Counts are
 * weighted as the heap's are: exact where every allocation is seen, else estimates. "Temporary"
 * blocks are those freed within HIST_TEMPORARY_US.
 *
 * A struct hist (one stack) is compact: only buckets that have something take memory, 8 bytes each
 * beside 24; a stack with three sizes and two lifetimes takes 64 bytes. A struct hist_total (one
 * process) has every bucket, with bytes. Pure; one thread at a time.
 */
#ifndef MODEL_HIST_H
#define MODEL_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/trend.h"

/* 0; 1; 2..3; 4..7; …; 512M..1G-1; 1G and more */
#define HIST_SIZES 32
/* < 10 us, 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, 10 min; longer. Times are known to 2 us
 * (1024 to the millisecond), which is why there is no finer bucket. */
#define HIST_LIVES 10
#define HIST_TEMPORARY_US 10000 /* a limit between two buckets */
#define HIST_OPEN UINT64_MAX	/* limit of the last buckets */

#define HIST_BITS (HIST_SIZES + HIST_LIVES)

struct hist {
	uint64_t mask; /* buckets present: sizes from bit 0, lifetimes from bit HIST_SIZES */
	double *count; /* blocks, one for each bit in mask, in their order; owned */
	double temporary_bytes;
};

/* When a stack's blocks were allocated, and how many of each time still live: eight slots of equal
 * width, which doubles (neighbours are merged) whenever the time outgrows them. 136 bytes. */
#define HIST_AGES 8
struct hist_ages {
	double allocated[HIST_AGES], alive[HIST_AGES];
	uint32_t shift; /* a slot is 2^shift ms wide */
};

struct hist_total {
	double size_objects[HIST_SIZES], size_bytes[HIST_SIZES];
	double life_objects[HIST_LIVES], life_bytes[HIST_LIVES];
};

int hist__size_bucket(uint64_t bytes);
int hist__life_bucket(uint64_t life_us);
/* Smallest value in a bucket (of HIST_SIZES or HIST_LIVES: one more) … */
uint64_t hist__size_from(int bucket);
uint64_t hist__life_from_us(int bucket);
/* … and the smallest above it: HIST_OPEN for the last. */
uint64_t hist__size_below(int bucket);
uint64_t hist__life_below_us(int bucket);
/* Whether a bucket holds temporary blocks. */
bool hist__is_temporary(int life_bucket);

/* Counts `weight` blocks (negative: takes them back). -ENOMEM: they are not counted. */
int hist__add_size(struct hist *h, uint64_t bytes, double weight);
int hist__add_life(struct hist *h, uint64_t bytes, uint64_t life_us, double weight);
/* Blocks in a bucket. */
double hist__size_objects(const struct hist *h, int bucket);
double hist__life_objects(const struct hist *h, int bucket);
double hist__temporary_objects(const struct hist *h);
/* Any bucket by its bit: what hist__size_objects and hist__life_objects say, and a change to it
 * (0 or -ENOMEM; temporary_bytes stays). */
double hist__bit(const struct hist *h, int bit);
int hist__add_bit(struct hist *h, int bit, double blocks);
/* *to += *from. 0 or -ENOMEM (to is unchanged or has a part). */
int hist__merge(struct hist *to, const struct hist *from);
void hist__clear(struct hist *h);
size_t hist__memory(const struct hist *h); /* beside the struct itself, bytes */

/* Blocks allocated at time_ms (of any clock from 0), and an end of some of those. */
void hist_ages__alloc(struct hist_ages *a, uint32_t time_ms, double weight);
void hist_ages__free(struct hist_ages *a, uint32_t time_ms, double weight);
/* Merges neighbours until a slot is 2^shift ms wide (32 at most: less than 2^32). */
void hist_ages__widen(struct hist_ages *a, uint32_t shift);
/* Cohorts at now_ms, youngest first: ret[HIST_AGES]; those with no block are left out. Their
 * number. */
size_t hist_ages__cohorts(const struct hist_ages *a, uint32_t now_ms, struct trend_cohort *ret);

void hist_total__add_size(struct hist_total *t, uint64_t bytes, double weight);
void hist_total__add_life(struct hist_total *t, uint64_t bytes, uint64_t life_us, double weight);
void hist_total__merge(struct hist_total *to, const struct hist_total *from);
/* Blocks that were freed within HIST_TEMPORARY_US, and their bytes. */
void hist_total__temporary(const struct hist_total *t, double *ret_objects, double *ret_bytes);

#endif
