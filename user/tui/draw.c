/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tui/draw.h"

#include <ncurses.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "core/textbuf.h"
#include "tui/term.h"

void draw__colour(enum draw_colour c, bool on)
{
	if (!term__has_colour() || c == DRAW_PLAIN)
		return;
	if (on)
		attron(COLOR_PAIR(c));
	else
		attroff(COLOR_PAIR(c));
}

void draw__name(const char *name, int width)
{
	struct textbuf b = {0};
	wchar_t *wide = NULL;
	size_t n;
	int used = 0, x, y;

	textbuf__plain(&b, name, "");
	if (width <= 0 || b.err)
		goto out;
	wide = calloc(b.len + 1, sizeof(*wide));
	if (!wide)
		goto out;
	n = term__is_utf8() ? mbstowcs(wide, b.text, b.len) : (size_t)-1;
	if (n == (size_t)-1) { /* not this terminal's encoding: bytes outside ASCII as '?' */
		for (n = 0; n < b.len; n++)
			wide[n] = b.text[n] > 0 ? (wchar_t)b.text[n] : L'?';
	}
	getyx(stdscr, y, x);
	for (size_t i = 0; i < n; i++) {
		int w = max_of(wcwidth(wide[i]), 0);

		if (used + w > width) {
			if (width > 4)
				mvaddstr(y, x + width - 2, "..");
			break;
		}
		addnwstr(&wide[i], 1);
		used += w;
	}
out:
	textbuf__free(&b);
	free(wide);
}

void draw__rest(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	draw__name(text, COLS - getcurx(stdscr));
}

bool draw__fits(const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* (one column stays free: a full line would move the cursor on) */
	if (n < 0 || n >= COLS - getcurx(stdscr))
		return false;
	addstr(text);
	return true;
}

void draw__keys(const char *keys)
{
	move(LINES - 1, 0);
	clrtoeol();
	for (const char *next; *keys; keys = next + strspn(next, " ")) {
		const char *end = strstr(keys, "  ");
		int len, key = (int)strcspn(keys, " ");

		next = end ? end : keys + strlen(keys);
		len = (int)(next - keys);
		if (getcurx(stdscr) + len >= COLS)
			return;
		attron(A_BOLD);
		addnstr(keys, key);
		attroff(A_BOLD);
		attron(A_DIM);
		addnstr(keys + key, len - key);
		attroff(A_DIM);
		if (getcurx(stdscr) + 2 < COLS)
			addstr("  ");
	}
}
