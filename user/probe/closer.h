/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * closer.h - takes probes out beside the main loop. The kernel waits for a grace period at each
 * probe that is taken out, some 20 ms, in which nothing else would be done: with hundreds of
 * processes that adds up to many seconds. Several threads wait for the same grace periods.
 */
#ifndef PROBE_CLOSER_H
#define PROBE_CLOSER_H

struct bpf_link;
struct closer;

/* 0 or -ENOMEM. */
int closer__new(struct closer **ret);

/* Closes the descriptor (-1: none) and the link (NULL: none), both now owned by the closer, soon;
 * at once if there is no thread to be had. */
void closer__push(struct closer *c, int fd, struct bpf_link *link);

/* Returns when everything pushed so far is closed. */
void closer__flush(struct closer *c);
/* The same, and frees it. NULL is accepted. */
void closer__free(struct closer *c);

#endif
