/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gorelease.h - where Go releases differ in what memwatch reads, beside the offsets of fields
 * (go/layout_table.h): one row for each release that changed something.
 */
#ifndef ELF_GORELEASE_H
#define ELF_GORELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct go_release {
	int since; /* 1.SINCE and later, until the next row */
	/* Numbers of functions that the runtime treats in a way of its own (internal/abi). */
	uint8_t id_wrapper, id_gopanic, id_sigpanic, id_panicwrap;
	/* What a goroutine waits for, by number. */
	const char *const *wait_reasons;
	size_t nwait_reasons;
	/* Frames kept of a goroutine's stack and, at most, of a record of the heap profile. */
	uint32_t goroutine_frames, heap_frames;
	/* The goal of the memory limit leaves 3 % free (before: one MiB). */
	bool headroom_is_share;
	/* gctrace prints as stacks the last scan (before: the largest). */
	bool prints_last_stacks;
	/* Packages under this path are the runtime's too; NULL: none. */
	const char *runtime_path;
};

/* Of 1.MINOR; of the oldest row for what is older. */
const struct go_release *go_release__of(int minor);

#endif
