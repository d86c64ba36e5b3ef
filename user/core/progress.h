/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * progress.h - a line that says what takes longer than a second, and how long it has: on stderr,
 * where that is a terminal, and gone at the end. By SIGALRM, or by a thread where signals must not
 * come between (system calls of an attach end early by them), so that whatever takes long need not
 * help.
 */
#ifndef CORE_PROGRESS_H
#define CORE_PROGRESS_H

/* While there is one thread and before a sandbox: finds out whether there is a terminal. Without it
 * the others do nothing. */
void progress__prepare(void);
/* The same, by a thread. */
void progress__prepare_thread(void);
/* "reading 'heap.pb.gz'"; ends what was said before. Until progress__end nothing else goes to the
 * terminal but messages of log.h. */
void progress__begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress__end(void);
/* Takes the line away until the next second: for who writes to stderr. */
void progress__hide(void);

#endif
