/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * choice.h - which processes a section of the configuration means: a selector (sys/selector.h), and
 * conditions on what only a daemon knows of a process. Conditions of one kind are alternatives,
 * those of different kinds all hold. Pure.
 */
#ifndef DAEMON_CHOICE_H
#define DAEMON_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/selector.h"

struct choice_condition;

struct choice {
	struct selector *selector;	     /* owned; NULL: no condition of its kinds */
	struct choice_condition *conditions; /* owned */
	size_t n, cap;
	uint64_t min_rss_bytes;	 /* 0: any */
	double growth_bytes_min; /* grows faster than this, bytes a minute; 0: however */
	bool is_damaged;	 /* a condition was refused: it is not what was meant */
};

/* What is known of a process. Texts are borrowed and may be NULL. */
struct choice_facts {
	struct selector_facts names;
	const char *command; /* the command line, with blanks between arguments */
	/* Its environment, asked for only where all else fits: NAME=VALUE, each ended by NUL, an
	 * empty one at the end. May be NULL, and return NULL. */
	const char *(*environ)(void *arg);
	void *environ_arg;
	uint64_t rss_bytes;
	/* Bytes a minute, asked for only where a section names it. May be NULL: 0. */
	double (*growth)(const void *arg);
	const void *growth_arg;
};

#define CHOICE_WHY SELECTOR_WHY

void choice__clear(struct choice *c);
/* 0; -ENOENT: kind is none of a choice's (choice__kinds); -ENOMEM; -EINVAL: what is wrong with the
 * value is in why. */
int choice__add(struct choice *c, const char *kind, const char *value, char why[CHOICE_WHY]);
/* "unit, cgroup, …" */
const char *choice__kinds(void);
/* Is it one, which may be given several times? */
bool choice__is_kind(const char *name);
/* Whether nothing narrows it down. */
bool choice__is_all(const struct choice *c);
bool choice__matches(const struct choice *c, const struct choice_facts *f);

/* The innermost unit of a control group's path ("nginx.service"), "" if there is none. Returns
 * buf. */
char *choice__unit(const char *cgroup, char *buf, size_t len);

#endif
