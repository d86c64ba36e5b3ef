/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alloc_probe.h - the allocator probes: which programs serve on this kernel, and their links.
 */
#ifndef PROBE_ALLOC_PROBE_H
#define PROBE_ALLOC_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/site.h"
#include "probe/bpfobj.h"
#include "probe/feature.h"

struct alloc_probe;

struct alloc_probe_opts {
	uint64_t sample_bytes; /* <= 1: exact */
	uint32_t max_live;     /* sampled blocks that can be live at once; 0: default 1 M */
	uint32_t max_threads;  /* 0: default 64 K */
	uint64_t wake_bytes;   /* 0: an eighth of the ring */
	uint32_t ring_bytes;
};

/* Before load: picks the rung of the ladder that `fs` allows and switches programs and maps on.
 * 0, -EOPNOTSUPP (no attach cookies) or another negative errno. */
int alloc_probe__new(struct bpfobj *o, const struct features *fs,
		     const struct alloc_probe_opts *opts, struct alloc_probe **ret);
/* After load: watches ends of threads. 0 or -errno. */
int alloc_probe__start(struct alloc_probe *p);
/* Detaches everything. NULL is fine. */
void alloc_probe__free(struct alloc_probe *p);

/*
 * After load: puts probes on the sites of one file in process pid. `fd` is the file, of which the
 * caller keeps ownership. Frees are attached before allocations, so that no block is seen to be
 * allocated whose free cannot be seen. `exits`: file offsets of the ret instructions of functions
 * that throw (elf/exits.h), which have no return probe. *ret_n: probes in. 0 or -errno (-ESRCH:
 * process gone).
 */
int alloc_probe__attach(struct alloc_probe *p, int pid, uint32_t target, int fd,
			const struct site *sites, size_t n, const uint64_t *exits, size_t nexits,
			size_t *ret_n);
/* Takes the probes of a process out; wait: they are out when it returns, else soon. */
void alloc_probe__detach_target(struct alloc_probe *p, uint32_t target, bool wait);
/* The kernel must know which sampled blocks are live, to report their frees: one that it has not
 * seen itself (of a forked process), and one that will not be freed any more. key: as in livemap.
 */
void alloc_probe__remember(struct alloc_probe *p, uint64_t key, uint64_t size);
void alloc_probe__forget(struct alloc_probe *p, uint64_t key);
/* Changes the rate while running (adaptive cost). */
void alloc_probe__set_rate(struct alloc_probe *p, uint64_t sample_bytes);

#endif
