/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hotspot.h - where a HotSpot in a process keeps its generated code (memwatch/jvm.h), read from the
 * tables that it exports for debuggers (gHotSpotVMStructs). What they say is the process's own
 * claim: it is used to read that process's memory, and bounded.
 */
#ifndef PROBE_HOTSPOT_H
#define PROBE_HOTSPOT_H

#include <stdint.h>
#include <linux/types.h>

#include "memwatch/jvm.h"
#include "sys/procmap.h"
#include "sys/procmem.h"

/* 0; -ENOENT: there is none in the process; -EAGAIN: it has no code yet; -EOPNOTSUPP: one whose
 * tables are others; -ESRCH, -EACCES. */
int hotspot__read(const struct procmap *maps, struct mw_jvm *ret);

/* As jvm_frame_words, of that memory. */
uint32_t hotspot__frame_words(const struct mw_jvm *j, struct procmem_cache *memory, uint64_t pc);

#endif
