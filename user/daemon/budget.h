/* SPDX-License-Identifier: GPL-2.0-or-later */
/* budget.h - what profiling may cost a process, and all of them: who is above it is sampled less,
 * where that helps; else it works in windows, where its rule says so, or is to be let go. */
#ifndef DAEMON_BUDGET_H
#define DAEMON_BUDGET_H

#include "daemon/deep_priv.h"

/* At every pass: measures all. The one to let go, and its index; NULL: none. */
struct deep_one *budget__look(struct deep *d, size_t *ret);
/* What profiling a process may cost, percent of one CPU. */
double budget__limit(const struct config *c, const struct deep_one *x);
/* From now on it is sampled as its rule says, however little it was before. */
void budget__allow_all(struct deep *d, struct deep_one *x);
/* Windows end where nobody is left in them: who comes next is not to begin in a pause. */
void budget__end_windows(struct deep *d);
/* For the timer of the windows; arg is the struct deep. */
void budget__windows_due(void *arg);

#endif
