/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/ledger_print.h"

#include <errno.h>
#include <string.h>

#include "core/emit.h"
#include "core/log.h"
#include "format/ledger_out.h"

static int print(FILE *f, const struct ledgers_entry *e, uint32_t pid, bool json)
{
	json_t *o;

	if (!json) {
		ledger_out__text(f, &e->ledger, pid, e->comm);
		return 0;
	}
	o = ledger_out__json(&e->ledger, pid, e->comm);
	if (!o)
		return -ENOMEM;
	json_dumpf(o, f, JSON_COMPACT);
	fputc('\n', f);
	json_decref(o);
	return 0;
}

int ledger_print(const struct ledgers *l, const struct observer *o, FILE *f, bool ended, bool json)
{
	int err = 0;

	for (const struct target *t = observer__next(o, NULL); t && !err;
	     t = observer__next(o, t)) {
		const struct ledgers_entry *e = ledgers__of(l, t);

		if (t->ended && !ended)
			continue;
		if (e && e->has)
			err = print(f, e, t->pid, json);
		else if (t->ended)
			log_info("no ledger of %d: it has ended", t->pid);
		else
			log_warn("no ledger of %d: %s", t->pid,
				 strerror(e && e->error ? -e->error : ENOMEM));
	}
	return emit__end(f, err);
}
