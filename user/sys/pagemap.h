/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagemap.h - which pages of a process are in memory: PAGEMAP_SCAN (Linux 6.7), before that the
 * entries of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst); and of a page frame,
 * whether it is part of a huge page (/proc/kpageflags).
 */
#ifndef SYS_PAGEMAP_H
#define SYS_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pagemap {
	int fd;
	bool scans;
	uint64_t page_bytes;
};

/* What is told of one page. */
struct pagemap_entry {
	bool present, swapped;
	bool is_file;	/* of a file, or shared */
	uint64_t frame; /* 0: swapped, or whoever opened the file may not know */
};

/* The file itself, to be read entry by entry: a descriptor or -errno (-ESRCH: gone). */
int pagemap__open_file(int pid);
/* Up to n entries from that of a page (its address / the size of pages) on. Their number, 0 when
 * the memory is being taken down, -errno. */
ssize_t pagemap__entries(int fd, uint64_t page, struct pagemap_entry *ret, size_t n);

/* What is told of frames: a descriptor or -errno. */
int pagemap__open_frames(void);
/* Whether a page is part of a huge one; false where that cannot be known (fd may be negative). */
bool pagemap__is_huge(int frames_fd, const struct pagemap_entry *e);

/* 0; -ESRCH: gone, or without memory of its own (a kernel thread, a zombie); -EACCES. */
int pagemap__open(int pid, struct pagemap *ret);
void pagemap__close(struct pagemap *m);

/*
 * Calls fn for each resident range of [start, end), ascending and not overlapping; start and end
 * are rounded outwards to pages. Swapped pages are not resident, nor is the page of zeros that
 * reading untouched memory maps (where the kernel cannot scan, it counts as resident). 0, -ESRCH
 * when the memory is gone, other -errno.
 */
int pagemap__resident(const struct pagemap *m, uint64_t start, uint64_t end,
		      void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg);
/* Whether the page at addr is resident now (that of zeros, too). */
bool pagemap__is_present(const struct pagemap *m, uint64_t addr);

#endif
