/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/profiles_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "core/when.h"
#include "run/loop.h"

#define MAX_SECONDS 3600
#define DEFAULT_SECONDS 10     /* of a process that is attached to for the question */
#define SLACK_NS 2000000000ULL /* it stays attached so much longer */

static void free_window(struct profiles_window *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++)
		profile__free(w->of[i].before);
	free(w);
}

static void finish(struct profiles *p, struct profiles_window *w)
{
	struct profile *prof = NULL;
	char why[160];
	int err = profiles__take(p, w, &prof);

	snprintf(why, sizeof(why), "%s\n", profiles__why(err));
	if (err)
		profiles__refuse(p, w->ticket,
				 err == -ESRCH || err == -ENOENT || err == -ENOSYS ? 404
				 : err == -EDQUOT				   ? 503
										   : 500,
				 why);
	else
		profiles__send_profile(p, w, prof);
	profile__free(prof);
}

static void set_timer(struct profiles *p)
{
	uint64_t due = LOOP_NEVER;

	for (size_t i = 0; i < p->n; i++)
		due = min_of(due, p->window[i]->due_ns);
	loop__set_timer(p->s.loop, p->timer, due);
}

const struct deep_process *profiles__find(const struct profiles *p, struct deep_id id)
{
	const struct deep_process *d = deep__find(p->s.from->deep, id);

	return d && !d->ended ? d : NULL;
}

/* Somebody's garbage collection is to be waited for. */
static bool awaits_gc(struct profiles *p, struct profiles_window *w)
{
	bool wait = false;

	for (size_t i = 0; i < w->n; i++) {
		struct profiles_asked *q = &w->of[i];

		wait |= gcwait__look(&q->gc, p->s.from->deep, profiles__find(p, q->id));
	}
	return wait;
}

static void end_windows(void *arg)
{
	struct profiles *p = arg;
	uint64_t now = util__now_ns();

	for (size_t i = 0; i < p->n; i++) {
		struct profiles_window *w = p->window[i];

		if (w->due_ns <= now && awaits_gc(p, w))
			w->due_ns = now + GCWAIT_LOOK_NS;
		if (w->due_ns > now)
			continue;
		p->window[i--] = p->window[--p->n];
		finish(p, w);
		free_window(w);
	}
	set_timer(p);
}

/* --- whom a question is about --- */

static const struct table_proc *row_of(const struct profiles *p, const struct roster_entry *e)
{
	return p->s.from->table->proc[e - p->s.roster->e];
}

static bool is_process(const struct table_proc *p)
{
	return !(p->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM));
}

/* *ret_e: its own array, to be freed; 0 or -ENOMEM. */
static int find_known(struct profiles *p, uint32_t pid, const struct choice *c,
		      struct roster_entry ***ret_e, size_t *ret_n)
{
	struct roster *roster = p->s.roster;
	struct roster_entry **e = calloc(roster->n + 1, sizeof(*e));
	size_t n = 0;

	if (!e)
		return -ENOMEM;
	for (size_t i = 0; i < roster->n; i++) {
		const struct table_proc *row = p->s.from->table->proc[i];
		char cgroups[ROSTER_CGROUPS];
		struct choice_facts f;

		if ((pid && roster->e[i].id.pid != pid) || !is_process(row))
			continue;
		roster__facts(&roster->e[i], row, &f, cgroups);
		if (choice__is_all(c) || choice__matches(c, &f))
			e[n++] = &roster->e[i];
	}
	*ret_e = e;
	*ret_n = n;
	return 0;
}

static bool has_ended(const struct roster_entry *e)
{
	return kill((pid_t)e->id.pid, 0) && errno == ESRCH;
}

/* As find_known; who has come since the last pass is met before it is nobody, or somebody who has
 * ended: a service that was started again. */
static int find_chosen(struct profiles *p, uint32_t pid, const struct choice *c,
		       struct roster_entry ***ret_e, size_t *ret_n)
{
	int err = find_known(p, pid, c, ret_e, ret_n);
	bool some_ended = false;

	for (size_t i = 0; !err && i < *ret_n; i++)
		some_ended |= has_ended((*ret_e)[i]);
	if (err || (*ret_n && !some_ended) || !roster__meet(p->s.roster, some_ended ? 0 : pid))
		return err;
	free(take_ptr(*ret_e));
	return find_known(p, pid, c, ret_e, ret_n);
}

bool profiles__may_attach(struct profiles *p, struct roster_entry *e,
			  const struct config_profile **ret_rule)
{
	const struct config *config = p->s.from->config;
	char cgroups[ROSTER_CGROUPS];
	struct choice_facts f;

	roster__facts(e, row_of(p, e), &f, cgroups);
	*ret_rule = roster__rule(p->s.roster, e, row_of(p, e)->row.ppid, config, &f);
	return *ret_rule ? !(*ret_rule)->ignore : config->go && e->is_go;
}

/* --- /debug/pprof/heap and allocs --- */

static void say_attach_error(const struct profiles *p, int err, char *why, size_t len)
{
	switch (err) {
	case -EBUSY:
		snprintf(why, len, "as many processes are profiled as max-processes allows\n");
		break;
	case -EDQUOT:
		snprintf(why, len, "profiling it cost more than is allowed; asked again later\n");
		break;
	case -ESRCH: snprintf(why, len, "the process has ended\n"); break;
	default: snprintf(why, len, "%s\n", deep__error(p->s.from->deep));
	}
}

/* Attaches where need be, and takes what is there at the begin of the window. 0, or the status of
 * the answer with why. */
static unsigned begin_one(struct profiles *p, struct profiles_window *w, struct roster_entry *e,
			  uint64_t ns, bool *ret_new, char *why, size_t len)
{
	const struct config_profile *rule = NULL;
	struct profiles_asked *q = &w->of[w->n];
	bool is_old;
	int err;

	if (!profiles__find(p, e->id) && !profiles__may_attach(p, e, &rule)) {
		snprintf(why, len,
			 "PID %u is not profiled, and no [profile] section of the configuration "
			 "allows it to be\n",
			 e->id.pid);
		return 403;
	}
	err = deep__demand(p->s.from->deep, e->id, ns + SLACK_NS, rule, &is_old);
	if (err) {
		say_attach_error(p, err, why, len);
		return err == -ESRCH					       ? 404
		       : err == -EPERM || err == -EACCES || err == -EOPNOTSUPP ? 403
									       : 503;
	}
	*q = (struct profiles_asked){.id = e->id, .since_ns = util__now_ns()};
	*ret_new |= !is_old;
	if (is_old && w->is_delta)
		err = deep__profile(p->s.from->deep, profiles__find(p, e->id), 0, 0, &q->before);
	if (err) {
		snprintf(why, len, "%s\n", strerror(-err));
		return 500;
	}
	if (w->gc && !w->is_delta) /* as Go's, which starts none for a difference */
		gcwait__begin(&q->gc, p->s.from->deep, profiles__find(p, e->id));
	w->n++;
	return 0;
}

/* Of several processes those that are profiled already, if any is. */
static size_t prefer_profiled(const struct profiles *p, struct roster_entry **e, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (profiles__find(p, e[i]->id))
			e[k++] = e[i];
	}
	return k ? k : n;
}

static void keep_window(struct profiles *p, struct profiles_window *w, long seconds)
{
	uint64_t ns = (uint64_t)seconds * 1000000000;
	bool is_old;

	w->due_ns = util__now_ns() + ns;
	for (size_t i = 0; i < w->n; i++) /* that the others were attached to took its time */
		deep__demand(p->s.from->deep, w->of[i].id, ns + SLACK_NS, NULL, &is_old);
	p->window[p->n++] = w;
	if (seconds)
		log_debug("a window of %ld s begins for %zu processes", seconds, w->n);
	else
		log_debug("a garbage collection is waited for");
	set_timer(p);
}

static void answer_heap(struct profiles *p, struct profiles_window *w, struct roster_entry **e,
			size_t n, long seconds)
{
	uint64_t ns = (uint64_t)(seconds ? seconds : DEFAULT_SECONDS) * 1000000000;
	char why[640] = "";
	bool is_new = false, waits;
	unsigned status = 0;
	size_t fit;

	w->is_delta = seconds > 0;
	fit = n;
	n = prefer_profiled(p, e, n);
	w->left[LEFT_UNPROFILED] = fit - n;
	w->left[LEFT_BEYOND] = n - min_of(n, (size_t)PROFILES_TOGETHER);
	for (size_t i = 0; i < n && i < PROFILES_TOGETHER; i++) {
		unsigned one = begin_one(p, w, e[i], ns, &is_new, why, sizeof(why));

		status = status ? status : one;
		if (one)
			profiles__leave_out(w, e[i]->id.pid, why);
	}
	waits = w->is_delta || is_new || awaits_gc(p, w);
	if (!w->n || (waits && p->n == PROFILES_WINDOWS)) {
		profiles__refuse(p, w->ticket, w->n ? 503 : status,
				 w->n ? "too many windows are open\n" : why);
		free_window(w);
		return;
	}
	if (waits) {
		keep_window(p, w, is_new && !seconds ? DEFAULT_SECONDS : seconds);
		return;
	}
	finish(p, w);
	free_window(w);
}

/* --- questions --- */

static void answer_of(struct profiles *p, struct profiles_window *w, struct roster_entry **e,
		      size_t n, const struct http_request *r, long seconds)
{
	if (w->kind <= QUESTION_ALLOCS) {
		answer_heap(p, w, e, n, seconds);
		return;
	}
	w->left[LEFT_OTHERS] = n - 1;
	switch (w->kind) {
	case QUESTION_GOROUTINE: profiles__goroutines(p, w, e[0]); break;
	case QUESTION_RESIDENT: profiles__resident(p, w, e[0]->id); break;
	case QUESTION_CMDLINE: profiles__cmdline(p, w, e[0]); break;
	default: profiles__symbols(p, w, e[0], r); break;
	}
	free_window(w);
}

static void answer_chosen(struct profiles *p, struct profiles_window *w, uint32_t path_pid,
			  const struct http_request *r, long seconds)
{
	struct roster_entry **e = NULL;
	char why[CHOICE_WHY + 2] = "";
	struct choice choice = {0};
	uint32_t pid;
	size_t n = 0;
	int err = question__choice(r, path_pid, &pid, &choice, why);

	if (!err && !pid && choice__is_all(&choice) && w->kind == QUESTION_RESIDENT) {
		profiles__resident(p, w, (struct deep_id){0});
		free_window(w);
		return;
	}
	if (!err && !pid && choice__is_all(&choice)) {
		err = -EINVAL;
		snprintf(why, sizeof(why), "of which process? ?pid=PID, ?unit=NAME, ?comm=RE, …");
	}
	if (!err)
		err = find_chosen(p, pid, &choice, &e, &n);
	if (n) {
		answer_of(p, w, e, n, r, seconds);
	} else {
		snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s\n",
			 err ? *why ? "" : strerror(-err) : "no such process");
		profiles__refuse(p, w->ticket, err == -EINVAL ? 400 : err ? 500 : 404, why);
		free_window(w);
	}
	choice__clear(&choice);
	free(e);
}

bool profiles__answer(struct profiles *p, const struct http_request *r)
{
	const char *base = http_request__param(r, "base");
	int64_t base_unix_ms = 0;
	enum question_kind kind;
	struct profiles_window *w;
	long seconds, debug, gc;
	uint32_t pid;

	if (!question__path(r->path, &pid, &kind))
		return false;
	if (kind == QUESTION_UNKNOWN) {
		profiles__refuse(p, r->ticket, 404, "Unknown profile\n");
		return true;
	}
	if (question__number(r, "seconds", MAX_SECONDS, &seconds) ||
	    question__number(r, "debug", 2, &debug) || question__number(r, "gc", 1, &gc)) {
		profiles__refuse(p, r->ticket, 400,
				 "seconds is a number up to 3600, debug up to 2, gc 0 or 1\n");
		return true;
	}
	if (base && (when__parse(base, util__wall_ms(), &base_unix_ms) || seconds)) {
		profiles__refuse(p, r->ticket, 400,
				 seconds ? "seconds and base do not go together\n"
					 : "base is a time: " WHEN_FORMS "\n");
		return true;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		profiles__refuse(p, r->ticket, 500, "out of memory\n");
		return true;
	}
	w->ticket = r->ticket;
	w->kind = kind;
	w->debug = (int)debug;
	w->gc = gc;
	w->base_unix_ms = base_unix_ms;
	if (kind == QUESTION_INDEX) {
		profiles__index(p, w, pid);
		free_window(w);
	} else {
		answer_chosen(p, w, pid, r, seconds);
	}
	return true;
}

void profiles__gone(struct profiles *p, uint64_t ticket)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->window[i]->ticket != ticket)
			continue;
		free_window(p->window[i]);
		p->window[i--] = p->window[--p->n];
	}
}

void profiles__before_pass(struct profiles *p)
{
	if (p->n)
		end_windows(p);
}

void profiles__pass(struct profiles *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct profiles_window *w = p->window[i];

		for (size_t k = 0; k < w->n; k++) {
			if (!profiles__find(p, w->of[k].id))
				w->due_ns = 0;
		}
	}
	if (p->n)
		end_windows(p);
}

int profiles__new(const struct profiles_sources *s, struct profiles **ret)
{
	struct profiles *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->s = *s;
	err = loop__add_timer(s->loop, LOOP_NEVER, end_windows, p, &p->timer);
	if (err) {
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void profiles__free(struct profiles *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		free_window(p->window[i]);
	free(p);
}
