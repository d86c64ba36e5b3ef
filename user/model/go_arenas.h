/* SPDX-License-Identifier: GPL-2.0-or-later */
/* go_arenas.h - the memory of Go's runtime, by where it lies and what the kernel was told to call
 * it. Pure. */
#ifndef MODEL_GO_ARENAS_H
#define MODEL_GO_ARENAS_H

#include "model/heap_memory.h"
#include "model/ledger_share.h"

/* As a contributor (contributors.h). */
enum ledger_kind go_arenas__classify(const struct ledger_input *in, size_t i);
int go_arenas__find(const struct heap_memory *m, struct ledger_share *ret);

#endif
