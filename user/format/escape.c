/* SPDX-License-Identifier: GPL-2.0-or-later */
/* escape.c - see escape.h. */
#include "format/escape.h"

#include "core/util.h"

#include <stdarg.h>
#include <string.h>

void escape__free(struct escape_buf *b)
{
	free(b->text);
	*b = (struct escape_buf){0};
}

int escape__raw(struct escape_buf *b, const char *text, size_t len)
{
	int err = array_reserve(b->text, b->cap, b->len + len + 1);

	if (err)
		return err;
	memcpy(b->text + b->len, text, len);
	b->len += len;
	b->text[b->len] = 0;
	return 0;
}

int escape__format(struct escape_buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return escape__raw(b, text, min_of((size_t)n, sizeof(text) - 1));
}

size_t escape__utf8_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	if (u[0] < 0x80)
		return u[0] ? 1 : 0;
	if (u[0] >= 0xc2 && u[0] <= 0xdf && (u[1] & 0xc0) == 0x80)
		return 2;
	if ((u[0] & 0xf0) == 0xe0 && (u[1] & 0xc0) == 0x80 && (u[2] & 0xc0) == 0x80) {
		unsigned c = (u[0] & 15u) << 12 | (u[1] & 63u) << 6 | (u[2] & 63u);

		return c >= 0x800 && (c < 0xd800 || c > 0xdfff) ? 3 : 0;
	}
	if ((u[0] & 0xf8) == 0xf0 && (u[1] & 0xc0) == 0x80 && (u[2] & 0xc0) == 0x80 &&
	    (u[3] & 0xc0) == 0x80) {
		unsigned c = (u[0] & 7u) << 18 | (u[1] & 63u) << 12;

		return c >= 0x10000 && c < 0x110000 ? 4 : 0;
	}
	return 0;
}

/* Characters that steer the terminal or the direction of text rather than show something. */
static bool is_control(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n == 1)
		return u[0] < 0x20 || u[0] == 0x7f;
	if (n == 2)
		return u[0] == 0xc2 && u[1] < 0xa0;
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x80)
		return u[2] == 0xa8 || u[2] == 0xa9 || (u[2] >= 0xaa && u[2] <= 0xae) ||
		       u[2] == 0x8e || u[2] == 0x8f;
	return n == 3 && u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9;
}

static int put_hex(struct escape_buf *b, const char *s, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		unsigned char c = s[i];
		char hex[4] = {'\\', 'x', digit[c >> 4], digit[c & 15]};

		err = escape__raw(b, hex, 4);
	}
	return err;
}

/* Length of the longest prefix that may be copied as it is. */
static size_t plain_run(const char *s, const char *special)
{
	size_t i = 0;

	while ((unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x7f && !strchr(special, s[i]))
		i++;
	return i;
}

/* One character as it is, or as \xNN if it is no UTF-8 or a control; *ret_n: the bytes of text. */
static int put_char(struct escape_buf *b, const char *text, size_t *ret_n)
{
	size_t n = escape__utf8_len(text);

	*ret_n = max_of(n, (size_t)1);
	if (!n || is_control(text, n))
		return put_hex(b, text, *ret_n);
	return escape__raw(b, text, n);
}

int escape__plain(struct escape_buf *b, const char *text, const char *also)
{
	int err = escape__raw(b, "", 0);

	while (*text && !err) {
		size_t n = plain_run(text, also);

		if (n) {
			err = escape__raw(b, text, n);
		} else if (strchr(also, *text)) {
			err = escape__raw(b, "_", n = 1);
		} else {
			err = put_char(b, text, &n);
		}
		text += n;
	}
	return err;
}

int escape__json(struct escape_buf *b, const char *text)
{
	int err = escape__raw(b, "\"", 1);

	while (*text && !err) {
		size_t n = plain_run(text, "\"\\<>&");

		if (n) {
			err = escape__raw(b, text, n);
		} else if (*text == '"' || *text == '\\') {
			char e[2] = {'\\', *text};

			err = escape__raw(b, e, 2);
			n = 1;
		} else {
			n = escape__utf8_len(text);
			if (n == 1) {
				char e[8];

				snprintf(e, sizeof(e), "\\u%04x", (unsigned char)*text);
				err = escape__raw(b, e, 6);
			} else if (!n) {
				/* No UTF-8: shown as in plain text, the backslash escaped. */
				err = escape__raw(b, "\\", 1);
				if (!err)
					err = put_hex(b, text, n = 1);
			} else if (is_control(text, n)) {
				const unsigned char *u = (const unsigned char *)text;
				unsigned c = n == 2 ? (u[0] & 31u) << 6 | (u[1] & 63u)
						    : (u[0] & 15u) << 12 | (u[1] & 63u) << 6 |
							      (u[2] & 63u);
				char e[8];

				snprintf(e, sizeof(e), "\\u%04x", c & 0xffff);
				err = escape__raw(b, e, 6);
			} else {
				err = escape__raw(b, text, n);
			}
		}
		text += n;
	}
	return err ? err : escape__raw(b, "\"", 1);
}

int escape__xml(struct escape_buf *b, const char *text)
{
	int err = escape__raw(b, "", 0);

	while (*text && !err) {
		size_t n = plain_run(text, "&<>\"'");
		const char *entity = *text == '&'    ? "&amp;"
				     : *text == '<'  ? "&lt;"
				     : *text == '>'  ? "&gt;"
				     : *text == '"'  ? "&quot;"
				     : *text == '\'' ? "&#39;"
						     : NULL;

		if (n) {
			err = escape__raw(b, text, n);
		} else if (entity) {
			err = escape__raw(b, entity, strlen(entity));
			n = 1;
		} else {
			err = put_char(b, text, &n);
		}
		text += n;
	}
	return err;
}

int escape__put_plain(FILE *f, const char *text)
{
	struct escape_buf b = {0};
	int err = escape__plain(&b, text, "");

	if (!err && b.text)
		fwrite(b.text, 1, b.len, f);
	escape__free(&b);
	return err;
}
