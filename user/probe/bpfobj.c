/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/bpfobj.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "memwatch/wire.h"

#define LAST_LOG_LEN 4096

static char last_log[LAST_LOG_LEN];

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[8192];
	size_t have = strlen(last_log), n;

	vsnprintf(line, sizeof(line), fmt, ap);
	if (level == LIBBPF_WARN) {
		n = strlen(line);
		if (have + n >= LAST_LOG_LEN) { /* keep the newest words: the verdict comes last */
			have = 0;
			if (n >= LAST_LOG_LEN)
				n = LAST_LOG_LEN - 1;
		}
		memcpy(last_log + have, line + strlen(line) - n, n);
		last_log[have + n] = 0;
	}
	if (level == LIBBPF_DEBUG)
		return 0; /* relocations by the hundred */
	n = strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = 0;
	log_debug("%s", line);
	return 0;
}

const char *bpfobj__last_log(void)
{
	return last_log;
}

int bpfobj__open(struct bpfobj **ret)
{
	struct bpfobj *o = calloc(1, sizeof(*o));
	struct bpf_program *prog;
	struct bpf_map *map;

	if (!o)
		return -ENOMEM;
	last_log[0] = 0;
	libbpf_set_print(print_libbpf);
	o->skel = memwatch_bpf__open();
	if (!o->skel) {
		free(o);
		return -errno;
	}
	bpf_object__for_each_program(prog, o->skel->obj) bpf_program__set_autoload(prog, false);
	bpf_object__for_each_map(map, o->skel->obj)
	{
		if (!bpf_map__is_internal(map))
			bpf_map__set_autocreate(map, false);
	}
	*ret = o;
	return 0;
}

void bpfobj__free(struct bpfobj *o)
{
	if (!o)
		return;
	ring_buffer__free(o->ring);
	memwatch_bpf__destroy(o->skel);
	free(o);
}

void bpfobj__use_prog(struct bpf_program *prog)
{
	bpf_program__set_autoload(prog, true);
}

int bpfobj__use_map(struct bpf_map *map, uint32_t max_entries)
{
	int err = bpf_map__set_autocreate(map, true);

	if (!err && max_entries)
		err = bpf_map__set_max_entries(map, max_entries);
	return err;
}

int bpfobj__use_events(struct bpfobj *o, uint32_t ring_bytes, uint32_t max_targets)
{
	int err = bpfobj__use_map(o->skel->maps.events, ring_bytes);

	if (!err)
		err = bpfobj__use_map(o->skel->maps.counters, max_targets);
	if (!err)
		err = bpfobj__use_map(o->skel->maps.targets, 0);
	if (!err)
		err = bpfobj__use_map(o->skel->maps.epochs, 0);
	return err;
}

/* How many frames the kernel's own walk gives at most. */
static uint32_t kernel_stack_frames(void)
{
	cleanup_free char *text = NULL;
	long n = util__read_file("/proc/sys/kernel/perf_event_max_stack", 64, &text) > 0
			 ? strtol(text, NULL, 10)
			 : 0;

	return n > 0 ? n : 127;
}

int bpfobj__use_stacks(struct bpfobj *o, uint32_t max_depth)
{
	struct bpf_map *const maps[] = {
		o->skel->maps.stack_scratch, o->skel->maps.stack_seen,
		o->skel->maps.unwind_tables, o->skel->maps.unwind_files,
		o->skel->maps.unwind_wanted, o->skel->maps.unwind_states,
		o->skel->maps.unwind_vmas,   o->skel->maps.unwind_rows,
		o->skel->maps.unwind_procs,
	};

	if (max_depth)
		o->skel->rodata->stack_max_frames = max_depth;
	o->skel->rodata->stack_fp_frames = min_of(kernel_stack_frames(), (uint32_t)MW_MAX_FRAMES);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		int err = bpfobj__use_map(maps[i], 0);

		if (err)
			return err;
	}
	return 0;
}

int bpfobj__load(struct bpfobj *o)
{
	last_log[0] = 0;
	return memwatch_bpf__load(o->skel);
}

int bpfobj__ring(struct bpfobj *o, int (*fn)(void *arg, void *data, size_t size), void *arg)
{
	o->ring = ring_buffer__new(bpf_map__fd(o->skel->maps.events), fn, arg, NULL);
	return o->ring ? 0 : -errno;
}

int bpfobj__drain(struct bpfobj *o)
{
	return ring_buffer__consume(o->ring);
}

int bpfobj__ring_fd(const struct bpfobj *o)
{
	return ring_buffer__epoll_fd(o->ring);
}

int bpfobj__counters(const struct bpfobj *o, uint32_t target, uint64_t *ret)
{
	int ncpus = libbpf_num_possible_cpus(), err;
	cleanup_free uint64_t *rows = NULL;

	if (ncpus < 0)
		return ncpus;
	rows = calloc(ncpus, sizeof(*rows) * MW_C_COUNT);
	if (!rows)
		return -ENOMEM;
	err = bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.counters), &target, rows);
	if (err)
		return -errno;
	memset(ret, 0, sizeof(*ret) * MW_C_COUNT);
	for (int cpu = 0; cpu < ncpus; cpu++) {
		for (int i = 0; i < MW_C_COUNT; i++)
			ret[i] += rows[cpu * MW_C_COUNT + i];
	}
	return 0;
}
