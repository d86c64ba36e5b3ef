/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * selector.h - which processes are meant, by what they are and not by their number: "the service
 * nginx", "what is called worker", "the container 4f0c", whoever is that now and later.
 *
 * Conditions of one kind are alternatives, kinds narrow each other: unit=a, unit=b, name=c is what
 * is called c in a or b. The kinds, as options and in text ("KIND=VALUE"):
 *
 *   unit       a systemd unit, with what is below it; "nginx" is "nginx.service"; may be a pattern
 *              of the shell ("worker@*.service")
 *   cgroup     a control group and what is below it, in any hierarchy: its path as in
 *              /proc/PID/cgroup or under the mount point; each part may be a pattern
 *   name       a regular expression on the command name (of 15 characters at most) or the file name
 *              of the program
 *   container  the first characters of an identifier, or the whole name of an LXC or nspawn
 *              container; the kind may stand in front ("docker:4f0c2d")
 *   user       a user's name or number; the effective one counts
 *
 * Matching is pure; chooser.h looks at processes.
 */
#ifndef SYS_SELECTOR_H
#define SYS_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum selector_kind {
	SELECTOR_UNIT,
	SELECTOR_CGROUP,
	SELECTOR_NAME,
	SELECTOR_CONTAINER,
	SELECTOR_USER,
	SELECTOR_KINDS,
};

#define SELECTOR_WHY 160
struct selector;

/* What a process is. Strings are borrowed and may be NULL: not known, and then no match. */
struct selector_facts {
	const char *comm;    /* command name, without a newline */
	const char *exe;     /* path or file name of its program */
	const char *cgroups; /* the text of /proc/PID/cgroup: every hierarchy */
	uint32_t uid;	     /* effective */
};

/* Without conditions; matches nothing then. 0 or -ENOMEM. */
int selector__new(struct selector **ret);
void selector__free(struct selector *s); /* NULL is fine */

/* One condition more. 0, -ENOMEM, or -EINVAL with what is wrong with the value. */
int selector__add(struct selector *s, enum selector_kind kind, const char *value,
		  char why[SELECTOR_WHY]);
/* The same from "KIND=VALUE" ("comm" is "name"). */
int selector__parse(struct selector *s, const char *text, char why[SELECTOR_WHY]);

const char *selector__kind_name(enum selector_kind kind); /* "unit", … */
bool selector__empty(const struct selector *s);		  /* NULL is empty */
bool selector__uses(const struct selector *s, enum selector_kind kind);
/* One thread at a time. */
bool selector__match(const struct selector *s, const struct selector_facts *f);
/* "unit nginx.service, name ^worker"; NULL: no memory. To be freed. */
char *selector__text(const struct selector *s);

#endif
