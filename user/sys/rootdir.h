/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rootdir.h - the root directories of processes, to look files up below. A process with mounts of
 * its own may have other files at the same paths, and who made them may be anybody.
 */
#ifndef SYS_ROOTDIR_H
#define SYS_ROOTDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* What no two roots have in common while one of them is open; all zero: this process's own. */
struct rootdir_id {
	uint64_t mount, dev, ino;
};

/*
 * The root of whoever has the PID now: a descriptor that only stands for it (O_PATH); -1: it is
 * this process's own too, or not to be had.
 */
int rootdir__open(pid_t pid, struct rootdir_id *ret);
bool rootdir__same(const struct rootdir_id *a, const struct rootdir_id *b);
/* Of a directory that is open; -1: this process's own root. */
struct rootdir_id rootdir__id(int fd);
/* That of whose root a file behind fd, which a process maps as `path`, is: as rootdir__open, and -1
 * of a file that is ours as well. */
int rootdir__of_file(pid_t pid, int fd, const char *path);
/* Is it this very file that has the path below this process's own root, and not the other one, an open
 * directory? What is below both is the other's. */
bool rootdir__is_ours(int root, const char *path, const struct stat *file);

#endif
