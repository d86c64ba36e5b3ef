/* SPDX-License-Identifier: GPL-2.0-or-later */
/* menu.h - one of several, chosen with the arrow keys. */
#ifndef TUI_MENU_H
#define TUI_MENU_H

#include <stdbool.h>

struct menu {
	bool on;
	const char *title; /* static */
	const char *const *item;
	int n, at;
};

enum menu_result { MENU_GOES_ON, MENU_CHOSEN, MENU_CANCELLED };

void menu__open(struct menu *m, const char *title, const char *const *item, int n, int at);
/* A key of ncurses; m->at is what was chosen. After CHOSEN and CANCELLED it is closed. */
enum menu_result menu__key(struct menu *m, int key);
/* Over what is on the screen, from row y on. */
void menu__draw(const struct menu *m, int y);

#endif
