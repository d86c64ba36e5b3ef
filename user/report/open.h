/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * open.h - what the command line of report names as one profile: files read, added up, others
 * subtracted. Failures are logged.
 */
#ifndef REPORT_OPEN_H
#define REPORT_OPEN_H

#include "report/recording.h"

struct open_names {
	char **name; /* borrowed texts */
	size_t n, cap;
};

struct open_sources {
	struct open_names files, bases;
	bool diff_base;	       /* percentages are to be relative to the bases */
	bool normalize;	       /* scaled to the sum of the bases */
	const char *survivors; /* an earlier moment of the same run; NULL */
	struct recording_window window;
};

int open__add(struct open_names *n, char *name); /* 0 or -ENOMEM */

/*
 * compact: as merging leaves it, equal samples as one; else the same in all sums. 0 or a negative
 * errno that has been told.
 */
int open__profile(const struct open_sources *s, bool compact, struct profile **ret);

/* What pprof does to a profile before it is reported: frames of drop_frames go, locations get a
 * mapping. json: not the former. 0 or a negative errno. */
int open__prepare(struct profile *p, bool all_frames);

/* A sample type by number or name (NULL: the default); -ENOENT. */
int open__find_type(const struct profile *p, const char *name);
/* Says what there is, and what was probably meant; option: as the user wrote it. */
void open__no_such_type(const struct profile *p, const char *option, const char *name);

#endif
