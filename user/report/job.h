/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h - what one command line of report asks for, and doing it: profiles are read, added up or
 * subtracted, then printed, drawn, converted or put into the hands of the shell.
 */
#ifndef REPORT_JOB_H
#define REPORT_JOB_H

#include "report/open.h"
#include "report/settings.h"

enum job_mode {
	JOB_DEFAULT, /* the first functions, totals and losses; on a terminal the shell */
	JOB_REPORT,  /* one of pprof's */
	JOB_PICTURE, /* the call graph, drawn */
	JOB_SHELL,
	JOB_VERDICTS,
	JOB_HISTOGRAMS,
	JOB_JSON,
	JOB_LEDGER
};

struct report_job {
	enum job_mode mode;
	enum report_kind kind; /* of JOB_REPORT */
	const char *draw;      /* of JOB_PICTURE: the format */
	const char *param;     /* the functions that a report is about */
	const char *file;      /* where the report goes; NULL: stdout */
	struct settings s;
	struct open_sources from;
	struct open_names outputs, graphs;
	/* Set by report_job__run, of the shell: */
	struct shell_front *front;
	bool people; /* its lines are typed */
};

/* Frames or stacks are left out: numbers of everything do not fit what is shown. */
bool report_job__is_filtered(const struct report_job *a);

/*
 * Does it, without the privileges that it does not need and in a process that holds
 * nothing. What goes wrong is logged. An exit status (core/exit.h).
 */
int report_job__run(struct report_job *a);

/* Gives back the settings and the lists of names. */
void report_job__fini(struct report_job *a);

#endif
