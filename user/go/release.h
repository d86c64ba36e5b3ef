/* SPDX-License-Identifier: GPL-2.0-or-later */
/* release.h - what Go releases do differently, besides where fields lie (layout.h): a row each. */
#ifndef GO_RELEASE_H
#define GO_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct go_release {
	int minor; /* since 1.MINOR */
	/* Frames kept at most: of a record of the heap profile, of a goroutine's stack. */
	uint16_t profile_frames, goroutine_frames;
	uint8_t headroom_percent;  /* of the goal, kept below the memory limit; at least 1 MiB */
	bool prints_largest_scan;  /* the GC trace: as stacks, and not the last scan */
	bool has_internal_runtime; /* internal/runtime/... is the runtime's, too */
	const char *const *wait_reasons; /* by number; "" where it has no name of its own */
	size_t nwait_reasons;
};

/* The newest row that is not younger; the oldest for what is older than all. */
const struct go_release *go_release__of(int minor);

#endif
