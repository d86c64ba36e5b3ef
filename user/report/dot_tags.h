/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dot_tags.h - what the samples' labels say about a function, as small boxes beside its own. */
#ifndef REPORT_DOT_TAGS_H
#define REPORT_DOT_TAGS_H

#include "report/report.h"

/* The unit of the label "bytes". */
const char *dot_tags__unit(const struct report *r);
/* Boxes for a node's labels with most in them, if there are any; id: the node's. 0 or -ENOMEM. */
int dot_tags__put(struct report *r, FILE *f, struct graph *g, uint32_t node, uint32_t id,
		  bool *ret_any);

#endif
