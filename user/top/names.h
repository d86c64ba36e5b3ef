/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * names.h - the texts of a row: user, command line, cgroup, container.
 *
 * All of them may be chosen by whoever runs the process: control characters are replaced before
 * they reach a terminal (textbuf__printable).
 */
#ifndef TOP_NAMES_H
#define TOP_NAMES_H

#include <stddef.h>

#include "top/table.h"

struct names;
int names__new(struct names **ret);
void names__free(struct names *n);

/* Fills p's texts from /proc and the user database; a table's `name` callback (arg: names). */
void names__fill(void *arg, struct table_proc *p);

/*
 * The container a cgroup path belongs to: "docker:0123456789ab", "pod:…/0123456789ab",
 * "podman:…", "lxc:NAME", "nspawn:NAME"; NULL if none. malloc'ed. Pure.
 */
char *names__container(const char *cgroup);

#endif
