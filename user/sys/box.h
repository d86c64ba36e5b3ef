/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * box.h - processes without privileges, in which everything is parsed that an attacker can write.
 *
 * One process, the starter, is the program itself executed anew (so that it knows nothing of this
 * one's memory) and then confined as sandbox.h says: a user of its own, no capabilities, no paths,
 * few system calls. It parses nothing. Asked to, it forks a helper for one file, confined further
 * and limited in memory and processor time. A helper that crashes, hangs, or answers nonsense
 * costs its file's names; it knows nothing of other files. When this process ends, however it
 * ends, so do they.
 *
 * A helper is a conversation over a socket: requests with descriptors of what is to be read,
 * answers that the caller must not believe. Large answers go into a memory file that the caller
 * hands in (box__memory, box__take).
 *
 * What they may take altogether, of a file and of a process: box_accounts.h. Memory of one helper:
 * BOX_MEMORY (or core/surroundings.h).
 *
 * A helper on behalf of what others may write or run is waited for as long as it works: one that
 * waits itself, for a file system that does not answer, is left behind after a second.
 *
 * Any thread may start helpers; each helper is used by one thread at a time.
 */
#ifndef SYS_BOX_H
#define SYS_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sys/box_accounts.h"
#include "sys/fdmsg.h"

#define BOX_MEMORY (256ULL << 20)
#define BOX_MAX_MESSAGE (96u << 10) /* payload of one request or answer */
#define BOX_MAX_FDS FDMSG_MAX_FDS

/* The parsers that helpers can be started for; each is served by one function of its room. */
enum box_service {
	BOX_SYMBOLS,
	BOX_UNWIND,
	BOX_ALLOCS,
	BOX_JIT,
	BOX_GO,
	BOX_FAST,
	BOX_HEAP,
	BOX_DISASM,
	BOX_SERVICES,
};

/* This process's side. */
struct box_helper;

struct box_answer {
	int result;	  /* 0 or more, or a negative errno of the service's */
	bool more;	  /* another answer to the same request follows */
	const void *data; /* borrowed until the next call; aligned for any type */
	size_t len;
};

/* From now on an answer on behalf of others takes at most so long, whatever it works on; 0: as long
 * as it has processor time. For those who have more to do than to wait for one target. */
void box__hurry(uint64_t most_ns);

/*
 * For a loop that has more to do: until the next call answers on behalf of others that may be had
 * later (box_helper__await_turn) are waited for no longer than that, all together; those that
 * cannot have three seconds and a twentieth of the time that goes by, and then 50 ms each. Never
 * called: they are waited for as others are. Of the thread that runs the loop.
 */
void box__turn(uint64_t most_ns);
/* Whether nothing of that is left for a process. */
bool box__turn_is_over(const struct box_target *whose);

/*
 * Starts the starter, if it does not run: to be called while this process still may change users
 * (otherwise a user namespace has to do). 0 or -errno.
 */
int box__start(void);

/*
 * A helper for the file behind fd (borrowed, for its account alone; -1: none), on behalf of a
 * process (NULL: of none). 0; -EDQUOT: the file's time is used up, or what the process may take; a
 * line has said the second; -EINTR: the user has asked for the end; other negative errno.
 */
int box_helper__new(enum box_service service, int fd, const struct box_target *whose,
		    struct box_helper **ret);
void box_helper__free(struct box_helper *h);

/* Whether nothing more is read on behalf of a process: then its files need not be opened either. */
bool box__has_spent(const struct box_target *whose);

/* Sends a request with copies of nfds descriptors. 0 or, the helper being gone, as receive. */
int box_helper__send(struct box_helper *h, uint32_t op, const void *data, size_t len,
		     const int *fds, size_t nfds);
/*
 * Waits for an answer. 0; -ETIMEDOUT: its processor time or the clock ran out; -EFAULT: it died or
 * answered nonsense; -EINTR: the user wants the end and it takes too long. After a negative result
 * it is gone.
 */
int box_helper__receive(struct box_helper *h, struct box_answer *ret);
/* Whether receive will not wait, which is waited for until then (0: not at all). Who asks now and
 * then may do other things meanwhile: an answer may take as long as it has processor time. */
bool box_helper__await(struct box_helper *h, uint64_t until_ns);
/* The same for as long as this turn has time for it. */
bool box_helper__await_turn(struct box_helper *h);
/* Both, for requests with one answer: its result, or as receive. */
int box_helper__ask(struct box_helper *h, uint32_t op, const void *data, size_t len, const int *fds,
		    size_t nfds, struct box_answer *ret);
/* Processor time that somebody else than a helper has taken on behalf of a process. */
void box__charge(const struct box_target *whose, uint64_t cpu_ns);
/* Who reads memory for the helper (procmem__hand_over): what that takes of the processor's time is
 * the helper's from now on, whose time the two share. Takes the meter. */
struct memreader_meter;
void box_helper__reader(struct box_helper *h, struct memreader_meter *reader);
/* For loops of events: readable when receive will not wait. */
int box_helper__fd(const struct box_helper *h);
/* What an error of a helper's says of its file: -EDQUOT, nothing, if the helper had less time or
 * memory than others for the same file may have, because its process had no more left. */
int box_helper__verdict(const struct box_helper *h, int err);
/* Whether it has had half of the processor time it was given: whoever keeps helpers for long starts
 * another in its place, which gets what its accounts have by then. */
bool box_helper__is_spent(struct box_helper *h);
/* Processor time that it has taken, and who reads for it, ns; 0 where that cannot be told. */
uint64_t box_helper__cpu_ns(struct box_helper *h);
/* What it takes now, bytes; and its process, for tests (-1: gone). */
uint64_t box_helper__bytes(const struct box_helper *h);
pid_t box_helper__pid(const struct box_helper *h);
pid_t box__starter_pid(void); /* for tests */

/* A memory file for a large answer; its contents as malloc'ed memory, at most max bytes, and a NUL
 * behind them. */
int box__memory(void);
int box__take(int fd, size_t max, void **ret, size_t *ret_len);

/* What was spent, for -v. */
struct box_stats {
	uint64_t started, killed; /* helpers; those that died or were stopped for their behaviour */
	uint64_t cpu_ns;	  /* of helpers that have ended */
	uint64_t peak_bytes;	  /* most that one took */
};
void box__stats(struct box_stats *ret);

/* The helper's side. */
struct box_conn;
struct box_request {
	uint32_t op;
	const void *data;
	size_t len;
	int fds[BOX_MAX_FDS]; /* -1: none; take_fd() those that are kept */
};
/* Serves one request; sends its answers. State is the service's own, of one file. */
typedef void (*box_serve_fn)(struct box_conn *c, struct box_request *r);

/* One part of an answer; every request ends with one that has more = false. Ends the process if
 * the other side is gone. */
void box_conn__answer(struct box_conn *c, int result, const void *data, size_t len, bool more);

/*
 * Who serves what: defined once by whatever is linked together (user/services.c), which also calls
 * box__serve_if_asked before main(): where this process was executed as the starter, it never
 * returns.
 */
extern const box_serve_fn box__services[BOX_SERVICES];
void box__serve_if_asked(int argc, char **argv);

#endif
