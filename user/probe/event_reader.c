/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/event_reader.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/util.h"
#include "probe/event_queue.h"

#define MAX_WAITING \
	(256u << 20)	 /* bytes; then the ring fills, and what it cannot take is counted */
#define CHECK_EVERY 4096 /* events between looks at the queue's size */
#define LOOK_MS 100	 /* the kernel wakes at a filled part of the ring, not at each event */
#define QUIET_MS 1600	 /* the longest while nothing comes: rare events wake, others a filled part */
#define FULL_MS 5

struct event_reader {
	struct ring_buffer *ring;
	struct event_queue *queue;
	event_fn fn;
	void *arg;
	int news, quit; /* eventfds: to the user, to the thread */
	bool runs;
	pthread_t thread;

	pthread_mutex_t lock; /* of the ring: the thread reads it, and drain does */
	uint32_t since_check;
	int err; /* of putting: no memory */
};

static int keep(void *arg, void *data, size_t size)
{
	struct event_reader *r = arg;

	r->err = event_queue__put(r->queue, data, size);
	if (r->err)
		return r->err;
	if (++r->since_check < CHECK_EVERY)
		return 0;
	r->since_check = 0;
	return event_queue__full(r->queue) ? -EAGAIN : 0;
}

/* Copies what is in the ring; how many events or -errno. */
static int read_ring(struct event_reader *r)
{
	int n;

	pthread_mutex_lock(&r->lock);
	n = event_queue__full(r->queue) ? 0 : ring_buffer__consume(r->ring);
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void *work(void *arg)
{
	struct event_reader *r = arg;
	struct pollfd fds[2] = {{.fd = r->quit, .events = POLLIN},
				{.fd = ring_buffer__epoll_fd(r->ring), .events = POLLIN}};

	for (int wait_ms = LOOK_MS;;) {
		bool full = event_queue__full(r->queue), news;

		/* a full queue is the user's to empty: the ring would wake in vain */
		poll(fds, full ? 1 : 2, full ? FULL_MS : wait_ms);
		if (fds[0].revents)
			return NULL;
		news = !full && read_ring(r);
		wait_ms = full || news ? LOOK_MS : min_of(wait_ms * 2, QUIET_MS);
		if (news && eventfd_write(r->news, 1))
			return NULL;
	}
}

static int start_thread(struct event_reader *r)
{
	sigset_t all, old;
	int err;

	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = -pthread_create(&r->thread, NULL, work, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	r->runs = !err;
	return err;
}

int event_reader__new(int map_fd, event_fn fn, void *arg, struct event_reader **ret)
{
	struct event_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	pthread_mutex_init(&r->lock, NULL);
	r->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = r->news < 0 || r->quit < 0 ? -errno : event_queue__new(MAX_WAITING, &r->queue);
	if (!err) {
		r->ring = ring_buffer__new(map_fd, keep, r, NULL);
		err = r->ring ? start_thread(r) : -errno;
	}
	if (err)
		event_reader__free(r);
	else
		*ret = r;
	return err;
}

void event_reader__free(struct event_reader *r)
{
	if (!r)
		return;
	if (r->runs) {
		eventfd_write(r->quit, 1);
		pthread_join(r->thread, NULL);
	}
	ring_buffer__free(r->ring);
	event_queue__free(r->queue);
	if (r->news >= 0)
		close(r->news);
	if (r->quit >= 0)
		close(r->quit);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int event_reader__drain(struct event_reader *r)
{
	eventfd_t news;
	size_t size;
	void *data;
	int n = 0, err = 0;

	if (eventfd_read(r->news, &news) && errno != EAGAIN)
		return -errno;
	read_ring(r);
	while (!err && (data = event_queue__take(r->queue, &size))) {
		n++;
		err = r->fn(r->arg, data, size);
	}
	if (err) /* more may wait: the user's poll must not sleep over it */
		eventfd_write(r->news, 1);
	return err ? err : r->err ? r->err : n;
}

int event_reader__fd(const struct event_reader *r)
{
	return r->news;
}
