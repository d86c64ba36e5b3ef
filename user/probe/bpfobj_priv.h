/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpfobj_priv.h - the BPF object from inside: for the probes, in this room alone. */
#ifndef PROBE_BPFOBJ_PRIV_H
#define PROBE_BPFOBJ_PRIV_H

#include <bpf/libbpf.h>

#include "probe/bpfobj.h"
#include "probe/event_reader.h"

/* types of the knobs that the skeleton lays open */
#include "memwatch/alloc.h"
#include "memwatch.skel.h"

struct bpfobj {
	struct plan plan;
	struct memwatch_bpf *skel;
	struct event_reader *reader; /* NULL until bpfobj__ring */
};

/* bpf_program__attach with the privilege that it takes. NULL: errno. */
struct bpf_link *bpfobj__attach(const struct bpf_program *prog);
/* The same at a tracepoint of system calls, whichever the program declares. */
struct bpf_link *bpfobj__attach_call(const struct bpf_program *prog, const char *name);

#endif
