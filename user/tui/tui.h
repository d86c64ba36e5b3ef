/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tui.h - the live view of one process in a terminal. Knows nothing of observers and probes: it is
 * given a source of snapshots. The caller owns the loop: it calls tui__update when an interval is
 * over and tui__input when the terminal may have something (also after a signal interrupted its
 * wait: the window may have changed its size).
 *
 * While the view is open, messages to stderr are kept and shown when it closes. The terminal is
 * restored by tui__close, at exit() and on deadly signals.
 */
#ifndef TUI_TUI_H
#define TUI_TUI_H

#include <stdbool.h>
#include <stdint.h>

#include "model/ledger.h"
#include "model/profile.h"
#include "sys/pidref.h"

struct tui_numbers { /* the header */
	int pid;
	uint64_t id;	  /* of the process, while it is watched: another one has another */
	const char *name; /* command line; borrowed until the next snapshot */
	bool ended;
	uint64_t watched_ns;
	uint64_t rss_bytes, virt_bytes;
	double inuse_bytes, inuse_objects; /* what the profile lists */
	double alloc_bytes, alloc_objects;
	double map_bytes; /* anonymous mappings that it does not list */
	uint64_t lost;	  /* events */
	const char *cost; /* "0.3 % of one CPU", borrowed; NULL or "" if not known */
	/* What windows in time make of the figures, borrowed; NULL or "": nothing. */
	const char *windows;
	bool inuse_unknown;
};

struct tui_ledger {
	const struct ledger *ledger; /* borrowed until the next call; NULL: there is none */
	const char *why;	     /* there is none, or no newer one; borrowed; NULL: it is new */
	uint64_t took_ns, pause_ns;  /* to read it; from one reading to the next */
};

struct tui_source {
	void *arg;
	/* A profile with the four heap sample types (the view frees it), on demand with sizes and
	 * lifetimes or with anonymous mappings, and the header. 0 or -errno. */
	int (*snapshot)(void *arg, bool histograms, bool mappings, struct profile **ret,
			struct tui_numbers *ret_numbers);
	/* The next of several processes; NULL if there is one only. */
	void (*next)(void *arg);
	/* The process's ledger, not older than its cost allows; NULL: no page of it. */
	void (*ledger)(void *arg, struct tui_ledger *ret);
	/* The process on show, given away. 0; -ESRCH. Only asked where allow_signals. */
	int (*process)(void *arg, struct pidref *ret);
	bool allow_signals;
	double leak_after_s; /* of trend__judge */
	bool mappings;	     /* list them from the start */
	bool has_caller;     /* a view to go back to: Esc and b at the table leave, too */
};

struct tui;

/* type: sample type shown first. -ENOTTY: stdout is no terminal; -ENOTSUP: the terminal is not
 * known or too dumb to move the cursor (fall back to plain text). */
int tui__open(const struct tui_source *source, int type, struct tui **ret);
/* The process on show was let go: nothing of it is kept. */
void tui__forget(struct tui *t);
void tui__close(struct tui *t); /* NULL is fine */

/* Begins with the page of the ledger. */
void tui__show_ledger(struct tui *t);

/* Takes a snapshot and draws. 0 or a negative errno of the source. */
int tui__update(struct tui *t);
enum tui_wish { TUI_STAY, TUI_BACK, TUI_LEAVE }; /* TUI_BACK: to the caller's view */
/* Handles what was typed. */
enum tui_wish tui__input(struct tui *t);

#endif
