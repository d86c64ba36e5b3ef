/* SPDX-License-Identifier: GPL-2.0-or-later */
/* missing.h - gathers what an observer lost, from all who count it. */
#ifndef SNAPSHOT_MISSING_H
#define SNAPSHOT_MISSING_H

#include "model/losses.h"

struct observer;
struct target;

/* Of one target, or of all and of strangers (NULL). 0 or -errno. */
int missing__gather(const struct observer *o, const struct target *t, struct losses *ret);

#endif
