/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crew.c - see crew.h: the side of who has something to be done. */
#include "sys/crew.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/signals.h"

#define MS 1000000ULL
#define SHORT_REST_NS (50 * MS)
#define MAX_LEFT 64	      /* left behind, that may all still be there */
#define PAUSE_NS (10000 * MS) /* for one more, then */

void crew__start(struct crew *c, void (*serve)(int control))
{
	int pair[2];
	pid_t pid;

	if (c->control >= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	fflush(NULL); /* once is enough */
	pid = fork();
	if (!pid)
		serve(pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return;
	}
	c->control = pair[0];
	c->share.since_ns = util__now_ns();
}

int crew__take(struct crew *c, struct crew_worker **ret)
{
	bool too_many;

	pthread_mutex_lock(&c->lock);
	*ret = c->idle;
	if (*ret)
		c->idle = (*ret)->next;
	too_many = c->left >= MAX_LEFT && util__now_ns() - c->left_ns < PAUSE_NS;
	pthread_mutex_unlock(&c->lock);
	return !*ret && too_many ? -ETIMEDOUT : 0;
}

bool crew__give_back(struct crew *c, struct crew_worker *w, int err)
{
	bool is_left = err == -ETIMEDOUT, is_gone = err == -EPIPE;

	pthread_mutex_lock(&c->lock);
	if (is_left) {
		c->left++;
		c->left_ns = util__now_ns();
	} else if (!is_gone) {
		w->next = c->idle;
		c->idle = w;
	}
	pthread_mutex_unlock(&c->lock);
	return !is_left && !is_gone;
}

uint64_t crew__rest(const struct crew *c, uint64_t rest_ns)
{
	return signals__end_ns() || patience__is_used_up(&c->share) ? SHORT_REST_NS : rest_ns;
}
