/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flame.h - flame graphs of a profile as pictures. The SVG is static: hover titles, search, flame
 * or icicle. The HTML page is self-contained and interactive: zoom, search, every sample type,
 * filter by module. Differences (negative values) get widths by the size of the change and
 * colours by its direction. Names are escaped; nothing in them can act.
 */
#ifndef FORMAT_FLAME_H
#define FORMAT_FLAME_H

#include "model/profile.h"

#include <stdio.h>

/* type: index of the sample type that gives the widths. 0 or a negative errno. */
int flame__write_svg(FILE *f, const struct profile *p, int type);
int flame__write_html(FILE *f, const struct profile *p, int type);
/* What the page draws it from, memwatch.flame/1 (tools/web/profile.js), with the histograms and
 * ledgers that the profile has. */
int flame__write_json(FILE *f, const struct profile *p, int type);

#endif
