/* SPDX-License-Identifier: GPL-2.0-or-later */
/* textbuf.c - see textbuf.h and emit.h: one set of rules, two places where bytes can go. */
#include "core/textbuf.h"

#include "core/emit.h"
#include "core/util.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* Where escaped bytes go: a buffer, or a stream. */
struct text_sink {
	struct textbuf *buf;
	FILE *stream;
};

void textbuf__free(struct textbuf *b)
{
	free(b->text);
	*b = (struct textbuf){0};
}

void textbuf__reset(struct textbuf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->cap)
		b->text[0] = 0;
}

int textbuf__take(struct textbuf *b, char **ret)
{
	int err;

	textbuf__raw(b, "", 0);
	err = b->err;
	if (!err)
		*ret = take_ptr(b->text);
	textbuf__free(b);
	return err;
}

void textbuf__raw(struct textbuf *b, const char *text, size_t len)
{
	if (b->err)
		return;
	b->err = array_reserve(b->text, b->cap, b->len + len + 1);
	if (b->err)
		return;
	memcpy(b->text + b->len, text, len);
	b->len += len;
	b->text[b->len] = 0;
}

void textbuf__str(struct textbuf *b, const char *text)
{
	textbuf__raw(b, text, strlen(text));
}

void textbuf__format(struct textbuf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (!b->err && n >= 0)
		b->err = array_reserve(b->text, b->cap, b->len + n + 1);
	if (!b->err && n >= 0)
		b->len += vsnprintf(b->text + b->len, n + 1, fmt, again);
	va_end(again);
	va_end(ap);
}

static void put(const struct text_sink *s, const char *text, size_t len)
{
	if (s->buf)
		textbuf__raw(s->buf, text, len);
	else
		fwrite_unlocked(text, 1, len, s->stream);
}

size_t textbuf__utf8_len(const char *s)
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

bool textbuf__is_control(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n == 1)
		return u[0] < 0x20 || u[0] == 0x7f;
	if (n == 2)
		return (u[0] == 0xc2 && u[1] < 0xa0) || (u[0] == 0xd8 && u[1] == 0x9c);
	if (n == 4) /* tags, which show nothing */
		return u[0] == 0xf3 && u[1] == 0xa0 && u[2] <= 0x81;
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x80)
		return u[2] == 0xa8 || u[2] == 0xa9 || (u[2] >= 0xaa && u[2] <= 0xae) ||
		       u[2] == 0x8e || u[2] == 0x8f;
	return n == 3 && u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9;
}

char *textbuf__printable(char *text)
{
	for (char *p = text; *p;) {
		size_t n = textbuf__utf8_len(p);

		if (n && !textbuf__is_control(p, n)) {
			p += n;
			continue;
		}
		for (n = max_of(n, (size_t)1); n; n--)
			*p++ = '?';
	}
	return text;
}

static void put_hex(const struct text_sink *s, const char *text, size_t n)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = text[i];
		char hex[4] = {'\\', 'x', digit[c >> 4], digit[c & 15]};

		put(s, hex, 4);
	}
}

/* Length of the longest prefix that may be copied as it is. */
static size_t plain_run(const char *s, size_t len, const char *special)
{
	size_t i = 0;

	while (i < len && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x7f &&
	       !strchr(special, s[i]))
		i++;
	return i;
}

/* One character as it is, or as \xNN if it is no UTF-8 or a control. Returns its bytes. */
static size_t put_char(const struct text_sink *s, const char *text)
{
	size_t n = textbuf__utf8_len(text);

	if (!n || textbuf__is_control(text, n)) {
		n = max_of(n, (size_t)1);
		put_hex(s, text, n);
	} else {
		put(s, text, n);
	}
	return n;
}

/* What stands for one character that plain_run stopped at; NULL: put_char decides. */
static const char *xml_entity(char c)
{
	switch (c) {
	case '&': return "&amp;";
	case '<': return "&lt;";
	case '>': return "&gt;";
	case '"': return "&quot;";
	case '\'': return "&#39;";
	default: return NULL;
	}
}

static void put_plain(const struct text_sink *s, const char *text, const char *also)
{
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		n = plain_run(text, left, also);
		if (n)
			put(s, text, n);
		else if (strchr(also, *text))
			put(s, "_", n = 1);
		else
			n = put_char(s, text);
	}
}

static void put_xml(const struct text_sink *s, const char *text)
{
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		const char *entity = xml_entity(*text);

		n = plain_run(text, left, "&<>\"'");
		if (n) {
			put(s, text, n);
		} else if (entity) {
			put(s, entity, strlen(entity));
			n = 1;
		} else {
			n = put_char(s, text);
		}
	}
}

/* Of a character of n bytes that is one, by textbuf__utf8_len(). */
static uint32_t code_point(const char *text, size_t n)
{
	const unsigned char *u = (const unsigned char *)text;
	uint32_t c = n == 1 ? u[0] : u[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (u[i] & 63u);
	return c;
}

static void put_json_code(const struct text_sink *s, uint32_t c)
{
	char e[32];

	if (c < 0x10000)
		snprintf(e, sizeof(e), "\\u%04x", c);
	else /* in two halves, as UTF-16 has it */
		snprintf(e, sizeof(e), "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
			 0xdc00 + (c & 0x3ff));
	put(s, e, strlen(e));
}

/* A character that JSON cannot hold as it is, or that <script> must not. Returns its bytes. */
static size_t put_json_char(const struct text_sink *s, const char *text)
{
	size_t n = textbuf__utf8_len(text);

	if (*text == '"' || *text == '\\') {
		put(s, "\\", 1);
		put(s, text, 1);
	} else if (!n) { /* no UTF-8: shown as in plain text, the backslash escaped */
		put(s, "\\", 1);
		put_hex(s, text, n = 1);
	} else if (n == 1 || textbuf__is_control(text, n)) {
		put_json_code(s, code_point(text, n));
	} else {
		put(s, text, n);
	}
	return n;
}

static void put_json(const struct text_sink *s, const char *text)
{
	put(s, "\"", 1);
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		n = plain_run(text, left, "\"\\<>&");
		if (n)
			put(s, text, n);
		else
			n = put_json_char(s, text);
	}
	put(s, "\"", 1);
}

/* Controls stand in no string of valid JSON: between its parts they are blanks. */
static void put_json_text(const struct text_sink *s, const char *text)
{
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		n = plain_run(text, left, "");
		if (n) {
			put(s, text, n);
			continue;
		}
		n = textbuf__utf8_len(text);
		if (!n || (unsigned char)*text < ' ')
			put(s, " ", 1);
		else if (textbuf__is_control(text, n))
			put_json_code(s, code_point(text, n));
		else
			put(s, text, n);
		n = max_of(n, (size_t)1);
	}
}

void textbuf__plain(struct textbuf *b, const char *text, const char *also)
{
	textbuf__raw(b, "", 0);
	put_plain(&(struct text_sink){.buf = b}, text, also);
}

void textbuf__json(struct textbuf *b, const char *text)
{
	put_json(&(struct text_sink){.buf = b}, text);
}

void textbuf__json_text(struct textbuf *b, const char *text)
{
	put_json_text(&(struct text_sink){.buf = b}, text);
}

void textbuf__xml(struct textbuf *b, const char *text)
{
	textbuf__raw(b, "", 0);
	put_xml(&(struct text_sink){.buf = b}, text);
}

void emit__plain(FILE *f, const char *text)
{
	put_plain(&(struct text_sink){.stream = f}, text, "");
}

int emit__end(FILE *f, int err)
{
	errno = 0;
	if (!err && (fflush(f) || ferror(f)))
		err = errno ? -errno : -EIO;
	return err;
}

void emit__json(FILE *f, const char *text)
{
	put_json(&(struct text_sink){.stream = f}, text);
}

void emit__json_text(FILE *f, const char *text)
{
	put_json_text(&(struct text_sink){.stream = f}, text);
}

void emit__xml(FILE *f, const char *text)
{
	put_xml(&(struct text_sink){.stream = f}, text);
}

void emit__dot(FILE *f, const char *text)
{
	const struct text_sink s = {.stream = f};

	putc('"', f);
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		n = plain_run(text, left, "\"\\");
		if (n) {
			put(&s, text, n);
		} else if (*text == '\n') {
			put(&s, "\\n", n = 2);
			n = 1;
		} else if (*text == '"' || *text == '\\') {
			put(&s, "\\", 1);
			put(&s, text, n = 1);
		} else {
			/* \xNN with its backslash escaped */
			n = textbuf__utf8_len(text);
			if (n && !textbuf__is_control(text, n)) {
				put(&s, text, n);
				continue;
			}
			n = max_of(n, (size_t)1);
			for (size_t i = 0; i < n; i++) {
				put(&s, "\\", 1);
				put_hex(&s, text + i, 1);
			}
		}
	}
	putc('"', f);
}
