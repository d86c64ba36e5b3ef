/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/chosen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "probe/proc_timeline.h"
#include "sys/chooser.h"
#include "sys/pidref.h"
#include "sys/proc_task.h"
#include "top/table.h"
#include "top/top_stacks.h"

#define YOUNG_SECONDS 10 /* so long after it is first seen a process is looked at in each pass */
#define LOOK_AGAIN_SECONDS 10

struct guarded {
	uint32_t pid;
	int pidfd;
};

struct chosen {
	struct chosen_opts o;
	struct guard *guard;	 /* NULL: no alerts */
	struct guarded *guarded; /* watched by it, as long as they live */
	size_t nguarded, guarded_cap;
	bool waits; /* none matches now, which has been said */
	bool ever;  /* one has matched */
};

/* Without a descriptor (5.3) the end of a process is not told from its number's reuse: such a one
 * has no alerts. */
static int guard_one(struct chosen *c, uint32_t pid)
{
	struct guarded g = {.pid = pid};
	char name[32] = "";

	for (size_t i = 0; i < c->nguarded; i++) {
		if (c->guarded[i].pid == pid)
			return 0;
	}
	if (array_reserve(c->guarded, c->guarded_cap, c->nguarded + 1))
		return -ENOMEM;
	g.pidfd = pidref__fd((pid_t)pid);
	if (g.pidfd < 0)
		return 0;
	c->guarded[c->nguarded++] = g;
	proc_task__comm((pid_t)pid, name, sizeof(name));
	return guard__add(c->guard, (int)pid, name);
}

static void unguard_at(struct chosen *c, size_t i)
{
	guard__remove(c->guard, (int)c->guarded[i].pid);
	close(c->guarded[i].pidfd);
	c->guarded[i] = c->guarded[--c->nguarded];
}

int chosen__new(const struct chosen_opts *opts, struct chosen **ret)
{
	struct chosen *c = calloc(1, sizeof(*c));
	int status = EXIT_FAILED;

	if (!c)
		return status;
	c->o = *opts;
	status = guard__new(opts->alert, NULL, NULL, NULL, &c->guard);
	for (size_t i = 0; !status && c->guard && i < opts->npids; i++) {
		if (guard_one(c, opts->pids[i]))
			status = EXIT_FAILED;
	}
	if (status) {
		chosen__free(c);
		return status;
	}
	*ret = c;
	return EXIT_DONE;
}

void chosen__free(struct chosen *c)
{
	if (!c)
		return;
	if (c->guard)
		guard__finish(c->guard);
	while (c->guard && c->nguarded)
		unguard_at(c, c->nguarded - 1);
	guard__free(c->guard);
	free(c->guarded);
	free(c);
}

bool chosen__has_alerts(const struct chosen *c)
{
	return c->guard != NULL;
}

bool chosen__never(const struct chosen *c)
{
	return c->o.selector && !c->ever && !c->o.npids;
}

void chosen__poll(struct chosen *c)
{
	for (size_t i = c->nguarded; i-- > 0;) {
		struct pollfd fd = {.fd = c->guarded[i].pidfd, .events = POLLIN};

		if (poll(&fd, 1, 0) > 0)
			unguard_at(c, i);
	}
	guard__tick(c->guard);
}

/* New processes often become what they are a moment later, by exec or by moving to a group. */
static void look_at(struct chosen *c, struct table_proc *p)
{
	if (p->seen < p->look_again && !p->renamed)
		return;
	p->renamed = false;
	p->chosen = chooser__means(c->o.selector, (pid_t)p->row.tgid);
	p->look_again =
		p->seen - p->seen_first < YOUNG_SECONDS ? p->seen : p->seen + LOOK_AGAIN_SECONDS;
}

static int begin(struct chosen *c, const struct table_proc *p, struct proc_timeline *timeline,
		 struct top_stacks *stacks)
{
	int err = c->guard ? guard_one(c, p->row.tgid) : 0;

	if (!err && timeline)
		err = proc_timeline__add_seen(timeline, &p->row, util__now_ns());
	if (stacks)
		top_stacks__add(stacks, (pid_t)p->row.tgid);
	return err == -ENOMEM ? err : 0;
}

static void end(struct chosen *c, const struct table_proc *p)
{
	for (size_t i = 0; i < c->nguarded; i++) {
		if (c->guarded[i].pid == p->row.tgid) {
			unguard_at(c, i);
			return;
		}
	}
}

static void tell_none(struct chosen *c, size_t n)
{
	cleanup_free char *what = NULL;

	c->ever |= n > 0;
	if (n || c->o.npids)
		c->waits = false;
	if (n || c->o.npids || c->waits || c->o.is_screen)
		return;
	c->waits = true;
	what = selector__text(c->o.selector);
	log_info("no process matches %s%s: waiting", what ? what : "",
		 c->ever ? " any more" : " now");
}

int chosen__update(struct chosen *c, struct table *table, struct proc_timeline *timeline,
		   struct top_stacks *stacks)
{
	size_t n = 0;
	int err = 0;

	if (!c->o.selector)
		return 0;
	for (size_t i = 0; i < table->n && !err; i++) {
		struct table_proc *p = table->proc[i];
		bool was = p->chosen;

		look_at(c, p);
		n += p->chosen;
		if (p->chosen && !was)
			err = begin(c, p, timeline, stacks);
		else if (was && !p->chosen)
			end(c, p);
	}
	tell_none(c, n);
	return err;
}
