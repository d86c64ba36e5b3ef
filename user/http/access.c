/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "core/textbuf.h"
#include "sys/digest.h"

/* Takes the same time wherever the texts differ. */
static bool same_secret(const char *want, const char *got, size_t got_len)
{
	size_t n = strlen(want);
	volatile unsigned char diff = n != got_len;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)want[i] ^ (unsigned char)(i < got_len ? got[i] : 0);
	return n && !diff;
}

/* Splits "name", "name:port", "[v6]:port" into the name; false: it is none of these. */
static bool host_name(const char *host, char *ret, size_t len)
{
	bool v6 = *host == '[';
	size_t n = strcspn(host + v6, v6 ? "]" : ":");
	const char *rest = host + v6 + n + (v6 && host[v6 + n]);

	if (!n || n >= len || (v6 && !host[v6 + n]) || (*rest && *rest != ':'))
		return false;
	if (*rest && (rest[1 + strspn(rest + 1, "0123456789")] || strlen(rest) > 6))
		return false;
	memcpy(ret, host + v6, n);
	ret[n] = '\0';
	return true;
}

static bool is_loopback(const char *name)
{
	struct in6_addr six;
	struct in_addr four;

	if (!strcasecmp(name, "localhost"))
		return true;
	if (inet_pton(AF_INET, name, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Whether this is the host that the client has reached, a loopback name or one of the rules'. */
static bool is_host_known(const struct access_rules *r, const char *host, const char *local)
{
	char name[256];

	if (!host || !host_name(host, name, sizeof(name)))
		return false;
	if (is_loopback(name) || (local && !strcasecmp(name, local)))
		return true;
	for (const char *p = r->hosts; *p; p += strlen(p) + 1) {
		if (!strcasecmp(name, p))
			return true;
	}
	return false;
}

/* What a page of another site has a browser ask for. Following a link to the page is no harm. */
static bool is_foreign(const struct access_headers *h)
{
	const char *scheme_end = h->origin ? strstr(h->origin, "://") : NULL;

	if (h->origin && (!scheme_end || !h->host || strcasecmp(scheme_end + 3, h->host)))
		return true;
	if (!h->fetch_site || !strcmp(h->fetch_site, "same-origin") ||
	    !strcmp(h->fetch_site, "none"))
		return false;
	return !(h->get && h->fetch_mode && !strcmp(h->fetch_mode, "navigate") && h->fetch_dest &&
		 !strcmp(h->fetch_dest, "document"));
}

static bool cookie_is_right(const struct access_rules *r, const char *cookie)
{
	size_t n = strlen(r->cookie_name);

	for (const char *p = cookie; p && *p; p += strcspn(p, ";"), p += *p == ';') {
		p += strspn(p, " ");
		if (!strncmp(p, r->cookie_name, n) && p[n] == '=' &&
		    same_secret(r->cookie, p + n + 1, strcspn(p + n + 1, "; ")))
			return true;
	}
	return false;
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* Length, or -1: it is longer, or no base64. */
static int base64_decode(const char *text, char *out, size_t cap)
{
	unsigned bits = 0, have = 0;
	size_t n = 0;

	for (; *text && *text != '='; text++) {
		int d = base64_digit(*text);

		if (d < 0 || n == cap)
			return -1;
		bits = bits << 6 | (unsigned)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (char)(bits >> have);
		}
	}
	return (int)n;
}

static bool authorization_is_right(const struct access_rules *r, const char *text)
{
	char plain[256], *colon;
	int n;

	if (!strncasecmp(text, "Bearer ", 7))
		return same_secret(r->token, text + 7, strlen(text + 7));
	if (strncasecmp(text, "Basic ", 6))
		return false;
	n = base64_decode(text + 6 + strspn(text + 6, " "), plain, sizeof(plain));
	colon = n > 0 ? memchr(plain, ':', n) : NULL;
	return colon && same_secret(r->token, colon + 1, plain + n - (colon + 1));
}

enum access_verdict access__check(const struct access_rules *r, const struct access_headers *h)
{
	if (!*r->token) /* nobody reaches a Unix socket by a browser */
		return ACCESS_GRANTED;
	if (!is_host_known(r, h->host, h->local))
		return ACCESS_WRONG_HOST;
	if (is_foreign(h))
		return ACCESS_FOREIGN_SITE;
	if (h->token)
		return same_secret(r->token, h->token, strlen(h->token)) ? ACCESS_GRANTED_BY_QUERY
									 : ACCESS_NO_TOKEN;
	if (h->authorization && authorization_is_right(r, h->authorization))
		return ACCESS_GRANTED;
	return cookie_is_right(r, h->cookie) ? ACCESS_GRANTED : ACCESS_NO_TOKEN;
}

bool access__path(const char *path)
{
	if (*path != '/')
		return false;
	for (const char *p = path; *p;) {
		size_t n = textbuf__utf8_len(p), part = strcspn(p + 1, "/");

		if (!n || textbuf__is_control(p, n) || *p == '\\')
			return false;
		if (*p == '/' && ((!part && p[1]) || (part == 1 && p[1] == '.') ||
				  (part == 2 && p[1] == '.' && p[2] == '.')))
			return false;
		p += n;
	}
	return true;
}

static int fill_cookie(struct access_rules *r)
{
	char text[64 + ACCESS_TOKEN_LEN];

	snprintf(text, sizeof(text), "memwatch cookie %s", r->token);
	return digest__text(text, strlen(text), r->cookie);
}

int access__new(struct access_rules *r, const char *token, unsigned port)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char random[ACCESS_TOKEN_LEN];

	if (token) {
		if (strlen(token) != ACCESS_TOKEN_LEN ||
		    token[strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789")])
			return -EINVAL;
		memcpy(r->token, token, ACCESS_TOKEN_LEN + 1);
	} else {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		for (size_t i = 0; i < ACCESS_TOKEN_LEN; i++)
			r->token[i] = digits[random[i] % 32];
		r->token[ACCESS_TOKEN_LEN] = '\0';
	}
	snprintf(r->cookie_name, sizeof(r->cookie_name), "memwatch_%u", port);
	return fill_cookie(r);
}
