/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledgers.h - the newest ledger of each observed process, and when to read it again: what
 * reports, files and the live view show. Reading a large process takes the kernel a while, in which
 * no events are read; so the pause after a reading is a multiple of what it took.
 */
#ifndef SNAPSHOT_LEDGERS_H
#define SNAPSHOT_LEDGERS_H

#include <stdint.h>

#include "model/ledger.h"
#include "model/profile.h"
#include "observe/observer.h"

#define LEDGERS_VIEW_NS 1000000000ULL /* between readings for the eye */

struct ledgers;

struct ledgers_entry {
	struct ledger ledger; /* if has */
	char comm[16];	      /* of the program that it was then */
	bool has;
	uint64_t start_ns;   /* of the target: its index may be given to another */
	int error;	     /* of the last reading: 0 or a negative errno */
	uint64_t took_ns;    /* the last reading */
	uint64_t pause_ns;   /* after it, before the next */
	uint64_t refresh_ns; /* not before this moment, CLOCK_MONOTONIC */
};

/* from_start: the heap profile saw the processes from their start. 0 or -ENOMEM. */
int ledgers__new(struct observer *o, bool from_start, struct ledgers **ret);
void ledgers__free(struct ledgers *l); /* NULL is fine */

/* The ledger of a process, read again if it still runs and the last reading is at least min_ns and
 * a multiple of its cost ago. What an ended process had last stays. Borrowed until the next call;
 * NULL without memory. */
const struct ledgers_entry *ledgers__refresh(struct ledgers *l, const struct target *t,
					     uint64_t min_ns);
/* The same for all of them; at_once: however new they are and whatever it costs. */
void ledgers__refresh_all(struct ledgers *l, uint64_t min_ns, bool at_once);

/* What there is of a process, without reading; NULL before its first reading. */
const struct ledgers_entry *ledgers__of(const struct ledgers *l, const struct target *t);
/* Copies that of t (NULL: all) into a profile. 0 or a negative errno. */
int ledgers__add(struct ledgers *l, const struct target *t, struct profile *p);

#endif
