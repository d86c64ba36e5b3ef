/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sandbox.h - gives up, step by step, what a process that reads hostile bytes does not need. Each
 * step acts on the calling process alone and for good, and each counts without the others: where
 * a system lacks one, the rest remains. The order is that of the declarations.
 */
#ifndef SYS_SANDBOX_H
#define SYS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* At most this much; 0 is a limit too, SANDBOX_NO_LIMIT none. */
#define SANDBOX_NO_LIMIT UINT64_MAX
struct sandbox_limits {
	uint64_t memory_bytes; /* private memory beyond base_bytes */
	uint64_t base_bytes;   /* sandbox__memory() of the program before it read anything */
	uint64_t file_bytes;   /* of any file written */
	uint64_t files;	       /* open at once */
	uint64_t processes;    /* of its user */
	uint64_t cpu_seconds;  /* then SIGXCPU, a second later SIGKILL */
};
void sandbox__limit(const struct sandbox_limits *l);
/* All of the above, in the order in which each still may: what a step cannot do the others still
 * hold. */
void sandbox__enter(const struct sandbox_limits *l);
/* Private memory of this process now, bytes; 0: unknown. Needs /proc. */
uint64_t sandbox__memory(void);

/*
 * System calls: a compiled filter. SANDBOX_READER: read and write what is open, memory that is
 * never executable, answers over sockets that it has. SANDBOX_STARTER: also start processes,
 * confine them further, and signal them. SANDBOX_SERVER: as the reader, and accept and serve
 * connections of a socket that listens already; SANDBOX_SERVER_STARTER starts such processes.
 * SANDBOX_APART: as the reader, ask helpers of its own (sys/box.h), and wait for events and
 * signals. Everything else fails with EPERM.
 */
enum sandbox_calls {
	SANDBOX_READER,
	SANDBOX_STARTER,
	SANDBOX_SERVER,
	SANDBOX_SERVER_STARTER,
	SANDBOX_APART,
};
struct sock_fprog;
/* Compiles; the filter is malloc'ed memory in *ret. 0 or -errno. */
int sandbox__compile(enum sandbox_calls calls, struct sock_fprog *ret);
/* Puts it in force (no_new_privs first). 0 or -errno. */
int sandbox__apply(const struct sock_fprog *filter);

#endif
