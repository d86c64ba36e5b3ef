/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_store.h - the unwind tables that the kernel holds, by file, within a budget: what
 * unwind_maps finds is published here, and the table unused for longest goes. For one thread at a
 * time.
 */
#ifndef PROBE_UNWIND_STORE_H
#define PROBE_UNWIND_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "memwatch/unwind_row.h"
#include "probe/unwind_stats.h"

struct bpfobj;
struct unwind_table;

#define BUCKETS 4096
#define MAX_PENDING 64
#define MAX_FILES 8000 /* below the BPF table's size */

struct table_file {
	struct mw_unwind_key key;
	struct table_file *next;
	uint32_t state; /* enum mw_unwind_file_state */
	uint32_t slot;
	uint64_t bytes, rows;
	const uint64_t *words; /* the kernel's array, to be read; NULL: no table */
	size_t words_len;      /* bytes */
	pid_t owner;	  /* code of this process alone, see unwind_maps__add_code; 0: of a file */
	bool refused;	  /* for want of memory, or of its reader's time: try again when asked */
	uint64_t paid_by; /* the second: box_target.id of who had no time left; 0: the first */
};

/* A file on its way to the unwinder. */
struct pending_table {
	struct table_file *f; /* owned */
	struct mw_unwind_file v;
	int inner; /* its table, -1 if it has none */
};

struct unwind_store {
	struct bpfobj *o;
	uint64_t budget;
	int files_fd, tables_fd;
	struct table_file *buckets[BUCKETS];
	uint32_t n_files, n_owned, last_id;
	uint32_t *free_slots; /* a ring: a slot rests as long as possible before it is used again */
	uint32_t free_head, free_cnt, n_slots;
	struct pending_table pending[MAX_PENDING];
	uint32_t n_pending;
	uint64_t pending_bytes;
	struct unwind_maps_stats st;
};

/* Of a store that is all zero; budget: bytes of tables, 0: 256 MiB. 0 or -ENOMEM. */
int unwind_store__init(struct unwind_store *s, struct bpfobj *o, uint64_t budget);
void unwind_store__fini(struct unwind_store *s);

/* What is known of a file; NULL: nothing. */
struct table_file *unwind_store__find(struct unwind_store *s, const struct mw_unwind_key *key);
/* Takes the file out of everything. */
void unwind_store__drop(struct unwind_store *s, struct table_file *f);
/* What a table takes in the kernel. */
uint64_t unwind_store__table_bytes(const struct unwind_table *t);
/* Makes room for a table. 0 or -ENOSPC. */
int unwind_store__make_room(struct unwind_store *s, uint64_t bytes);
/* Prepares a file for the unwinder, effective with the next flush; t NULL: one without a table, for
 * want of memory if refused. 0 or -errno. */
int unwind_store__publish(struct unwind_store *s, const struct mw_unwind_key *key,
			  const struct unwind_table *t, bool refused);
/* Makes the pending files known to the unwinder. 0 or -errno. */
int unwind_store__flush(struct unwind_store *s);

#endif
