/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarfbox.h - dwarfinfo.h for files that nobody vouches for, in a process of its own: another
 * user, no privileges, no system calls but reading what it was given, bounded memory and processor
 * time. When it dies, the file that killed it is the caller's to give up on; the next request
 * starts another one.
 *
 * The process is forked by dwarfbox__new, while the caller is still small, and lives until
 * dwarfbox__free. It ignores the terminal's and the service manager's signals, so that profiles
 * can still be written after them. One thread at a time.
 */
#ifndef ELF_DWARFBOX_H
#define ELF_DWARFBOX_H

#include "elf/dwarfinfo.h"

#include <stddef.h>

struct dwarfbox;

/* budget_bytes: what parsed files may take in the process before some are dropped. */
int dwarfbox__new(size_t budget_bytes, struct dwarfbox **ret);
void dwarfbox__free(struct dwarfbox *b);

/*
 * Frames at vaddrs[0..n) of file `id` (the caller's number, small and dense), whose DWARF is behind
 * fd and alt_fd (-1: none); both are borrowed for the call. Many addresses in one call cost little
 * more than one. fn is called for each in order; nframes is 0 if nothing is known there; strings
 * are borrowed for that call. 0, or, with the answers so far delivered: -ENODATA: no DWARF;
 * -EBADMSG: malformed; -ETIMEDOUT: took longer than a second of processor time; -EFAULT: the
 * process died (crash, out of its memory). After a negative result do not ask about this file
 * again.
 */
typedef void (*dwarfbox_fn)(void *arg, size_t i, const struct dwarfinfo_frame *frames, int nframes);
int dwarfbox__lookup(struct dwarfbox *b, uint32_t id, int fd, int alt_fd, const uint64_t *vaddrs,
		     size_t n, dwarfbox_fn fn, void *arg);
/* The file's data may be dropped; it is handed over again when asked about. */
void dwarfbox__forget(struct dwarfbox *b, uint32_t id);

/* The process, for tests; -1 if there is none now. */
int dwarfbox__pid(const struct dwarfbox *b);

#endif
