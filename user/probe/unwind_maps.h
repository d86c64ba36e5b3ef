/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_maps.h - gives the BPF unwinder (bpf/unwind.h) its tables.
 *
 * Files are identified by the kernel's own inode key, reported by an iterator over mappings, so
 * one table serves all processes that map the file. Tables come from the disk cache or are built
 * from the file (opened through /proc/PID/map_files, so deleted files and other mount namespaces
 * work). Memory is bounded; beyond the budget the table unused for longest goes. All functions
 * may be called from any thread; files that turn up later are loaded by a thread of its own.
 */
#ifndef PROBE_UNWIND_MAPS_H
#define PROBE_UNWIND_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "memwatch/wire.h"

struct bpfobj;
struct unwind_maps;

struct unwind_maps_opts {
	const char *state_dir; /* of the disk cache; NULL: none */
	uint64_t budget_bytes; /* of tables in the kernel; 0: 256 MiB */
};

struct unwind_maps_stats {
	uint32_t files;	   /* with a table now */
	uint32_t no_table; /* known to have no unwind information (or none that can be read) */
	uint64_t bytes, rows;
	uint64_t built, cached;		   /* tables made from files, tables read from disk */
	uint64_t evicted, refused, failed; /* for want of memory; refused: frame pointers instead */
	uint64_t bad_records, unsupported, truncated; /* of the unwind information read */
	uint64_t build_ns;			      /* spent on reading and building */
	uint64_t wanted;			      /* asked for by the unwinder */
};

/* After bpfobj__load, of an object whose plan has tables. `o` stays borrowed until __free. */
int unwind_maps__new(struct bpfobj *o, const struct unwind_maps_opts *opts,
		     struct unwind_maps **ret);
void unwind_maps__free(struct unwind_maps *m);

/*
 * Loads the tables of everything the process maps executable. wait: returns when they are there,
 * else at once. 0 or a negative errno (-ESRCH: no such process).
 */
int unwind_maps__add_process(struct unwind_maps *m, pid_t pid, bool wait);

/* The process is gone. */
void unwind_maps__forget_process(struct unwind_maps *m, pid_t pid);

/* An MW_EV_UNKNOWN_FILE event; returns at once. */
void unwind_maps__on_unknown_file(struct unwind_maps *m, const struct mw_ev_file *ev);

/* Waits until nothing is queued. */
void unwind_maps__drain(struct unwind_maps *m);

void unwind_maps__stats(struct unwind_maps *m, struct unwind_maps_stats *ret);

#endif
