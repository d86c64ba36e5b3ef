/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients send: headers of any bytes are let in only with the token, paths have no way out;
 * and any message of the child that speaks HTTP is a sound request or none. The first byte chooses;
 * texts are separated by NULs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "abcdefghijklmnopqrstuvwxyz234567"

static bool has(const char *text, const char *what)
{
	return text && strstr(text, what);
}

/* Texts that are empty do not stand in the request. */
static void check_headers(char *text, const char *end)
{
	static struct access_rules rules;
	struct access_headers h = {.get = true, .local = "10.0.0.7"};
	const char **field[] = {&h.host,       &h.origin,     &h.authorization, &h.cookie,
				&h.fetch_site, &h.fetch_mode, &h.fetch_dest,	&h.token};
	enum access_verdict v;

	if (!*rules.token) {
		if (access__new(&rules, TOKEN, 6061))
			abort();
		memcpy(rules.hosts, "mem.example\0", 13);
	}
	for (size_t i = 0; i < sizeof(field) / sizeof(*field) && text < end; i++) {
		*field[i] = *text ? text : NULL;
		text += strlen(text) + 1;
	}
	v = access__check(&rules, &h);
	if (v == ACCESS_GRANTED_BY_QUERY && (!h.token || strcmp(h.token, TOKEN) != 0))
		abort();
	/* Of an authorization the base64 may say it in many ways; without one the cookie does. */
	if (v == ACCESS_GRANTED && !h.authorization && !has(h.cookie, rules.cookie))
		abort();
	if (v <= ACCESS_GRANTED_BY_QUERY && (!h.host || strchr(h.host, '/')))
		abort();
}

static void check_path(const char *path)
{
	size_t n = strlen(path);

	if (!access__path(path))
		return;
	if (*path != '/' || strstr(path, "//") || strstr(path, "/../") || strchr(path, '\n') ||
	    strchr(path, 0x1b) || (n >= 3 && !strcmp(path + n - 3, "/..")))
		abort();
}

static void check_message(char *data, size_t len)
{
	struct http_param query[HTTP_MAX_PARAMS];
	struct http_request r;
	struct http_message m;

	if (len < sizeof(m))
		return;
	memcpy(&m, data, sizeof(m));
	if (!http_request__decode(&m, data + sizeof(m), len - sizeof(m), query, &r))
		return;
	check_path(r.path);
	for (size_t i = 0; i < r.nquery; i++) {
		if (http_request__param(&r, query[i].name) == NULL || !query[i].value)
			abort();
	}
	if (r.body[r.body_len] || r.body_len > HTTP_MAX_BODY || !*r.method || !r.host)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1); /* room for the NUL and no more */

	if (!copy || !size) {
		free(copy);
		return 0;
	}
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = '\0';
	switch (data[0] % 3) {
	case 0: check_headers(copy, copy + size - 1); break;
	case 1: check_path(copy); break;
	default: check_message(copy, size - 1);
	}
	free(copy);
	return 0;
}
