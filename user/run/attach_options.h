/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach_options.h - the options that attach and run share, as an argp parser. */
#ifndef RUN_ATTACH_OPTIONS_H
#define RUN_ATTACH_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/options.h"
#include "probe/plan.h"
#include "run/selector_options.h"

#define ATTACH_MAX_PIDS 256
#define ATTACH_MAX_OUTPUTS 32

struct attach_options {
	int pids[ATTACH_MAX_PIDS];
	size_t npids;
	struct selector *selector; /* others, now and later; NULL: none. Owned */
	uint64_t duration_ns;	   /* 0: until interrupted or the target ends */
	uint64_t interval_ns;
	uint64_t leak_after_ns;			 /* of steady growth, until it is called a leak */
	const char *outputs[ATTACH_MAX_OUTPUTS]; /* borrowed from argv */
	size_t noutputs;
	const char *timeline;
	const char *http; /* where the page is served; "": a free port; NULL: not */
	const char *record, *peak, *peak_rss; /* files; NULL: not asked for */
	uint64_t sample_bytes;
	const char *sample_index; /* name of a heap sample type */
	int top;
	double max_overhead; /* percent of one CPU; 0: no limit */
	struct alert_options alert;
	int max_depth;	      /* frames of a stack; 0: all that can be kept */
	uint64_t patience_ns; /* as the observer's */
	struct plan_tuning tuning;
	bool fast; /* code in the targets instead of probes on every call */
	bool plain, follow, json, quiet, with_maps, ledger, histograms, touched;
	bool faults;	       /* page faults instead of allocations */
	bool faults_for_go;    /* since the targets are Go programs without a heap profile */
	bool faults_all;       /* of every process */
	uint32_t fault_period; /* page faults per sample; 0: the default */
	bool from_start;       /* the target was started under memwatch: no block is older */
	bool allow_signals;    /* keys of the view may send signals and set nice values */
	bool shares_terminal;  /* the target writes to it too: no full-screen view */
};

/* Fills in the defaults. */
void attach_options__init(struct attach_options *o);
/* Frees what the options own. */
void attach_options__clear(struct attach_options *o);

/* Can all files that are asked for be written? All that cannot are said. 0 or -errno of the first.
 */
int attach_options__check_files(const struct attach_options *o);

/* Options alone (no -p), for use as an argp child; its input is struct attach_options. */
extern const struct argp attach_options_argp;
extern const struct argp attach_pid_argp; /* -p PID, --unit NAME and its like */

#endif
