/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * statedir.h - the directory in which the daemon keeps what it recorded. Nobody else may write to
 * it, or what is opened in it by name could be somebody's trap.
 */
#ifndef DAEMON_STATEDIR_H
#define DAEMON_STATEDIR_H

/*
 * Makes it (mode 0700) with what belongs in it and takes it for this process: while it still may
 * (before privilege__keep). *ret_fd is held for as long as nobody else may take it. 0; -errno, with
 * a sentence in why: -EPERM another's or open to others; -EBUSY a daemon runs there.
 */
int statedir__take(const char *path, int *ret_fd, char *why, unsigned len);

/*
 * For who reads what a daemon recorded there (SQLite does more than read: it takes back what was
 * left half written, as files beside say). Where the directory is another user's, or another could
 * exchange it, root becomes that user for good and does there what he may. *ret_real (malloc'ed,
 * NULL if there is no such directory): the path that this holds for, without links, to be opened in place of the one
 * given, which may lead elsewhere by then. 0; -errno, with a sentence in why: -EPERM: not root, or
 * whoever likes may write there.
 */
int statedir__read_as_owner(const char *path, char **ret_real, char *why, unsigned len);

#endif
