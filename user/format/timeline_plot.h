/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timeline_plot.h - timelines as pictures: RSS by kind stacked (anonymous, shared, file), the
 * in-use heap as a line over it, VIRT in a strip with a scale of its own below, marks as
 * vertical lines. One pair of plots for each process. Legible on dark and light pages.
 */
#ifndef FORMAT_TIMELINE_PLOT_H
#define FORMAT_TIMELINE_PLOT_H

#include <stdio.h>

#include "model/timeline.h"

/* 0 or a negative errno (-EIO: the stream failed). */
int timeline_plot__write_svg(FILE *f, const struct timeline *const *t, size_t n);
int timeline_plot__write_html(FILE *f, const struct timeline *const *t, size_t n);
/* What the page draws it from: [{"pid","name","columns":{"time_unix_ms":[…],"virt_bytes":[…],…;
 * null: unknown},"marks":[{"time_unix_ms","text"}],"marks_left_out":N}]. */
int timeline_plot__write_json(FILE *f, const struct timeline *const *t, size_t n);

#endif
