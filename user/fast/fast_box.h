/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fast_box.h - a plan of fast mode made from the target's file by a helper without privileges
 * (sys/box.h). What it answers is where functions begin, at most ENTRY_LOOK bytes of each, and why
 * others are left alone; this side decodes those bytes again, so that a plan is one that could have
 * been made here, and fast_plan__check compares them with the process's memory. A helper also reads
 * what the file has where stubs are taken out: it may be on a file system that does not answer.
 */
#ifndef FAST_FAST_BOX_H
#define FAST_FAST_BOX_H

#include "fast/fast_plan.h"
#include "sys/box.h"

/*
 * The file behind fd, of which a process maps what stands at `offset` at `start`, executable; sites
 * are those found in it, and are borrowed by the plan. 0 with a plan to __fini; -ENOEXEC: no ELF to
 * work with; as box_helper__receive. *ret_bias: address of vaddr 0.
 */
int fast_box__plan(int fd, const struct box_target *whose, const struct site *sites, size_t n,
		   uint64_t start, uint64_t offset, struct fast_plan *plan, uint64_t *ret_bias);

/* ENTRY_PATCH bytes of the file at each of n offsets, at most STUB_MAX_FUNCS. 0; -ENODATA: it has
 * not as many; as box_helper__receive. */
int fast_box__bytes(int fd, const struct box_target *whose, const uint64_t *offsets, size_t n,
		    uint8_t (*bytes)[ENTRY_PATCH]);

/* The helper's side. */
void fast_box__serve(struct box_conn *c, struct box_request *r);

#endif
