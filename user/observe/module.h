/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * module.h - the ELF files mapped by the observed processes, each opened and looked through once,
 * however many processes map it. The descriptor stays open, so that symbols can still be read
 * when the process or the file is gone.
 *
 * A file is known by what stat() says of the descriptor, never by what maps says of a mapping: its
 * process may exchange what is mapped there, and btrfs shows files of two subvolumes as the same.
 * A file that is at its path below our own root is the same for all; of any other, one that is
 * mapped below two roots is two modules: what lies beside it below a root (debug files) is that
 * root's affair.
 */
#ifndef OBSERVE_MODULE_H
#define OBSERVE_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash_index.h"
#include "elf/elfobj.h"
#include "elf/inner.h"
#include "elf/site.h"
#include "elf/usdt.h"
#include "sys/box.h"
#include "sys/procmap.h"
#include "sys/rootdir.h"

/* A root directory that is not our own; owned by a table, which has each once. */
struct module_root {
	struct rootdir_id id;
	int fd;
	uint32_t users; /* processes and modules */
};

/* Whose mappings are looked at. */
struct module_process {
	const struct procmap *maps;
	struct module_root *root; /* NULL: our own */
	struct box_target account;
};

struct module {
	uint64_t dev, ino;	       /* of fd */
	uint32_t index;		       /* in the table */
	int fd;			       /* -1: could not be opened */
	int err;		       /* why not, or why it is no usable ELF; -EINPROGRESS: it is
					* read meanwhile, or will be */
	char *path;		       /* as the first process that maps it sees it */
	struct module_root *root;      /* below which that is; NULL: our own */
	struct box_target whose;       /* the process on whose behalf it was looked through */
	bool told;		       /* that it took too long, or broke its reader */
	struct alloc_request *request; /* its reader, which has not answered yet; NULL: none */
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	struct site *sites; /* allocator functions, NULL if there are none */
	size_t nsites;
	uint64_t *exits; /* file offsets of the ret instructions of functions that throw */
	size_t nexits;
	struct inner_range *inner; /* code that only its allocator runs, NULL if there is none */
	size_t ninner;
	struct usdt_site *usdt; /* probes of a sampler of its own, NULL if there are none */
	size_t nusdt;
	char usdt_why[USDT_WHY]; /* why those that it has cannot be used */
	bool is_allocator; /* a library that is an allocator and nothing else (not libc, no program)
			    */
	bool has_symbols;  /* something to look for allocators in */
};

#define MODULE_EXPECTED 16
#define MODULE_READ_ON 16   /* files that nobody waits for, at once */
#define MODULE_READ_ON_OF 4 /* of one process */

struct alloc_request;
struct module_expected { /* being looked through */
	const struct procmap_entry *entry;
	struct stat st;
	int fd;
	struct alloc_request *request;
};

struct module_table {
	struct module **modules;
	size_t n, cap;
	struct hash_index by_file; /* device and inode */
	struct module_root **roots;
	size_t nroots, roots_cap;
	struct module_expected expected[MODULE_EXPECTED];
	size_t n_expected;
	bool reads_on; /* readers are waited for until then alone (util__now_ns), and what they
			* say later is taken in by module_table__read_on */
	uint64_t until_ns;
	struct module *read_on[MODULE_READ_ON];
	size_t n_read_on;
	bool names_only; /* nobody asks for allocators: files are not looked through for them */
};

/*
 * The module behind a mapping; opened at the first call. Never fails for what the file is: an
 * unusable file gives a module with err set. -ENOMEM only.
 */
int module_table__get(struct module_table *t, const struct module_process *p,
		      const struct procmap_entry *e, struct module **ret);
/* Takes in what readers say by now that were not waited for. True: something is new: whoever has a
 * module with err -EINPROGRESS gets it again, which also has the next of them read. */
bool module_table__read_on(struct module_table *t);
/* The root of whoever has the PID now, to be given back; NULL: it is our own, or
 * not to be had. */
struct module_root *module_table__root(struct module_table *t, pid_t pid);
void module_table__put_root(struct module_table *t, struct module_root *r); /* NULL is fine */
/* Closes those that are not used (by index); the others have a new index. */
void module_table__keep(struct module_table *t, const bool *used);
/* At the end of a list of mappings: files that were looked at in advance and not asked for are let
 * go. */
void module_table__expect_none(struct module_table *t);
void module_table__fini(struct module_table *t);
size_t module_table__bytes(const struct module_table *t);

/* The same file, below whichever root. */
static inline bool module__same_file(const struct module *a, const struct module *b)
{
	return a == b || (a->fd >= 0 && b->fd >= 0 && a->dev == b->dev && a->ino == b->ino);
}

/* Is this file offset inside one of the module's allocator functions (anywhere in a library that
 * is an allocator: its functions leave by jumps, and no frame of theirs remains)? */
bool module__in_allocator(const struct module *m, uint64_t off);

/* May it lie over other allocators (elf/layer.h)? */
bool module__is_layer(const struct module *m);
/* Why a process with such a module is not sampled inside. */
#define MODULE_IS_LAYER \
	"it lies over another allocator, whose stubs cannot tell its calls from the program's"

#endif
