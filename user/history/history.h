/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history.h - what was seen of the machine, kept in an SQLite file below a state directory: passes
 * over all processes in steps of 1 s, 10 s, 1 min and 10 min with their peaks, heap profiles as
 * recordings (format/record.h), OOM kills and alerts as their JSON. Bounded by size and age.
 *
 * One writer, any number of readers at the same time (write-ahead log): kill -9 and a power cut
 * leave it whole. A full disk costs what would have been written then, which is counted; writing
 * goes on by itself when there is room. One thread.
 */
#ifndef HISTORY_HISTORY_H
#define HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ledger.h"
#include "model/profile.h"
#include "model/timeline.h"

#define HISTORY_WHY 256

struct history;

struct history_opts {
	uint64_t max_bytes;  /* of the file; 0: 512 MiB */
	uint64_t max_age_ms; /* 0: a year. Fine steps go earlier: 1 s after 2 h, 10 s after a day,
			      * 1 min after 14 days */
};

/* Opens for writing, makes it if need be. 0; -errno, with a sentence in why: -EPROTO written by a
 * newer memwatch; -EBADMSG no history, or damaged: then it was moved aside and a new one begun is
 * the caller's choice (history__set_aside). */
int history__create(const char *dir, const struct history_opts *o, struct history **ret,
		    char why[HISTORY_WHY]);
/* Opens for reading, beside a writer or alone. 0 or -errno as above; -ENOENT: there is none. What
 * is asked of it later: -EIO where a table of it is none (a view, which computes what it likes). */
int history__open(const char *dir, struct history **ret, char why[HISTORY_WHY]);
/* From now on what is asked of it ends with -ETIME when the process has used so much time. */
void history__limit(struct history *h, unsigned cpu_seconds);
void history__close(struct history *h); /* accepts NULL */
/* Renames a damaged file to NAME.damaged (one is kept). 0 or -errno. */
int history__set_aside(const char *dir);

/* --- writing --- */

enum history_value { /* columns of a row: the timeline's, and */
		     HISTORY_PEAK_RSS = TIMELINE_COLUMNS, /* highest RSS in the step */
		     HISTORY_LEDGER, /* what is resident, by enum ledger_kind */
		     HISTORY_VALUES = HISTORY_LEDGER + LEDGER_KINDS
};

/* The machine's row: the same places mean this. */
enum history_machine {
	HISTORY_MEM_TOTAL,
	HISTORY_MEM_AVAILABLE, /* of a step: the least */
	HISTORY_SWAP_TOTAL,
	HISTORY_SWAP_FREE,
	HISTORY_PSI_SOME, /* hundredths of a percent of 10 s; of a step: the most */
	HISTORY_PSI_FULL,
	HISTORY_MACHINE_VALUES
};

struct history_row {
	uint32_t pid;
	uint64_t start_ns; /* CLOCK_BOOTTIME: with the PID it tells processes apart */
	uint32_t uid;
	/* read when the process is new; borrowed, NULL: not known */
	const char *comm, *command, *cgroup;
	int64_t value[HISTORY_VALUES]; /* TIMELINE_UNKNOWN where not known */
};

/*
 * A pass over all processes, about once a second; rows in any order. Left out are those that are
 * younger than 10 s and smaller than 8 MiB. Makes the coarser steps and drops what is too old as
 * their time comes. 0; -ENOSPC and other -errno: the pass is lost (and counted), the next goes on.
 */
int history__pass(struct history *h, int64_t time_unix_ms,
		  const int64_t machine[HISTORY_MACHINE_VALUES], const struct history_row *row,
		  size_t n);

/* A profile of a process: of its heap, which becomes part of a recording, or of other values, which
 * stands alone. why: "regular", … is kept with it. *ret_id (may be NULL) names it. 0 or -errno as
 * above. */
int history__profile(struct history *h, const struct history_row *process, const struct profile *p,
		     const char *why, int64_t *ret_id);
/* The process has ended or is not profiled any more: its recording is complete. */
void history__profile_end(struct history *h, uint32_t pid, uint64_t start_ns);

/* An OOM kill ("oom"; without a victim its pid is 0), an alert ("alert"), or a group held up at
 * memory.high ("throttle"; pid 0, comm is its path) as its line of JSON. profile: an id as above,
 * 0: none. */
int history__event(struct history *h, const char *kind, int64_t time_unix_ms, uint32_t pid,
		   const char *comm, const char *json, size_t len, int64_t profile);

struct history_stats {
	uint64_t bytes;	       /* of the file, without its free pages */
	uint64_t lost;	       /* passes, profiles and events that could not be written */
	int64_t first_unix_ms; /* oldest pass; 0: none */
};
int history__stats(struct history *h, struct history_stats *ret);

/* --- reading --- */

struct history_process {
	int64_t id;
	uint32_t pid, uid;
	int64_t start_unix_ms;
	const char *comm, *command, *cgroup; /* borrowed until the callback returns */
	/* in the window: */
	int64_t first_unix_ms, last_unix_ms;
	int64_t first[HISTORY_VALUES], last[HISTORY_VALUES];
	int64_t peak_rss;
	uint32_t profiles; /* kept */
	bool ended;	   /* before the window's end */
};

struct history_event {
	int64_t id, time_unix_ms, profile; /* profile 0: none was kept */
	uint32_t pid;
	const char *kind, *comm, *json; /* borrowed until the callback returns */
};

struct history_snapshot {
	int64_t id, time_unix_ms, process;
	uint32_t pid;
	const char *comm, *why;		  /* borrowed until the callback returns */
	int64_t inuse_bytes, alloc_bytes; /* TIMELINE_UNKNOWN: it is not of a heap */
};

/* A callback that returns other than 0 ends the reading, which returns that. */
typedef int (*history_process_fn)(void *arg, const struct history_process *p);
typedef int (*history_event_fn)(void *arg, const struct history_event *e);
typedef int (*history_snapshot_fn)(void *arg, const struct history_snapshot *s);

/* Which of many: */
struct history_wanted {
	int64_t from, to;
	size_t max;	 /* so many: of events and snapshots the newest */
	size_t left_out; /* told */
	int64_t process; /* of snapshots; 0: of all */
	/* of events: */
	const char *kind; /* NULL: of all kinds */
	uint32_t pid;	  /* 0: of all */
	bool brief;	  /* without their JSON, which is NULL */
};

/* The processes that were seen, the most grown first. 0 or -errno. */
int history__processes(struct history *h, struct history_wanted *w, history_process_fn fn,
		       void *arg);
/* Those that lived in [from, to], the newest first: who they are, and all that was seen of them
 * from first_unix_ms to last_unix_ms; none of the other fields. 0 or -errno. */
int history__lived(struct history *h, int64_t from, int64_t to, history_process_fn fn, void *arg);
/* The newest process with this PID that lived in [from, to]. 0; -ENOENT. */
int history__find(struct history *h, uint32_t pid, int64_t from, int64_t to, int64_t *ret_process);
/* The process of this boot with this PID that was started then. 0; -ENOENT. */
int history__find_living(struct history *h, uint32_t pid, uint64_t start_ns, int64_t *ret_process);
/* Appends the rows of a process in [from, to] to a timeline that was initialised, in the finest
 * step that makes some thousand rows of it; with ledger_columns where its ledger was read, and with
 * the process's name where it has none. 0 or -errno. */
int history__timeline(struct history *h, int64_t process, int64_t from, int64_t to,
		      struct timeline *ret);
/* The same of the machine: fn for each row. */
typedef int (*history_machine_fn)(void *arg, int64_t time_unix_ms,
				  const int64_t value[HISTORY_MACHINE_VALUES]);
int history__machine(struct history *h, int64_t from, int64_t to, history_machine_fn fn, void *arg);
/* Oldest first; fn NULL: only how many are left out. 0 or -errno. */
int history__events(struct history *h, struct history_wanted *w, history_event_fn fn, void *arg);
int history__event_by_id(struct history *h, int64_t id, history_event_fn fn,
			 void *arg); /* -ENOENT */
int history__snapshots(struct history *h, struct history_wanted *w, history_snapshot_fn fn,
		       void *arg);
/* The id of the last profile of a process at or before a moment, of its heap if there is one. 0;
 * -ENOENT. */
int history__snapshot_at(struct history *h, int64_t process, int64_t unix_ms, int64_t *ret_id);
/* The recording (format/record.h) that ends with the profile of that id; *ret is malloc'ed. 0;
 * -ENOENT (also of one that stands alone); -EBADMSG: damaged. */
int history__read_recording(struct history *h, int64_t id, uint8_t **ret, size_t *ret_len);
/* The profile with that id. 0; -ENOENT; -EBADMSG: damaged. */
int history__read_profile(struct history *h, int64_t id, struct profile **ret);

#endif
