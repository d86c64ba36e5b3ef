/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * opener.h - the process that opens for the main one what others may have put there
 * (memwatch-open): files that targets have mapped, and what lies below their roots.
 *
 * The file system behind one may be a process of an attacker's (FUSE). Whoever looks up a name
 * there, asks what a file is, opens or closes it, waits for that process, and no signal ends the
 * wait. So it is done by a process that holds nothing and can be left behind: one that waits
 * itself for a second (three where it seems to be a disk) is, and another takes its place. All such
 * waiting together has 3 s and a twentieth of the time that goes by; then, and once the end was
 * asked for, it is given up at once.
 *
 * It has the capabilities that such files take and no other, and looks at no byte of them.
 * sys/safeopen.h is what others use, which hands on to this wherever it was started. Any thread
 * may.
 */
#ifndef SYS_OPENER_H
#define SYS_OPENER_H

#include <stdbool.h>

/* Call it before privileges are given up, while there is one thread. Where there is no such process
 * files are opened by the caller. overlay_is_ours: of a file of an overlay that was only seen,
 * whether it may be opened for reading: all that lies below answers. */
void opener__start(bool (*overlay_is_ours)(int fd));

#endif
