/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger_out.h - the ledger as text and as JSON. */
#ifndef FORMAT_LEDGER_OUT_H
#define FORMAT_LEDGER_OUT_H

#include <jansson.h>
#include <stdio.h>

#include "model/profile.h"

/* The table: one line per kind that has anything, the total, and what stands apart. */
void ledger_out__text(FILE *f, const struct ledger *l, uint32_t pid, const char *comm);
/* {"schema":"memwatch.ledger/1",…,"lines":[{"kind","name","virt_bytes","rss_bytes","swap_bytes",
 * "mappings"}],"reservations":[…]}; a new reference, NULL without memory. */
json_t *ledger_out__json(const struct ledger *l, uint32_t pid, const char *comm);

/* Reads what ledger_out__json makes. Untrusted: -EBADMSG with a reason in *ret_why. Lines of a kind
 * that is not known count as unattributed. *ret_comm is borrowed from o. */
int ledger_out__parse(const json_t *o, struct ledger *ret, uint32_t *ret_pid, const char **ret_comm,
		      const char **ret_why);

/* The tables of a profile's ledgers, `before` in front of each; nothing if it has none. 0 or a
 * negative errno of the stream. */
int ledger_out__profile(FILE *f, const struct profile *p, const char *before);
/* "ledger":[…] and a comma, as a member of memwatch.profile/1; nothing if the profile has none. 0,
 * -ENOMEM or -EIO. */
int ledger_out__json_member(FILE *f, const struct profile *p);

#endif
