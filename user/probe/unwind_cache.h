/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_cache.h - unwind tables on disk, one file per build-id in STATE_DIR/unwind.
 *
 * A file is believed only if it is a regular file of this user that nobody else may write, and its
 * size, version, checksum, the hash of the unwind information it was made from (so that a program
 * cannot pass its own table off under another's build-id) and the table's structure are right.
 * Everything else is ignored and rebuilt. The directory is bounded; the oldest files go first.
 * Not thread-safe.
 */
#ifndef PROBE_UNWIND_CACHE_H
#define PROBE_UNWIND_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "elf/unwind_table.h"

#define UNWIND_CACHE_BYTES (512ull << 20)

struct unwind_cache;

/* Opens (creating it) `state_dir`/unwind. 0 or a negative errno. */
int unwind_cache__open(const char *state_dir, struct unwind_cache **ret);
void unwind_cache__close(struct unwind_cache *c);

/* 0 with a table to free; -ENOENT; -EBADMSG: damaged or hostile (removed). */
int unwind_cache__load(struct unwind_cache *c, const char *build_id, uint64_t source,
		       struct unwind_table **ret);
int unwind_cache__store(struct unwind_cache *c, const char *build_id, uint64_t source,
			const struct unwind_table *t);

#endif
