/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * procmap.h - the mappings of a process (/proc/PID/maps) and the files behind them.
 *
 * Paths are the target's: they may name nothing, or another file, in our mount namespace, and they
 * are chosen by whoever created the file. Open mappings with procmap__open, never by path.
 */
#ifndef SYS_PROCMAP_H
#define SYS_PROCMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum procmap_kind {
	PROCMAP_FILE = 0, /* a file, a memfd included */
	PROCMAP_ANON,	  /* no file: mmap(MAP_ANONYMOUS), shared anonymous memory, SysV segments */
	PROCMAP_HEAP,	  /* [heap]: the brk area */
	PROCMAP_STACK,	  /* [stack] of the main thread */
	PROCMAP_VDSO,	  /* [vdso] */
	PROCMAP_SPECIAL,  /* [vvar], [vsyscall], [uprobes], …: nothing of the program's */
};

enum { PROCMAP_R = 1, PROCMAP_W = 2, PROCMAP_X = 4 };

struct procmap_entry {
	uint64_t start, end; /* [start, end) */
	uint64_t offset;     /* in the file, bytes */
	uint64_t ino;	     /* 0: no file */
	uint32_t dev_major, dev_minor;
	uint8_t prot; /* PROCMAP_R|W|X */
	bool shared;  /* MAP_SHARED */
	bool deleted; /* the path ended in " (deleted)", which is cut off */
	enum procmap_kind kind;
	const char *path; /* "" if none; newlines are "\012" as the kernel writes them; borrowed
			     from the procmap */
};

struct procmap {
	int pid;
	struct procmap_entry *entries; /* by address, not overlapping */
	size_t n, cap;
	size_t skipped; /* lines that could not be understood */
	char *text;	/* holds the paths */
};

/*
 * Reads the mappings of a process. 0; -ESRCH: the process is gone, a zombie or a kernel thread;
 * -EACCES/-EPERM; -E2BIG: more than 64 MiB of mappings.
 */
int procmap__read(int pid, struct procmap **ret);
/* The file itself, for who is to read it apart: a descriptor; -ESRCH; other -errno. */
int procmap__open_file(int pid);
/* Mappings from text (owned by the result in any case; NUL-terminated, modified). */
int procmap__parse(int pid, char *text, struct procmap **ret);
void procmap__free(struct procmap *m);

/* Where the brk area ends, a page's end; 0: nothing is in it. */
uint64_t procmap__brk_end(const struct procmap *m);
/* The mapping that holds addr, NULL if none. */
const struct procmap_entry *procmap__find(const struct procmap *m, uint64_t addr);

/*
 * Text that a program moved to anonymous memory at the same addresses, as those do that want it on
 * huge pages: an executable mapping of the file that it is from, beside it, and the offset in the
 * file that e's start had. NULL: e is no such text (code that was generated). Only believed where
 * the file is on both sides of it.
 */
const struct procmap_entry *
procmap__moved_text(const struct procmap *m, const struct procmap_entry *e, uint64_t *ret_offset);

/*
 * Opens the file behind a mapping, read-only: through /proc/PID/map_files, which works for deleted
 * files and for those of other mount namespaces; where that is not permitted, by path below
 * /proc/PID/root, if device and inode are still the same. Returns the descriptor; -ENOENT: the
 * mapping has no file, or it is gone; -ESTALE: another file is mapped there now, or has the path;
 * -ESRCH: the process is gone; -EINVAL: not a regular file (a device: opening it could have
 * effects).
 *
 * Which file it is only fstat() of the descriptor tells: on btrfs files of two subvolumes may be
 * the same in maps, and with an overlay an exchange in between is not seen. What holds for more
 * than this process goes by the descriptor.
 */
int procmap__open(const struct procmap *m, const struct procmap_entry *e);
/* What stat() says of the file, which is not opened. 0; -ESTALE; other -errno, where map_files is
 * not permitted too. */
int procmap__stat(const struct procmap *m, const struct procmap_entry *e, struct stat *ret);

#endif
