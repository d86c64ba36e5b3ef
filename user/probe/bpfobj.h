/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpfobj.h - the main BPF object, opened with everything switched off.
 *
 * A subsystem switches on the programs and maps it needs between open and load; what nobody asked
 * for is neither verified nor created. libbpf's messages go to the debug log; the last lines of a
 * failed load are kept for the error message.
 */
#ifndef PROBE_BPFOBJ_H
#define PROBE_BPFOBJ_H

#include <bpf/libbpf.h>
#include <stddef.h>
#include <stdint.h>

/* types of the knobs that the skeleton lays open */
#include "memwatch/alloc.h"
#include "memwatch.skel.h"

struct bpfobj {
	struct memwatch_bpf *skel;
	struct ring_buffer *ring; /* NULL until bpfobj__ring */
};

/* Opens the object: no program loads, no map is created (but rodata, data, bss). 0 or -errno. */
int bpfobj__open(struct bpfobj **ret);
void bpfobj__free(struct bpfobj *o);

/* Switches one program on. */
void bpfobj__use_prog(struct bpf_program *prog);
/* Switches one map on; max_entries 0 leaves its size. */
int bpfobj__use_map(struct bpf_map *map, uint32_t max_entries);
/* The event ring (bytes: a power of two, at least a page), counters, targets. */
int bpfobj__use_events(struct bpfobj *o, uint32_t ring_bytes, uint32_t max_targets);
/* What stack_id() needs. */
int bpfobj__use_stacks(struct bpfobj *o, uint32_t max_depth);

/* Loads what is switched on. 0 or -errno; bpfobj__last_log() then has the kernel's words. */
int bpfobj__load(struct bpfobj *o);
const char *bpfobj__last_log(void);

/* Starts reading the event ring: fn gets every event in order and returns 0. */
int bpfobj__ring(struct bpfobj *o, int (*fn)(void *arg, void *data, size_t size), void *arg);
/* Handles what is there without waiting; the number of events or -errno. */
int bpfobj__drain(struct bpfobj *o);
/* Descriptor to wait on (readable: events are there). */
int bpfobj__ring_fd(const struct bpfobj *o);

/* Adds up a row of counters over all CPUs. ret has MW_C_COUNT entries. 0 or -errno. */
int bpfobj__counters(const struct bpfobj *o, uint32_t target, uint64_t *ret);

#endif
