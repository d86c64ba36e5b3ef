/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/profile_writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/util.h"
#include "format/output.h"

#define NICE 5 /* events are worked on first */

struct writer_job {
	struct profile *p;
	const char *path;
	int type, err;
};

struct profile_writer {
	struct loop *loop;
	profile_writer_fn done;
	void *arg;
	int ready;		 /* eventfd: all is written */
	struct writer_job *jobs; /* the thread's, while busy */
	size_t n, cap;
	bool busy, threaded;
	pthread_t thread;
};

/* Ends what was started: all is written, the thread ends. */
static void finish(struct profile_writer *w)
{
	eventfd_t unused;

	if (w->threaded)
		pthread_join(w->thread, NULL);
	w->threaded = false;
	eventfd_read(w->ready, &unused);
	for (size_t i = 0; i < w->n; i++)
		w->done(w->arg, w->jobs[i].path, w->jobs[i].err);
	w->n = 0;
	w->busy = false;
}

static void on_ready(void *arg, uint32_t events)
{
	finish(arg);
}

int profile_writer__new(struct loop *loop, profile_writer_fn done, void *arg,
			struct profile_writer **ret)
{
	struct profile_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->done = done;
	w->arg = arg;
	w->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = w->ready < 0 ? -errno : loop__add_fd(loop, w->ready, on_ready, w);
	if (err)
		profile_writer__free(w);
	else
		*ret = w;
	return err;
}

void profile_writer__free(struct profile_writer *w)
{
	if (!w)
		return;
	if (w->threaded)
		pthread_join(w->thread, NULL);
	for (size_t i = 0; i < w->n; i++)
		profile__free(w->jobs[i].p);
	if (w->ready >= 0) {
		loop__drop_fd(w->loop, w->ready);
		close(w->ready);
	}
	free(w->jobs);
	free(w);
}

int profile_writer__add(struct profile_writer *w, struct profile *p, const char *path, int type)
{
	int err = array_reserve(w->jobs, w->cap, w->n + 1);

	if (err)
		profile__free(p);
	else
		w->jobs[w->n++] = (struct writer_job){.p = p, .path = path, .type = type};
	return err;
}

/* Every output is tried: one full disk does not cost the others. */
static void write_all(struct profile_writer *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct writer_job *j = &w->jobs[i];

		j->err = output__write_type(j->p, j->path, j->type);
		profile__free(take_ptr(j->p));
	}
	eventfd_write(w->ready, 1);
}

static void *work(void *arg)
{
	setpriority(PRIO_PROCESS, gettid(), NICE);
	write_all(arg);
	return NULL;
}

void profile_writer__start(struct profile_writer *w)
{
	sigset_t all, old;

	if (!w->n)
		return;
	w->busy = true;
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	w->threaded = !pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!w->threaded)
		write_all(w);
}

bool profile_writer__busy(const struct profile_writer *w)
{
	return w->busy;
}

void profile_writer__finish(struct profile_writer *w)
{
	if (w->busy)
		finish(w);
}
