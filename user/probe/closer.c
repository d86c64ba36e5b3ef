/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/closer.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/util.h"

#define MAX_THREADS 16
#define PER_THREAD 4 /* so many wait before there is another thread */
#define STACK_BYTES (256 << 10)

struct item {
	int fd;
	struct bpf_link *link;
};

struct closer {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t news, done;
	struct item *item;
	size_t n, cap;
	size_t busy; /* being closed */
	bool end;
	pthread_t thread[MAX_THREADS];
	unsigned nthreads;
};

static void close_item(const struct item *i)
{
	if (i->fd >= 0)
		close(i->fd);
	bpf_link__destroy(i->link);
}

static void *work(void *arg)
{
	struct closer *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct item i;

		while (!c->n && !c->end)
			pthread_cond_wait(&c->news, &c->lock);
		if (!c->n)
			break;
		i = c->item[--c->n];
		c->busy++;
		pthread_mutex_unlock(&c->lock);
		close_item(&i);
		pthread_mutex_lock(&c->lock);
		if (!--c->busy && !c->n)
			pthread_cond_broadcast(&c->done);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* With the lock held. Signals are for the main thread. */
static void start_thread(struct closer *c)
{
	sigset_t all, old;
	pthread_attr_t attr;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!pthread_create(&c->thread[c->nthreads], &attr, work, c))
		c->nthreads++;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int closer__new(struct closer **ret)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->news, NULL);
	pthread_cond_init(&c->done, NULL);
	*ret = c;
	return 0;
}

void closer__push(struct closer *c, int fd, struct bpf_link *link)
{
	struct item i = {fd, link};
	bool taken;

	pthread_mutex_lock(&c->lock);
	if (c->nthreads < MAX_THREADS && c->n >= c->nthreads * PER_THREAD)
		start_thread(c);
	taken = c->nthreads && !array_reserve(c->item, c->cap, c->n + 1);
	if (taken)
		c->item[c->n++] = i;
	pthread_cond_signal(&c->news);
	pthread_mutex_unlock(&c->lock);
	if (!taken)
		close_item(&i);
}

void closer__flush(struct closer *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->n || c->busy)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void closer__free(struct closer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->end = true;
	pthread_cond_broadcast(&c->news);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->nthreads; i++)
		pthread_join(c->thread[i], NULL);
	pthread_cond_destroy(&c->news);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c->item);
	free(c);
}
