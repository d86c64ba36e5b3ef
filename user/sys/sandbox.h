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

/*
 * A user and group that no other process has: nobody but root may then signal or trace this one. A
 * random id of a range that distributions assign to nothing, for who may change users; else a user
 * namespace with such an id, in which the process has all capabilities until
 * sandbox__no_privileges. The process must have one thread. 0, or -EPERM: neither is permitted.
 */
int sandbox__own_user(void);

/* Its root is a directory without entries: no path leads anywhere. 0 or -errno. */
int sandbox__no_root(void);

/* No capabilities, none to be had again, not dumpable (no core, nobody traces it). */
int sandbox__no_privileges(void);

/* Landlock: no file may be opened, made or removed by path, whatever the mode bits say. 0,
 * -EOPNOTSUPP or other negative errno. */
int sandbox__no_paths(void);

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
/* Private memory of this process now, bytes; 0: unknown. Needs /proc. */
uint64_t sandbox__memory(void);

/*
 * System calls: a compiled filter. SANDBOX_READER: read and write what is open, memory that is
 * never executable, answers over sockets that it has. SANDBOX_STARTER: also start processes,
 * confine them further, and signal them. Everything else fails with EPERM.
 */
enum sandbox_calls { SANDBOX_READER, SANDBOX_STARTER };
struct sock_fprog;
/* Compiles; the filter is malloc'ed memory in *ret. 0 or -errno. */
int sandbox__compile(enum sandbox_calls calls, struct sock_fprog *ret);
/* Puts it in force (no_new_privs first). 0 or -errno. */
int sandbox__apply(const struct sock_fprog *filter);

#endif
