/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * privilege.h - what the main process may do.
 *
 * From privilege__keep on it holds the capabilities that observing needs, if it observes; a few
 * more wait in its permitted set and work only between privilege__raise and privilege__lower, for
 * one purpose each. All others are gone, no_new_privs is set, and system calls that no part of
 * memwatch makes are refused (seccomp). Commands that memwatch runs for its user are forked before
 * (run/hold.h, alert/launcher.h): they run as if memwatch's caller had started them.
 */
#ifndef SYS_PRIVILEGE_H
#define SYS_PRIVILEGE_H

#include <stdbool.h>

enum privilege {
	PRIVILEGE_OBSERVE,     /* what observing needs, at all times: CAP_BPF, CAP_PERFMON,
				* CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE */
	PRIVILEGE_READ,	       /* open a file that its owner may read: CAP_DAC_READ_SEARCH */
	PRIVILEGE_FILES,       /* write where the owner of a directory may: CAP_DAC_OVERRIDE */
	PRIVILEGE_KERNEL_LOG,  /* /dev/kmsg: CAP_SYSLOG */
	PRIVILEGE_LIMITS,      /* own limits, oom_score_adj, locked memory: CAP_SYS_RESOURCE,
				* CAP_IPC_LOCK */
	PRIVILEGE_SIGNAL,      /* a signal to the command of `run`, or by --allow-signals: CAP_KILL
				*/
	PRIVILEGE_NICE,	       /* a nice value by --allow-signals: CAP_SYS_NICE */
	PRIVILEGE_PAGE_FRAMES, /* which pages are huge, from pagemap: CAP_SYS_ADMIN */
	PRIVILEGE_PROBES,      /* load and attach, where that takes CAP_SYS_ADMIN: uprobes as perf
				* events, every perf event where kernel.perf_event_paranoid is
				* above 2 (Debian's default), symbols looked for in the modules'
				* BTF (before Linux 6.13) */
	PRIVILEGE_TRACE,       /* the system call ptrace, of `run` and --fast */
	PRIVILEGE_MEMORY,      /* open another user's process's memory for writing, of --fast
				* and --go-enable-memprofile: CAP_DAC_OVERRIDE */
	PRIVILEGE_MEMORY_READ, /* the memory of processes, of who reads it for others
				* (sys/memreader.h): CAP_SYS_PTRACE */
	PRIVILEGE_OPEN, /* files that processes have mapped, or that lie below their roots, of
			 * who opens them for others (sys/opener.h): CAP_SYS_PTRACE,
			 * CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE */
	PRIVILEGE_EXEC, /* the system call execve, of `report --graph` and its shell */
	PRIVILEGE_KINDS,
};

#define PRIVILEGE(kind) (1u << PRIVILEGE_##kind)

/*
 * Gives up what is not needed for `kinds`, a sum of PRIVILEGE(...). Call it
 * while there is one thread, before anything of a target is looked at. 0 or -errno.
 */
int privilege__keep(unsigned kinds);

/* Has this process more rights than those of an ordinary user? */
bool privilege__has_any(void);

/* Of kinds that were not kept, and before privilege__keep, these do nothing. They do not nest. */
void privilege__raise(enum privilege kind);
void privilege__lower(enum privilege kind);

#endif
