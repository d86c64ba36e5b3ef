/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inject.h - puts stubs into a process and takes them out again.
 *
 * What is mapped stays mapped, for a thread might still be on its way through it: `was` at every
 * entry again, it does nothing, and the next attach uses it again. Only stubs of a library that was
 * closed are unmapped, when others are mapped.
 *
 * A process's memory is written to through one descriptor, which belongs to an address space and
 * not to a PID: what a process runs after exec is never written to by mistake, nor by its design.
 */
#ifndef FAST_INJECT_H
#define FAST_INJECT_H

#include "fast/fast_plan.h"
#include "fast/remote.h"
#include "fast/stub.h"

/* Stubs in a process. */
struct fast {
	int pid;
	const struct remote_host *host; /* who may trace the process; NULL: nobody */
	int fd;				/* the file behind the code, for probes */
	struct procmem *mem;		/* the address space that they are in, for writing */
	struct stub_image image;
};

/*
 * Maps stubs for the plan's functions; no function leads to them yet. text: the file that the plan
 * was made from: it must be the one that is mapped there, in the address space that is opened now
 * and written to from then on. host: who may trace the process, and lives as long as f, or NULL.
 * 0; -EINPROGRESS: the host is about to hold it, then it can be done; other -errno with why.
 */
int fast__map(int pid, const struct remote_host *host, struct fast_plan *plan, int text,
	      uint64_t rate, struct fast *f, char why[FAST_WHY]);
/* Makes the functions lead to the stubs, or no longer: all of them at one moment. */
int fast__patch(const struct fast *f, char why[FAST_WHY]);
int fast__unpatch(const struct fast *f, char why[FAST_WHY]);
/* How many functions lead to the stubs now: none when their library was closed. */
size_t fast__patched(const struct fast *f);
/* Are they still mapped, as they were made? */
bool fast__mapped(const struct fast *f);
void fast__fini(struct fast *f);

/* The rate from now on, also of the gaps that have begun. */
int fast__set_rate(const struct fast *f, uint64_t rate);
/* Blocks that were not sampled because their bucket was full. */
uint64_t fast__full(const struct fast *f);

/* What an earlier run left there. */
struct fast_left {
	size_t regions, patched; /* stubs that are mapped; functions that lead to them */
	uint64_t bytes;
	bool has_files; /* that one which was killed had just made there, and still are open */
	int owner;	/* a memwatch that is at work there now, or 0 */
	bool inherited; /* by fork: the stubs count for the parent, and do nothing here */
};
/* Takes the jumps out (look: only counts). What is written is what the mapped files have there:
 * what the process's memory says of it is believed in nothing. host: as above. 0; -ESRCH; other
 * -errno with why. */
int fast__clean(int pid, const struct remote_host *host, bool look, struct fast_left *ret,
		char why[FAST_WHY]);

#endif
