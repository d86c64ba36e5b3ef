/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proc_probe.h - which processes the kernel reports on, and the tracepoints that tell of their
 * forks, execs, ends and mappings.
 */
#ifndef PROBE_PROC_PROBE_H
#define PROBE_PROC_PROBE_H

#include <stddef.h>
#include <stdint.h>

struct bpfobj;
struct proc_probe;

/* After load: attaches what the plan has of it. 0 or -errno; `why` then names what could not be
 * attached. */
int proc_probe__new(struct bpfobj *o, struct proc_probe **ret, char *why, size_t len);
/* Detaches; what is in the ring stays. NULL is fine. */
void proc_probe__free(struct proc_probe *p);

/* From now on the process is reported on under this index; or no more. These outlive the probe. The
 * end of `thread`, one of the process's, is told before the others' (0: of none). 0 or -errno. */
int proc_probe__add(struct bpfobj *o, int pid, uint32_t index, int thread);
void proc_probe__remove(struct bpfobj *o, int pid);
/* The same of one that only runs in the memory of the process with this index, until it ends or
 * calls exec. Removed only if it still is that. */
int proc_probe__add_sharer(struct bpfobj *o, int pid, uint32_t index);
void proc_probe__remove_sharer(struct bpfobj *o, int pid, uint32_t index);

/* The index is another process's from now on: its stacks are sent anew, where its brk area ends is
 * not known. 0 or -errno. */
int proc_probe__new_epoch(struct bpfobj *o, uint32_t index);
/* Where the process's brk area ends, for one that is known by no call of its own. 0 or -errno. */
int proc_probe__brk(struct bpfobj *o, uint32_t index, uint64_t end);

#endif
