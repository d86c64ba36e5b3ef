/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_probe.h - the uprobe at the end of each garbage collection of one Go program: records of what
 * its runtime's structs held then (memwatch/gotrace.h), to be decoded by go/gctrace.
 */
#ifndef PROBE_GO_PROBE_H
#define PROBE_GO_PROBE_H

#include <stdint.h>

#include "memwatch/gotrace.h"

struct go_probe;

typedef void (*go_probe_fn)(void *arg, const struct mw_go_cycle *c);

enum go_probe_step { GO_PROBE_LOAD, GO_PROBE_ATTACH };

/* off: file offset of the probe in `exe`, the program of pid. fn gets every record from
 * go_probe__poll. 0 or -errno; *ret_step says where it failed. */
int go_probe__new(int pid, int exe, uint64_t off, const struct mw_go_config *cfg, go_probe_fn fn,
		  void *arg, struct go_probe **ret, enum go_probe_step *ret_step);
void go_probe__free(struct go_probe *p); /* accepts NULL */
/* Hands out what is there. Their number or -errno. */
int go_probe__poll(struct go_probe *p);
/* Cycles seen, and lost for want of room or because they could not be read. */
void go_probe__books(const struct go_probe *p, uint64_t *ret_seen, uint64_t *ret_lost);

#endif
