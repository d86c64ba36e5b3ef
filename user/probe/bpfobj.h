/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpfobj.h - the main BPF object with what a plan switches on; nothing else is verified or created.
 *
 * libbpf's messages go to the debug log; the last lines of a failed load are kept for the error
 * message.
 */
#ifndef PROBE_BPFOBJ_H
#define PROBE_BPFOBJ_H

#include <stddef.h>
#include <stdint.h>

#include "probe/plan.h"

struct bpfobj;

/* Opens the object and applies the plan. 0 or -errno. */
int bpfobj__open(const struct plan *plan, struct bpfobj **ret);
void bpfobj__free(struct bpfobj *o);
const struct plan *bpfobj__plan(const struct bpfobj *o);

/* Loads what is switched on. 0 or -errno; the kernel's words are in the log, at its debug level. */
int bpfobj__load(struct bpfobj *o);

/* Starts reading the event ring: fn gets every event in order and returns 0; a negative value ends
 * that reading. */
int bpfobj__ring(struct bpfobj *o, int (*fn)(void *arg, void *data, size_t size), void *arg);
/* Handles what is there without waiting; the number of events or -errno. */
int bpfobj__drain(struct bpfobj *o);
/* Descriptor to wait on (readable: events are there). */
int bpfobj__ring_fd(const struct bpfobj *o);

/* A row begins at zero again. 0 or -errno. */
int bpfobj__clear_counters(const struct bpfobj *o, uint32_t target);
/* Adds up a row of counters over all CPUs. ret has MW_C_COUNT entries. 0 or -errno. */
int bpfobj__counters(const struct bpfobj *o, uint32_t target, uint64_t *ret);

/* Each table that was created: the kernel's memory for it, bytes; the entries of those that are
 * looked up by key (arrays: 0), which are walked. */
void bpfobj__each_map(const struct bpfobj *o,
		      void (*fn)(void *arg, const char *name, uint64_t bytes, uint64_t entries),
		      void *arg);

#endif
