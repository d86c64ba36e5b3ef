/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * debugfile.h - where the debug information of a stripped file is: MiniDebugInfo inside it, a
 * detached file by build-id or debuglink, or a debuginfod server.
 *
 * Detached files are looked for below the target's root first (paths are resolved inside that
 * root, symbolic links included), then below ours. What is found is used only if its build-id, or
 * without build-ids the debuglink's CRC, says that it belongs to the file.
 */
#ifndef ELF_DEBUGFILE_H
#define ELF_DEBUGFILE_H

#include "elf/elfobj.h"

#define DEBUGFILE_NOTE 256

/*
 * .gnu_debugdata of `e`, decompressed (at most 256 MiB). -ENOENT: none; -EBADMSG: malformed.
 */
int debugfile__mini(const struct elfobj *e, struct elfobj **ret);

/*
 * The detached debug file of `e`. rootfd: directory that stands for the target's root, or -1;
 * path: the file's name below it. -ENOENT if there is none. note gets one sentence if a file was
 * found that does not belong to `e`, else it is left as it is.
 */
int debugfile__detached(const struct elfobj *e, int rootfd, const char *path,
			char note[DEBUGFILE_NOTE], struct elfobj **ret);

/* The supplementary file that dwz made, which .gnu_debugaltlink of `debug` names; -ENOENT. */
int debugfile__alt(const struct elfobj *debug, int rootfd, struct elfobj **ret);

/*
 * Asks the servers of $DEBUGINFOD_URLS through libdebuginfod (loaded on demand; its cache and
 * time limits are its own). -ENOENT: not configured, not installed, or not known there.
 */
int debugfile__debuginfod(const struct elfobj *e, struct elfobj **ret);

#endif
