/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * go_program.h - one running Go program, read from outside by a helper without privileges. This
 * side opens what there is to open, asks (go_client.h), and reads single words of the target's
 * memory where it has been told that they are.
 *
 * Nothing in the target is changed or stopped. A helper that breaks is replaced, a few times. One
 * thread at a time.
 */
#ifndef GO_GO_PROGRAM_H
#define GO_GO_PROGRAM_H

#include "go/go_client.h"
#include "model/profile.h"

#include <stdbool.h>
#include <stdint.h>

#define GO_WHY_LEN 320

struct go_program;

/* True if the process runs a Go program, whatever can be read of it. */
bool go_program__is_go(int pid);

/*
 * 0; -ESRCH; -EACCES; -ENOENT: not a Go program; -ENOTSUP: a Go release whose layout is not known,
 * or another machine; -EAGAIN: it has only just begun, and its runtime knows nothing yet; -EBADMSG:
 * its tables are damaged or its runtime does not look as it should (or it has begun so short a time
 * ago that its tables are not relocated); as box_helper__receive. `why` gets one sentence in each
 * of these cases.
 */
int go_program__open(int pid, struct go_program **ret, char why[GO_WHY_LEN]);
/* The same, but of a program that seems only to have begun it looks again for some seconds. */
int go_program__open_started(int pid, struct go_program **ret, char why[GO_WHY_LEN]);
void go_program__close(struct go_program *p); /* accepts NULL */

const struct go_facts *go_program__facts(const struct go_program *p);
int go_program__pid(const struct go_program *p);
const char *go_program__exe(const struct go_program *p);
int go_program__exe_fd(const struct go_program *p); /* borrowed */
const char *go_program__comm(const struct go_program *p);
/* False once it has ended or become another program. */
bool go_program__alive(const struct go_program *p);

/* Processor time of its helpers so far, ns. */
uint64_t go_program__cpu_ns(const struct go_program *p);

/* Single words; 0 or -errno. Garbage collections that have ended; runtime.mProfCycle; when the
 * runtime began, ns of CLOCK_MONOTONIC; the profiling rate. */
int go_program__collections(const struct go_program *p, uint32_t *ret);
int go_program__cycle(const struct go_program *p, uint32_t *ret);
int go_program__init_time(const struct go_program *p, uint64_t *ret);
int go_program__rate(const struct go_program *p, uint64_t *ret);
/* Is heap profiling off (runtime.MemProfileRate is 0)? False where that cannot be read. */
bool go_program__profiling_off(const struct go_program *p);
/* Writes the profiling rate: CHANGES THE TARGET. 0 or -errno. */
int go_program__set_rate(struct go_program *p, uint64_t rate);

/* The runtime's heap profile as of one moment. */
struct go_reading {
	struct go_heap_facts facts;
	struct go_samples samples; /* owned */
	int64_t unix_ms;	   /* when that was */
};

/*
 * 0; -EAGAIN: the runtime published at every attempt; -EBADMSG: the records are damaged; -ESRCH:
 * the process went away; -EDQUOT: the processor time for it is used up; others as
 * box_helper__receive. Each with one sentence in why. *ret is freed by go_reading__free.
 */
int go_program__heap(struct go_program *p, struct go_reading *ret, char why[GO_WHY_LEN]);
void go_reading__free(struct go_reading *r);

/* Its samples (with these labels besides), totals and a comment into a profile that has the four
 * heap sample types already. 0 or -errno. */
#define GO_HEAP_MAX_LABELS 7
int go_program__add(const struct go_program *p, const struct go_reading *r, struct profile *to,
		    const struct profile_label *labels, uint32_t nlabels);
/* As a profile with the types, period, labels and locations of Go's own. 0 or -errno. */
int go_program__profile(const struct go_program *p, const struct go_reading *r,
			struct profile **ret);

/* count NULL: not asked for. 0 or -errno (-ESRCH: gone). */
int go_program__memstats(struct go_program *p, struct go_memstats *ret,
			 struct go_goroutines_count *count);
/* The goroutine profile: sample type goroutine/count, label "state". 0 or -errno. */
int go_program__goroutines(struct go_program *p, struct profile **ret,
			   struct go_goroutines_count *ret_count);

#endif
