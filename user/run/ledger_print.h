/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger_print.h - the ledgers of the observed processes on a stream. */
#ifndef RUN_LEDGER_PRINT_H
#define RUN_LEDGER_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "snapshot/ledgers.h"

/* Prints those of the processes that run (ended: of all), as text or as one JSON object a line. 0,
 * -ENOMEM or -EIO. */
int ledger_print(const struct ledgers *l, const struct observer *o, FILE *f, bool ended, bool json);

#endif
