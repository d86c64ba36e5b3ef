/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/emit.h"

#include "format/escape.h"

#include <stdlib.h>
#include <string.h>

void emit__xml(FILE *f, const char *text)
{
	struct escape_buf b = {0};

	if (!escape__xml(&b, text) && b.text)
		fwrite(b.text, 1, b.len, f);
	escape__free(&b);
}

void emit__json(FILE *f, const char *text)
{
	struct escape_buf b = {0};

	if (!escape__json(&b, text) && b.text)
		fwrite(b.text, 1, b.len, f);
	else
		fputs("\"\"", f);
	escape__free(&b);
}

static void dot_line(FILE *f, const char *line, size_t len)
{
	struct escape_buf b = {0};
	char *copy = strndup(line, len);

	if (copy && !escape__plain(&b, copy, "")) {
		for (size_t i = 0; i < b.len; i++) {
			if (b.text[i] == '"' || b.text[i] == '\\')
				putc('\\', f);
			putc(b.text[i], f);
		}
	}
	escape__free(&b);
	free(copy);
}

void emit__dot(FILE *f, const char *text)
{
	putc('"', f);
	for (;;) {
		size_t len = strcspn(text, "\n");

		dot_line(f, text, len);
		if (!text[len])
			break;
		fputs("\\n", f);
		text += len + 1;
	}
	putc('"', f);
}
