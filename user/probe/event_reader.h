/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event_reader.h - reads the kernel's ring of events in a thread that does nothing else, so that
 * nothing which the program does with an event (looking through a library, writing a profile)
 * leaves the ring to run full.
 */
#ifndef PROBE_EVENT_READER_H
#define PROBE_EVENT_READER_H

#include <stddef.h>

struct event_reader;

typedef int (*event_fn)(void *arg, void *data, size_t size);

/* Starts reading the ring behind map_fd. 0 or -errno. */
int event_reader__new(int map_fd, event_fn fn, void *arg, struct event_reader **ret);
void event_reader__free(struct event_reader *r);

/* Hands every event that the kernel has sent until now to fn, in order, until fn returns other than
 * 0: that event is done, the rest waits. The number handed over or what fn returned. */
int event_reader__drain(struct event_reader *r);

/* Readable when events are there. */
int event_reader__fd(const struct event_reader *r);

#endif
