/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * debugfile.h - where the debug information of a stripped file is: MiniDebugInfo inside it, a
 * detached file by build-id or debuglink, or a debuginfod server.
 *
 * What parses runs in the helper that knows the file (symserve.h): what a file names, and whether
 * a candidate belongs to it. What opens runs outside, where paths lead somewhere, and parses
 * nothing: below the target's root first, where the file is not ours as well (symbolic links
 * resolved inside that root), then below ours. A candidate is used only if its build-id, or without
 * build-ids the debuglink's CRC, says that it belongs to the file.
 */
#ifndef ELF_DEBUGFILE_H
#define ELF_DEBUGFILE_H

#include "elf/elfobj.h"

#define DEBUGFILE_NOTE 256
#define DEBUGFILE_NAME 4200

/* In the helper. */

/*
 * .gnu_debugdata of `e`, decompressed (at most 64 MiB). -ENOENT: none; -EBADMSG: malformed.
 */
int debugfile__mini(const struct elfobj *e, struct elfobj **ret);
/* The file name in .gnu_debuglink, and its CRC. -ENOENT, -EBADMSG. */
int debugfile__link(const struct elfobj *e, char *name, size_t len, uint32_t *crc);
/* The supplementary file that dwz made, which .gnu_debugaltlink of `debug` names, relative to
 * elfobj__name(debug), and its build-id as hex. -ENOENT. */
int debugfile__alt_link(const struct elfobj *debug, char path[DEBUGFILE_NAME],
			char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1]);
enum sym_refusal { SYM_OTHER_ID = 1, SYM_NO_ID, SYM_OTHER_CRC, SYM_MALFORMED };

/* Whether `d` belongs to `e`: 0, or why not (enum sym_refusal). crc: of the debuglink, or NULL if
 * found by build-id. */
int debugfile__belongs(const struct elfobj *e, const struct elfobj *d, const uint32_t *crc);

/* Outside. */

/*
 * The i-th place where the file may be, from 0: by build-id (hex; crc does not count), then by the
 * name of the link (NULL: none) for the file at `path`. false: there are no more. *ret_by_link:
 * the CRC is to be checked.
 */
bool debugfile__place(const char *build_id, const char *link, const char *path, int i,
		      char ret[DEBUGFILE_NAME], bool *ret_by_link);
/* Opens a regular file below a root; -1: our own. whose: the process that pays for it, 0: nobody. A
 * descriptor or -errno. */
int debugfile__open(int rootfd, const char *path, pid_t whose);
/*
 * Asks the servers of $DEBUGINFOD_URLS through libdebuginfod (loaded on demand; its cache and
 * time limits are its own). A descriptor; -ENOENT: not configured, not installed, not known there.
 */
int debugfile__debuginfod(const char *build_id);

#endif
