/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile_writer.h - writes profiles beside the loop: a million stacks take seconds, and events
 * come in meanwhile. A profile is a copy of its own, so nothing that the loop does changes it.
 */
#ifndef RUN_PROFILE_WRITER_H
#define RUN_PROFILE_WRITER_H

#include <stdbool.h>

#include "run/loop.h"
#include "model/profile.h"

struct profile_writer;

/* Called in the loop for each file: 0 or the error of output__write_type. */
typedef void (*profile_writer_fn)(void *arg, const char *path, int err);

/* 0 or -errno. */
int profile_writer__new(struct loop *loop, profile_writer_fn done, void *arg,
			struct profile_writer **ret);
void profile_writer__free(
	struct profile_writer *w); /* accepts NULL; waits for what is being written */

/* Takes the profile over, to be written as output__write_type does once profile_writer__start is
 * called; path and type are as there, path is borrowed. 0 or -ENOMEM (the profile is freed). */
int profile_writer__add(struct profile_writer *w, struct profile *p, const char *path, int type);
/* Begins to write what was added. */
void profile_writer__start(struct profile_writer *w);
/* From profile_writer__start until the last file was told of: nothing may be added. */
bool profile_writer__busy(const struct profile_writer *w);
/* Waits until all is written and told of. */
void profile_writer__finish(struct profile_writer *w);

#endif
