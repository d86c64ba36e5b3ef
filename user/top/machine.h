/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.h - memory of the whole machine: /proc/meminfo and /proc/pressure/memory. */
#ifndef TOP_MACHINE_H
#define TOP_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct machine {
	uint64_t total_bytes, free_bytes, available_bytes, cached_bytes, buffers_bytes;
	uint64_t shmem_bytes, slab_bytes, anon_bytes, swap_total_bytes, swap_free_bytes;
	uint64_t commit_bytes, commit_limit_bytes;
	bool has_psi;
	double some_avg10, some_avg60, some_avg300, full_avg10, full_avg60, full_avg300;
	uint64_t some_total_us, full_total_us;
	double load[3];
};

/* 0 or -errno (of meminfo; without PSI has_psi is false). */
int machine__read(struct machine *m);

#endif
