/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attach.h - an observer with what its profiles need, opened and fed with processes: messages and
 * exit statuses.
 */
#ifndef RUN_ATTACH_H
#define RUN_ATTACH_H

#include "observe/observer.h"
#include "run/attach_options.h"
#include "run/silence.h"
#include "snapshot/snapshot.h"

/* A process that came and has no allocator yet: of one that begins the libraries are still to come.
 * What was found is said when there is something, or at the latest then. */
struct attach_beginning {
	int pid;
	uint64_t until_ns;
};

struct attach {
	struct observer *observer;
	struct symbolizer *symbolizer;
	struct runtimes *runtimes;
	const struct selector *selector; /* borrowed from the options; NULL: none */
	uint64_t look_ns;		 /* when it looks at all processes again */
	uint64_t came, unreached;	 /* processes that matched: taken in; not */
	bool waits;			 /* there is none now, which has been said */
	struct silence silence;
	struct attach_beginning *beginning;
	size_t n_beginning, beginning_cap;
};

/*
 * The first thing to do: starts what must be started with the caller's privileges, then gives up
 * what attaching does not need; `kinds` is kept as well (sys/privilege.h). An exit status.
 */
int attach__prepare(struct attach_options *o, unsigned kinds);
/* Loads the programs. EXIT_DONE, or the status to exit with (the message has been given). */
int attach__open(const struct attach_options *o, struct attach **ret);
void attach__close(struct attach *a); /* accepts NULL */
/* Takes a process in and says so. An exit status. */
int attach__add(struct attach *a, int pid);
/* Takes in the processes that match the options' selector, lets those go that do not any more, and
 * those that have ended when others live; says so. Call at every turn: it looks rarely, most of
 * what comes is told by the kernel. */
void attach__choose(struct attach *a);
/* The line "attached to …". */
void attach__announce(struct attach *a, const struct target *t);
/* The same, but not before it has probes or its files were read (attach_options.patience_ns). */
void attach__announce_when_read(struct attach *a, const struct target *t);
/* Reads what has happened. The number of events or -errno. */
int attach__poll(struct attach *a);
/* A profile by these options (runtimes are filled in). 0 or a negative errno. */
int attach__snapshot(struct attach *a, struct snapshot_opts opts, struct profile **ret);

#endif
