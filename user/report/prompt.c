/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prompt.c - see prompt.h. */
#include "report/prompt.h"

#include "core/log.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "sys/outfile.h"
#include "sys/safeopen.h"

#include <editline/readline.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#define HISTORY_LINES 500

static prompt_complete_fn complete_words;
static char **found; /* of a completion: NULL-terminated */
static size_t nfound, found_cap;
static bool terminal;

/* --- history --- */

/* Whose directory it is, or would be made in: with sudo it may be that of who called it, where
 * every name is another user's to choose. */
static bool is_ours(const char *dir)
{
	cleanup_free char *path = strdup(dir);
	cleanup_fd int fd = -1;
	struct stat st;

	while (path && stat(path, &st)) {
		char *slash = strrchr(path, '/');

		if (errno != ENOENT || !slash || slash == path)
			return false;
		*slash = 0;
	}
	fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;
	return fd >= 0 && st.st_uid == geteuid() && !safeopen__is_anothers(fd, &st);
}

/* ~/.local/state/memwatch/report-history, or below $XDG_STATE_HOME. NULL: there is no such place.
 */
static char *history_path(bool make)
{
	const char *state = surroundings.state, *home = surroundings.home;
	char *path = NULL;

	if ((!state && !home) || !is_ours(state ? state : home))
		return NULL;
	if (asprintf(&path, "%s%s/memwatch/report-history", state ? state : home,
		     state ? "" : "/.local/state") < 0)
		return NULL;
	for (char *slash = path + 1; make && (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0700);
		*slash = '/';
	}
	return path;
}

static void read_history_file(void)
{
	cleanup_free char *path = history_path(false), *text = NULL;
	char *save = NULL;

	if (!path || util__read_file(path, 1 << 20, &text) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		add_history(line);
}

static int write_history_lines(FILE *f, void *arg)
{
	int last = history_length, first = max_of(last - HISTORY_LINES, 0);

	for (int i = first; i < last; i++) {
		HIST_ENTRY *e = history_get(history_base + i);

		if (e && e->line)
			fprintf(f, "%s\n", e->line);
	}
	return 0;
}

/* --- completion --- */

static void add_word(const char *text)
{
	if (array_reserve(found, found_cap, nfound + 2))
		return;
	found[nfound] = strdup(text);
	if (found[nfound])
		nfound++;
}

static char *next_match(const char *word, int state)
{
	static size_t at;

	if (!state)
		at = 0;
	return at < nfound ? strdup(found[at++]) : NULL;
}

static char **complete(const char *word, int start, int end)
{
	cleanup_free char *before = strndup(rl_line_buffer, start);

	for (size_t i = 0; i < nfound; i++)
		free(found[i]);
	nfound = 0;
	rl_attempted_completion_over = 1; /* no names of files */
	if (!before)
		return NULL;
	complete_words(before, word, add_word);
	/* behind "unit=" comes the value at once */
	rl_completion_append_character =
		nfound == 1 && found[0][strlen(found[0]) - 1] == '=' ? 0 : ' ';
	return rl_completion_matches(word, next_match);
}

/* --- lines --- */

#define AGAIN_US 20000

/* A Ctrl-C that comes while the line's reader does anything but wait would be for nothing: so the
 * next wait is interrupted as well. */
static void interrupted(int sig)
{
	static const struct itimerval again = {{0, AGAIN_US}, {0, AGAIN_US}};

	if (sig == SIGINT)
		setitimer(ITIMER_REAL, &again, NULL);
}

static void no_more_interrupts(void)
{
	static const struct itimerval none;

	setitimer(ITIMER_REAL, &none, NULL);
}

void prompt__begin(prompt_complete_fn fn)
{
	struct sigaction act = {.sa_handler = interrupted};
	const char *term = surroundings.term;

	terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb");
	if (!terminal)
		return;
	/* Ctrl-C ends the line, not memwatch. */
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGALRM, &act, NULL);
	complete_words = fn;
	rl_readline_name = (char *)"memwatch";
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = (char *)" \t=";
	using_history();
	stifle_history(HISTORY_LINES);
	read_history_file();
}

static char *plain_line(const char *text, size_t max)
{
	cleanup_free char *line = NULL;
	size_t cap = 0, len = 0;
	int c;

	if (isatty(STDIN_FILENO)) {
		fputs(text, stdout);
		fflush(stdout);
	}
	while ((c = getc(stdin)) != EOF && c != '\n') {
		if (len == max) {
			log_error("a line of more than %zu bytes is no command; nothing is read "
				  "from there on",
				  max);
			errno = EMSGSIZE;
			return NULL;
		}
		if (array_reserve(line, cap, len + 2)) {
			errno = ENOMEM;
			return NULL;
		}
		line[len++] = (char)c;
	}
	errno = 0;
	if (c == EOF && !len)
		return NULL;
	if (!line)
		return strdup("");
	line[len] = 0;
	return take_ptr(line);
}

char *prompt__read(const char *text, size_t max)
{
	char *line;
	int err;

	if (!terminal)
		return plain_line(text, max);
	no_more_interrupts();
	errno = 0;
	line = readline(text);
	err = errno;
	no_more_interrupts();
	if (!line && err == EINTR) {
		putchar('\n');
		return strdup("");
	}
	if (!line)
		putchar('\n');
	else if (*line)
		add_history(line);
	errno = 0;
	return line;
}

void prompt__end(void)
{
	cleanup_free char *path = NULL;
	int err;

	if (!terminal || !history_length)
		return;
	path = history_path(true);
	if (!path)
		return;
	err = outfile__write(path, write_history_lines, NULL);
	if (err)
		log_debug("failed to write '%s': %s", path, outfile__strerror(err));
}
