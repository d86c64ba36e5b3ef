/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unwind_stats.h - figures of the unwind tables in the kernel, and of how they were had. */
#ifndef PROBE_UNWIND_STATS_H
#define PROBE_UNWIND_STATS_H

#include <stdint.h>

struct unwind_maps_stats {
	uint32_t files;	   /* with a table now */
	uint32_t no_table; /* known to have no unwind information (or none that can be read) */
	uint64_t bytes, rows;
	uint64_t built, cached;		   /* tables made from files, tables read from disk */
	uint64_t evicted, refused, failed; /* for want of memory; refused: frame pointers instead */
	uint64_t bad_records, unsupported, truncated; /* of the unwind information read */
	uint64_t build_ns;			      /* spent on reading and building */
	uint64_t wanted;			      /* asked for by the unwinder */
};

#endif
