/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oom_watch.h - watches for OOM kills: the probe, the kernel's log, and the recorder of what
 * processes looked like before; calls back with each complete event. One thread. From
 * oom_watch__new on nothing is allocated.
 */
#ifndef OOM_OOM_WATCH_H
#define OOM_OOM_WATCH_H

#include "memwatch/oom.h"
#include "oom/event.h"
#include "oom/throttle.h"

struct oom_watch;
struct statm;

typedef void (*watch_fn)(void *arg, struct oom_event *e);
typedef void (*watch_throttle_fn)(void *arg, const struct throttle_event *e);

struct watch_options {
	bool no_probe, no_kmsg; /* leave a witness out */
	bool no_tracker;	/* no passes over /proc */
	/* Kills in the log from this sequence number on are reported as past ones; OOM_UNKNOWN:
	 * none. */
	uint64_t from_seq;
	watch_throttle_fn throttle_fn; /* of groups held up at memory.high; NULL: not looked for */
};

/*
 * 0, or -errno if no witness is to be had (-EPERM: not permitted). *ret_probe_err and *ret_kmsg_err
 * say what is missing (0: there).
 */
int oom_watch__new(const struct watch_options *o, watch_fn fn, void *arg, struct oom_watch **ret,
		   int *ret_probe_err, int *ret_kmsg_err);
void oom_watch__free(struct oom_watch *w);

/* An epoll descriptor that is readable when there is something to do. */
int oom_watch__fd(const struct oom_watch *w);
/* Milliseconds until oom_watch__run wants to be called even without events; for poll(). */
int oom_watch__timeout_ms(const struct oom_watch *w);
/* Does what is to be done. 0 or -errno. */
int oom_watch__run(struct oom_watch *w);
/* Who reads the sizes of all processes anyway says them, so that they are not read twice: fn fills
 * in those of the i-th of n; false: it has no memory. Asked for only when a look is due. */
typedef bool (*watch_size_fn)(void *arg, size_t i, uint32_t *ret_pid, struct statm *ret);
void oom_watch__sizes(struct oom_watch *w, size_t n, watch_size_fn fn, void *arg);
/* Hands on what still waits for its second witness. */
void oom_watch__flush(struct oom_watch *w);

struct watch_stats {
	uint64_t kills;
	uint64_t lost[MW_OOM_C_COUNT]; /* by enum mw_oom_counter: the MW_OOM_C_LOST_… */
	uint64_t lost_log_records;
};
void oom_watch__stats(const struct oom_watch *w, struct watch_stats *ret);

#define WATCH_LOST 320
/* What is missing, by cause as memwatch/loss.h names it: "1 kills with the ring full, ..."; each
 * cause, or (brief) only those that there were. Returns buf; "" where nothing is said. */
const char *oom_watch__lost(const struct watch_stats *s, bool brief, char buf[WATCH_LOST]);

/* Every kill that the kernel's log still has, oldest first. 0 or -errno. */
int oom_watch__past(watch_fn fn, void *arg);

#endif
