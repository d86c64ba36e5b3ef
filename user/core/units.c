/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* strtod would take "inf", "nan", "0x1p3" and a sign as well. */
int units__parse_number(const char *text, double *ret, const char **ret_end)
{
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return -EINVAL;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return -EINVAL;
	errno = 0;
	*ret = strtod(text, &end);
	if (end == text || end[-1] == 'e' || end[-1] == 'E')
		return -EINVAL;
	if (errno == ERANGE || !isfinite(*ret))
		return -ERANGE;
	*ret_end = end;
	return 0;
}

int units__parse_percent(const char *text, double *ret)
{
	const char *end;
	double v;
	int err = units__parse_number(text, &v, &end);

	if (err)
		return err;
	if (*end && strcmp(end, "%"))
		return -EINVAL;
	if (v <= 0 || v > UNITS_MAX_PERCENT)
		return -ERANGE;
	*ret = v;
	return 0;
}

int units__parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char letters[] = "KMGTPE";
	const char *end, *letter;
	double v;
	int err = units__parse_number(text, &v, &end);

	if (err)
		return err;
	letter = *end ? strchr(letters, toupper((unsigned char)*end)) : NULL;
	if (letter) {
		v = ldexp(v, 10 * (int)(letter - letters + 1));
		end++;
		if (*end == 'i' && (end[1] == 'B' || end[1] == 'b'))
			end++;
	}
	if (*end == 'B' || *end == 'b')
		end++;
	if (*end)
		return -EINVAL;
	if (v >= 0x1p63)
		return -ERANGE;
	*ret_bytes = (uint64_t)v;
	return 0;
}

int units__parse_time(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} unit[] = {{"", 1e9}, {"s", 1e9},  {"sec", 1e9},  {"ms", 1e6},	  {"us", 1e3},
		    {"ns", 1}, {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
	const char *end;
	double v;
	int err = units__parse_number(text, &v, &end);

	if (err)
		return err;
	for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
		if (strcmp(end, unit[i].name))
			continue;
		if (v * unit[i].ns >= 0x1p63)
			return -ERANGE;
		*ret_ns = (uint64_t)(v * unit[i].ns);
		return 0;
	}
	return -EINVAL;
}

char *units__size(char *buf, size_t len, int64_t bytes)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double v = (double)bytes;
	size_t i = 0;

	while (fabs(v) >= 1024 && i < 5) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		snprintf(buf, len, "%lldB", (long long)bytes);
	else
		snprintf(buf, len, "%.2f%s", v, unit[i]);
	return buf;
}

char *units__time(char *buf, size_t len, uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns && ns < 1000000)
		snprintf(buf, len, "%.3gms", (double)ns / 1e6);
	else if (ns < 10000000 && ns % 1000000)
		snprintf(buf, len, "%.1fms", (double)(ns / 100000) / 10);
	else if (ns < 1000000000)
		snprintf(buf, len, "%llums", (unsigned long long)(ns / 1000000));
	else if (s < 60)
		snprintf(buf, len, "%.1fs", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(buf, len, "%llum%02llus", (unsigned long long)(s / 60),
			 (unsigned long long)(s % 60));
	else
		snprintf(buf, len, "%lluh%02llum", (unsigned long long)(s / 3600),
			 (unsigned long long)(s / 60 % 60));
	return buf;
}
