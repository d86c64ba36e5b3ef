/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rx.h - regular expressions of the kind Go users type (RE2's syntax, of which PCRE2 is a
 * superset for what matters here). Matching has a step limit: an expression that came with a
 * hostile profile cannot hang the program, it matches nothing then.
 */
#ifndef CORE_RX_H
#define CORE_RX_H

#include <stdbool.h>
#include <stddef.h>

struct rx;

/* Compiles. 0, -ENOMEM, or -EINVAL with what is wrong in why (may be NULL). */
int rx__new(const char *pattern, struct rx **ret, char *why, size_t why_len);
void rx__free(struct rx *rx);			 /* NULL is fine */
bool rx__match(struct rx *rx, const char *text); /* one thread at a time */
/* The same; where group number `group` matched, from *ret_start to *ret_end. false: nothing, or not
 * that group. */
bool rx__group(struct rx *rx, const char *text, unsigned group, size_t *ret_start, size_t *ret_end);
const char *rx__pattern(const struct rx *rx); /* as given */

#endif
