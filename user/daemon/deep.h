/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * deep.h - the processes whose heaps are profiled: attached to when a section of the configuration
 * chooses them, or somebody asks; let go when they end, when their window is over, or when they
 * cost more than they may. Observers are loaded when they are first needed: one with probes, one
 * whose probes work in windows where they cost too much, one that samples inside the target (fast).
 */
#ifndef DAEMON_DEEP_H
#define DAEMON_DEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"
#include "probe/plan.h"

struct attach;
struct deep;
struct ledger;
struct loop;
struct profile;
struct runtimes_numbers;
struct target;

/* A process: its PID and when it was started, CLOCK_BOOTTIME, so that the next one with the number
 * is another. */
struct deep_id {
	uint32_t pid;
	uint64_t start_ns;
};
#define DEEP_START_NS 20000000 /* so far apart are starts of one: clock ticks, where /proc told */

/* A start of 0 is not known: whoever has the PID. */
static inline bool deep_id__is_same(struct deep_id x, struct deep_id y)
{
	uint64_t apart =
		x.start_ns > y.start_ns ? x.start_ns - y.start_ns : y.start_ns - x.start_ns;

	return x.pid == y.pid && (!x.start_ns || !y.start_ns || apart <= DEEP_START_NS);
}

struct deep_process {
	struct deep_id id;
	const struct target *target; /* borrowed from the observer */
	const char *rule;	     /* the section's name; "": none is left; "go" */
	bool is_go, is_fast;
	bool ended;
	double cost_percent;  /* of one CPU, in the last second */
	uint64_t attached_ns; /* CLOCK_MONOTONIC */
};

/* Why a profile is handed on. */
enum deep_why {
	DEEP_REGULAR,
	DEEP_PEAK,
	DEEP_PEAK_RSS,
	DEEP_WINDOW,
	DEEP_ENDED,
	DEEP_BUDGET,
	DEEP_STOP
};
const char *deep__why(enum deep_why why); /* "regular", "end of window", … */

struct deep_opts {
	const struct config *config; /* borrowed until deep__reload */
	struct plan_tuning tuning;
	struct loop *loop;
	bool fast; /* the privilege for it was kept */
	/* A profile to keep; it stays the caller's of this function. NULL: nobody wants them. */
	void (*keep)(void *arg, const struct deep_process *p, struct profile *profile,
		     enum deep_why why);
	void *arg;
};

/* 0 or -ENOMEM. Nothing is loaded yet. */
int deep__new(const struct deep_opts *o, struct deep **ret);
void deep__free(struct deep *d); /* detaches; accepts NULL */

/* Another configuration: who is still chosen stays attached. */
void deep__reload(struct deep *d, const struct config *c);

/* A pass over all processes: deep__begin, deep__consider for each, deep__end (lets those go that
 * are no longer chosen, or have cost too much). rule NULL: none chooses it. */
void deep__begin(struct deep *d);
void deep__consider(struct deep *d, struct deep_id id, uint64_t rss_bytes,
		    const struct config_profile *rule, bool is_go);
void deep__end(struct deep *d);
/* Are there processes that were left to the next pass, which is wanted soon? */
bool deep__more_to_come(const struct deep *d);

/* Reads events; at every turn of the loop. */
void deep__poll(struct deep *d);
/* How long a turn may be, ns. */
uint64_t deep__turn_ns(const struct deep *d);

/*
 * Attaches for at least this long, for somebody who asks, as the rule (NULL: none) says. 0 (also if
 * it is attached already, then *ret_old is true), -ESRCH, -EBUSY (as many as allowed are profiled),
 * -EDQUOT (it has cost too much a while ago), other -errno of observer__add; deep__error() says
 * more.
 */
int deep__demand(struct deep *d, struct deep_id id, uint64_t ns, const struct config_profile *rule,
		 bool *ret_old);
const char *deep__error(const struct deep *d);
/* Was it let go for what it cost, a while ago? */
bool deep__is_over_budget(const struct deep *d, struct deep_id id);

/* From NULL to NULL. Borrowed until the next call that changes what is profiled. */
const struct deep_process *deep__next(const struct deep *d, const struct deep_process *p);
/* That process and not another with its number; the newest where its start is not known. */
const struct deep_process *deep__find(const struct deep *d, struct deep_id id);
/* Its heap now; since_ns as snapshot_opts.since_ns. 0 or -errno. */
#define DEEP_MAPPINGS 1	  /* of its own too */
#define DEEP_HISTOGRAMS 2 /* sizes and lifetimes */
#define DEEP_RESIDENCY 4  /* a fifth value, resident_space */
int deep__profile(struct deep *d, const struct deep_process *p, uint64_t since_ns, unsigned with,
		  struct profile **ret);
/* What of these its section asks for. */
unsigned deep__with(const struct deep_process *p);
/* The function at an address of it. 0; -ENOENT: not known; other -errno. */
int deep__symbol(struct deep *d, const struct deep_process *p, uint64_t address, char *buf,
		 size_t len);
/* As runtimes__collections. */
int deep__collections(struct deep *d, const struct deep_process *p, uint32_t *ret);
/* In use is NAN where windows leave it unknown. */
void deep__numbers(struct deep *d, const struct deep_process *p, struct runtimes_numbers *ret);
/* Mean bytes between samples of its heap: more than its rule says where it cost too much; 0: it
 * samples itself. */
uint64_t deep__sample_bytes(struct deep *d, const struct deep_process *p);
/* Is it sampled less than its rule says? */
bool deep__is_thinned(const struct deep_process *p);
/* The part of the time in which it was sampled; 1: always. */
double deep__window_share(struct deep *d, const struct deep_process *p);
/* Where its resident bytes belong, as of the last look; NULL: not looked yet. Borrowed until the
 * next look. */
const struct ledger *deep__ledger(struct deep *d, const struct deep_process *p);
/* Reads one ledger again: that which has waited for longest, if its cost allows. */
void deep__look_at_ledgers(struct deep *d);
/* Hands every profile on: at the end. */
void deep__keep_all(struct deep *d, enum deep_why why);

struct deep_stats {
	unsigned profiled, living;
	uint64_t attached, failed, over_budget, refused; /* since the start; refused: too many */
	double cost_percent; /* of one CPU, all together, in the last second */
	uint64_t events_lost;
};
void deep__stats(struct deep *d, struct deep_stats *ret);

#endif
