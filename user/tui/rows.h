/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rows.h - a profile as the rows of a table: stacks, functions, or callers and callees of one. */
#ifndef TUI_ROWS_H
#define TUI_ROWS_H

#include "core/rx.h"
#include "model/profile.h"
#include "model/watch.h"

enum rows_mode { ROWS_STACKS, ROWS_FUNCTIONS, ROWS_CALLERS, ROWS_CALLEES };
enum rows_sort { ROWS_BY_FLAT, ROWS_BY_CUM, ROWS_BY_RATE, ROWS_BY_NAME, ROWS_SORTS };
/* "flat", "cum", "rate", "name". */
extern const char *const rows_sorts[ROWS_SORTS];

struct row {
	uint64_t key;
	const char *name; /* of the function; of a stack those from the first that tells
			   * something, "f < caller", in front "[mmap]" or what else its labels say;
			   * borrowed, not escaped */
	const char *file; /* base name, "" if unknown */
	int64_t line;
	uint32_t sample; /* stacks: index into the profile */
	int64_t flat[WATCH_VALUES], cum[WATCH_VALUES];
	int64_t shown_flat, shown_cum; /* of the type shown, minus the mark */
	double rate;		       /* of flat (stacks) or cum (functions), per second */
};

struct rows {
	struct row *row;
	size_t n, cap;
	int64_t total; /* of the type shown */
	char **owned;  /* names that are no strings of the profile */
	size_t nowned, owned_cap;
};

struct rows_options {
	enum rows_mode mode;
	enum rows_sort sort;
	int type;
	bool since_mark, reverse;
	struct rx *filter; /* as --focus: names, files, modules; NULL: none */
	const char *focus; /* callers and callees: of which function */
};

void rows__clear(struct rows *r);
/* Fills r (cleared first) from a profile; brings the watch of functions up to date when tick is
 * set. 0 or -ENOMEM. Names are borrowed from the profile. */
int rows__fill(struct rows *r, const struct profile *p, const struct rows_options *o,
	       const struct watch *stacks, struct watch *functions);
/* The functions of a snapshot into their watch. 0 or -ENOMEM. */
int rows__watch_functions(const struct profile *p, struct watch *w, double t_s);

#endif
