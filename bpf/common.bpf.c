// SPDX-License-Identifier: GPL-2.0-only
/* common.bpf.c - definitions of the shared maps. See maps.h. */
#include "maps.h"

struct mw_events_map events SEC(".maps");
struct mw_counters_map counters SEC(".maps");
struct mw_targets_map targets SEC(".maps");
struct mw_epochs_map epochs SEC(".maps");
__u64 events_woke_ns;

char LICENSE[] SEC("license") = "GPL";
