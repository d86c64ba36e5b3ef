/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sender.c - see sender.h. Two buffers: one is filled while the thread writes the other. */
#include "sys/sender.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/signals.h"

#define LOOK_FOR_SIGNALS_NS 50000000L

struct sender_buffer {
	char *data;
	size_t n, cap;
};

struct sender {
	int fd, err;
	size_t max;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, done;
	struct sender_buffer filled, written; /* written: the thread's while `writing` */
	bool writing, end;
};

/* A descriptor that others made non-blocking is waited for. */
static int write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n >= 0) {
			buf += n;
			len -= n;
		} else if (errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static void *write_what_comes(void *arg)
{
	struct sender *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->end || s->filled.n) {
		struct sender_buffer swap = s->written;
		int err, old;

		if (!s->filled.n) {
			pthread_cond_wait(&s->more, &s->lock);
			continue;
		}
		s->written = s->filled;
		s->filled = swap;
		s->filled.n = 0;
		s->writing = true;
		pthread_mutex_unlock(&s->lock);
		/* the one place where sender__free may end the thread: it holds nothing here */
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
		err = write_all(s->fd, s->written.data, s->written.n);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		pthread_mutex_lock(&s->lock);
		s->writing = false;
		s->err = s->err ? s->err : err;
		if (s->err)
			s->filled.n = 0;
		pthread_cond_broadcast(&s->done);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void *thread_main(void *arg)
{
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	return write_what_comes(arg);
}

/* The thread takes no signals: they are the loop's. */
static int start(struct sender *s)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int sender__new(int fd, size_t max_bytes, struct sender **ret)
{
	struct sender *s = calloc(1, sizeof(*s));
	pthread_condattr_t monotonic;
	int err;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->max = max_bytes;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	pthread_cond_init(&s->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	err = start(s);
	if (err) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void sender__free(struct sender *s)
{
	int err;

	if (!s)
		return;
	err = sender__flush(s);
	pthread_mutex_lock(&s->lock);
	s->end = true;
	if (err)
		s->filled.n = 0;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	if (err == -EINTR)
		pthread_cancel(s->thread);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->more);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->lock);
	free(s->filled.data);
	free(s->written.data);
	free(s);
}

static bool is_behind(const struct sender *s)
{
	return s->writing || s->filled.n;
}

bool sender__behind(struct sender *s)
{
	bool behind;

	pthread_mutex_lock(&s->lock);
	behind = is_behind(s);
	pthread_mutex_unlock(&s->lock);
	return behind;
}

int sender__put(struct sender *s, const void *buf, size_t len)
{
	struct sender_buffer *b = &s->filled;
	int err;

	pthread_mutex_lock(&s->lock);
	err = s->err;
	/* one piece of any size goes through; what waits behind another is limited */
	if (!err && b->n + len > s->max && is_behind(s))
		err = -EAGAIN;
	if (!err)
		err = array_reserve(b->data, b->cap, b->n + len);
	if (!err && len) {
		memcpy(b->data + b->n, buf, len);
		b->n += len;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int sender__error(struct sender *s)
{
	int err;

	pthread_mutex_lock(&s->lock);
	err = s->err;
	pthread_mutex_unlock(&s->lock);
	return err;
}

int sender__flush(struct sender *s)
{
	int err;

	pthread_mutex_lock(&s->lock);
	while (is_behind(s) && !signals__end_waits()) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_FOR_SIGNALS_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&s->done, &s->lock, &until);
	}
	err = s->err ? s->err : is_behind(s) ? -EINTR : 0;
	pthread_mutex_unlock(&s->lock);
	return err;
}
