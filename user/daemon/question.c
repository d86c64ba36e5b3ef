/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const question_names[] = {
	[QUESTION_HEAP] = "heap",
	[QUESTION_ALLOCS] = "allocs",
	[QUESTION_GOROUTINE] = "goroutine",
	[QUESTION_RESIDENT] = "resident",
	[QUESTION_CMDLINE] = "cmdline",
	[QUESTION_SYMBOL] = "symbol",
	[QUESTION_INDEX] = "",
};

const char *question__twice(const struct http_request *r)
{
	for (size_t i = 0; i < r->nquery; i++) {
		for (size_t k = 0; k < i; k++) {
			if (!strcmp(r->query[i].name, r->query[k].name) &&
			    !choice__is_kind(r->query[i].name))
				return r->query[i].name;
		}
	}
	return NULL;
}

int question__choice(const struct http_request *r, uint32_t path_pid, uint32_t *ret_pid,
		     struct choice *ret, char why[CHOICE_WHY])
{
	int err = 0;

	*ret_pid = path_pid;
	for (size_t i = 0; i < r->nquery && !err; i++) {
		const char *name = r->query[i].name, *value = r->query[i].value;
		char *end;
		unsigned long v;

		if (strcmp(name, "pid")) {
			err = choice__add(ret, name, value, why);
			err = err == -ENOENT ? 0 : err; /* another parameter */
			continue;
		}
		v = strtoul(value, &end, 10);
		if (!*value || *value == '-' || *end || !v || v > INT32_MAX) {
			snprintf(why, CHOICE_WHY, "'%.40s' is no process id", value);
			return -EINVAL;
		}
		*ret_pid = v;
	}
	return err;
}

int question__number(const struct http_request *r, const char *name, long max, long *ret)
{
	const char *text = http_request__param(r, name);
	char *end;

	*ret = 0;
	if (!text)
		return 0;
	*ret = strtol(text, &end, 10);
	return !*text || *end || *ret < 0 || *ret > max ? -EINVAL : 0;
}

bool question__path(const char *path, uint32_t *ret_pid, enum question_kind *ret)
{
	char *end;
	unsigned long pid;

	*ret_pid = 0;
	if (!strncmp(path, "/p/", 3)) {
		pid = strtoul(path + 3, &end, 10);
		if (end == path + 3 || path[3] == '-' || !pid || pid > INT32_MAX)
			return false;
		*ret_pid = pid;
		path = end;
	}
	if (strncmp(path, "/debug/pprof", 12) || (path[12] && path[12] != '/'))
		return false;
	path += path[12] ? 13 : 12;
	for (*ret = QUESTION_HEAP; *ret < QUESTION_UNKNOWN; (*ret)++) {
		if (!strcmp(path, question_names[*ret]))
			return true;
	}
	return true;
}
