/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * term.c - see term.h. One terminal a process: the state is global, as ncurses's is.
 *
 * ncurses writes with write(2) and waits where the terminal stands still (Ctrl-S, a connection that
 * hangs). So a frame goes to memory first, by exchanging what lies under ncurses's descriptor for
 * the time of doupdate(), and from there to the terminal by a thread (sys/sender.h).
 */
#include "tui/term.h"

#include "core/surroundings.h"
#include "core/util.h"
#include "sys/sender.h"
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <term.h>
#include <termios.h>

static struct {
	bool open, utf8, colour, registered;
	int users; /* views that have it open, one over the other */
	struct termios saved;
	char reset[128];     /* what gives the screen back */
	int held, stderr_fd; /* messages; the real stderr; -1 */
	SCREEN *screen;
	FILE *out;     /* ncurses's, a descriptor of its own */
	int frame;     /* memory that a frame is drawn to */
	WINDOW *keys;  /* a pad: reading a key from one draws nothing */
	bool left_out; /* the last frame */
	struct sender *sender;
} term = {.frame = -1};

static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};

/* Async-signal-safe: ncurses's own endwin is not. */
static void give_back(void)
{
	tcflush(STDOUT_FILENO, TCOFLUSH); /* nobody may be reading */
	signals__last_words(STDOUT_FILENO, term.reset);
	tcsetattr(STDOUT_FILENO, TCSANOW, &term.saved);
	if (term.stderr_fd >= 0)
		dup2(term.stderr_fd, STDERR_FILENO);
}

static void on_deadly(int sig)
{
	give_back();
	raise(sig); /* SA_RESETHAND: the default action now */
}

static bool has_cap(const char *name)
{
	const char *s = tigetstr(name);

	return s && s != (char *)-1;
}

static void remember_reset(void)
{
	static const char *const caps[] = {"sgr0", "cnorm", "rmkx", "rmcup"};

	term.reset[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		const char *s = has_cap(caps[i]) ? tigetstr(caps[i]) : "";

		if (strlen(term.reset) + strlen(s) < sizeof(term.reset))
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
	term.colour = has_colors() && !surroundings.no_colour;
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

static void free_parts(void)
{
	sender__free(take_ptr(term.sender));
	if (term.out)
		fclose(take_ptr(term.out));
	if (term.frame >= 0)
		close(take_fd(&term.frame));
}

static int make_parts(void)
{
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

	term.left_out = false;
	term.frame = memfd_create("frame", MFD_CLOEXEC);
	term.out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!term.out && fd >= 0)
		close(fd);
	if (!term.out || term.frame < 0)
		return -ENOMEM;
	return sender__new(STDOUT_FILENO, SIZE_MAX, &term.sender);
}

static void close_all(void);

static void block_suspend(int how)
{
	sigset_t suspend;

	sigemptyset(&suspend);
	sigaddset(&suspend, SIGTSTP);
	pthread_sigmask(how, &suspend, NULL);
}

static void set_modes(void)
{
	set_colours();
	cbreak();
	noecho();
	curs_set(0);
	term.keys = newpad(1, 1);
	nodelay(term.keys, TRUE);
	keypad(term.keys, TRUE);
	set_escdelay(50);
}

int term__open(void)
{
	struct sigaction sa = {.sa_handler = on_deadly, .sa_flags = SA_RESETHAND};
	const char *name = surroundings.term;
	int err = 0;

	if (term.open) {
		term.users++;
		return 0;
	}
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return -ENOTTY;
	if (!name || setupterm(name, STDOUT_FILENO, &err) != OK || !has_cap("cup"))
		return -ENOTSUP;
	if (tcgetattr(STDOUT_FILENO, &term.saved))
		return -ENOTTY;
	setlocale(LC_CTYPE, "");
	term.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	err = make_parts();
	term.screen = err ? NULL : newterm(NULL, term.out, stdin);
	if (!term.screen) {
		free_parts();
		return err ? err : -ENOTSUP;
	}
	remember_reset();
	hold_messages();
	set_modes();
	block_suspend(SIG_BLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
		sigaction(deadly[i], &sa, NULL);
	signals__at_forced_end(give_back);
	term.open = true;
	term.users = 1;
	if (!term.registered)
		atexit(close_all);
	term.registered = true;
	return 0;
}

/* One that was stopped by Ctrl-S goes on (Linux: TCOON alone ends only what TCOOFF began), since
 * what is left on it would be the view, in place of the shell. */
static void start_terminal(void)
{
	tcflow(STDOUT_FILENO, TCOOFF);
	tcflow(STDOUT_FILENO, TCOON);
}

static void close_all(void)
{
	if (!term.open)
		return;
	term.open = false;
	start_terminal();
	signals__closing(false); /* nobody may be reading */
	sender__flush(term.sender);
	signals__closing(true);
	delwin(term.keys);
	endwin();
	if (!has_cap("rmcup")) /* the view stays: what comes next is not written into its last line
				*/
		signals__last_words(STDOUT_FILENO, "\n");
	delscreen(term.screen);
	block_suspend(SIG_UNBLOCK);
	signals__at_forced_end(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
		signal(deadly[i], SIG_DFL);
	free_parts();
	release_messages();
}

void term__close(void)
{
	if (term.open && --term.users <= 0)
		close_all();
}

/* Draws to memory. */
static void draw_frame(void)
{
	if (!ftruncate(term.frame, 0) && !lseek(term.frame, 0, SEEK_SET) &&
	    dup3(term.frame, fileno(term.out), O_CLOEXEC) >= 0) {
		doupdate();
		dup3(STDOUT_FILENO, fileno(term.out), O_CLOEXEC);
	}
}

/* ncurses's own handler of ^Z gives the terminal back, stops, and later draws everything anew, to
 * the terminal itself. So it runs here alone, where nothing is half drawn, and not while a frame
 * is on its way: that would come after what the shell has printed. It is looked for before each
 * frame too: doupdate() ignores the signal for its time, and so drops one that waits. */
static void let_suspend(void)
{
	sigset_t pending;

	if (sigpending(&pending) || !sigismember(&pending, SIGTSTP) || sender__behind(term.sender))
		return;
	block_suspend(SIG_UNBLOCK);
	block_suspend(SIG_BLOCK);
}

void term__show(void)
{
	off_t len;
	void *text;

	wnoutrefresh(stdscr);
	term.left_out = sender__behind(term.sender);
	if (term.left_out)
		return;
	let_suspend();
	draw_frame();
	len = lseek(term.frame, 0, SEEK_CUR);
	if (len <= 0)
		return;
	text = mmap(NULL, len, PROT_READ, MAP_SHARED, term.frame, 0);
	if (text == MAP_FAILED)
		return;
	sender__put(term.sender, text, len);
	munmap(text, len);
}

bool term__is_stale(void)
{
	return term.left_out && !sender__behind(term.sender);
}

/* ncurses learns of a new size by a signal, which may come while its descriptor is not the
 * terminal. */
static bool is_resized(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_row || !w.ws_col ||
	    !is_term_resized(w.ws_row, w.ws_col))
		return false;
	resizeterm(w.ws_row, w.ws_col);
	return true;
}

int term__key(void)
{
	int key;

	let_suspend();
	key = wgetch(term.keys);

	return key == ERR && is_resized() ? KEY_RESIZE : key;
}

bool term__is_utf8(void)
{
	return term.utf8;
}

bool term__has_colour(void)
{
	return term.colour;
}
