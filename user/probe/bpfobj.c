/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/bpfobj_priv.h"
#include "sys/privilege.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "memwatch/wire.h"

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[8192];
	size_t n;

	if (level == LIBBPF_DEBUG)
		return 0; /* relocations by the hundred */
	vsnprintf(line, sizeof(line), fmt, ap);
	n = strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = 0;
	log_debug("%s", line);
	return 0;
}

static struct bpf_program *program(const struct memwatch_bpf *k, enum plan_prog which)
{
	switch (which) {
#define X(name) \
	case PROG_##name: return k->progs.name;
		PLAN_PROGS(X)
#undef X
	case PLAN_NPROGS: break;
	}
	return NULL;
}

static struct bpf_map *map(const struct memwatch_bpf *k, enum plan_map which)
{
	switch (which) {
#define X(name) \
	case MAP_##name: return k->maps.name;
		PLAN_MAPS(X)
#undef X
	case PLAN_NMAPS: break;
	}
	return NULL;
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

static int set_constants(struct memwatch_bpf *k, const struct plan *p)
{
	int ncpus = libbpf_num_possible_cpus();
	unsigned page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE));

	if (ncpus < 0)
		return ncpus;
	k->rodata->fault_all = p->faults_of_all;
	k->rodata->proc_all = p->all_processes;
	k->rodata->mm_watch_all = p->peaks_of_all;
	k->rodata->mm_nr_cpus = ncpus;
	k->rodata->mm_page_shift = page_shift;
	k->rodata->task_iter_kthreads = p->kthreads;
	k->rodata->task_iter_peaks = p->peaks;
	k->rodata->unwind_on = p->tables;
	if (p->copy_bytes)
		k->rodata->unwind_copy_budget = p->copy_bytes;
	if (p->max_depth)
		k->rodata->stack_max_frames = p->max_depth;
	k->rodata->stack_fp_frames = min_of(kernel_stack_frames(), (uint32_t)MW_MAX_FRAMES);
	k->rodata->unwind_page_shift = page_shift;
	k->data->alloc_config.sample_bytes = p->sample_bytes;
	k->data->alloc_config.wake_bytes = p->wake_bytes;
	return 0;
}

static int apply(struct memwatch_bpf *k, const struct plan *p)
{
	int err = set_constants(k, p);

	for (int i = 0; i < PLAN_NPROGS; i++) {
		struct bpf_program *prog = program(k, i);

		bpf_program__set_autoload(prog, p->prog[i].on);
		if (p->prog[i].attach_type)
			bpf_program__set_expected_attach_type(prog, p->prog[i].attach_type);
	}
	for (int i = 0; i < PLAN_NMAPS && !err; i++) {
		err = bpf_map__set_autocreate(map(k, i), p->map[i].on);
		if (!err && p->map[i].entries)
			err = bpf_map__set_max_entries(map(k, i), p->map[i].entries);
	}
	return err;
}

int bpfobj__open(const struct plan *plan, struct bpfobj **ret)
{
	/* Types are looked for in the kernel alone, where they all are: going through the modules
	 * as well needs CAP_SYS_ADMIN, without which libbpf before 1.6 gives up. */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = "/sys/kernel/btf/vmlinux");
	struct bpfobj *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	libbpf_set_print(print_libbpf);
	o->plan = *plan;
	o->skel = memwatch_bpf__open_opts(&opts);
	err = o->skel ? apply(o->skel, plan) : -errno;
	if (err) {
		bpfobj__free(o);
		return err;
	}
	*ret = o;
	return 0;
}

const struct plan *bpfobj__plan(const struct bpfobj *o)
{
	return &o->plan;
}

void bpfobj__free(struct bpfobj *o)
{
	if (!o)
		return;
	event_reader__free(o->reader);
	memwatch_bpf__destroy(o->skel);
	free(o);
}

int bpfobj__load(struct bpfobj *o)
{
	int err;

	privilege__raise(PRIVILEGE_PROBES);
	err = memwatch_bpf__load(o->skel);
	privilege__lower(PRIVILEGE_PROBES);
	return err;
}

struct bpf_link *bpfobj__attach(const struct bpf_program *prog)
{
	struct bpf_link *link;

	privilege__raise(PRIVILEGE_PROBES);
	link = bpf_program__attach(prog);
	privilege__lower(PRIVILEGE_PROBES);
	return link;
}

struct bpf_link *bpfobj__attach_call(const struct bpf_program *prog, const char *name)
{
	struct bpf_link *link;

	privilege__raise(PRIVILEGE_PROBES);
	link = bpf_program__attach_tracepoint(prog, "syscalls", name);
	privilege__lower(PRIVILEGE_PROBES);
	return link;
}

int bpfobj__ring(struct bpfobj *o, int (*fn)(void *arg, void *data, size_t size), void *arg)
{
	return event_reader__new(bpf_map__fd(o->skel->maps.events), fn, arg, &o->reader);
}

int bpfobj__drain(struct bpfobj *o)
{
	return event_reader__drain(o->reader);
}

int bpfobj__ring_fd(const struct bpfobj *o)
{
	return event_reader__fd(o->reader);
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

int bpfobj__clear_counters(const struct bpfobj *o, uint32_t target)
{
	int ncpus = libbpf_num_possible_cpus();
	cleanup_free uint64_t *rows = NULL;

	if (ncpus < 0)
		return ncpus;
	rows = calloc(ncpus, sizeof(*rows) * MW_C_COUNT);
	if (!rows)
		return -ENOMEM;
	return bpf_map_update_elem(bpf_map__fd(o->skel->maps.counters), &target, rows, 0) ? -errno
											  : 0;
}

static uint64_t entries_of(const struct bpf_map *map)
{
	unsigned char key[2][64];
	uint64_t n = 0;
	int at = 0;

	if ((bpf_map__type(map) != BPF_MAP_TYPE_HASH &&
	     bpf_map__type(map) != BPF_MAP_TYPE_LRU_HASH) ||
	    bpf_map__key_size(map) > sizeof(key[0]))
		return 0;
	/* When the present key is deleted meanwhile the kernel begins anew: no more than there can
	 * be. */
	for (void *from = NULL; n < bpf_map__max_entries(map); n++) {
		if (bpf_map_get_next_key(bpf_map__fd(map), from, key[at]))
			break;
		from = key[at];
		at = !at;
	}
	return n;
}

/* "memlock:" of the descriptor, which the kernel reckons for every table. */
static uint64_t bytes_of(const struct bpf_map *map)
{
	cleanup_free char *text = NULL;
	char path[64];
	const char *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
	if (util__read_file(path, 4096, &text) <= 0)
		return 0;
	at = strstr(text, "memlock:");
	return at ? strtoull(at + 8, NULL, 10) : 0;
}

void bpfobj__each_map(const struct bpfobj *o,
		      void (*fn)(void *arg, const char *name, uint64_t bytes, uint64_t entries),
		      void *arg)
{
	const struct bpf_map *map;

	bpf_object__for_each_map(map, o->skel->obj)
	{
		if (bpf_map__fd(map) >= 0)
			fn(arg, bpf_map__name(map), bytes_of(map), entries_of(map));
	}
}
