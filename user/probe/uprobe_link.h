/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uprobe_link.h - many uprobes through one link (Linux 6.6), by bpf(2) directly: libbpf 1.1 does
 * not know the call yet.
 */
#ifndef PROBE_UPROBE_LINK_H
#define PROBE_UPROBE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Attaches prog_fd to n file offsets of `path` in process pid (0: all). attach_type is
 * MW_BPF_TRACE_UPROBE_MULTI or …_SESSION, as the program was loaded. semaphores: file offsets of
 * the 16-bit counters that the kernel keeps raised meanwhile (0: none), or NULL. The link's
 * descriptor, which detaches when closed, or a negative errno.
 */
int uprobe_link__create(int prog_fd, int attach_type, const char *path, const uint64_t *offsets,
			const uint64_t *cookies, const uint64_t *semaphores, size_t n, int pid,
			uint32_t flags);

struct bpf_link;
struct bpf_program;

/* The same as a perf event, one probe in one process: before Linux 6.6, and it takes CAP_SYS_ADMIN.
 * NULL: errno. */
struct bpf_link *uprobe_link__single(const struct bpf_program *prog, bool ret, int pid,
				     const char *path, uint64_t offset, uint64_t cookie,
				     uint64_t semaphore);

#endif
