/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile.h - one profile at one moment, as plain data: what the live heap, the Go reader, the
 * page-fault recorder and the pprof and json readers produce, and what format/ and report consume.
 *
 * The shape is pprof's (profile.proto of github.com/google/pprof): samples with a stack of
 * locations, locations with inlined lines, functions, mappings, labels; everything else that
 * memwatch's own formats carry (totals, loss) stands beside it. Strings are u32 ids into one
 * table in which 0 is "". All indices below are 0-based; formats with 1-based ids convert.
 *
 * Pure: no I/O, no processes, no ELF. One thread at a time. Bounded by PROFILE_MAX_*: beyond
 * them adders return -E2BIG, and the caller counts what it could not add.
 */
#ifndef MODEL_PROFILE_H
#define MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/textstore.h"
#include "model/hist.h"
#include "model/ledger.h"

#define PROFILE_NONE UINT32_MAX
#define PROFILE_MAX_VALUES 8	     /* sample types of one profile */
#define PROFILE_MAX_ITEMS (1u << 27) /* strings, functions, locations, samples, …: of each */
#define PROFILE_MAX_LOSSES 1024	     /* causes */
#define PROFILE_MAX_LEDGERS 4096     /* processes */
#define PROFILE_MAX_STACK (1u << 30) /* stack entries of all samples together */
#define PROFILE_MAX_TEXT ((size_t)4 << 30) /* bytes of all strings together */

struct profile_mapping {
	uint64_t start, limit, offset; /* addresses in the process; offset in the file */
	uint32_t file, build_id;       /* strings; build-id in lower-case hex */
	bool has_functions, has_filenames, has_lines, has_inlines;
};

struct profile_function {
	uint32_t name;	      /* demangled, as shown */
	uint32_t system_name; /* as in the symbol table */
	uint32_t file;	      /* source file, 0 if unknown */
	int64_t start_line;
};

struct profile_line {
	uint32_t function;
	int64_t line; /* 0 if unknown */
	int64_t column;
};

struct profile_location {
	uint32_t mapping; /* PROFILE_NONE for pseudo-frames */
	uint64_t address; /* in the process; for return addresses the address of the call (pc-1) */
	uint32_t line0,
		nlines; /* into lines[]: innermost inlined function first; 0: not symbolised */
	bool is_folded;
};

struct profile_label {
	uint32_t key;
	uint32_t str; /* string value, 0 if numeric */
	int64_t num;
	uint32_t unit; /* of num */
};

struct profile_sample {
	uint32_t stack0, nstack; /* into stack[]: location indices, leaf first */
	uint32_t label0, nlabels;
	int64_t value[PROFILE_MAX_VALUES];
};

struct profile_value_type {
	uint32_t type, unit;
};

/* What was lost or could not be attributed, by cause. */
struct profile_loss {
	uint32_t cause; /* "ring full", "stack truncated", … */
	uint64_t count; /* events */
	uint64_t bytes; /* 0 where unknown */
};

struct profile_totals {
	double alloc_objects, alloc_bytes, free_objects, free_bytes, inuse_objects, inuse_bytes;
};

/* Sizes and lifetimes of one sample's blocks. */
struct profile_hist {
	uint32_t sample;
	struct hist hist; /* owned */
};

/* How many blocks of each age still live, of a sample large enough for a verdict. */
struct profile_ages {
	uint32_t sample;
	struct hist_ages ages;
};

/* Where the resident bytes of a process belonged at the moment of the profile. */
struct profile_ledger {
	uint32_t pid, comm; /* comm: a string */
	struct ledger ledger;
};

struct profile {
	/* Texts by id. They stay where they are while the profile grows: adders are often given
	 * what they or profile__text handed out. */
	const char **strings;
	size_t nstrings, strings_cap;
	size_t strings_len; /* bytes of all */
	struct textstore store;

	struct profile_mapping *mappings;
	size_t nmappings, mappings_cap;
	struct profile_function *functions;
	size_t nfunctions, functions_cap;
	struct profile_line *lines;
	size_t nlines, lines_cap;
	struct profile_location *locations;
	size_t nlocations, locations_cap;
	uint32_t *stack;
	size_t nstack, stack_cap;
	struct profile_label *labels;
	size_t nlabels, labels_cap;
	struct profile_sample *samples;
	size_t nsamples, samples_cap;

	struct profile_value_type sample_type[PROFILE_MAX_VALUES];
	size_t nvalues;
	uint32_t default_sample_type; /* 0: the last one */
	struct profile_value_type period_type;
	int64_t period;
	int64_t time_ns, duration_ns; /* wall clock; 0 if unknown */
	uint32_t drop_frames, keep_frames;
	uint32_t doc_url;
	uint32_t *comments;
	size_t ncomments, comments_cap;
	bool inuse_unknown; /* what is in use is not known (of one process at least) */

	/* what memwatch knows besides */
	bool difference; /* values are changes between two moments */
	uint32_t pid;
	uint32_t comm, cmdline;
	uint64_t sample_bytes;
	struct profile_totals totals;
	struct profile_loss *losses;
	size_t nlosses, losses_cap;
	struct profile_hist *hists; /* by sample, ascending; those that have one */
	size_t nhists, hists_cap;
	struct profile_ages *ages; /* by sample, ascending */
	size_t nages, ages_cap;
	struct profile_ledger *ledgers;
	size_t nledgers, ledgers_cap;
	uint32_t ages_ms;	       /* the time of this profile on the clock of the ages */
	struct hist_total *hist_total; /* NULL: no histograms; owned */

	/* De-duplication tables, private to profile.c. They catch up by themselves with elements
	 * that a reader appended to the arrays directly. */
	struct profile_index *index;
};

/* An empty profile. 0 or -ENOMEM. profile__free accepts NULL. */
int profile__new(struct profile **ret);
void profile__free(struct profile *p);

/* A copy to change, without losses, histograms, ages and ledgers. 0 or -ENOMEM. */
int profile__copy(const struct profile *p, struct profile **ret);

/*
 * Adders return the index of the (de-duplicated) element in *ret, and 0 or -ENOMEM/-E2BIG.
 * Strings need not be UTF-8; writers escape what their format cannot carry.
 */
int profile__string(struct profile *p, const char *text, uint32_t *ret);
int profile__string_n(struct profile *p, const char *text, size_t len, uint32_t *ret);
/* The same for several, up to the first that fails. */
struct profile_text {
	const char *text;
	uint32_t *ret;
};
int profile__strings(struct profile *p, const struct profile_text *t, size_t n);
int profile__mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret);
int profile__function(struct profile *p, const struct profile_function *f, uint32_t *ret);
/* Locations are unique by (mapping, address), those without an address by (mapping, lines); lines
 * are given the first time and copied. */
int profile__location(struct profile *p, uint32_t mapping, uint64_t address,
		      const struct profile_line *lines, size_t nlines, uint32_t *ret);
/* Additions in a row: what fails stays in err, and what follows is left; what is added has the
 * number 0 then. */
struct profile_adder {
	struct profile *p;
	int err;
};
uint32_t profile__add_string(struct profile_adder *a, const char *text);
uint32_t profile__add_string_n(struct profile_adder *a, const char *text, size_t len);
uint32_t profile__add_mapping(struct profile_adder *a, const struct profile_mapping *m);
uint32_t profile__add_function(struct profile_adder *a, const struct profile_function *f);
uint32_t profile__add_location(struct profile_adder *a, uint32_t mapping, uint64_t address,
			       const struct profile_line *lines, size_t nlines);
/* Looks a location up without adding it: true and *ret if there. */
bool profile__find_location(const struct profile *p, uint32_t mapping, uint64_t address,
			    uint32_t *ret);
/* A frame that is no code: "[lost: ring full]", "[mmap]". Unique by name. */
int profile__pseudo_location(struct profile *p, const char *name, uint32_t *ret);
/* Samples are appended, never merged. values has p->nvalues entries; labels may be NULL. */
int profile__sample(struct profile *p, const uint32_t *locations, size_t n, const int64_t *values,
		    const struct profile_label *labels, size_t nlabels);
int profile__comment(struct profile *p, const char *text);
int profile__loss(struct profile *p, const char *cause, uint64_t count, uint64_t bytes);
/* A copy of the histograms of the sample added last, or of some of all blocks. */
int profile__hist(struct profile *p, const struct hist *h);
int profile__hist_total(struct profile *p, const struct hist_total *t);
/* Without histograms from now on: who takes samples away or changes their order calls it. */
void profile__drop_hists(struct profile *p);
/* Ages of the blocks of the sample added last. */
int profile__ages(struct profile *p, const struct hist_ages *a);
/* A copy of a process's ledger. */
int profile__ledger(struct profile *p, uint32_t pid, const char *comm, const struct ledger *l);
/* NULL: this sample has none. */
const struct hist *profile__find_hist(const struct profile *p, uint32_t sample);
const struct hist_ages *profile__find_ages(const struct profile *p, uint32_t sample);

/* Text of a string id; "" for an id out of range. Borrowed until profile__free. */
const char *profile__text(const struct profile *p, uint32_t id);

/* Leaves the samples that `keep` wants, in their order, with their histograms and ages. */
void profile__keep_samples(struct profile *p,
			   bool (*keep)(const struct profile *p, const struct profile_sample *s,
					void *arg),
			   void *arg);

/*
 * How code without a name is called everywhere: "module+0x64ef7", the place in the file, which
 * means the same in every process; "0x7f12..." where no file is known. Appends the frame as a line
 * of a function of that name; 0, -ENOMEM, -E2BIG.
 */
#define PROFILE_PLACE_LEN 320
const char *profile__place(const struct profile *p, uint32_t mapping, uint64_t address, char *buf,
			   size_t len);
int profile__name_place(struct profile *p, uint32_t mapping, uint64_t address,
			struct profile_line *ret);

/* Index of the sample type called `name` ("inuse_space"), also with "inuse_" left off as pprof
 * allows; -ENOENT if there is none. NULL: the default one. */
int profile__find_type(const struct profile *p, const char *name);

/* Sets the four heap sample types in Go's order, period type, the default and drop_frames (the
 * allocators' own functions). */
int profile__set_heap_types(struct profile *p, uint64_t sample_bytes);
/* Whether its first sample types are these four. */
bool profile__is_heap(const struct profile *p);
/* The sum of one sample type, an index below nvalues. */
int64_t profile__sum(const struct profile *p, int type);
/* Appends resident_space to these four; the samples hold its values already, or 0. */
int profile__add_resident_type(struct profile *p);
/* The index of resident_space in a heap profile that has it; -ENOENT. */
int profile__resident_type(const struct profile *p);
/* Which of these is called `name` (PROFILE_INUSE_SPACE, …); -ENOENT if none is. */
int profile__heap_type(const char *name);
/* And what it is called. */
const char *profile__heap_type_name(int type);
enum {
	PROFILE_ALLOC_OBJECTS,
	PROFILE_ALLOC_SPACE,
	PROFILE_INUSE_OBJECTS,
	PROFILE_INUSE_SPACE,
	PROFILE_RESIDENT_SPACE, /* optional */
};

#endif
