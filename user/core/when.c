/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/units.h"

#define DAY_MS 86400000LL

/* Up to `max` digits. The number read, or -1. */
static int digits(const char **p, int max)
{
	int v = 0, n = 0;

	while (n < max && isdigit((unsigned char)**p)) {
		v = v * 10 + (*(*p)++ - '0');
		n++;
	}
	return n ? v : -1;
}

/* "17:00", "17:00:30", "17:00:30.250" into tm and *ret_ms. */
static bool parse_clock(const char **p, struct tm *tm, int *ret_ms)
{
	tm->tm_hour = digits(p, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || **p != ':')
		return false;
	(*p)++;
	tm->tm_min = digits(p, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59)
		return false;
	tm->tm_sec = *ret_ms = 0;
	if (**p == ':') {
		(*p)++;
		tm->tm_sec = digits(p, 2);
		if (tm->tm_sec < 0 || tm->tm_sec > 60)
			return false;
	}
	if (**p == '.' || **p == ',') {
		int scale = 100;

		(*p)++;
		if (!isdigit((unsigned char)**p))
			return false;
		for (; isdigit((unsigned char)**p); (*p)++, scale /= 10)
			*ret_ms += (**p - '0') * scale;
	}
	return true;
}

static bool parse_date(const char **p, struct tm *tm)
{
	int year = digits(p, 4), month, day;

	if (year < 1970 || **p != '-')
		return false;
	(*p)++;
	month = digits(p, 2);
	if (month < 1 || month > 12 || **p != '-')
		return false;
	(*p)++;
	day = digits(p, 2);
	if (day < 1 || day > 31)
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

/* "", "Z", "+01:00", "+0100", " +0100". False if it is none; *ret_has: a zone is named. */
static bool parse_zone(const char *p, bool *ret_has, int *ret_offset_s)
{
	int sign, hours, minutes = 0;

	*ret_has = false;
	if (!*p)
		return true;
	*ret_has = true;
	*ret_offset_s = 0;
	if (!strcmp(p, "Z"))
		return true;
	p += *p == ' ';
	if (*p != '+' && *p != '-')
		return false;
	sign = *p++ == '-' ? -1 : 1;
	hours = digits(&p, 2);
	p += *p == ':';
	if (*p)
		minutes = digits(&p, 2);
	if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59 || *p)
		return false;
	*ret_offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* A day by name; what follows it is at *p. */
static bool parse_day_name(const char **p, struct tm *tm)
{
	size_t today = strncmp(*p, "today", 5) ? 0 : 5;
	size_t yesterday = strncmp(*p, "yesterday", 9) ? 0 : 9;

	if (!today && !yesterday)
		return false;
	*p += today + yesterday;
	tm->tm_mday -= yesterday != 0;
	return true;
}

static int parse_calendar(const char *p, int64_t now_ms, int64_t *ret_ms)
{
	time_t now = now_ms / 1000, t;
	bool has_zone, is_clock_alone = false;
	int ms = 0, offset = 0;
	struct tm tm;

	localtime_r(&now, &tm);
	tm.tm_isdst = -1;
	if (strchr(p, ':') && strchr(p, ':') - p <= 2) {
		is_clock_alone = parse_clock(&p, &tm, &ms);
		if (!is_clock_alone)
			return -EINVAL;
	} else {
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		if (!parse_day_name(&p, &tm) && !parse_date(&p, &tm))
			return -EINVAL;
		if ((*p == ' ' || *p == 'T') && p[1]) {
			p++;
			if (!parse_clock(&p, &tm, &ms))
				return -EINVAL;
		}
	}
	if (!parse_zone(p, &has_zone, &offset))
		return -EINVAL;
	t = has_zone ? timegm(&tm) - offset : mktime(&tm);
	*ret_ms = (int64_t)t * 1000 + ms;
	if (is_clock_alone && *ret_ms > now_ms)
		*ret_ms -= DAY_MS;
	return 0;
}

int when__parse(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	uint64_t ns;

	if (!strcmp(text, "now")) {
		*ret_ms = now_ms;
		return 0;
	}
	if (*text == '@') {
		char *end;
		long long s;

		errno = 0;
		s = strtoll(text + 1, &end, 10);
		if (errno || end == text + 1 || *end || llabs(s) > INT64_MAX / 1000)
			return -EINVAL;
		*ret_ms = s * 1000;
		return 0;
	}
	if (!units__parse_time(text, &ns)) {
		*ret_ms = now_ms - (int64_t)(ns / 1000000);
		return 0;
	}
	return parse_calendar(text, now_ms, ret_ms);
}

char *when__local(char *buf, size_t size, int64_t unix_ms)
{
	int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
	time_t s = (unix_ms - ms) / 1000;
	char day[32], zone[8];
	struct tm tm;

	localtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(buf, size, "%s.%03d %s", day, (int)ms, zone);
	return buf;
}

char *when__utc(char *buf, size_t size, int64_t unix_ms)
{
	int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
	time_t s = (unix_ms - ms) / 1000;
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%03dZ", (int)ms);
	return buf;
}
