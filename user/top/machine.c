/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/machine.h"

#include <string.h>

#include "core/util.h"

#define MAX_FILE (64 << 10)

static const struct {
	const char *name;
	size_t off;
} fields[] = {
	{"MemTotal:", offsetof(struct machine, total_bytes)},
	{"MemFree:", offsetof(struct machine, free_bytes)},
	{"MemAvailable:", offsetof(struct machine, available_bytes)},
	{"Buffers:", offsetof(struct machine, buffers_bytes)},
	{"Cached:", offsetof(struct machine, cached_bytes)},
	{"AnonPages:", offsetof(struct machine, anon_bytes)},
	{"Shmem:", offsetof(struct machine, shmem_bytes)},
	{"Slab:", offsetof(struct machine, slab_bytes)},
	{"SwapTotal:", offsetof(struct machine, swap_total_bytes)},
	{"SwapFree:", offsetof(struct machine, swap_free_bytes)},
	{"CommitLimit:", offsetof(struct machine, commit_limit_bytes)},
	{"Committed_AS:", offsetof(struct machine, commit_bytes)},
};

static void read_psi(struct machine *m)
{
	cleanup_free char *text = NULL;
	unsigned long long some = 0, full = 0;
	const char *f;

	if (util__read_file("/proc/pressure/memory", MAX_FILE, &text) <= 0)
		return;
	if (sscanf(text, "some avg10=%lf avg60=%lf avg300=%lf total=%llu", &m->some_avg10,
		   &m->some_avg60, &m->some_avg300, &some) != 4)
		return;
	f = strstr(text, "full ");
	if (f)
		sscanf(f, "full avg10=%lf avg60=%lf avg300=%lf total=%llu", &m->full_avg10,
		       &m->full_avg60, &m->full_avg300, &full);
	m->some_total_us = some;
	m->full_total_us = full;
	m->has_psi = true;
}

int machine__read(struct machine *m)
{
	cleanup_free char *text = NULL;
	char *line, *save = NULL;
	ssize_t n = util__read_file("/proc/meminfo", MAX_FILE, &text);

	if (n < 0)
		return n;
	memset(m, 0, sizeof(*m));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			size_t len = strlen(fields[i].name);

			if (!strncmp(line, fields[i].name, len))
				*(uint64_t *)((char *)m + fields[i].off) =
					strtoull(line + len, NULL, 10) << 10;
		}
	}
	read_psi(m);
	if (getloadavg(m->load, 3) != 3)
		memset(m->load, 0, sizeof(m->load));
	return 0;
}
