/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * debugimage.h - a file's debug sections as libdw can read them. What it may not know (zstd, which
 * elfutils reads from 0.189 on if it was built so) or does not look for (.zdebug_*) is unpacked
 * into a file in memory that has the debug sections alone.
 */
#ifndef ELF_DEBUGIMAGE_H
#define ELF_DEBUGIMAGE_H

#include "elf/elfobj.h"

/* A descriptor to read the file's DWARF from, to be closed by the caller: the file itself where
 * that will do. -EOPNOTSUPP: compressed in a way that is not known; other negative errno. */
int debugimage__open(const struct elfobj *e);

#endif
