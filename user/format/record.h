/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - a recording: snapshots of one process in one append-only file, of which `report`
 * makes the profile at any moment, the change between any two, and a verdict for each stack.
 *
 * File: the 8 bytes "MWREC2\n\0", then blocks of {u32 magic, u32 payload length, u32 crc32 of the
 * payload} and payload, little-endian. A block is one tick: what is new of the dictionary
 * (strings, mappings, functions, lines, locations, stacks) and then, for each stack whose values
 * changed, its number and the four differences, as variable-length integers. Behind these are
 * sections, {number, length, bytes}: sizes and lifetimes of blocks, and how many of each age live
 * (record_hist.h). "MWREC1\n\0" is the same without sections, and still read. A block is written
 * with one write: a recording that was cut (a crash, a full disk) reads up to the damage.
 */
#ifndef FORMAT_RECORD_H
#define FORMAT_RECORD_H

#include <stdio.h>

#include "model/profile.h"
#include "model/trend.h"

#define RECORD_MAGIC "MWREC2\n" /* with its NUL: 8 bytes */
#define RECORD_VALUES 4		/* the heap sample types in Go's order */

struct record_tick {
	int64_t time_unix_ns;
	int64_t rss_bytes, virt_bytes; /* 0 if not known */
	struct profile_totals totals;
	uint64_t lost; /* events so far */
};

/* --- writing --- */
struct record_writer;

/* Takes each piece of the recording in its order: the magic, then a block a snapshot. 0 or -errno,
 * and then nothing more of this recording is of use. */
typedef int (*record_write_fn)(void *arg, const void *data, size_t len);
/* 0 or -errno. */
int record_writer__new(record_write_fn write, void *arg, struct record_writer **ret);
/* The same into a file, which it creates (or truncates). 0 or -errno. */
int record_writer__open(const char *path, struct record_writer **ret);
/* Appends a snapshot, which must have the four heap sample types (-EINVAL). time 0: now. */
int record_writer__add(struct record_writer *w, const struct profile *p, int64_t rss_bytes,
		       int64_t virt_bytes);
/* Flushes to the disk. 0 or -errno. Frees w; NULL is fine. */
int record_writer__close(struct record_writer *w);

/* --- reading: untrusted input --- */
struct record;

/* True if these bytes begin a recording. */
bool record__is(const void *data, size_t len);
/*
 * Reads a whole recording from memory (borrowed until record__free). 0; -EBADMSG: no recording, or
 * nothing in it could be read; -ENOMEM; -E2BIG. Damage behind the first tick is no error:
 * record__damage says where it is.
 */
int record__read(const void *data, size_t len, struct record **ret);
void record__free(struct record *r);
/* Bytes at the end that could not be read; 0: the recording is whole. */
size_t record__damage(const struct record *r);
size_t record__ticks(const struct record *r, const struct record_tick **ret);
/* Index of the last tick at or before a time; 0 if it is before the first. */
size_t record__tick_at(const struct record *r, int64_t time_unix_ns);

/*
 * The profile at tick `to`. from < to: what changed since tick `from` (allocations in between,
 * in-use may be negative). from == SIZE_MAX: since the beginning, that is all. 0 or -errno.
 */
int record__profile(const struct record *r, size_t from, size_t to, struct profile **ret);

/* A stack's verdict over the ticks [from, to]. */
struct record_verdict {
	uint32_t sample; /* index of the stack in the profile of record__profile(r, MAX, to) */
	struct trend trend;
};
/*
 * The `max` stacks with the most bytes ever in use, likely leaks first, then what may be one, then
 * by slope and size. leak_after_s: of trend__judge.
 * *ret is malloc'ed. 0 or -errno.
 */
int record__verdicts(const struct record *r, size_t from, size_t to, size_t max,
		     double leak_after_s, struct record_verdict **ret, size_t *ret_n);
/* In that order. */
void record__sort_verdicts(struct record_verdict *v, size_t n);

#endif
