/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * procmem.h - reads another process's memory, whole or not at all, and writes there.
 *
 * After exec or exit every read fails, and a recycled PID is never mistaken for the target: what is
 * open belongs to the address space, not to the number, and is asked after each read. Who reads is
 * a process that can be left behind (sys/memreader.h), for a page may be of a file whose file
 * system does not answer. Addresses are those of the target. One thread at a time.
 */
#ifndef SYS_PROCMEM_H
#define SYS_PROCMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct procmem; /* opaque */

/* 0; -ESRCH: no such process; -EACCES: not permitted; other negative errno. */
int procmem__open(int pid, struct procmem **ret);
/* The same for writing, too. Never used but for what the user asked for by name. */
int procmem__open_writable(int pid, struct procmem **ret);
void procmem__close(struct procmem *m); /* accepts NULL */

/* A socket for a helper, to who reads this memory and no other, and for it alone; to be closed. Or
 * -errno: nobody reads for others. What that takes is told by *ret, which is the caller's. */
struct memreader_meter;
int procmem__hand_over(const struct procmem *m, struct memreader_meter **ret);
/* The helper's side. Takes the descriptor. 0 or -errno. Each read costs as much as a few thousand
 * bytes more: who reads a few bytes at a time keeps what lies about them. */
int procmem__adopt(int fd, struct procmem **ret);
/* There, PROCMEM_WINDOW bytes that what is read into is not copied. */
void *procmem__window(struct procmem *m);
#define PROCMEM_WINDOW (1ul << 20)

/* Reads exactly len bytes. 0; -EFAULT: not all of it is mapped; -ESRCH: the process is gone or
 * has another image; -ETIMEDOUT: it does not come, and is not asked for again for a while. Nothing
 * in buf is meaningful on failure. */
int procmem__read(struct procmem *m, uint64_t addr, void *buf, size_t len);
int procmem__read_u64(struct procmem *m, uint64_t addr, uint64_t *ret);
/* As much of it as is mapped from addr on: bytes, or as procmem__read. */
ssize_t procmem__read_some(struct procmem *m, uint64_t addr, void *buf, size_t len);

/* Many reads that each may fail: cheaper than one after the other. */
struct procmem_piece {
	uint64_t addr;
	void *to;
	uint32_t len;
	bool is_read;
};
void procmem__read_pieces(struct procmem *m, struct procmem_piece *pieces, size_t n);

/* True if the address space is still there (not so after exit and exec). */
bool procmem__alive(struct procmem *m);

/* Writes all of it into the address space that was opened, never into another. 0; -ESRCH: it is
 * gone; other -errno. */
int procmem__write(struct procmem *m, uint64_t addr, const void *buf, size_t len);

/*
 * A window cache over the same memory for walks of many small objects: what was read once is
 * not read again, so a walk sees one moment per 64 KiB window, as long as all fit. Throw it away
 * (or clear it) to look again.
 */
struct procmem_cache;
int procmem_cache__new(struct procmem *m, size_t max_bytes, struct procmem_cache **ret);
void procmem_cache__free(struct procmem_cache *c);
void procmem_cache__clear(struct procmem_cache *c);
/* As procmem__read. Beyond max_bytes of windows it forgets what it has. */
int procmem_cache__read(struct procmem_cache *c, uint64_t addr, void *buf, size_t len);

#endif
