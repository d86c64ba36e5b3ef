/* SPDX-License-Identifier: GPL-2.0-or-later */
/* term.c - see term.h. One terminal a process: the state is global, as ncurses's is. */
#include "tui/term.h"

#include "core/util.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <term.h>
#include <termios.h>

static struct {
	bool open, utf8, colour, registered;
	struct termios saved;
	char reset[128];     /* what gives the screen back */
	int held, stderr_fd; /* messages; the real stderr; -1 */
	SCREEN *screen;
} term;

static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};

/* Async-signal-safe: ncurses's own endwin is not. */
static void on_deadly(int sig)
{
	ssize_t n = write(STDOUT_FILENO, term.reset, strlen(term.reset));

	(void)n;
	tcsetattr(STDOUT_FILENO, TCSANOW, &term.saved);
	if (term.stderr_fd >= 0)
		dup2(term.stderr_fd, STDERR_FILENO);
	raise(sig); /* SA_RESETHAND: the default action now */
}

static void remember_reset(void)
{
	static const char *const caps[] = {"sgr0", "cnorm", "rmkx", "rmcup"};

	term.reset[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		const char *s = tigetstr(caps[i]);

		if (s && s != (char *)-1 && strlen(term.reset) + strlen(s) < sizeof(term.reset))
			strcat(term.reset, s);
	}
}

static void hold_messages(void)
{
	term.held = term.stderr_fd = -1;
	if (!isatty(STDERR_FILENO))
		return;
	term.held = memfd_create("messages", MFD_CLOEXEC);
	if (term.held < 0)
		return;
	term.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (term.stderr_fd < 0 || dup2(term.held, STDERR_FILENO) < 0) {
		close(term.held);
		term.held = -1;
	}
}

static void release_messages(void)
{
	char buf[4096];
	ssize_t n;

	if (term.held < 0)
		return;
	fflush(stderr);
	dup2(term.stderr_fd, STDERR_FILENO);
	lseek(term.held, 0, SEEK_SET);
	while ((n = read(term.held, buf, sizeof(buf))) > 0)
		util__write_all(STDERR_FILENO, buf, n);
	close(term.held);
	close(term.stderr_fd);
	term.held = term.stderr_fd = -1;
}

static void set_colours(void)
{
	term.colour = has_colors() && !getenv("NO_COLOR");
	if (!term.colour)
		return;
	start_color();
	use_default_colors();
	init_pair(1, COLOR_RED, -1);
	init_pair(2, COLOR_YELLOW, -1);
	init_pair(3, COLOR_GREEN, -1);
	init_pair(4, COLOR_CYAN, -1);
	init_pair(5, COLOR_MAGENTA, -1);
}

int term__open(void)
{
	struct sigaction sa = {.sa_handler = on_deadly, .sa_flags = SA_RESETHAND};
	const char *name = getenv("TERM");
	int err = 0;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return -ENOTTY;
	if (!name || setupterm(name, STDOUT_FILENO, &err) != OK || !tigetstr("cup") ||
	    tigetstr("cup") == (char *)-1)
		return -ENOTSUP;
	if (tcgetattr(STDOUT_FILENO, &term.saved))
		return -ENOTTY;
	setlocale(LC_CTYPE, "");
	term.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	term.screen = newterm(NULL, stdout, stdin);
	if (!term.screen)
		return -ENOTSUP;
	remember_reset();
	hold_messages();
	set_colours();
	cbreak();
	noecho();
	curs_set(0);
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	set_escdelay(50);
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
		sigaction(deadly[i], &sa, NULL);
	term.open = true;
	if (!term.registered)
		atexit(term__close);
	term.registered = true;
	return 0;
}

void term__close(void)
{
	if (!term.open)
		return;
	term.open = false;
	endwin();
	delscreen(term.screen);
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
		signal(deadly[i], SIG_DFL);
	release_messages();
}

bool term__is_utf8(void)
{
	return term.utf8;
}

bool term__has_colour(void)
{
	return term.colour;
}
