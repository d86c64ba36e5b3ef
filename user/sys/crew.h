/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crew.h - a process that forks workers, each of which does for memwatch what may have to be waited
 * for without end, one request at a time. Those that have nothing to do are kept; one that does not
 * come back is left behind, and ends by itself when it can. Any thread may use one.
 */
#ifndef SYS_CREW_H
#define SYS_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sys/patience.h"
#include "sys/privilege.h"

#define CREW_SLICE_MS 20	   /* between looks at one that is waited for */
#define CREW_REST_NS 1000000000ULL /* of one that waits itself */

/* The first member of what its user keeps of a worker. */
struct crew_worker {
	struct crew_worker *next; /* of those that have nothing to do */
	pid_t pid;		  /* 0: not known yet */
	int sock;
};

struct crew {
	pthread_mutex_t lock;
	int control; /* to the process that forks; -1: there is none */
	struct crew_worker *idle;
	struct patience_share share; /* of all their resting */
	unsigned left;
	uint64_t left_ns; /* when the last was left behind */
};

/* total_ns: what all may rest, and a twentieth of the time that goes by. */
#define CREW(total_ns)                                                       \
	{                                                                    \
		.lock = PTHREAD_MUTEX_INITIALIZER, .control = -1, .share = { \
			.most_ns = (total_ns),                               \
			.part = 20                                           \
		}                                                            \
	}

/* Starts the process, which is to serve the socket; nothing if there is one, or none can be had. */
void crew__start(struct crew *c, void (*serve)(int control));
/* One that has nothing to do, in *ret; NULL: a new one is to be made. 0, or -ETIMEDOUT: so many
 * were left behind that there is none for now. */
int crew__take(struct crew *c, struct crew_worker **ret);
/* err: that of its last answer. -ETIMEDOUT: it is left behind; -EPIPE: it is gone. False: it is
 * not kept, and the caller's to free. */
bool crew__give_back(struct crew *c, struct crew_worker *w, int err);
/* For how long one that waits itself is waited for: rest_ns, or shorter once all have had their
 * share, or the user wants the end. */
uint64_t crew__rest(const struct crew *c, uint64_t rest_ns);

/* --- in the process itself --- */

#define CREW_MAX_ORDER 16

struct crew_service {
	const char *name;
	enum privilege privilege; /* the only one that it keeps; raised all the time */
	size_t order_len;	  /* bytes, at most CREW_MAX_ORDER */
	/* Starts a worker, see crew__fork. order: order_len bytes; fds: FDMSG_MAX_FDS, the
	 * caller's. */
	void (*start)(const void *order, const int *fds);
};

/* Becomes that service, until the other side is gone. */
_Noreturn void crew__serve(const struct crew_service *s, int control);
/* Forks. True: in the worker, which then may be ended by crew__keep_time alone, or with memwatch.
 */
bool crew__fork(void);
/* What may be ended while it waits ends by itself after so many seconds; 0: no longer. */
void crew__keep_time(int seconds);

#endif
