/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * openmetrics.h - numbers for Prometheus and those who read its formats: OpenMetrics 1.0, or the
 * older text format 0.0.4. Names and units follow Prometheus' conventions: base units, the unit at
 * the end of the name, "_total" after counters. Names in labels are untrusted and escaped. Pure.
 */
#ifndef FORMAT_OPENMETRICS_H
#define FORMAT_OPENMETRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/textbuf.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OPENMETRICS_TYPE_CLASSIC "text/plain; version=0.0.4; charset=utf-8"

struct openmetrics {
	struct textbuf *b;
	bool classic; /* the older format */
	/* the family that samples go to; its head is written with the first of them */
	const char *name, *unit, *help;
	bool is_counter, has_head;
};

struct openmetrics_label {
	const char *name, *value; /* value NULL or "": the label is left out */
};

/*
 * Begins a family; texts are borrowed until the next. name without "_total", ending in "_" and the
 * unit where there is one; unit NULL: none.
 */
void openmetrics__gauge(struct openmetrics *m, const char *name, const char *unit,
			const char *help);
void openmetrics__counter(struct openmetrics *m, const char *name, const char *unit,
			  const char *help);
/* One sample; of counters, a value below 0 is 0. No two with the same labels. */
void openmetrics__sample(struct openmetrics *m, double value,
			 const struct openmetrics_label *labels, size_t n);
/* After the last family. */
void openmetrics__end(struct openmetrics *m);

#endif
