/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event_queue.h - events between the ring's reader and the one who works on them, in their order.
 *
 * The kernel's ring is small and what is lost there is lost for good; so a reader does nothing but
 * copy events here, however long the work on one of them takes. One thread at a time may put, one
 * may take. Memory grows with what waits, up to a limit, and is given back.
 */
#ifndef PROBE_EVENT_QUEUE_H
#define PROBE_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct event_queue;

/* max_bytes: the queue says that it is full when so much waits. 0 or -ENOMEM. */
int event_queue__new(size_t max_bytes, struct event_queue **ret);
void event_queue__free(struct event_queue *q);

/* Copies an event in. 0; -ENOMEM (the event is not in). A full queue takes it all the same. */
int event_queue__put(struct event_queue *q, const void *data, size_t size);
bool event_queue__full(struct event_queue *q);

/* The next event, valid until the next call; NULL: none. 8-aligned. */
void *event_queue__take(struct event_queue *q, size_t *ret_size);

#endif
