/* SPDX-License-Identifier: GPL-2.0-or-later */
/* type_option.h - the value of --sample-index where a heap is measured. */
#ifndef RUN_TYPE_OPTION_H
#define RUN_TYPE_OPTION_H

#include <argp.h>

/* The name of one of the four heap sample types: arg itself. Does not return where it is none. */
const char *type_option__parse(struct argp_state *state, const char *arg);

#endif
