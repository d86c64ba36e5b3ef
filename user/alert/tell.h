/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tell.h - tells of an alert that begins or is over: profile and timeline saved, a line on stderr
 * and in the log, the command run. The cooldown covers all of it: what begins again within it is
 * counted and told with the next word on the same rule and process. Files of a rule beyond the last
 * alert_options.keep are removed again.
 */
#ifndef ALERT_TELL_H
#define ALERT_TELL_H

#include "alert/options.h"
#include "alert/rules.h"
#include "model/timeline.h"
#include "oom/jsonlog.h"
#include "sys/cgroup.h"

/* What was told of a rule. */
struct told {
	bool firing;	       /* its beginning was told, its end not yet */
	uint64_t last_ns;      /* when it last began and was told; 0: never */
	int64_t since_unix_ms; /* the same */
	unsigned counted;      /* beginnings within the cooldown since */
};

/* Whom a case is about. */
struct alert_subject {
	int pid;
	const char *comm, *cgroup;
	const char *limit_path; /* of the group whose limit is meant */
	bool is_machine; /* a rule of the machine: the process is the largest of those watched */
	struct timeline *timeline;
	struct told *told; /* ALERT_RULES of them */
};

struct teller;

/* All borrowed. `log` and `save` may be NULL. 0 or -errno; *ret_why then says what is wrong. */
int teller__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
		struct teller **ret, const char **ret_why);
void teller__free(struct teller *t);

void teller__begins(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		    const struct rules_verdict *v, const struct rules_sample *x);
/* v NULL: it is over because the process has ended. */
void teller__ends(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		  const struct rules_verdict *v, const struct rules_sample *x);

/* Commands that run: looks after them; waits for them, at most their timeout. */
void teller__tick(struct teller *t);
void teller__finish(struct teller *t);

#endif
