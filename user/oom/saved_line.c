/* SPDX-License-Identifier: GPL-2.0-or-later */
/* saved_line.c - time stamps and senders in front of the kernel's words. See saved.h. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/util.h"
#include "core/when.h"
#include "oom/saved.h"

#define DAY_MS 86400000LL

static const char *const months[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static int month_of(const char *text)
{
	for (int i = 0; i < 12; i++) {
		if (!strncmp(text, months[i], 3))
			return i;
	}
	return -1;
}

/* " 12345.678901" up to `end`: seconds since the boot. */
static bool parse_boot(const char *text, char end, uint64_t *ret_us, const char **ret_end)
{
	uint64_t s = 0, us = 0;
	int digits = 0;

	text += strspn(text, " ");
	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text) && digits < 12; digits++)
		s = s * 10 + (uint64_t)(*text++ - '0');
	if (*text++ != '.')
		return false;
	for (digits = 0; isdigit((unsigned char)*text) && digits < 6; digits++)
		us = us * 10 + (uint64_t)(*text++ - '0');
	if (digits != 6 || *text != end)
		return false;
	*ret_us = s * 1000000 + us;
	*ret_end = text + 1;
	return true;
}

/* "[T1234] ", "[    C0] ": the task or CPU that printed it (CONFIG_PRINTK_CALLER). */
static const char *skip_caller(const char *text)
{
	const char *at = text;

	if (*at++ != '[')
		return text;
	at += strspn(at, " ");
	if (*at != 'T' && *at != 'C')
		return text;
	at++;
	if (!isdigit((unsigned char)*at))
		return text;
	at += strspn(at, "0123456789");
	return at[0] == ']' && at[1] == ' ' ? at + 2 : text;
}

/* The kernel's own stamp, if the words begin with one. */
static const char *skip_boot(const char *text, struct saved_line *ret)
{
	const char *at = text + strspn(text, " ");

	if (*at == '[' && parse_boot(at + 1, ']', &ret->boot_us, &at)) {
		ret->has_boot = true;
		text = at + (*at == ' ');
	}
	return skip_caller(text);
}

/* The year of a month and day: the latest that is not after `near_ms` (a day's grace). */
static int64_t without_year(struct tm *tm, int64_t near_ms)
{
	time_t near = near_ms / 1000;
	struct tm now;
	int64_t at;

	localtime_r(&near, &now);
	for (int back = 0;; back++) {
		struct tm try = *tm;

		try.tm_year = now.tm_year - back;
		try.tm_isdst = -1;
		at = (int64_t)mktime(&try) * 1000;
		if (back == 1 || at <= near_ms + DAY_MS)
			return at;
	}
}

/* "Nov  3 03:12:05" with or without a fraction; *ret_end behind it. */
static bool parse_month_day(const char *text, int64_t near_ms, struct saved_line *ret,
			    const char **ret_end)
{
	struct tm tm = {.tm_mon = month_of(text)};
	int n = 0, ms = 0;

	if (tm.tm_mon < 0 || text[3] != ' ' ||
	    sscanf(text + 4, "%2d %2d:%2d:%2d%n", &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
		   &n) != 4 ||
	    !n || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59)
		return false;
	text += 4 + n;
	if (*text == '.') {
		int scale = 100;

		for (text++; isdigit((unsigned char)*text); text++, scale /= 10)
			ms += (*text - '0') * scale;
	}
	ret->time_unix_ms = without_year(&tm, near_ms) + ms;
	ret->has_time = ret->no_year = true;
	*ret_end = text;
	return true;
}

/* "Mon Nov  3 03:12:05 2025]" */
static bool parse_ctime(const char *text, struct saved_line *ret, const char **ret_end)
{
	struct tm tm = {.tm_isdst = -1};
	int n = 0;

	if (strlen(text) < 25 || text[3] != ' ')
		return false;
	tm.tm_mon = month_of(text + 4);
	if (tm.tm_mon < 0 ||
	    sscanf(text + 7, "%d %2d:%2d:%2d %4d]%n", &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &tm.tm_year, &n) != 5 ||
	    !n || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	ret->time_unix_ms = (int64_t)mktime(&tm) * 1000;
	ret->has_time = true;
	*ret_end = text + 7 + n;
	return true;
}

/* "2025-11-03T03:12:05,678901+01:00 ": the stamp is a word, or two without the T. */
static bool parse_iso(char *text, struct saved_line *ret, const char **ret_end)
{
	size_t len = strcspn(text, " ");
	char stamp[64];

	if (len < 10 || text[4] != '-' || text[7] != '-')
		return false;
	if (len == 10 && text[10] == ' ') /* "2025-11-03 03:12:05.123" */
		len = 11 + strcspn(text + 11, " ");
	if (len >= sizeof(stamp))
		return false;
	memcpy(stamp, text, len);
	stamp[len] = 0;
	if (len < 19 || when__parse(stamp, 0, &ret->time_unix_ms))
		return false;
	ret->has_time = true;
	*ret_end = text + len + (text[len] == ' ');
	return true;
}

/* Behind a stamp of syslog or the journal: "host kernel: words", "host kern.info kernel: words",
 * "host app[12]: words". False: no sender within the first three words. */
static bool parse_sender(const char *text, struct saved_line *ret)
{
	const char *at = text;

	for (int word = 0; word < 4; word++) {
		size_t len = strcspn(at, " ");

		if (word && len > 1 && at[len - 1] == ':') {
			ret->is_kernel = (len == 7 && !memcmp(at, "kernel:", 7)) ||
					 (len > 8 && !memcmp(at, "kernel[", 7));
			ret->text = at + len + (at[len] == ' ');
			return true;
		}
		if (!at[len])
			return false;
		at += len + strspn(at + len, " ");
	}
	return false;
}

/* RFC 5424: "<6>1 2025-11-03T03:12:05.678Z host kernel - - - words" */
static bool parse_5424(char *text, struct saved_line *ret)
{
	const char *at;
	bool kernel;

	if (!parse_iso(text, ret, &at))
		return false;
	at += strcspn(at, " ");
	at += strspn(at, " ");
	kernel = !strncmp(at, "kernel ", 7);
	for (int field = 0; field < 3; field++) { /* sender, process, message id */
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	at += *at == '[' ? strcspn(at, "]") : 0;
	if (*at != '-' && *at != ']')
		return false;
	at++;
	ret->is_kernel = kernel;
	ret->text = at + strspn(at, " ");
	return true;
}

static bool parse_bracket(char *text, int64_t near_ms, struct saved_line *ret)
{
	const char *at = skip_boot(text, ret);

	if (ret->has_boot) {
		ret->form = SAVED_DMESG;
	} else if (parse_ctime(text + 1, ret, &at) ||
		   (parse_month_day(text + 1, near_ms, ret, &at) && *at++ == ']')) {
		ret->form = SAVED_DMESG_CLOCK;
		at = skip_caller(at + (*at == ' '));
	} else {
		return false;
	}
	ret->is_kernel = true;
	ret->text = at;
	return true;
}

/* A journal's MESSAGE is text, or an array of bytes where it is no UTF-8. */
static bool journal_text(const json_t *message, char *to, size_t size)
{
	const json_t *v;
	size_t i, n = 0;

	if (json_is_string(message)) {
		snprintf(to, size, "%s", json_string_value(message));
		return true;
	}
	if (!json_is_array(message))
		return false;
	json_array_foreach(message, i, v)
	{
		json_int_t c = json_integer_value(v);

		if (n + 1 < size)
			to[n++] = c > 0 && c < 256 ? (char)c : '?';
	}
	to[n] = 0;
	return true;
}

/* The words are written over the line, which is at least as long. */
static bool parse_journal(char *line, struct saved_line *ret)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *transport = json_string_value(json_object_get(o, "_TRANSPORT"));
	const char *sender = json_string_value(json_object_get(o, "SYSLOG_IDENTIFIER"));
	const char *real = json_string_value(json_object_get(o, "__REALTIME_TIMESTAMP"));
	const char *schema = json_string_value(json_object_get(o, "schema"));
	bool ok;

	if (schema && !strncmp(schema, "memwatch.", 9)) {
		json_decref(o);
		ret->form = SAVED_EVENTS;
		ret->text = line;
		return true;
	}
	ok = journal_text(json_object_get(o, "MESSAGE"), line, strlen(line) + 1);
	ret->form = SAVED_JOURNAL_JSON;
	ret->is_kernel = (transport && !strcmp(transport, "kernel")) ||
			 (!transport && sender && !strcmp(sender, "kernel"));
	if (real) {
		ret->time_unix_ms = (int64_t)(strtoull(real, NULL, 10) / 1000);
		ret->has_time = true;
	}
	ret->text = line;
	json_decref(o);
	return ok;
}

static bool parse_raw(char *line, struct saved_line *ret)
{
	uint64_t seq;
	unsigned facility;

	if (!isdigit((unsigned char)*line) || !strchr(line, ';') ||
	    kmsg__split(line, &seq, &ret->boot_us, &facility, &ret->text))
		return false;
	ret->form = SAVED_KMSG;
	ret->has_boot = true;
	ret->is_kernel = !facility;
	ret->text = skip_caller(ret->text);
	return true;
}

/* "<6>", and of dmesg -x "kern  :info  : ". */
static char *skip_priority(char *line, bool *ret_version)
{
	char *at = line;

	*ret_version = false;
	if (*at == '<') {
		at++;
		at += strspn(at, "0123456789");
		if (*at != '>')
			return line;
		at++;
		*ret_version = at[0] == '1' && at[1] == ' ';
		return *ret_version ? at + 2 : at;
	}
	at += strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789");
	at += strspn(at, " ");
	if (at == line || *at != ':')
		return line;
	at++;
	at += strspn(at, "abcdefghijklmnopqrstuvwxyz");
	at += strspn(at, " ");
	return at[0] == ':' && at[1] == ' ' ? at + 2 : line;
}

bool saved__decode(char *line, int64_t near_ms, struct saved_line *ret)
{
	const char *at;
	bool has_version;
	char *text;

	*ret = (struct saved_line){.form = SAVED_SYSLOG};
	if (*line == '{')
		return parse_journal(line, ret);
	text = skip_priority(line, &has_version);
	if (has_version)
		return parse_5424(text, ret);
	if (*text == '[')
		return parse_bracket(text, near_ms, ret);
	if (parse_iso(text, ret, &at)) {
		/* dmesg --time-format=iso names no sender, and alone writes a comma. */
		if (memchr(text, ',', (size_t)(at - text)) || !parse_sender(at, ret)) {
			ret->form = SAVED_DMESG_CLOCK;
			ret->is_kernel = true;
			ret->text = at;
		}
	} else if (parse_month_day(text, near_ms, ret, &at)) {
		if (*at != ' ' || !parse_sender(at + 1, ret))
			return false;
	} else {
		return parse_raw(line, ret);
	}
	if (ret->is_kernel)
		ret->text = skip_boot(ret->text, ret);
	return true;
}
