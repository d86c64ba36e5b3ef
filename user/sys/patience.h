/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * patience.h - for how long a helper process is waited for. Who works, or would if he had a
 * processor, is waited for as long as his work may take, which is limited elsewhere. Who rests
 * waits himself, for a file system or memory that others may have made so that it never comes: he
 * is waited for a moment, and where all of a kind have had their share of the time, a shorter one.
 */
#ifndef SYS_PATIENCE_H
#define SYS_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct patience {
	uint64_t heard_ns; /* when it was seen at work last (util__now_ns) */
	uint64_t cpu_ns;   /* processor time that it had taken then */
};

/* What all of a kind may rest: most_ns, and a part-th of the time that goes by since since_ns. */
struct patience_share {
	uint64_t most_ns, part, since_ns;
	uint64_t rested_ns; /* by any thread */
};

/* It has just been asked, or was heard of. */
void patience__begin(struct patience *p);
/* Looks at it: what it does now, and the processor time that it has taken (0: nobody looked). A pid
 * of 0 or less: it has not started yet, which is work. */
void patience__look(struct patience *p, pid_t pid, uint64_t cpu_ns);
/* Whether all have had their share. */
bool patience__is_used_up(const struct patience_share *s);
/* It was waited for in vain: its rest is charged to all. */
void patience__end(const struct patience *p, struct patience_share *s);

#endif
