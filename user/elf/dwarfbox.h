/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarfbox.h - dwarfinfo.h for files that nobody vouches for.
 */
#ifndef ELF_DWARFBOX_H
#define ELF_DWARFBOX_H

#include "elf/dwarfinfo.h"

#include <stddef.h>

struct dwarfbox;

int dwarfbox__new(size_t budget_bytes, struct dwarfbox **ret);
void dwarfbox__free(struct dwarfbox *b);

/*
 * Frames at vaddr of file `id` (the caller's number, small and dense), whose DWARF is behind fd
 * and alt_fd (-1: none); both are borrowed for the call. Strings are borrowed until the next call.
 * 0: nothing known; -EBADMSG: malformed; -ETIMEDOUT: took longer than a second of processor time;
 * -EFAULT: the parser crashed or ran out of its memory. After a negative result the caller should
 * not ask about this file again.
 */
int dwarfbox__lookup(struct dwarfbox *b, uint32_t id, int fd, int alt_fd, uint64_t vaddr,
		     struct dwarfinfo_frame *frames, int max);
/* The file's data may be dropped; it is opened again when asked about. */
void dwarfbox__forget(struct dwarfbox *b, uint32_t id);

/* Demangles under the same guard; the result is borrowed until the next call. */
const char *dwarfbox__demangle(struct dwarfbox *b, const char *name);

#endif
