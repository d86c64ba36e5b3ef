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

/* The same for a process. 0 or -errno (-ESRCH: gone). */
int cgroup__of(const struct cgroup_mounts *m, uint32_t pid, char *ret, size_t size);

struct cgroup_memory {
	uint64_t usage_bytes, limit_bytes; /* CGROUP_NO_LIMIT: none */
	char path[CGROUP_PATH];		   /* of the group whose limit this is */
};

/*
 * Usage and limit of the group on the way from `path` to the root that is nearest to its limit
 * (v2: memory.max). Without any limit: those of `path` itself. 0 or -errno.
 */
int cgroup__tightest(const struct cgroup_mounts *m, const char *path, struct cgroup_memory *ret);

/* Page cache of the group (hierarchy) that reclaim takes first: no sign of memory running out. 0 if
 * it cannot be read. */
uint64_t cgroup__inactive_file(const struct cgroup_mounts *m, const char *path);

/* Reads one limit or usage file's text: "max", a number, v1's page-aligned LONG_MAX. Pure. */
int cgroup__parse_value(const char *text, uint64_t *ret);

#endif
