/* SPDX-License-Identifier: GPL-2.0-or-later */
/* deep_priv.h - who is profiled, of deep.c and of what keeps that to its budget. */
#ifndef DAEMON_DEEP_PRIV_H
#define DAEMON_DEEP_PRIV_H

#include "daemon/deep.h"
#include "daemon/ration.h"
#include "run/pace.h"
#include "run/windows.h"

/* An observer samples in one way, at one rate: their pairs are the modes. */
enum deep_way { BY_PROBES, BY_WINDOWS, BY_FAST, WAYS };
#define RATES (CONFIG_MAX_RATES + 1) /* 0: the daemon's own */
#define MODES (WAYS * RATES)

struct deep_one {
	struct deep_process p;
	const struct config_profile *rule; /* NULL: "go", or a reload has left none */
	unsigned mode;
	bool chosen;	      /* in this pass */
	uint64_t demand_ns;   /* asked for until then; 0: not */
	uint64_t window_ns;   /* ends then; 0: no window */
	uint64_t snapshot_ns; /* next */
	uint64_t looked_ns, ended_ns;
	uint64_t ledger_ns;		    /* last look */
	uint64_t counters[MW_C_COUNT];	    /* at the last look */
	double sample_ns, sampling_percent; /* of the cost, what sampled calls are of it */
	struct ration ration;
	uint64_t rss_bytes;
	double peak_bytes, peak_rss_bytes; /* when the last peak was kept */
};

/* A process that is left alone until a moment. */
struct deep_rest {
	struct deep_id id;
	uint64_t until_ns;
	bool over_budget;
};

struct deep {
	struct deep_opts o;
	uint64_t rate[RATES];	      /* sample_bytes; 0: free */
	struct attach *attach[MODES]; /* NULL: not needed so far */
	struct ledgers *ledgers[MODES];
	struct deep_one **one;
	size_t n, cap;
	struct deep_rest *rest;
	size_t nrests, rests_cap;
	struct deep_stats stats;
	uint64_t pass_ns, told_ns, retry_ns[MODES];
	size_t came; /* attached to in this pass; more_to_come: others are left to the next */
	bool more_to_come;
	/* Of all processes of BY_WINDOWS at a rate together. Their cost is in what they are
	 * allowed: where each may cost a ns of CPU so often, the one that costs most of that
	 * counts. */
	struct windows windows[RATES];
	unsigned windows_timer;
	struct pace pace[RATES]; /* of all of BY_FAST at a rate together */
	unsigned over_all;	 /* passes in a row above the limit of all */
	char error[512];
};

#endif
