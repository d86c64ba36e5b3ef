/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shell_front.h - the half of the shell that has the terminal: it reads lines, and brings reports
 * where the lines say. The other half (shell.h) has the profile and no privileges; it asks this one
 * by words:
 *
 * SHELL_NAMES  brings a file of names for completion, a line each: 'F' and a function, 'T' and a
 *	    sample type
 * SHELL_LINE   gets the next line as a file; -ENODATA: there is none
 * SHELL_REPORT brings the report that the last line asks for, once; where it goes, a file, a
 *	    program's input, a viewer, is read from that line here, whatever the other half says
 */
#ifndef REPORT_SHELL_FRONT_H
#define REPORT_SHELL_FRONT_H

#include <stdbool.h>

#define SHELL_NAMES "names"
#define SHELL_LINE "line"
#define SHELL_REPORT "report"
#define SHELL_MAX_NAMES ((size_t)64 << 20) /* bytes */
#define SHELL_MAX_LINE ((size_t)1 << 20)

struct settings;
struct shell_front;

/* Begins with these settings, that stay the caller's. 0 or -ENOMEM. */
int shell_front__new(const struct settings *settings, struct shell_front **ret);
void shell_front__free(struct shell_front *s); /* keeps the history; accepts NULL */

/* As apart_opts.answer has it. */
int shell_front__answer(struct shell_front *s, const char *word, int fd, int *ret_fd);
/* The last line asks for a listing of what the profile names. */
bool shell_front__lists(const struct shell_front *s);
/* Draws, if the last line asks for a picture of this format; as picture__run_dot. */
int shell_front__draw(const struct shell_front *s, const char *format, int from, int to);

#endif
