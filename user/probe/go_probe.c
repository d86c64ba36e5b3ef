/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/go_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/util.h"
#include "probe/bpfobj_priv.h"
#include "probe/uprobe_link.h"

struct go_probe {
	struct bpfobj *obj;
	struct bpf_link *link; /* a perf event per probe, or */
	int link_fd;	       /* a link that burdens no context switch (Linux 6.6) */
	struct ring_buffer *ring;
	go_probe_fn fn;
	void *arg;
};

static int on_record(void *arg, void *data, size_t size)
{
	struct go_probe *p = arg;

	if (size >= sizeof(struct mw_go_cycle))
		p->fn(p->arg, data);
	return 0;
}

static int load(struct go_probe *p)
{
	struct plan_want want = {.go_cycles = true};
	struct features fs;
	struct plan plan;
	int err;

	features__probe(&fs);
	err = plan__make(&fs, &want, &plan);
	if (!err)
		err = bpfobj__open(&plan, &p->obj);
	return err ? err : bpfobj__load(p->obj);
}

static int attach(struct go_probe *p, int pid, int exe, uint64_t off,
		  const struct mw_go_config *cfg)
{
	struct memwatch_bpf *skel = p->obj->skel;
	uint32_t tgid = (uint32_t)pid;
	char path[64];

	if (bpf_map_update_elem(bpf_map__fd(skel->maps.go_config), &tgid, cfg, BPF_ANY))
		return -errno;
	p->ring = ring_buffer__new(bpf_map__fd(skel->maps.go_cycles), on_record, p, NULL);
	if (!p->ring)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", exe);
	if (p->obj->plan.multi) {
		p->link_fd = uprobe_link__create(bpf_program__fd(skel->progs.mw_go_cycle_end),
						 MW_BPF_TRACE_UPROBE_MULTI, path, &off, NULL, NULL,
						 1, pid, 0);
		return p->link_fd < 0 ? p->link_fd : 0;
	}
	p->link = uprobe_link__single(skel->progs.mw_go_cycle_end, false, pid, path, off, 0, 0);
	return p->link ? 0 : -errno;
}

int go_probe__new(int pid, int exe, uint64_t off, const struct mw_go_config *cfg, go_probe_fn fn,
		  void *arg, struct go_probe **ret, enum go_probe_step *ret_step)
{
	struct go_probe *p = calloc(1, sizeof(*p));
	int err;

	*ret_step = GO_PROBE_LOAD;
	if (!p)
		return -ENOMEM;
	p->link_fd = -1;
	p->fn = fn;
	p->arg = arg;
	err = load(p);
	if (!err) {
		*ret_step = GO_PROBE_ATTACH;
		err = attach(p, pid, exe, off, cfg);
	}
	if (err) {
		go_probe__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void go_probe__free(struct go_probe *p)
{
	if (!p)
		return;
	bpf_link__destroy(p->link);
	if (p->link_fd >= 0)
		close(p->link_fd);
	ring_buffer__free(p->ring);
	bpfobj__free(p->obj);
	free(p);
}

int go_probe__poll(struct go_probe *p)
{
	return ring_buffer__consume(p->ring);
}

void go_probe__books(const struct go_probe *p, uint64_t *ret_seen, uint64_t *ret_lost)
{
	int fd = bpf_map__fd(p->obj->skel->maps.go_counters);
	uint64_t v[MW_GO_C_COUNT] = {0};

	for (uint32_t i = 0; i < MW_GO_C_COUNT; i++)
		bpf_map_lookup_elem(fd, &i, &v[i]);
	*ret_seen = v[MW_GO_C_CYCLES];
	*ret_lost = v[MW_GO_C_LOST_RING] + v[MW_GO_C_UNREADABLE];
}
