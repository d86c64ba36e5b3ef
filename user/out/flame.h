/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flame.h - flame graphs of a profile as pictures. */
#ifndef OUT_FLAME_H
#define OUT_FLAME_H

#include "model/profile.h"

#include <stdio.h>

/* type: index of the sample type that gives the widths. 0 or a negative errno. */
int flame__write_svg(FILE *f, const struct profile *p, int type);
int flame__write_html(FILE *f, const struct profile *p, int type);

#endif
