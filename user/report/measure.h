/* SPDX-License-Identifier: GPL-2.0-or-later */
/* measure.h - values with units, scaled and printed exactly as pprof does. Pure. */
#ifndef REPORT_MEASURE_H
#define REPORT_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASURE_LEN 64 /* a buffer long enough for any text below with a unit of usual length */

/*
 * Converts a value between units of one kind (bytes, time). to "minimum" or "auto" picks the
 * largest unit that leaves a value of at least 1. A unit of no known kind is kept; *ret_unit
 * borrows from a static table or from `to`.
 */
double measure__scale(int64_t value, const char *from, const char *to, const char **ret_unit);

/* "1.50MB", "0", "12"; two decimals, ".00" dropped. Returns buf. */
char *measure__label(char *buf, size_t len, int64_t value, const char *from, const char *to);

/* Six characters or more: "12.34%", "  100%", "  0.5%". Returns buf. */
char *measure__percent(char *buf, size_t len, int64_t value, int64_t total);

/* A time span as Go prints it: "1h2m3.5s", "350ms". Returns buf. */
char *measure__duration(char *buf, size_t len, int64_t ns);

#endif
