/* SPDX-License-Identifier: GPL-2.0-or-later */
/* measure.c - see measure.h. */
#include "report/measure.h"

#include "core/util.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	const char *alias[4];
	double factor;
};

struct kind {
	struct unit unit[8]; /* ends with name NULL */
	const char *default_name;
	double default_factor;
};

static const struct kind kinds[] = {
	{{{"B", {"b", "byte"}, 1},
	  {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
	  {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20},
	  {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
	  {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40},
	  {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}},
	 "B",
	 1},
	{{{"ns", {"ns", "nanosecond"}, 1},
	  {"us", {"\u03bcs", "us", "microsecond"}, 1e3},
	  {"ms", {"ms", "millisecond"}, 1e6},
	  {"s", {"s", "sec", "second"}, 1e9},
	  {"hrs", {"hour", "hr"}, 3600e9}},
	 "s",
	 1e9},
};

static const struct unit *find_unit(const struct kind *k, const char *name)
{
	char low[24];
	size_t n = strlen(name);

	if (n >= sizeof(low))
		return NULL;
	for (size_t i = 0; i <= n; i++)
		low[i] = tolower((unsigned char)name[i]);
	if (n > 2 && low[n - 1] == 's')
		low[n - 1] = 0;
	for (const struct unit *u = k->unit; u->name; u++) {
		for (size_t i = 0; i < ARRAY_SIZE(u->alias) && u->alias[i]; i++) {
			if (!strcmp(u->alias[i], low))
				return u;
		}
	}
	return NULL;
}

static double convert(const struct kind *k, const struct unit *from, int64_t value, const char *to,
		      const char **ret_unit)
{
	double v = (double)value * from->factor;
	const struct unit *u;

	if (!strcmp(to, "minimum") || !strcmp(to, "auto")) {
		const struct unit *best = NULL;

		for (u = k->unit; u->name; u++) {
			if ((!best || u->factor >= best->factor) && v / u->factor >= 1.0)
				best = u;
		}
		*ret_unit = best ? best->name : k->default_name;
		return v / (best ? best->factor : k->default_factor);
	}
	u = find_unit(k, to);
	*ret_unit = u ? u->name : k->default_name;
	return v / (u ? u->factor : k->default_factor);
}

double measure__scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
	static const char *const dull[] = {"count", "sample", "unit", "minimum", "auto"};

	if (value < 0 && value != INT64_MIN)
		return -measure__scale(-value, from, to, ret_unit);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct unit *u = find_unit(&kinds[i], from);

		if (u)
			return convert(&kinds[i], u, value, to, ret_unit);
	}
	*ret_unit = to;
	for (size_t i = 0; i < ARRAY_SIZE(dull); i++) {
		if (!strcmp(to, dull[i]))
			*ret_unit = "";
	}
	return (double)value;
}

char *measure__label(char *buf, size_t len, int64_t value, const char *from, const char *to)
{
	const char *unit;
	double v = measure__scale(value, from, to, &unit);
	char num[40];
	size_t n = snprintf(num, sizeof(num), "%.2f", v);

	if (n > 3 && n < sizeof(num) && !strcmp(num + n - 3, ".00"))
		num[n - 3] = 0;
	if (!strcmp(num, "0") || !strcmp(num, "-0"))
		snprintf(buf, len, "0");
	else
		snprintf(buf, len, "%s%s", num, unit);
	return buf;
}

/* %5.2g as Go has it: the exponent has two digits there too, so printf's own is the same. */
char *measure__percent(char *buf, size_t len, int64_t value, int64_t total)
{
	double ratio = total ? fabs((double)value / (double)total) * 100 : 0;

	if (ratio >= 99.95 && ratio <= 100.05)
		snprintf(buf, len, "  100%%");
	else if (ratio >= 1.0)
		snprintf(buf, len, "%5.2f%%", ratio);
	else
		snprintf(buf, len, "%5.2g%%", ratio);
	return buf;
}

/* v in units of 10^-digits, trailing zeros of the fraction left out. */
static size_t put_fraction(char *buf, size_t len, uint64_t v, int digits, const char *unit)
{
	uint64_t scale = 1, frac;
	char tail[16];
	int n = 0;

	for (int i = 0; i < digits; i++)
		scale *= 10;
	frac = v % scale;
	if (frac) {
		n = snprintf(tail, sizeof(tail), ".%0*llu", digits, (unsigned long long)frac);
		while (tail[n - 1] == '0')
			n--;
	}
	return snprintf(buf, len, "%llu%.*s%s", (unsigned long long)(v / scale), n, tail, unit);
}

char *measure__duration(char *buf, size_t len, int64_t ns)
{
	uint64_t v = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	size_t n = 0;

	if (ns < 0)
		n = snprintf(buf, len, "-");
	if (v < 1000) {
		snprintf(buf + n, len - n, v ? "%lluns" : "0s", (unsigned long long)v);
	} else if (v < 1000000) {
		put_fraction(buf + n, len - n, v, 3, "\u00b5s");
	} else if (v < 1000000000) {
		put_fraction(buf + n, len - n, v, 6, "ms");
	} else {
		uint64_t s = v / 1000000000;

		if (s >= 3600)
			n += snprintf(buf + n, len - n, "%lluh", (unsigned long long)(s / 3600));
		if (s >= 60)
			n += snprintf(buf + n, len - n, "%llum", (unsigned long long)(s / 60 % 60));
		put_fraction(buf + n, len - n, v % 60000000000ULL, 9, "s");
	}
	return buf;
}
