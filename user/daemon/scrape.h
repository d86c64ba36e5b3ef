/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrape.h - what /metrics answers: the machine, the largest processes and those that are
 * profiled or watched, their control groups, what happened, and what the daemon itself takes. Made
 * once a pass at most, however often it is asked for; control groups are looked at only while
 * somebody asks.
 */
#ifndef DAEMON_SCRAPE_H
#define DAEMON_SCRAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/textbuf.h"
#include "daemon/deep.h"
#include "daemon/events.h"
#include "daemon/keeper.h"
#include "daemon/pagefaults.h"
#include "top/machine.h"
#include "top/table.h"

struct scrape;

/* All borrowed. */
struct scrape_sources {
	const struct config *config;
	const struct table *table;
	const struct machine *machine;
	struct deep *deep;
	const struct events *events;
	struct pagefaults *faults; /* NULL: none are sampled */
	struct keeper *keeper;	   /* NULL: no history */
	uint64_t pass_ns; /* the last pass took so long */
	uint64_t passes;
};

/* 0 or -ENOMEM. */
int scrape__new(struct scrape **ret);
void scrape__free(struct scrape *s); /* accepts NULL */

/* After a pass. */
void scrape__pass(struct scrape *s, const struct scrape_sources *from);
/* The text as of the last pass, borrowed until the next; NULL without memory. */
const struct textbuf *scrape__text(struct scrape *s, const struct scrape_sources *from,
				   bool classic);

#endif
