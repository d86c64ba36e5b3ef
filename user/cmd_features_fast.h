/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_features_fast.h - the part of `features` that looks into a process. */
#ifndef CMD_FEATURES_FAST_H
#define CMD_FEATURES_FAST_H

#include <jansson.h>

/* Can this process be looked into? An exit status, message given. */
int cmd_features_fast__check(int pid);
/* What --fast would do in it, as text on stdout or as an object (EXIT_DONE) to give back. Nothing
 * is stopped or written. An exit status, message given. */
int cmd_features_fast__print(int pid);
int cmd_features_fast__json(int pid, json_t **ret);

#endif
