/* SPDX-License-Identifier: GPL-2.0-or-later */
/* selector_options.h - --unit, --cgroup, --name, --container as an argp parser. */
#ifndef RUN_SELECTOR_OPTIONS_H
#define RUN_SELECTOR_OPTIONS_H

#include <argp.h>

#include "sys/selector.h"

/* Its input is a struct selector **: NULL until the first of the options, which makes it. */
extern const struct argp selector_options_argp;

#endif
