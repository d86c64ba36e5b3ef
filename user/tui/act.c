/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tui/act.h"

#include <errno.h>
#include <ncurses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "sys/proc_task.h"
#include "tui/draw.h"

/* The first is what the menu begins with; the names are what `kill -l` calls them. */
static const int numbers[] = {SIGTERM, SIGINT,	SIGHUP,	 SIGQUIT, SIGKILL,
			      SIGSTOP, SIGCONT, SIGUSR1, SIGUSR2, SIGABRT};
static const char *const names[] = {"SIGTERM", "SIGINT",  "SIGHUP",  "SIGQUIT", "SIGKILL",
				    "SIGSTOP", "SIGCONT", "SIGUSR1", "SIGUSR2", "SIGABRT"};

bool act__is_key(int key)
{
	return key == 'X' || (key >= KEY_F(7) && key <= KEY_F(9));
}

bool act__is_on(const struct act *a)
{
	return a->menu.on || a->ask.what;
}

void act__end(struct act *a)
{
	if (act__is_on(a))
		pidref__close(&a->process);
	a->menu.on = false;
	a->ask.what = 0;
}

static const char *reason(int err)
{
	return err == -ESRCH ? "it has ended" : strerror(-err);
}

/* "12 (name)": the name is the process's own to choose, and the answer depends on what is read. */
static void put_process(const struct act *a, char *buf, size_t size)
{
	char comm[32] = "?";

	proc_task__comm(a->process.pid, comm, sizeof(comm));
	snprintf(buf, size, "%d (%s)", a->process.pid, textbuf__printable(comm));
}

static void begin_nice(struct act *a, int by, char *message, size_t size)
{
	char who[64];
	int now, err = pidref__nice(&a->process, &now);

	if (err) {
		snprintf(message, size, "no nice value of %d: %s", a->process.pid, reason(err));
		pidref__close(&a->process);
		return;
	}
	put_process(a, who, sizeof(who));
	snprintf(a->label, sizeof(a->label), "Nice value of %s, now %d: ", who, now);
	ask__begin(&a->ask, 'n', a->label);
	snprintf(a->ask.text, sizeof(a->ask.text), "%d", max_of(min_of(now + by, 19), -20));
}

void act__begin(struct act *a, int key, int (*open)(void *arg, struct pidref *ret), void *arg,
		char *message, size_t size)
{
	int err;

	if (!a->allowed) {
		snprintf(message, size, "no key changes a process: --allow-signals was not given");
		return;
	}
	err = open(arg, &a->process);
	if (err) {
		snprintf(message, size, "no process to change: %s", reason(err));
		return;
	}
	if (key == KEY_F(7) || key == KEY_F(8))
		begin_nice(a, key == KEY_F(7) ? -1 : 1, message, size);
	else
		menu__open(&a->menu, "Send a signal", names, ARRAY_SIZE(names), 0);
}

static void send(struct act *a, char *message, size_t size)
{
	int err = pidref__signal(&a->process, numbers[a->signal]);

	if (err)
		snprintf(message, size, "%s was not sent to %d: %s", names[a->signal],
			 a->process.pid, reason(err));
	else
		snprintf(message, size, "%s sent to %d", names[a->signal], a->process.pid);
}

static void renice(struct act *a, char *message, size_t size)
{
	char *end;
	long value = strtol(a->ask.text, &end, 10);
	int err = *end || end == a->ask.text || value < -20 || value > 19
			  ? -ERANGE
			  : pidref__renice(&a->process, (int)value);

	if (err == -ERANGE)
		snprintf(message, size, "'%.20s' is no nice value (-20 to 19)", a->ask.text);
	else if (err)
		snprintf(message, size, "%d keeps its nice value: %s", a->process.pid, reason(err));
	else
		snprintf(message, size, "%d has nice value %ld", a->process.pid, value);
}

static void menu_key(struct act *a, int key)
{
	char who[64];

	switch (menu__key(&a->menu, key)) {
	case MENU_GOES_ON: return;
	case MENU_CANCELLED: pidref__close(&a->process); return;
	case MENU_CHOSEN: break;
	}
	a->signal = a->menu.at;
	put_process(a, who, sizeof(who));
	snprintf(a->label, sizeof(a->label), "%s to %s? (y/n) ", names[a->signal], who);
	ask__begin(&a->ask, 'y', a->label);
}

void act__key(struct act *a, int key, char *message, size_t size)
{
	if (a->menu.on) {
		menu_key(a, key);
		return;
	}
	if (a->ask.what == 'y') { /* one key: y, or anything else */
		a->ask.what = 0;
		if (key == 'y' || key == 'Y')
			send(a, message, size);
		else
			snprintf(message, size, "nothing was sent");
	} else {
		enum ask_result r = ask__key(&a->ask, key);

		if (r == ASK_GOES_ON || r == ASK_CHANGED)
			return;
		if (r == ASK_DONE)
			renice(a, message, size);
	}
	pidref__close(&a->process);
}

void act__draw(const struct act *a, int y)
{
	if (a->menu.on)
		menu__draw(&a->menu, y);
	else if (a->ask.what)
		ask__draw(&a->ask);
}
