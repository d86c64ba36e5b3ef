/* SPDX-License-Identifier: GPL-2.0-or-later */
/* recording.h - recordings (--record) as input of report: a moment, a window, verdicts. */
#ifndef REPORT_RECORDING_H
#define REPORT_RECORDING_H

#include "format/record.h"
#include "model/profile.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct recording_window {
	bool has_from, has_to;
	uint64_t from_ns, to_ns; /* since the start of the recording */
	uint32_t pid;	     /* verdicts: of this process alone; 0: of all, one after the other */
	double leak_after_s; /* verdicts: of trend__judge */
};

/* The profile at the window's end, or with has_from what changed in the window. -EBADMSG,
 * -EINVAL (an empty window), with a reason; -ENOMEM. */
int recording__profile(const void *buf, size_t len, const struct recording_window *w,
		       struct profile **ret, const char **ret_why);

/* Prints the verdicts of the `top` stacks that matter most in a recording. 0, -EBADMSG and the
 * like. */
int recording__verdicts(FILE *f, const void *buf, size_t len, const struct recording_window *w,
			size_t top, const char **ret_why);
/* The same as a JSON array: [{leak, bytes, text, frames: [innermost first]}]. 0 or -errno. */
int recording__verdicts_json(FILE *f, const void *buf, size_t len, size_t top);
/* Its elements: verdicts on samples of p. */
int recording__put_verdicts(FILE *f, const struct profile *p, const struct record_verdict *v,
			    size_t n);

#endif
