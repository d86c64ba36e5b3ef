/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tui/menu.h"

#include <ncurses.h>
#include <string.h>

#include "core/util.h"

#define ESCAPE 27

void menu__open(struct menu *m, const char *title, const char *const *item, int n, int at)
{
	*m = (struct menu){.on = true, .title = title, .item = item, .n = n, .at = at};
}

enum menu_result menu__key(struct menu *m, int key)
{
	switch (key) {
	case KEY_UP:
	case 'k': m->at = (m->at + m->n - 1) % m->n; break;
	case KEY_DOWN:
	case 'j':
	case 'o':
	case KEY_F(6): m->at = (m->at + 1) % m->n; break;
	case KEY_HOME: m->at = 0; break;
	case KEY_END: m->at = m->n - 1; break;
	case '\n':
	case '\r':
	case KEY_ENTER: m->on = false; return MENU_CHOSEN;
	case ESCAPE:
	case 'q':
	case 'b': m->on = false; return MENU_CANCELLED;
	}
	return MENU_GOES_ON;
}

void menu__draw(const struct menu *m, int y)
{
	int width = (int)strlen(m->title), height = max_of(LINES - y - 2, 1);
	int first = max_of(min_of(m->at - height + 1, m->n - height), 0);

	for (int i = 0; i < m->n; i++)
		width = max_of(width, (int)strlen(m->item[i]));
	attron(A_REVERSE | A_BOLD);
	mvprintw(y, 0, " %-*.*s ", width, COLS - 2, m->title);
	attroff(A_REVERSE | A_BOLD);
	for (int i = 0; i < height && first + i < m->n; i++) {
		int attr = first + i == m->at ? A_BOLD : A_REVERSE;

		attron(attr);
		mvprintw(y + 1 + i, 0, "%c%-*.*s ", first + i == m->at ? '>' : ' ', width, COLS - 2,
			 m->item[first + i]);
		attroff(attr);
	}
}
