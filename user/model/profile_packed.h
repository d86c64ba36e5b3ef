/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile_packed.h - the samples of a profile as bytes, from a process that is not believed
 * (sys/box.h) to one of the same program: strings, mappings, functions, locations, labels, samples
 * and totals; nothing of what memwatch knows besides.
 */
#ifndef MODEL_PROFILE_PACKED_H
#define MODEL_PROFILE_PACKED_H

#include "model/profile.h"

/* Hands all bytes to `write` in order, which returns 0 or -errno. 0 or what it returned. */
int profile_packed__write(const struct profile *p,
			  int (*write)(void *arg, const void *data, size_t len), void *arg);

/* Is every index, length and text within what is there? data is aligned as malloc's. 0; -EBADMSG.
 */
int profile_packed__check(const void *data, size_t len);

/*
 * Adds what the check has passed to a profile with as many values a sample: samples, with these
 * labels besides their own, and totals. Their number is at most PROFILE_PACKED_LABELS. 0; -ENOMEM;
 * -E2BIG; -EBADMSG: another number of values.
 */
#define PROFILE_PACKED_LABELS 16
int profile_packed__add(const void *data, size_t len, struct profile *p,
			const struct profile_label *labels, size_t nlabels);

#endif
