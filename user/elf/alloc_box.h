/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alloc_box.h - what of a file allocates, where to probe it, and who the file is: found by a helper
 * without privileges (sys/box.h). What the helper answers is checked to be well-formed; that it is
 * true nobody can say, but it is about that file alone.
 */
#ifndef ELF_ALLOC_BOX_H
#define ELF_ALLOC_BOX_H

#include "elf/elfobj.h"
#include "elf/site.h"
#include "sys/box.h"

struct alloc_found {
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	bool has_symbols;     /* something to look for allocators in */
	bool starts_programs; /* it is the C library */
	bool is_library;      /* a shared object that is not started itself */
	bool malformed;	      /* its symbol table: what came before the damage is used */
	bool exits_missing;   /* not every way out of the functions that throw is known */
	struct site *sites;   /* malloc'ed, NULL if there are none */
	size_t nsites;
	uint64_t *
		exits; /* malloc'ed: file offsets of the ret instructions of functions that throw */
	size_t nexits;
};

/* 0; -ENOEXEC, -EBADMSG: no ELF to work with; -E2BIG; as box_helper__receive; other errno. */
int alloc_box__find(int fd, struct alloc_found *ret);
void alloc_found__free(struct alloc_found *f);

/* What is in the helper's memory file, decoded: apart for tests. 0, -EBADMSG or -ENOMEM. */
int alloc_box__decode(const void *data, size_t len, struct alloc_found *ret);

/* The helper's side. */
void alloc_box__serve(struct box_conn *c, struct box_request *r);

#endif
