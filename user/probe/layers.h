/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layers.h - what lies behind a file of an overlay (bpf/probe_layers.bpf.c). */
#ifndef PROBE_LAYERS_H
#define PROBE_LAYERS_H

#include <stdbool.h>

/* Whether none of the file systems that this file of an overlay may come from is one that another
 * user provides. False where that cannot be told. Waits for no file system; any thread may. The
 * first call takes some 20 ms, others microseconds. */
bool layers__are_ours(int fd);

#endif
