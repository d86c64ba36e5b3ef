/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symclient.h - this process's side of symserve.h: one file's helper. Opens what the helper asks
 * for, and believes nothing of its answers but that they are texts.
 */
#ifndef ELF_SYMCLIENT_H
#define ELF_SYMCLIENT_H

#include "elf/symserve.h"

#define SYMCLIENT_ON_THEIR_WAY 2

struct symclient {
	struct box_helper *h; /* NULL: not running */
	struct sym_identity id;
	struct sym_loaded loaded;
	bool known, ready; /* id is told; the tables are read */
	struct {
		bool asked;	    /* the answer is still to come */
		bool found, loaded; /* debug files were looked for; the tables are read */
		int place;	    /* the next debug file, */
		size_t root;	    /* and below which root */
	} at;			    /* where symclient__load goes on */
	struct symclient_question { /* LOOKUPs, the first the one that is answered next */
		uint64_t off[SYM_BATCH];
		size_t n, done;
	} on_its_way[SYMCLIENT_ON_THEIR_WAY];
	size_t n_on_their_way;
	bool mismatched; /* a debug file was refused */
	char note[DEBUGFILE_NOTE];
};

struct symclient_file {
	int fd;				/* the file that runs */
	int rootfd;			/* stands for the target's root; -1: ours */
	const char *path;		/* below it */
	const struct box_target *whose; /* NULL: nobody's */
};

/* Starts the helper and asks who the file is. 0; -ENOEXEC, -EBADMSG: no ELF to work with; -EAGAIN:
 * this turn (box__turn) is over, to be gone on with by symclient__identify; other as
 * box_helper__new and __receive. */
int symclient__open(struct symclient *c, const struct symclient_file *f, bool no_lines);
int symclient__identify(struct symclient *c);
/* Has everything read that names come from. c->note gets a sentence if a debug file was refused.
 * -EAGAIN: goes on when it is called again. */
int symclient__load(struct symclient *c, const struct symclient_file *f);
void symclient__close(struct symclient *c);

struct symclient_frame { /* strings are borrowed for the call */
	const char *text[SYM_TEXTS];
	uint32_t line, start_line;
	bool inlined;
};

/*
 * Names at n file offsets; fn is called for each in order, err being what is wrong with the debug
 * information (0 or a negative errno). 0, or, with the answers so far delivered, -EAGAIN or as
 * box_helper__receive; then the helper is closed. After -EAGAIN symclient__catch_up comes first.
 */
typedef void (*symclient_fn)(void *arg, size_t i, const struct symclient_frame *f, int n, int err);
int symclient__lookup(struct symclient *c, const uint64_t *offs, size_t n, symclient_fn fn,
		      void *arg);

/* The answers to the first question that is on its way: to c->on_its_way[0], numbered from its
 * first offset on; it is none any more after 0. -EAGAIN; or as __lookup. */
int symclient__catch_up(struct symclient *c, symclient_fn fn, void *arg);

/* Decodes one answer to a LOOKUP: how many addresses it answers (at most max), each given to fn as
 * number first + i; -EBADMSG. For symclient__lookup, and apart for tests. */
ptrdiff_t symclient__decode(const void *data, size_t len, size_t first, size_t max, symclient_fn fn,
			    void *arg);

#endif
