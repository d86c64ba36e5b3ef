/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_box.h - a file's unwind table, built by a helper without privileges (sys/box.h).
 *
 *	unwind_request__new(fd, &r);
 *	... unwind_request__fd(r) becomes readable ...
 *	unwind_request__finish(r, &table);
 */
#ifndef ELF_UNWIND_BOX_H
#define ELF_UNWIND_BOX_H

#include "elf/unwind_table.h"
#include "sys/box.h"

struct unwind_request;

/* Asks for the table of the ELF file behind fd (borrowed for the call). 0 or as box_helper__new. */
int unwind_request__new(int fd, struct unwind_request **ret);
/* Readable when __finish will not wait. */
int unwind_request__fd(const struct unwind_request *r);
/*
 * Waits if it must; frees r. What comes is checked (unwind_table__check): whatever the helper says,
 * it is a table. 0; as unwind_table__from_elf; as box_helper__receive.
 */
int unwind_request__finish(struct unwind_request *r, struct unwind_table **ret);
/* Nobody wants it any more. */
void unwind_request__free(struct unwind_request *r);

/* The helper's side. */
void unwind_box__serve(struct box_conn *c, struct box_request *r);

#endif
