/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unwind_box.h - a file's unwind table, built by a helper without privileges (sys/box.h).
 *
 *	unwind_request__new(fd, whose, &r);
 *	... the helper works ...
 *	unwind_request__finish(r, &table);
 */
#ifndef ELF_UNWIND_BOX_H
#define ELF_UNWIND_BOX_H

#include "elf/unwind_table.h"
#include "sys/box.h"

struct unwind_request;

/* Asks for the table of the ELF file behind fd (borrowed for the call). 0 or as box_helper__new. */
int unwind_request__new(int fd, const struct box_target *whose, struct unwind_request **ret);
/*
 * Waits if it must; frees r. What comes is checked (unwind_table__check): whatever the helper says,
 * it is a table. 0; as unwind_table__from_elf; as box_helper__receive.
 */
int unwind_request__finish(struct unwind_request *r, struct unwind_table **ret);

/* The helper's side. */
void unwind_box__serve(struct box_conn *c, struct box_request *r);

#endif
