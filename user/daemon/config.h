/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h - the daemon's configuration file (docs/daemon.md): sections of `key = value` lines.
 * Every mistake in it is found in one reading, each with its line.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/delivery.h"
#include "alert/options.h"
#include "daemon/choice.h"

#define CONFIG_MAX_BYTES (1 << 20)
#define CONFIG_MAX_PROFILES 256
#define CONFIG_MAX_ALERTS 64
#define CONFIG_MAX_RATES 3 /* different sample_bytes of profiles, beside the daemon's */
#define CONFIG_MAX_HOSTS 32
#define CONFIG_MAX_ERRORS 32
#define CONFIG_WHY 360

/* [profile NAME]: whose heap is profiled, and how. The first section that matches counts. */
struct config_profile {
	char *name; /* owned */
	unsigned line;
	struct choice who;
	bool ignore;		      /* these are left alone */
	bool on_demand;		      /* only while somebody asks for it over HTTP */
	bool fast;		      /* code inside the target, as --fast */
	bool windows;		      /* beyond max_overhead, instead of being let go */
	uint64_t window_ns, every_ns; /* profiled so long, so often; 0: always */
	uint64_t snapshot_ns;	      /* between profiles that are kept; 0: none */
	bool peak, peak_rss;	      /* those of peaks are kept, too: of what is in use, of RSS */
	bool follow;		      /* children too, whatever they are */
	bool mappings, histograms, touched; /* what profiles have beside the heap */

	uint64_t sample_bytes; /* 0: the daemon's */
	double max_overhead;   /* percent of one CPU; 0: the daemon's */
};

/* [alert NAME] */
struct config_alert {
	char *name; /* owned */
	unsigned line;
	struct choice who;
	struct alert_options alert; /* its texts are owned by this struct */
	char *command;
	unsigned command_line;
	bool is_damaged; /* a threshold was refused */
};

struct config {
	/* [daemon] */
	char *state_dir;
	char *listen; /* http.h; "none": no HTTP */
	char *group;  /* may use the Unix socket; NULL: nobody */
	char *hosts;  /* further names of this server, with blanks between; NULL: none */
	uint64_t interval_ns;
	uint64_t growth_over_ns; /* growth is looked at over this time */
	uint64_t sample_bytes;
	unsigned max_depth;			 /* frames of a stack; 0: all that can be kept */
	double max_overhead, max_overhead_total; /* percent of one CPU */
	unsigned max_processes;			 /* profiled at a time */
	unsigned metrics_top;			 /* largest processes with metrics of their own */
	bool go;				 /* Go programs are profiled without a rule */
	/* [faults] */
	bool faults;
	unsigned fault_period; /* page faults per sample */
	/* [history] */
	bool history;
	uint64_t history_bytes, history_age_ns;
	bool oom; /* OOM kills are watched for */
	/* [oom] */
	struct delivery_opts kills; /* its command is owned by this struct */
	char *on_kill;
	struct config_profile *profiles;
	size_t nprofiles, profiles_cap;
	struct config_alert *alerts;
	size_t nalerts, alerts_cap;
};

struct config_error {
	unsigned line; /* 0: of the file as a whole */
	char text[CONFIG_WHY];
};

struct config_errors {
	struct config_error e[CONFIG_MAX_ERRORS];
	size_t n; /* at least so many: those beyond CONFIG_MAX_ERRORS are counted only */
};

/* Every value at its default, no sections. 0 or -ENOMEM. */
int config__new(struct config **ret);
void config__free(struct config *c); /* accepts NULL */

/* Reads text. 0; -EINVAL: ret has what is wrong, and *c must not be used but freed; -ENOMEM. Pure.
 */
int config__parse(struct config *c, const char *text, size_t len, struct config_errors *ret);
/* The same from a file; commands, the group and, at the start, what it listens on must be there,
 * too. Beside these -errno of reading it, told in ret, too. */
int config__read(struct config *c, const char *path, bool at_start, struct config_errors *ret);

/* The first section that matches; NULL: none. */
const struct config_profile *config__profile(const struct config *c, const struct choice_facts *f);
/* The section of that name; NULL: there is none. */
const struct config_profile *config__find_profile(const struct config *c, const char *name);
/* Whether any section profiles by code inside the target. */
bool config__wants_fast(const struct config *c);

#endif
