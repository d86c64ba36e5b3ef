/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cgroup.h - memory cgroups of version 1 and 2: where they are mounted, which one a process is in,
 * limits and usage. Paths are relative to the hierarchy's root ("/a/b"), as in /proc/PID/cgroup.
 */
#ifndef SYS_CGROUP_H
#define SYS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH 1024
#define CGROUP_NO_LIMIT UINT64_MAX

struct cgroup_mounts {
	int version;		  /* of the memory controller: 1, 2, or 0 if there is none */
	char memory[CGROUP_PATH]; /* mount point of the hierarchy that has it */
};

/* Finds the memory controller in the text of /proc/PID/mountinfo. Pure. */
void cgroup__parse_mounts(const char *mountinfo, bool v2_has_memory, struct cgroup_mounts *ret);

/* The same for this process. 0 or -errno. */
int cgroup__mounts(struct cgroup_mounts *ret);

/* Path of the memory cgroup from the text of /proc/PID/cgroup. 0 or -ENOENT. Pure. */
int cgroup__parse_path(const char *text, int version, char *ret, size_t size);

/* The whole of /proc/PID/cgroup, owned by the caller; NULL where it cannot be read. */
char *cgroup__text(pid_t pid);
/* The path for a process. Allocates nothing. 0 or -errno (-ESRCH: gone). */
int cgroup__of(const struct cgroup_mounts *m, uint32_t pid, char *ret, size_t size);

/* The path in its hierarchy, with a leading '/', of one that may begin with where a hierarchy is
 * mounted (v1: any). 0 or -ENAMETOOLONG. */
int cgroup__without_mount(const char *path, char *ret, size_t size);

/* From a group's path to that of the one above it; false: it is the root's. Pure. */
bool cgroup__up(char *path);

struct cgroup_memory {
	uint64_t limit_bytes; /* v2: memory.max; CGROUP_NO_LIMIT: none, and the rest is 0 */
	uint64_t usage_bytes;
	/* of it: page cache (tmpfs and what is locked is none) and reclaimable slab; what else a
	 * group uses can go to swap at best */
	uint64_t reclaimable_bytes;
	char path[CGROUP_PATH]; /* of the group whose limit this is */
};

/* Of one group. 0 or -errno. */
int cgroup__memory(const struct cgroup_mounts *m, const char *path, struct cgroup_memory *ret);

/*
 * The group on the way from `path` to the root that is nearest to its limit: where least is left
 * beside what cannot be reclaimed. Without any limit: `path` itself. 0 or -errno.
 */
int cgroup__tightest(const struct cgroup_mounts *m, const char *path, struct cgroup_memory *ret);

/*
 * What a group's memory is, in bytes: a row per kind with its name in memory.stat of version 2 (and
 * in the kernel's OOM reports), in version 1 ("": not told there), and for people.
 */
#define CGROUP_STAT_ROWS(X)                                                          \
	X(ANON, "anon", "total_rss", "anonymous")                                    \
	X(FILE, "file", "total_cache", "page cache") /* tmpfs included */            \
	X(SHMEM, "shmem", "total_shmem", "shared and tmpfs")                         \
	X(ACTIVE_FILE, "active_file", "total_active_file", "cache in use")           \
	X(INACTIVE_FILE, "inactive_file", "total_inactive_file", "cache not in use") \
	X(UNEVICTABLE, "unevictable", "total_unevictable", "locked or ramfs")        \
	X(SLAB_RECLAIMABLE, "slab_reclaimable", "", "reclaimable slab")              \
	X(SLAB_UNRECLAIMABLE, "slab_unreclaimable", "", "unreclaimable slab")        \
	X(KERNEL_STACK, "kernel_stack", "", "kernel stacks")                         \
	X(PAGETABLES, "pagetables", "", "page tables")                               \
	X(SOCK, "sock", "", "sockets")                                               \
	X(PERCPU, "percpu", "", "per-CPU data")                                      \
	X(VMALLOC, "vmalloc", "", "vmalloc")                                         \
	X(KERNEL, "kernel", "", "kernel") /* all of the kernel's; version 1: memory.kmem */
enum cgroup_stat_row {
#define X(id, v2, v1, label) CGROUP_STAT_##id,
	CGROUP_STAT_ROWS(X)
#undef X
		CGROUP_STATS,
};
#define CGROUP_STAT_UNKNOWN UINT64_MAX
struct cgroup_stat {
	uint64_t bytes[CGROUP_STATS]; /* CGROUP_STAT_UNKNOWN: not told */
};

void cgroup_stat__init(struct cgroup_stat *s);
/* "anon", … of version 2, as files and records have it; for people. */
const char *cgroup_stat__name(enum cgroup_stat_row row);
const char *cgroup_stat__label(enum cgroup_stat_row row);
/* Takes one line "key value" of memory.stat of either version. False: no row of ours. Pure. */
bool cgroup_stat__line(struct cgroup_stat *s, const char *line);
/* The group and all below it. 0 or -errno. */
int cgroup__stat(const struct cgroup_mounts *m, const char *path, struct cgroup_stat *ret);

/* Reads one limit or usage file's text: "max", a number, v1's page-aligned LONG_MAX. Pure. */
int cgroup__parse_value(const char *text, uint64_t *ret);

#endif
