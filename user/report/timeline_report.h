/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_report.h - what a file of timelines tells: a row for each process, what its memory did.
 */
#ifndef REPORT_TIMELINE_REPORT_H
#define REPORT_TIMELINE_REPORT_H

#include <stdio.h>

#include "core/rx.h"
#include "format/timeline_read.h"
#include "report/recording.h"

struct timeline_report {
	const char *path;
	char *const *output; /* files that are written: .csv, .json, .svg, .html */
	size_t noutputs;
	bool json, quiet;		/* JSON on stdout instead of text; nothing there */
	int top;			/* rows; negative: 20 */
	uint32_t pid;			/* 0: all */
	struct rx *focus, *ignore;	/* of names; NULL: any */
	struct recording_window window; /* of times after the first row; leak_after_s */
};

/* Leaves the processes and rows that are meant. How many processes are left. */
size_t timeline_report__choose(struct timelines *t, const struct timeline_report *r);

/* The processes with the highest RSS first; of a single one its marks and its verdict. 0 or a
 * negative errno. */
int timeline_report__print(FILE *f, const struct timelines *t, const struct timeline_report *r);

/* Reads, chooses, writes and prints. 0 or a negative errno that has been told. */
int timeline_report__run(const struct timeline_report *r);

#endif
