/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_cache.h - unwind tables on disk in STATE_DIR/unwind, each under the SHA-256 of the whole
 * file that it was made from: no other file can be made to have it.
 *
 * A table is believed only if it is a regular file of this user that nobody else may write, and its
 * size, version, checksum, digest and structure are right. Everything else is ignored and rebuilt.
 * The directory is bounded; the oldest files go first. Not thread-safe.
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

/* digest: as digest__file writes it. 0 with a table to free; -ENOENT; -EBADMSG: damaged or hostile
 * (removed). */
int unwind_cache__load(struct unwind_cache *c, const char *digest, struct unwind_table **ret);
int unwind_cache__store(struct unwind_cache *c, const char *digest, const struct unwind_table *t);

#endif
