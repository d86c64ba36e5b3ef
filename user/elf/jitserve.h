/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jitserve.h - names of a process's generated code, in a helper (sys/box.h): the files that the
 * process wrote about itself, read as they grow.
 *
 * FILES brings descriptors, in the order of the flags that are set; a file that is brought again
 * takes the place of the one before. GROWN: the files may have grown. LOOKUP is symserve.h's
 * SYM_LOOKUP with addresses, its answers too.
 */
#ifndef ELF_JITSERVE_H
#define ELF_JITSERVE_H

#include "elf/symserve.h"

enum { JIT_FILES = 1, JIT_GROWN, JIT_LOOKUP };
enum { JIT_PERF = 1, JIT_DUMP = 2 }; /* uint32_t with FILES */

void jitserve__serve(struct box_conn *c, struct box_request *r);

#endif
