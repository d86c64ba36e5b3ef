/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault_probe.h - samples page faults: one counter per CPU and kind, whose every period-th count
 * runs a program.
 */
#ifndef PROBE_FAULT_PROBE_H
#define PROBE_FAULT_PROBE_H

#include <stdint.h>

struct bpfobj;
struct fault_probe;

/* After load: opens the counters. period: faults per sample. 0 or -errno. */
int fault_probe__new(struct bpfobj *o, uint32_t period, struct fault_probe **ret);
/* Stops sampling. NULL is fine. */
void fault_probe__free(struct fault_probe *p);

#endif
