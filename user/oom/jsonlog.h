/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jsonlog.h - an append-only file of JSON lines that survives what happens to log files: rotation
 * (the name is another file: it is opened anew), truncation (O_APPEND), a full disk (lines wait in
 * memory, at most JSONLOG_BACKLOG bytes, and follow when there is room; a half-written line is
 * taken back), a crash in the middle of a line (the next one starts on a line of its own). Every
 * line is synced. Several writers may share the file. Nothing is allocated after jsonlog__open.
 */
#ifndef OOM_JSONLOG_H
#define OOM_JSONLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSONLOG_BACKLOG (512 << 10)

struct jsonlog;

/* Opens or creates the file. 0 or -errno: the log cannot be written at all (now). */
int jsonlog__open(const char *path, struct jsonlog **ret);
/* Tries once more to write what waits. */
void jsonlog__close(struct jsonlog *l);

/* Appends a line (with its newline). 0; -errno if it has to wait; -ENOBUFS if there is no room to
 * wait and it is lost (counted). */
int jsonlog__write(struct jsonlog *l, const char *line, size_t len);
/* Writes what waits. 0 or -errno. */
int jsonlog__retry(struct jsonlog *l);
/* Opens the file that has the name now, if it is another one: after a rotation, before there is
 * anything to write. 0 or -errno. */
int jsonlog__reopen(struct jsonlog *l);
/* Lines that wait; lines lost. */
size_t jsonlog__waiting(const struct jsonlog *l);
uint64_t jsonlog__lost(const struct jsonlog *l);

#endif
