/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alloc_box.h - what of a file allocates, where to probe it, and who the file is: found by a helper
 * without privileges (sys/box.h). What the helper answers is checked to be well-formed; that it is
 * true nobody can say, but it is about that file alone.
 */
#ifndef ELF_ALLOC_BOX_H
#define ELF_ALLOC_BOX_H

#include "elf/elfobj.h"
#include "elf/inner.h"
#include "elf/site.h"
#include "elf/usdt.h"
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
	struct inner_range *inner; /* malloc'ed: code of a program or C library that only its
				    * allocator runs */
	size_t ninner;
	struct usdt_site *usdt; /* malloc'ed: probes of a sampler that the file has itself */
	size_t nusdt;
	char usdt_why[USDT_WHY]; /* why its probes cannot be used; "": they can, or it has none */
};

/*
 * Asks about the file behind fd (borrowed for the call) on behalf of a process (NULL: of none);
 * several may be asked about at once; name_only: its build-id alone, which costs little. 0 or as
 * box_helper__new.
 */
struct alloc_request;
int alloc_request__new(int fd, const struct box_target *whose, bool name_only,
		       struct alloc_request **ret);
/* Whether finish will not wait: box_helper__await. */
bool alloc_request__await(struct alloc_request *r, uint64_t until_ns);
/* Waits for the answer; frees r. 0; -ENOEXEC, -EBADMSG: no ELF to work with; -E2BIG; as
 * box_helper__receive; other errno. */
int alloc_request__finish(struct alloc_request *r, struct alloc_found *ret);
void alloc_request__free(struct alloc_request *r);
void alloc_found__free(struct alloc_found *f);

/* What is in the helper's memory file, decoded: apart for tests. 0, -EBADMSG or -ENOMEM. */
int alloc_box__decode(const void *data, size_t len, struct alloc_found *ret);

/* The helper's side. */
void alloc_box__serve(struct box_conn *c, struct box_request *r);

#endif
