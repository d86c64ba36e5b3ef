/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tell.h - tells of an alert that begins or is over: profile and timeline saved, a line on stderr
 * and in the log, the command run. The cooldown covers all of it: what begins again within it is
 * counted, and told when the cooldown is over if it lasts until then, else with the next word on
 * the same rule and subject. Files of a rule beyond the last alert_options.keep are removed, those
 * of earlier runs too.
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
	bool held;	       /* it began within the cooldown and lasts, untold */
	uint64_t last_ns;      /* when it was last told that it had begun; 0: never */
	int64_t since_unix_ms; /* when it began */
	unsigned counted;      /* beginnings within the cooldown since */
};

/* Whom a case is about. */
struct alert_subject {
	enum rules_scope scope;
	int pid; /* of the process, or of the largest that is watched in the group or at all; 0:
		    none */
	const char *comm, *cgroup; /* of that process */
	const char *limit_path;	   /* of the group whose limit is meant */
	struct timeline *timeline; /* of that process; NULL: none */
	struct told *told;	   /* ALERT_RULES of them */
};

struct teller;

/* All borrowed. `log` and `save` may be NULL. 0 or -errno; *ret_why then says what is wrong. */
int teller__new(const struct alert_options *o, struct jsonlog *log, alert_save_fn save, void *arg,
		struct teller **ret, const char **ret_why);
void teller__free(struct teller *t);
/* Others from now on; the directory is the same. */
void teller__use(struct teller *t, const struct alert_options *o);

void teller__begins(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		    const struct rules_verdict *v, const struct rules_sample *x);
/* It still fires: tells what the cooldown held back. */
void teller__lasts(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		   const struct rules_verdict *v, const struct rules_sample *x);
void teller__ends(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		  const struct rules_verdict *v, const struct rules_sample *x);
/* It is over because who it is about, or the rule, is gone: why. */
void teller__drops(struct teller *t, const struct alert_subject *who, enum alert_rule rule,
		   const char *why);
/* Beginnings told so far. */
uint64_t teller__told(const struct teller *t, enum alert_rule rule);

/* Commands that run: looks after them; waits for them, at most their timeout. */
void teller__tick(struct teller *t);
void teller__finish(struct teller *t);

#endif
