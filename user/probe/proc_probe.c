/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/proc_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "memwatch/wire.h"
#include "probe/bpfobj_priv.h"

#define LINKS 7

struct proc_probe {
	struct bpf_link *links[LINKS];
};

struct place {
	const struct bpf_program *prog;
	const char *end_of; /* of this system call; NULL: as it is declared */
};

static void places(const struct memwatch_bpf *k, struct place ret[LINKS])
{
	const struct place all[LINKS] = {
		{k->progs.mw_proc_fork},
		{k->progs.mw_proc_exec},
		{k->progs.mw_proc_exit},
		{k->progs.mw_proc_map_exit, "sys_exit_mmap"},
		{k->progs.mw_proc_map_exit, "sys_exit_munmap"},
		{k->progs.mw_proc_map_exit, "sys_exit_mremap"},
		{k->progs.mw_proc_map_exit, "sys_exit_brk"},
	};

	memcpy(ret, all, sizeof(all));
}

int proc_probe__new(struct bpfobj *o, struct proc_probe **ret, char *why, size_t len)
{
	struct proc_probe *p = calloc(1, sizeof(*p));
	struct place all[LINKS];

	if (!p)
		return -ENOMEM;
	places(o->skel, all);
	for (size_t i = 0; i < LINKS; i++) {
		int err;

		if (!bpf_program__autoload(all[i].prog))
			continue;
		p->links[i] = all[i].end_of ? bpfobj__attach_call(all[i].prog, all[i].end_of)
					    : bpfobj__attach(all[i].prog);
		if (p->links[i])
			continue;
		err = -errno;
		snprintf(why, len, "failed to attach '%s': %s%s", bpf_program__name(all[i].prog),
			 strerror(-err), err == -EMFILE ? "; raise the limit (ulimit -n)" : "");
		proc_probe__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void proc_probe__free(struct proc_probe *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < LINKS; i++)
		bpf_link__destroy(p->links[i]);
	free(p);
}

static int add(struct bpfobj *o, int pid, const struct mw_target *row, uint64_t flags)
{
	uint32_t key = pid;

	return bpf_map_update_elem(bpf_map__fd(o->skel->maps.targets), &key, row, flags) ? -errno
											 : 0;
}

int proc_probe__add(struct bpfobj *o, int pid, uint32_t index, int thread)
{
	return add(o, pid, &(struct mw_target){.index = index, .thread = thread}, BPF_ANY);
}

int proc_probe__add_sharer(struct bpfobj *o, int pid, uint32_t index)
{
	return add(o, pid, &(struct mw_target){.index = index, .sharer = 1}, BPF_NOEXIST);
}

void proc_probe__remove_sharer(struct bpfobj *o, int pid, uint32_t index)
{
	uint32_t key = pid;
	struct mw_target row;

	if (!bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.targets), &key, &row) && row.sharer &&
	    row.index == index)
		proc_probe__remove(o, pid);
}

void proc_probe__remove(struct bpfobj *o, int pid)
{
	uint32_t key = pid;

	bpf_map_delete_elem(bpf_map__fd(o->skel->maps.targets), &key);
}

static int set_brk(struct bpfobj *o, uint32_t index, uint64_t end)
{
	return bpf_map_update_elem(bpf_map__fd(o->skel->maps.proc_brks), &index, &end, 0);
}

int proc_probe__new_epoch(struct bpfobj *o, uint32_t index)
{
	int fd = bpf_map__fd(o->skel->maps.epochs);
	uint32_t epoch;

	if (bpf_map_lookup_elem(fd, &index, &epoch) || set_brk(o, index, 0))
		return -errno;
	epoch++;
	return bpf_map_update_elem(fd, &index, &epoch, 0) ? -errno : 0;
}

int proc_probe__brk(struct bpfobj *o, uint32_t index, uint64_t end)
{
	uint64_t known;

	if (bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.proc_brks), &index, &known))
		return -errno;
	return !known && set_brk(o, index, end) ? -errno : 0;
}
