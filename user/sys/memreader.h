/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memreader.h - the process that reads the memory of targets for the main one (memwatch-memory).
 *
 * A page of a target may be of a file whose file system does not answer, and who reads it then
 * waits in the kernel, where no signal ends that. So who reads is a process that holds nothing and
 * can be left behind: one that waits itself for a second is, and another takes its place. All such
 * waiting together has 5 s and a twentieth of the time that goes by; then it is given up at once.
 *
 * It reads by process_vm_readv, which lets go of the target's mappings while it waits; a reader of
 * /proc/PID/mem keeps them, and then everybody waits who looks at the target. It has
 * CAP_SYS_PTRACE and no other capability, and knows nothing of what the bytes mean.
 *
 * sys/procmem.h is what others use. Any thread may.
 */
#ifndef SYS_MEMREADER_H
#define SYS_MEMREADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEMREADER_PARTS 512	      /* of one call */
#define MEMREADER_BYTES (256UL << 10) /* of all parts together */

struct memreader_part {
	uint64_t addr;
	uint32_t len, got; /* bytes wanted, bytes that came: fewer where the mapping ends */
};

/* Call it before privileges are given up, while there is one thread. Where there is no such process
 * memory is read by the caller. */
void memreader__start(void);

/* Reads parts of the memory that thread `tid` has now into buf, each behind the room of the one
 * before. *cpu_ns: the processor time that it took is added. 0; -ESRCH; -EACCES; -ETIMEDOUT: it did
 * not come; -EPIPE: who reads has died. */
int memreader__read(pid_t tid, struct memreader_part *parts, size_t n, void *buf, uint64_t *cpu_ns);

/* --- for helpers, who need not be believed --- */

struct memreader_meter; /* of one reader */
/*
 * A socket to one who reads the memory of that thread and no other, while the process (a pidfd) and
 * its image (/proc/PID/pagemap) are there. It ends with the last descriptor of that socket.
 * -errno: there is none; -ETIMEDOUT: too many wait for what does not come. *ret is freed by
 * memreader_meter__free.
 */
int memreader__for_helper(pid_t tid, int process, int image, struct memreader_meter **ret);
/* Processor time that the reader has taken for what it has answered. NULL: 0. */
uint64_t memreader_meter__cpu_ns(const struct memreader_meter *m);
/* Who it is; 0: it has not started yet. */
pid_t memreader_meter__pid(const struct memreader_meter *m);
void memreader_meter__free(struct memreader_meter *m); /* accepts NULL */

/* The helper's side. The room in which the reader puts what was asked for, MEMREADER_ROOM bytes: to
 * be asked for once, first. 0 or -errno; it is unmapped by the caller. */
int memreader__room(int sock, char **ret);
#define MEMREADER_ROOM ((1u << 20) + (256u << 10))
/* Bytes that lie in the room from `at` on now (fewer where the mapping ends), or -errno. */
ssize_t memreader__ask(int sock, uint64_t addr, size_t at, size_t len);

/* Are both still there? Takes no lock of the memory's. */
bool memreader__is_there(int process, int image);

/* memreader__read by this very process, which is what the other one does. */
int memreader__read_here(pid_t tid, struct memreader_part *parts, size_t n, void *buf);

#endif
