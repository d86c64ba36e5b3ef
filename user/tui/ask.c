/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tui/ask.h"

#include <ncurses.h>
#include <string.h>

#include "core/util.h"
#include "tui/draw.h"

#define ESCAPE 27
#define LEAST_ROOM 8 /* columns for what is typed */

void ask__begin(struct ask *p, char what, const char *label)
{
	p->what = what;
	p->label = label;
	p->text[0] = 0;
}

enum ask_key ask__opens(struct ask *p, int key, const char *searched)
{
	if (key == KEY_F(3) && *searched)
		return ASK_AGAIN;
	if (key == '/' || key == KEY_F(3))
		ask__begin(p, '/', "Search: ");
	else if (key == '\\' || key == KEY_F(4))
		ask__begin(p, '\\', "Filter: ");
	else
		return ASK_NO_KEY;
	return ASK_BEGUN;
}

enum ask_result ask__key(struct ask *p, int key)
{
	size_t len = strlen(p->text);

	if (key == '\n' || key == '\r' || key == KEY_ENTER || key == ESCAPE) {
		p->what = 0;
		return key == ESCAPE ? ASK_CANCELLED : ASK_DONE;
	}
	if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		/* a whole character goes: its continuation bytes first */
		while (len && (p->text[--len] & 0xc0) == 0x80)
			;
		p->text[len] = 0;
	} else if (key == 21) { /* Ctrl-U */
		p->text[0] = 0;
	} else if (key >= 32 && key < 256 && len + 1 < sizeof(p->text)) {
		p->text[len] = (char)key;
		p->text[len + 1] = 0;
	} else {
		return ASK_GOES_ON;
	}
	return ASK_CHANGED;
}

void ask__draw(const struct ask *p)
{
	int len = (int)strlen(p->label), label = max_of(min_of(len, COLS - LEAST_ROOM), 0);
	int y = LINES - 1, room = COLS - label - 2;
	/* of a long text the end, where it is typed */
	const char *from = (int)strlen(p->text) > room ? p->text + strlen(p->text) - room : p->text;

	move(y, 0);
	clrtoeol();
	attron(A_BOLD);
	addstr(p->label + len - label); /* of it, too, the end where the screen is narrow */
	draw__name(from, max_of(room, 0));
	attroff(A_BOLD);
	if (getcurx(stdscr) < COLS - 1)
		addch('_' | A_BLINK);
}
