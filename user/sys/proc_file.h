/* SPDX-License-Identifier: GPL-2.0-or-later */
/* proc_file.h - files that the kernel writes at once, read where no memory can be had. */
#ifndef SYS_PROC_FILE_H
#define SYS_PROC_FILE_H

#include <sys/types.h>

/* The beginning of a file with one read(), a NUL behind it. Allocates nothing. Its length or
 * -errno. */
ssize_t proc_file__read(const char *path, char *buf, size_t size);

#endif
