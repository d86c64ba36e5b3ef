/* SPDX-License-Identifier: GPL-2.0-or-later */
/* question.h - what a request to /debug/pprof/ asks for, and of whom. Pure. */
#ifndef DAEMON_QUESTION_H
#define DAEMON_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/choice.h"
#include "http/http.h"

enum question_kind {
	QUESTION_HEAP,
	QUESTION_ALLOCS,
	QUESTION_GOROUTINE,
	QUESTION_RESIDENT, /* by sampled page faults */
	QUESTION_CMDLINE,
	QUESTION_SYMBOL,
	QUESTION_INDEX,
	QUESTION_UNKNOWN
};

/* "heap", …, by kind; the index's is "". */
extern const char *const question_names[];

/* "/debug/pprof/heap", and "/p/PID/debug/pprof/heap" (*ret_pid, else 0). False: neither. */
bool question__path(const char *path, uint32_t *ret_pid, enum question_kind *ret);
/* What ?pid=, ?unit=, ?comm=, … say; the path may say the PID. 0, -EINVAL with why, -ENOMEM. */
int question__choice(const struct http_request *r, uint32_t path_pid, uint32_t *ret_pid,
		     struct choice *ret, char why[CHOICE_WHY]);
/* "?seconds=N", from 0 to max; 0 where it is not asked for. 0 or -EINVAL. */
int question__number(const struct http_request *r, const char *name, long max, long *ret);

/* A parameter that is given twice, though one alone would be used; NULL: there is none. */
const char *question__twice(const struct http_request *r);

#endif
