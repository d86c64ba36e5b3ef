/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * units.h - reading and printing sizes and times as people write them.
 */
#ifndef CORE_UNITS_H
#define CORE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* A plain decimal number at the begin of text; *ret_end: what follows. 0, -EINVAL or -ERANGE. */
int units__parse_number(const char *text, double *ret, const char **ret_end);

/* "2%", "0.5": above 0, and no more than any machine has CPUs. 0, -EINVAL or -ERANGE. */
#define UNITS_MAX_PERCENT 100000
int units__parse_percent(const char *text, double *ret);

/* "512K", "1.5G", "4096", "10MiB", "2kB": 1024-based. 0, -EINVAL or -ERANGE. */
int units__parse_size(const char *text, uint64_t *ret_bytes);

/* "30s", "5m", "1h", "250ms", "2d", bare number = seconds; fractions allowed. 0, -EINVAL, -ERANGE.
 */
int units__parse_time(const char *text, uint64_t *ret_ns);

/* Prints like pprof's "auto" unit: "512B", "1.50kB", "20.33MB", "1.20GB". Returns buf. */
char *units__size(char *buf, size_t len, int64_t bytes);

/* "850ms", "12.3s", "5m02s", "1h05m". Returns buf. */
char *units__time(char *buf, size_t len, uint64_t ns);

/* A buffer long enough for one printed size or time. */
#define UNITS_LEN 32

/* What a noun ends in that n of them are told of: "1 kill", "2 kills"; "0 kills". */
static inline const char *units__s(uint64_t n)
{
	return n == 1 ? "" : "s";
}
static inline const char *units__es(uint64_t n)
{
	return n == 1 ? "" : "es";
}

#endif
