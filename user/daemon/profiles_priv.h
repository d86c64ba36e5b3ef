/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profiles_priv.h - questions for profiles as profiles.c (who is asked for, and when),
 * profiles_take.c (what is answered) and profiles_answers.c (how it is said) share them.
 */
#ifndef DAEMON_PROFILES_PRIV_H
#define DAEMON_PROFILES_PRIV_H

#include <stdint.h>

#include "daemon/config.h"
#include "daemon/deep.h"
#include "daemon/gcwait.h"
#include "daemon/profiles.h"
#include "daemon/question.h"

#define PROFILES_TOGETHER 16 /* processes in one answer */
#define PROFILES_WINDOWS HTTP_MAX_WAITING

/* One that is asked for. */
struct profiles_asked {
	struct deep_id id;
	uint64_t since_ns;	/* of the window; 0: the attach */
	struct profile *before; /* at its begin; NULL: attached for it, or no window */
	struct gcwait gc;
};

/* Those that fit and are not in the answer. */
enum profiles_left { LEFT_OTHERS, LEFT_UNPROFILED, LEFT_BEYOND, LEFT_FAILED, LEFT_CAUSES };

/* A question whose time is not over. */
struct profiles_window {
	uint64_t ticket, due_ns;
	enum question_kind kind;
	int debug;
	bool gc, is_delta;
	int64_t base_unix_ms; /* the profile of then is subtracted; 0: none */
	struct profiles_asked of[PROFILES_TOGETHER];
	size_t n;
	size_t left[LEFT_CAUSES];
	char failed[160]; /* what of the first that failed */
};

struct profiles {
	struct profiles_sources s;
	unsigned timer;
	struct profiles_window *window[PROFILES_WINDOWS];
	size_t n;
};

/* The process while it is profiled; NULL. */
const struct deep_process *profiles__find(const struct profiles *p, struct deep_id id);
/* May it be attached to for somebody who asks? *ret_rule: what says so (NULL: it is Go). */
bool profiles__may_attach(struct profiles *p, struct roster_entry *e,
			  const struct config_profile **ret_rule);

/* What a question is answered with, of all that are asked for and still there. 0; -ESRCH; -ENOENT:
 * no profile of the time of base; -ENOSYS: no history; -EDQUOT: let go for its cost; other negative
 * errno. */
int profiles__take(struct profiles *p, struct profiles_window *w, struct profile **ret);

/* Why there is no profile, of an error of profiles__take. */
const char *profiles__why(int err);
/* One that was to be in the answer failed. */
void profiles__leave_out(struct profiles_window *w, uint32_t pid, const char *why);

/* An error, as Go's handlers say it. */
void profiles__refuse(struct profiles *p, uint64_t ticket, unsigned status, const char *text);
/* An answer with Go's headers; prof is as it was, but for its default sample type. */
void profiles__send_profile(struct profiles *p, const struct profiles_window *w,
			    struct profile *prof);

/* Answers at once. pid 0: of all processes together. */
void profiles__goroutines(struct profiles *p, struct profiles_window *w, struct roster_entry *e);
void profiles__resident(struct profiles *p, struct profiles_window *w, struct deep_id id);
void profiles__cmdline(struct profiles *p, struct profiles_window *w, struct roster_entry *e);
void profiles__symbols(struct profiles *p, struct profiles_window *w, struct roster_entry *e,
		       const struct http_request *r);
void profiles__index(struct profiles *p, struct profiles_window *w, uint32_t pid);

#endif
