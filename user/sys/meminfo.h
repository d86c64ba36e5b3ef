/* SPDX-License-Identifier: GPL-2.0-or-later */
/* meminfo.h - the machine's memory by kind: /proc/meminfo. */
#ifndef SYS_MEMINFO_H
#define SYS_MEMINFO_H

#include <stdint.h>

#define MEMINFO_UNKNOWN UINT64_MAX

struct meminfo { /* bytes; MEMINFO_UNKNOWN: the kernel does not tell */
	uint64_t total, free, available, buffers, cached, anon, shmem, slab;
	uint64_t swap_total, swap_free, commit_limit, commit;
};

/* Takes the file's text. Pure. */
void meminfo__parse(const char *text, struct meminfo *ret);
/* Reads it, from a descriptor that is kept open (of meminfo__open, which may be -errno) or by name.
 * 0 or -errno (all is unknown). */
int meminfo__open(void);
int meminfo__read_fd(int fd, struct meminfo *ret);
int meminfo__read(struct meminfo *ret);

#endif
