/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uprobe_link.h - many uprobes through one link (Linux 6.6), by bpf(2) directly: libbpf 1.1 does
 * not know the call yet.
 */
#ifndef PROBE_UPROBE_LINK_H
#define PROBE_UPROBE_LINK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Attaches prog_fd to n file offsets of `path` in process pid (0: all). attach_type is
 * MW_BPF_TRACE_UPROBE_MULTI or …_SESSION, as the program was loaded. The link's descriptor, which
 * detaches when closed, or a negative errno.
 */
int uprobe_link__create(int prog_fd, int attach_type, const char *path, const uint64_t *offsets,
			const uint64_t *cookies, size_t n, int pid, uint32_t flags);

#endif
