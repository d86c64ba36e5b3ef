/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger_out.h - the ledger as text and as JSON. */
#ifndef OUT_LEDGER_OUT_H
#define OUT_LEDGER_OUT_H

#include <jansson.h>
#include <stdio.h>

#include "model/ledger.h"

/* The table: one line per kind that has anything, the total, and what stands apart. */
void ledger_out__text(FILE *f, const struct ledger *l, uint32_t pid, const char *comm);
/* {"schema":"memwatch.ledger/1",…,"lines":[{"kind","name","virt_bytes","rss_bytes","swap_bytes",
 * "mappings"}],"reservations":[…]}; a new reference, NULL without memory. */
json_t *ledger_out__json(const struct ledger *l, uint32_t pid, const char *comm);

#endif
