/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * roster.h - what the daemon knows of each process beside its row: found out once, kept while the
 * process lives. Pure but for the environment and roster__is_go.
 */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/choice.h"
#include "daemon/config.h"
#include "daemon/deep.h"
#include "top/table.h"

struct roster_entry {
	struct deep_id id;
	/* The section that counts for it, NULL: none; and the one that chose it for its growth,
	 * which may be over, or for its parent, which may have ended. */
	const struct config_profile *rule, *stays;
	uint64_t peak_bytes; /* highest RSS since the last row of the history */
	bool go_known, is_go;
	char comm[MW_MM_COMM_LEN + 1]; /* as it was when the next two were read */
	char *exe;		       /* file name of its program; NULL: not read; owned */
	char *environ;		       /* NULL: not read yet; owned */
};

struct roster {
	struct roster_entry *e; /* by PID */
	size_t n, cap;
	unsigned go_left;	 /* executables that may still be looked at in this pass */
	void (*look)(void *arg); /* makes a pass at once; NULL: nobody does */
	void *look_arg;
};

void roster__clear(struct roster *r);
/*
 * Follows a pass: entries for new processes, none for those that are gone, of which fn is told
 * first (may be NULL). Entry i is the process t->proc[i]. 0 or -ENOMEM.
 */
int roster__update(struct roster *r, const struct table *t,
		   void (*gone)(void *arg, struct roster_entry *e), void *arg);

/*
 * Somebody asks for a process that no pass has met: a pass is made at once, if it is there (pid 0:
 * whoever is). True: what is borrowed from the roster and the table is to be asked for again.
 */
bool roster__meet(struct roster *r, uint32_t pid);

/* Whether it runs a Go program: looked at once, when it has lived for some seconds; false until
 * then. */
bool roster__is_go(struct roster *r, struct roster_entry *e, const struct table_proc *p,
		   double seconds);

/* What choices are made of; borrowed from both, and from buf. */
#define ROSTER_CGROUPS 1100
void roster__facts(struct roster_entry *e, const struct table_proc *p, struct choice_facts *ret,
		   char buf[ROSTER_CGROUPS]);

/* The section that counts for it, NULL: none. Who was chosen for its growth, or for being the child
 * of one whose section says `follow`, stays so while it lives, unless another section chooses it or
 * leaves it alone. */
const struct config_profile *roster__rule(struct roster *r, struct roster_entry *e, uint32_t ppid,
					  const struct config *c, const struct choice_facts *f);
/* Another configuration: sections are the same if they have the same name. */
void roster__reload(struct roster *r, const struct config *c);

#endif
