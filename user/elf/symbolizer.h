/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symbolizer.h - names for addresses: function, source file and line, inlined frames.
 *
 * Works on modules (files, identified by device, inode, size and time of change; never by their
 * build-ids, which anybody can copy) and never on processes: whoever knows the process hands over
 * an open descriptor. The files are read in helper processes without privileges (sys/box.h), one
 * for each; what breaks its helper or takes too long has no names, and a line says so. Debug
 * information is looked for in this order: the file's own .symtab and DWARF, .gnu_debugdata
 * (MiniDebugInfo), a detached file by build-id and by debuglink (below the target's root first,
 * build-id or CRC checked, a mismatch is reported and not used), debuginfod if configured.
 * Lazy: nothing is read before the first look-up in a module. Bounded: answers and their names are
 * kept per module, and given up least-recently-used beyond the memory budget; files that nobody has
 * mapped any more are closed (symbolizer__keep).
 */
#ifndef ELF_SYMBOLIZER_H
#define ELF_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/box.h"

#define SYMBOLIZER_MAX_INLINE 32

struct symbolizer;
struct symbolizer_module;

struct symbolizer_opts {
	bool no_lines;	     /* names only: no DWARF line tables and inlines */
	size_t budget_bytes; /* 0: default 256 MiB */
};

struct symbolizer_frame {	 /* strings are borrowed until the next look-up */
	const char *name;	 /* demangled; NULL if unknown */
	const char *system_name; /* as in the symbol table; NULL if unknown */
	const char *file;	 /* source file, NULL if unknown */
	uint32_t line;		 /* 0 if unknown */
	uint32_t start_line;	 /* of the function, 0 if unknown */
	bool inlined;		 /* inlined into the next frame */
};

int symbolizer__new(const struct symbolizer_opts *opts, struct symbolizer **ret);
void symbolizer__free(struct symbolizer *s);

/*
 * Registers a module. `fd` is duplicated. `path` is the file's name as the target sees it and
 * `rootfd` the directory below which it is that (-1: our own root), both copied. The same file
 * registered twice below the same root gives the same module, which is read on behalf of the first
 * process (NULL: of none). 0 or a negative errno.
 */
int symbolizer__module(struct symbolizer *s, int fd, const char *path, int rootfd,
		       const struct box_target *whose, struct symbolizer_module **ret);
/*
 * For a life of months: closes the files that are none of these (descriptors, n of them), and ends
 * their helpers. What is known of them stays, within the budget and for the 64 used last, until the
 * same file is registered again; the modules given out before are no more.
 */
void symbolizer__keep(struct symbolizer *s, const int *fds, size_t n);
/* From now on it may be read on behalf of this process as well: when the others' time is used up.
 */
void symbolizer_module__charge(struct symbolizer *s, struct symbolizer_module *m,
			       const struct box_target *whose);
/* Lower-case hex, "" if none (or none that a helper could read). */
const char *symbolizer_module__build_id(struct symbolizer *s, struct symbolizer_module *m);
/* Others than root and this user may write the file: it may be made to take long. */
bool symbolizer_module__is_foreign(const struct symbolizer_module *m);
/* "" or one sentence on what is wrong (mismatching debug file, malformed tables). */
const char *symbolizer_module__note(struct symbolizer_module *m);

/*
 * Names the code at file offset `off` (already pc-1 for return addresses). Writes up to `max`
 * frames, innermost inlined function first; returns how many (0: nothing known).
 */
int symbolizer__lookup(struct symbolizer *s, struct symbolizer_module *m, uint64_t off,
		       struct symbolizer_frame *frames, int max);

/*
 * Looks many addresses up at once, so that symbolizer__lookup then has the answers: many times
 * faster than one by one where there is DWARF, which another process reads. 0 or -ENOMEM.
 */
int symbolizer__prefetch(struct symbolizer *s, struct symbolizer_module *m, const uint64_t *offs,
			 size_t n);

/* What went wrong, by cause, and what it takes. Counted since symbolizer__new. */
struct symbolizer_stats {
	uint64_t lookups, unnamed;		/* distinct addresses without a name */
	uint64_t malformed;			/* tables that could not be read (fully) */
	uint64_t mismatches;			/* debug files that belong to another build */
	uint64_t dwarf_timeouts, dwarf_crashes; /* helpers lost to a file */
	uint64_t names_dropped;			/* names beyond the memory budget */
	uint64_t evictions;			/* modules dropped to keep the budget */
	/* now: */
	uint64_t bytes;		     /* of memory, with the helpers' */
	uint64_t files, descriptors; /* known, and open for them */
};
void symbolizer__stats(const struct symbolizer *s, struct symbolizer_stats *ret);

/*
 * Symbols of code that is in no file: perf-PID.map and jitdump files, and the vDSO. Cheap, and to
 * be called early: what is open survives the process. The same process gives the same object, which
 * the symbolizer owns. 0; -ESRCH: no such process, and none known.
 */
struct symbolizer_jit;
int symbolizer__jit(struct symbolizer *s, int pid, const char *root, struct symbolizer_jit **ret);
/* Gives it back before the symbolizer ends; accepts NULL. */
void symbolizer_jit__free(struct symbolizer_jit *j);
int symbolizer_jit__lookup(struct symbolizer_jit *j, uint64_t pc, struct symbolizer_frame *frames,
			   int max);

#endif
