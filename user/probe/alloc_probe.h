/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alloc_probe.h - the allocator probes: their links, by the method of the plan.
 */
#ifndef PROBE_ALLOC_PROBE_H
#define PROBE_ALLOC_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/site.h"
#include "elf/usdt.h"
#include "probe/bpfobj.h"

struct alloc_probe;

/* After load. 0 or -errno. */
int alloc_probe__new(struct bpfobj *o, struct alloc_probe **ret);
/* Detaches everything. NULL is fine. */
void alloc_probe__free(struct alloc_probe *p);

/*
 * After load: puts probes on the sites of one file in process pid, and in no other. `fd` is the
 * file, of which the caller keeps ownership. Frees are attached before allocations, so that no
 * block is seen to be allocated whose free cannot be seen. `exits`: file offsets of the ret
 * instructions of functions that throw (elf/exits.h), which have no return probe. *ret_n: probes
 * in. 0 or -errno
 * (-ESRCH: process gone).
 */
int alloc_probe__attach(struct alloc_probe *p, int pid, uint32_t target, int fd,
			const struct site *sites, size_t n, const uint64_t *exits, size_t nexits,
			size_t *ret_n);
/* A place in a stub (fast/stub.h), and what leads to it. */
struct alloc_fast_site {
	uint64_t off, addr; /* in the stubs' file and in the process */
	enum alloc_fast_kind { ALLOC_FAST_FREE, ALLOC_FAST_UNFREE, ALLOC_FAST_ALLOC } kind;
	enum mw_fn fn;
	const struct site *site; /* whose callers in the family are known by their addresses */
	uint64_t bias;		 /* address - vaddr of the file that site is in */
};

/* The same at stubs: `fd` is the file behind their code. */
int alloc_probe__attach_fast(struct alloc_probe *p, int pid, uint32_t target, int fd,
			     const struct alloc_fast_site *sites, size_t n);
/* The same on the probes of a program that samples for itself; their semaphores are up until it is
 * detached, or memwatch ends in whatever way. */
int alloc_probe__attach_usdt(struct alloc_probe *p, int pid, uint32_t target, int fd,
			     const struct usdt_site *sites, size_t n);
/* Takes the probes of a process out; wait: they are out when it returns, else soon. */
void alloc_probe__detach_target(struct alloc_probe *p, uint32_t target, bool wait);
/* The kernel must know which sampled blocks are live, to report their frees: one that it has not
 * seen itself (of a forked process), and one that will not be freed any more. key: as in livemap.
 */
void alloc_probe__remember(struct alloc_probe *p, uint64_t key, uint64_t size);
void alloc_probe__forget(struct alloc_probe *p, uint64_t key);
/* Changes the rate while running (adaptive cost). */
void alloc_probe__set_rate(struct alloc_probe *p, uint64_t sample_bytes);
/* 2^octaves times as many for this target, up to MW_MAX_THIN; 0: as many as for all. */
void alloc_probe__thin(struct alloc_probe *p, uint32_t target, unsigned octaves);
/* No allocation that a probe of an allocator sees after this moment (CLOCK_MONOTONIC) is sampled;
 * 0: there is no such moment. Frees of blocks that are in the profile are told of. */
void alloc_probe__sample_until(struct alloc_probe *p, uint64_t until_ns);
/* Only those of one process that has them for running in the target's memory. */
void alloc_probe__detach_process(struct alloc_probe *p, uint32_t target, int pid);
/* From now on some process has such, and must be told from those that had. */
void alloc_probe__expect_sharers(struct alloc_probe *p);
/* Returns when all that was to be taken out is out. */
void alloc_probe__wait_detached(struct alloc_probe *p);

/* Forgets every sampled block of a target, known here or not: walks the whole table. */
void alloc_probe__forget_target(struct alloc_probe *p, uint32_t target);
/* Probes that are in. */
size_t alloc_probe__nlinks(const struct alloc_probe *p);
/* Closes those that came since there were n, for an attach that is given up half-way. */
void alloc_probe__close_links(struct alloc_probe *p, size_t n);

#endif
