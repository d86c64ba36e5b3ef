/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sender.h - writes to a descriptor that may stall (a stopped terminal, a pipe that nobody reads)
 * from a thread of its own, so that whoever measures never waits for whoever looks.
 *
 * What is handed over waits in memory up to a limit; what does not fit is dropped whole and
 * counted. Bytes are written in the order in which they were handed over.
 */
#ifndef SYS_SENDER_H
#define SYS_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sender;

/* fd: borrowed until sender__free. 0 or -errno. */
int sender__new(int fd, size_t max_bytes, struct sender **ret);
/* Waits until all is written or the end is asked for (again), then gives the thread back. Accepts
 * NULL. */
void sender__free(struct sender *s);

/* Something handed over earlier is not written yet. */
bool sender__behind(struct sender *s);
/* Copies. 0, -EAGAIN (no room: dropped), -ENOMEM, or what an earlier write failed with (-EPIPE). */
int sender__put(struct sender *s, const void *buf, size_t len);
/* What a write failed with, 0 if none did. */
int sender__error(struct sender *s);
/* Waits until all is written. 0, the error of writing, or -EINTR: a signal that ends programs came
 * first. */
int sender__flush(struct sender *s);

#endif
