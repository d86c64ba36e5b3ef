/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/timeline_read.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"

#define SCHEMA "memwatch.timeline/1"
#define CSV_BEGIN "time_unix_ms,pid,"
#define MAX_PROCESSES (1u << 18)
#define MAX_ROWS ((size_t)1 << 40) /* nothing is thinned */
#define MAX_MS ((int64_t)1 << 53)  /* differences and sums of times and sizes stay in range */
#define MAX_BYTES ((int64_t)1 << 60)
#define MAX_FIELDS (TIMELINE_COLUMNS + 2)

struct timeline_reader {
	struct timelines *t;
	struct hash_index index; /* lines by PID: of CSV */
	bool more_columns;	 /* of CSV: behind those that are read */
	char *why;
	size_t why_len;
};

static int bad(struct timeline_reader *r, const char *what, size_t line)
{
	if (line)
		snprintf(r->why, r->why_len, "line %zu: %s", line, what);
	else
		snprintf(r->why, r->why_len, "%s", what);
	return -EBADMSG;
}

void timelines__clear(struct timelines *t)
{
	for (size_t i = 0; i < t->n; i++)
		timeline__clear(&t->line[i]);
	free(t->line);
	memset(t, 0, sizeof(*t));
}

static const char *skip_space(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r'))
		s++;
	return s;
}

bool timeline_read__is(const char *buf, size_t len)
{
	const char *s = skip_space(buf, buf + len);

	len = min_of(len, (size_t)TIMELINE_READ_PEEK);
	if (len >= strlen(CSV_BEGIN) && !memcmp(buf, CSV_BEGIN, strlen(CSV_BEGIN)))
		return true;
	return s < buf + len && *s == '{' && memmem(buf, len, SCHEMA, strlen(SCHEMA));
}

static int add_process(struct timeline_reader *r, uint32_t pid, const char *name,
		       struct timeline **ret)
{
	struct timelines *t = r->t;

	if (t->n >= MAX_PROCESSES)
		return bad(r, "too many processes", 0);
	if (array_reserve(t->line, t->cap, t->n + 1))
		return -ENOMEM;
	*ret = &t->line[t->n++];
	timeline__init(*ret, pid, name, MAX_ROWS);
	return 0;
}

/* A row that is in range. */
static int append(struct timeline_reader *r, struct timeline *t, const struct timeline_row *row,
		  size_t line)
{
	if (row->time_unix_ms < 0 || row->time_unix_ms > MAX_MS)
		return bad(r, "no time", line);
	for (int c = 0; c < TIMELINE_COLUMNS; c++) {
		int64_t v = row->value[c];

		if (v != TIMELINE_UNKNOWN && (v > MAX_BYTES || v < -MAX_BYTES))
			return bad(r, "a size that cannot be", line);
	}
	return timeline__append(t, row);
}

/* --- CSV --- */

static int by_pid(struct timeline_reader *r, uint32_t pid, struct timeline **ret)
{
	uint64_t key = keyhash__word(pid);
	size_t at = HASH_INDEX_START;
	uint32_t i;
	int err;

	while (hash_index__next(&r->index, key, &at, &i)) {
		if (r->t->line[i].pid == pid) {
			*ret = &r->t->line[i];
			return 0;
		}
	}
	err = hash_index__reserve(&r->index);
	if (!err)
		err = add_process(r, pid, "", ret);
	if (!err)
		hash_index__add(&r->index, key);
	return err;
}

/* A number, or nothing: not known. */
static bool field(const char **s, const char *end, int64_t *ret)
{
	bool minus = *s < end && **s == '-';
	uint64_t v = 0;
	const char *p = *s + minus;

	if (p == end || *p == ',') {
		*ret = TIMELINE_UNKNOWN;
		return !minus;
	}
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (v > (INT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*s = p;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return p == end || *p == ',';
}

static int csv_row(struct timeline_reader *r, const char *s, const char *end, size_t number)
{
	int64_t value[MAX_FIELDS];
	struct timeline_row row = timeline__row(0);
	struct timeline *t;
	int err;

	for (int i = 0; i < MAX_FIELDS; i++) {
		if (!field(&s, end, &value[i]))
			return bad(r, "no number", number);
		if (i + 1 < MAX_FIELDS && s++ == end)
			return bad(r, "fields are missing", number);
	}
	if (s != end && !r->more_columns)
		return bad(r, "more fields than columns", number);
	if (value[1] < 0 || value[1] > UINT32_MAX)
		return bad(r, "no PID", number);
	row.time_unix_ms = value[0];
	memcpy(row.value, value + 2, sizeof(row.value));
	err = by_pid(r, (uint32_t)value[1], &t);
	return err ? err : append(r, t, &row, number);
}

/* Further columns (of Go programs) may follow those of every timeline. */
static bool is_header(const char *s, size_t len, bool *ret_more)
{
	char want[512];
	size_t n = (size_t)snprintf(want, sizeof(want), "time_unix_ms,pid");

	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		n += (size_t)snprintf(want + n, sizeof(want) - n, ",%s", timeline__column_name(c));
	*ret_more = len > n && s[n] == ',';
	return (n == len || *ret_more) && !memcmp(s, want, n);
}

static int read_csv(struct timeline_reader *r, const char *s, const char *end)
{
	int err = 0;

	for (size_t number = 1; s < end && !err; number++) {
		const char *eol = memchr(s, '\n', (size_t)(end - s));
		const char *next = eol ? eol + 1 : end;

		eol = eol ? eol : end;
		if (eol > s && eol[-1] == '\r')
			eol--;
		if (number == 1 && !is_header(s, (size_t)(eol - s), &r->more_columns))
			return bad(r, "these are not the columns of a timeline", number);
		if (number > 1 && eol > s)
			err = csv_row(r, s, eol, number);
		s = next;
	}
	return err;
}

/* --- JSON --- */

static int64_t number_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : TIMELINE_UNKNOWN;
}

static int json_rows(struct timeline_reader *r, struct timeline *t, const json_t *rows)
{
	size_t i;
	json_t *o;

	json_array_foreach(rows, i, o)
	{
		struct timeline_row row = timeline__row(number_of(o, "time_unix_ms"));
		int err;

		for (int c = 0; c < TIMELINE_COLUMNS; c++)
			row.value[c] = number_of(o, timeline__column_name(c));
		err = append(r, t, &row, 0);
		if (err)
			return err;
	}
	return 0;
}

static int json_marks(struct timeline *t, const json_t *marks)
{
	size_t i;
	json_t *o;

	json_array_foreach(marks, i, o)
	{
		const char *text = json_string_value(json_object_get(o, "text"));
		int64_t ms = number_of(o, "time_unix_ms");

		if (text && ms >= 0 && ms <= MAX_MS && timeline__mark(t, ms, text) == -ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

static int json_process(struct timeline_reader *r, const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	int64_t pid = number_of(o, "pid");
	struct timeline *t;
	int err;

	if (pid < 0 || pid > UINT32_MAX)
		return bad(r, "a process without a PID", 0);
	err = add_process(r, (uint32_t)pid, name ? name : "", &t);
	if (!err)
		err = json_rows(r, t, json_object_get(o, "rows"));
	return err ? err : json_marks(t, json_object_get(o, "marks"));
}

static int json_value(struct timeline_reader *r, const char **s, const char *end, json_t **ret)
{
	json_error_t e;

	*s = skip_space(*s, end);
	*ret = json_loadb(*s, (size_t)(end - *s), JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &e);
	if (!*ret)
		return bad(r, "no valid JSON", 0);
	*s += e.position;
	return 0;
}

static bool accept(const char **s, const char *end, char c)
{
	*s = skip_space(*s, end);
	if (*s == end || **s != c)
		return false;
	(*s)++;
	return true;
}

/* Process by process: a tree of all of them would take many times the file's size. */
static int json_processes(struct timeline_reader *r, const char **s, const char *end)
{
	int err = 0;

	if (!accept(s, end, '['))
		return bad(r, "its processes are no array", 0);
	if (accept(s, end, ']'))
		return 0;
	do {
		json_t *o = NULL;

		err = json_value(r, s, end, &o);
		if (!err)
			err = json_process(r, o);
		json_decref(o);
	} while (!err && accept(s, end, ','));
	return err || accept(s, end, ']') ? err : bad(r, "it ends too early", 0);
}

static int read_json(struct timeline_reader *r, const char *s, const char *end)
{
	int err = accept(&s, end, '{') ? 0 : bad(r, "no JSON object", 0);
	bool found = false;

	while (!err) {
		json_t *key = NULL, *v = NULL;

		err = json_value(r, &s, end, &key);
		if (!err && (!json_is_string(key) || !accept(&s, end, ':')))
			err = bad(r, "no valid JSON", 0);
		if (!err && !strcmp(json_string_value(key), "processes")) {
			err = json_processes(r, &s, end);
			found = true;
		} else if (!err) {
			err = json_value(r, &s, end, &v);
		}
		json_decref(key);
		json_decref(v);
		if (!err && !accept(&s, end, ','))
			break;
	}
	if (!err && !accept(&s, end, '}'))
		err = bad(r, "it ends too early", 0);
	return err || found ? err : bad(r, "it has no processes", 0);
}

int timeline_read__buffer(const char *buf, size_t len, struct timelines *ret, char *why,
			  size_t why_len)
{
	struct timeline_reader r = {.t = ret, .why = why, .why_len = why_len};
	const char *s = skip_space(buf, buf + len);
	int err;

	memset(ret, 0, sizeof(*ret));
	if (!timeline_read__is(buf, len))
		err = bad(&r, "it is no timeline", 0);
	else
		err = *s == '{' ? read_json(&r, s, buf + len) : read_csv(&r, buf, buf + len);
	hash_index__fini(&r.index);
	if (err)
		timelines__clear(ret);
	return err;
}
