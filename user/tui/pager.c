/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tui/pager.h"

#include <ncurses.h>
#include <string.h>

#include "core/util.h"

struct pager {
	int y, height, top, at; /* at: number of the line to come */
};

static void put_line(struct pager *p, int indent, const char *text, int len)
{
	if (p->at >= p->top && p->at < p->top + p->height) {
		move(p->y + p->at - p->top, indent);
		addnstr(text, len);
	}
	p->at++;
}

/* Where the second column begins; 0: there is none, or the screen is too narrow for two. */
static int second_column(const char *text)
{
	const char *gap = strstr(text, "  ");
	int at = gap ? (int)(gap - text) + (int)strspn(gap, " ") : 0;

	return at <= COLS / 2 ? at : 4;
}

static void wrap(struct pager *p, const char *text)
{
	int indent = 0, width = max_of(COLS - 1, 8);

	do {
		int room = width - indent, len = (int)strlen(text);

		if (len > room) {
			for (len = room; len > room / 2 && text[len] != ' '; len--)
				;
			if (text[len] != ' ')
				len = room;
		}
		put_line(p, indent, text, len);
		if (!indent)
			indent = second_column(text);
		text += len;
		text += strspn(text, " ");
	} while (*text);
}

static int count(const char *const *text)
{
	struct pager p = {0};

	for (; *text; text++)
		wrap(&p, *text);
	return p.at;
}

int pager__draw(const char *const *text, int *top, int y, int height)
{
	struct pager p = {.y = y, .height = height};
	int all = count(text);

	*top = max_of(min_of(*top, all - height), 0);
	p.top = *top;
	for (; *text; text++)
		wrap(&p, *text);
	return all;
}
