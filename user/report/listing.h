/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listing.h - the instructions around those that a profile's samples lead through, by the source
 * lines that they were made of; as `go tool pprof -weblist` chooses them.
 */
#ifndef REPORT_LISTING_H
#define REPORT_LISTING_H

#include "elf/disasm.h"
#include "report/report.h"

struct listing_frame {			/* strings are borrowed from the listing */
	const char *name, *system_name; /* "": unknown */
	const char *file;		/* cleaned; ".": unknown */
	int64_t line;
};

struct listing_insn {
	uint64_t vaddr, end;
	const char *text; /* NULL: only the profile knows of it; vaddr is the address there */
	int64_t flat, cum;
	const char *file; /* of the innermost frame; "": unknown */
	int64_t line;
	size_t frame0; /* into frames: innermost first */
	uint32_t nframes;
};

struct listing_file {
	const char *named; /* as it came, borrowed */
	char *clean;
};

/* An instruction below a source line. */
struct listing_entry {
	const char *file, *name; /* of the function */
	int64_t line;
	size_t insn;
	uint32_t ncallees; /* the first frames of the instruction: inlined at this line */
};

struct code_listing {
	struct listing_insn *insns;
	size_t ninsns, insns_cap;
	struct listing_frame *frames;
	size_t nframes, frames_cap;
	struct listing_entry *entries; /* by file, line and instruction */
	size_t nentries, entries_cap;
	struct listing_file *files;
	size_t nfiles, files_cap;
	struct disasm *code; /* owns texts */
	size_t ncode, code_cap;
	struct symbolizer *names;
	struct strpool *texts; /* owns names */
	int err;	       /* while it is put together: all that follows is left */
};

/* What functions, files and modules that match r->o.symbol, or hold the address which it is, lead
 * to. 0, -ENOENT: nothing matches; -ENOMEM. */
int listing__read(const struct report *r, struct code_listing *ret);
void listing__free(struct code_listing *l);

#endif
