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
#include "probe/unwind_stats.h"

struct bpfobj;
struct unwind_maps;
struct unwind_table;

struct unwind_maps_opts {
	const char *state_dir; /* of the disk cache; NULL: none */
	uint64_t budget_bytes; /* of tables in the kernel; 0: 256 MiB */
	uint64_t patience_ns;  /* of unwind_maps__finish, for one stack; 0: some seconds */
};

/* After bpfobj__load, of an object whose plan has tables. `o` stays borrowed until __free. */
int unwind_maps__new(struct bpfobj *o, const struct unwind_maps_opts *opts,
		     struct unwind_maps **ret);
void unwind_maps__free(struct unwind_maps *m);

/*
 * Loads the tables of everything the process maps executable. wait_ns: returns when they are there,
 * but not later; what is not is loaded meanwhile. UINT64_MAX: as long as it takes. 0 or a negative
 * errno (-ESRCH: no such process, where it was waited for without end).
 */
int unwind_maps__add_process(struct unwind_maps *m, pid_t pid, uint64_t wait_ns);

/*
 * The code in the file behind fd, which the process maps at `start`, unwinds by this table, which
 * the file says nothing of. It stays until __forget_code. 0 or a negative errno (-ENOENT: nothing
 * is mapped there; -ESTALE: another file).
 */
int unwind_maps__add_code(struct unwind_maps *m, pid_t pid, uint64_t start, int fd,
			  const struct unwind_table *t);
void unwind_maps__forget_code(struct unwind_maps *m, pid_t pid);

/* The process is gone. */
void unwind_maps__forget_process(struct unwind_maps *m, pid_t pid);

/* An MW_EV_UNKNOWN_FILE event; returns at once. */
void unwind_maps__on_unknown_file(struct unwind_maps *m, const struct mw_ev_file *ev);

/*
 * Finishes a walk that the kernel could not (an event that copied_stacks__whole), when the table is
 * there: waits for it, some seconds at most, or as the options say. pc has room for MW_MAX_FRAMES.
 * How the stack ended. To be called from one thread.
 */
enum mw_stack_end unwind_maps__finish(struct unwind_maps *m, const struct mw_ev_copy *ev,
				      uint64_t *pc, uint32_t *ret_n);

/* Waits until nothing is queued. */
void unwind_maps__drain(struct unwind_maps *m);

void unwind_maps__stats(struct unwind_maps *m, struct unwind_maps_stats *ret);

#endif
