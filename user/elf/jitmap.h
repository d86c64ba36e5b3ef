/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jitmap.h - names of generated code, from what the code's generator writes for perf.
 *
 * perf-PID.map is text, "start size name" a line, appended to while the program runs. jitdump is
 * binary: code loaded, moved, and its source lines. Addresses are reused as code is thrown away;
 * the entry written last is the one that holds.
 */
#ifndef ELF_JITMAP_H
#define ELF_JITMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JITMAP_MAX_ENTRIES (4u << 20)
#define JITMAP_MAX_BYTES (512u << 20) /* read from one file */

struct jitmap_entry {
	uint64_t start, end;
	uint32_t seq;  /* the higher, the later */
	uint32_t name; /* offset in the texts */
};

struct jitmap_line {
	uint64_t addr;	     /* from here to the next */
	uint32_t line, file; /* file: offset in the texts */
};

struct jitmap {
	/* By start: the first n_old, and apart from them the rest, so that a map that grows is not
	 * sorted anew each time. */
	struct jitmap_entry *entries;
	uint64_t *max_end; /* of either part's entries so far */
	struct jitmap_line *lines;
	char *text;
	size_t n, n_old, cap, max_end_cap, nlines, lines_cap, text_len, text_cap;
	uint32_t seq;
	size_t skipped;	   /* lines or records that make no sense */
	size_t move_sorts; /* sorts because code moved; limited */
	char sorted, lines_sorted;
};

void jitmap__clear(struct jitmap *m);
/*
 * Adds the whole lines of text; returns how many bytes that were (the rest is still being
 * written), or a negative errno: -ENOMEM, -E2BIG (too many entries).
 */
ssize_t jitmap__add_perf(struct jitmap *m, const char *text, size_t len);
/*
 * Adds the whole records of a jitdump file's contents; `at_start`: data begins with the file's
 * header. Returns the bytes used; -EBADMSG: not a jitdump, or its records make no sense.
 */
ssize_t jitmap__add_dump(struct jitmap *m, const uint8_t *data, size_t len, int at_start);

/* Both NULL if nothing is known. Borrowed until the map changes. */
struct jitmap_found {
	const char *name, *file;
	uint32_t line;
};
struct jitmap_found jitmap__find(struct jitmap *m, uint64_t pc);

#endif
