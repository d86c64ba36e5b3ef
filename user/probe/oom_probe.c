/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/oom_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "probe/bpfobj.h"

struct oom_probe {
	struct bpfobj *obj;
	struct ring_buffer *ring;
	struct bpf_link *signal, *mark;
	oom_probe_fn fn;
	void *arg;
};

static int on_event(void *arg, void *data, size_t size)
{
	struct oom_probe *p = arg;

	if (size >= sizeof(struct mw_ev_oom))
		p->fn(p->arg, data);
	return 0;
}

const char *oom_probe__why(void)
{
	return bpfobj__last_log();
}

static int attach(struct oom_probe *p)
{
	struct memwatch_bpf *skel = p->obj->skel;

	/* The signal first: a mark without it would be taken for a process dying anyway. */
	p->signal = bpf_program__attach(skel->progs.mw_oom_signal);
	if (!p->signal)
		return -errno;
	p->mark = bpf_program__attach(skel->progs.mw_oom_mark);
	if (!p->mark)
		return -errno;
	p->ring = ring_buffer__new(bpf_map__fd(skel->maps.oom_events), on_event, p, NULL);
	return p->ring ? 0 : -errno;
}

static int load(struct oom_probe *p, const char *const *daemons)
{
	struct memwatch_bpf *skel;
	int err = bpfobj__open(&p->obj);

	if (err)
		return err;
	skel = p->obj->skel;
	bpfobj__use_prog(skel->progs.mw_oom_signal);
	bpfobj__use_prog(skel->progs.mw_oom_mark);
	err = bpfobj__use_map(skel->maps.oom_events, 0);
	if (!err)
		err = bpfobj__use_map(skel->maps.oom_stash, 0);
	if (!err)
		err = bpfobj__use_map(skel->maps.oom_counters, 0);
	if (err)
		return err;
	for (int i = 0; daemons && daemons[i] && i < MW_OOM_DAEMONS; i++)
		strncpy((char *)skel->rodata->oom_daemons[i], daemons[i], MW_OOM_COMM - 1);
	return bpfobj__load(p->obj);
}

int oom_probe__new(const char *const *daemons, oom_probe_fn fn, void *arg, struct oom_probe **ret)
{
	struct oom_probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->fn = fn;
	p->arg = arg;
	err = load(p, daemons);
	if (!err)
		err = attach(p);
	if (err) {
		oom_probe__free(p);
		return err;
	}
	malloc_trim(0); /* the kernel's type information, several MiB, is parsed and done with */
	*ret = p;
	return 0;
}

void oom_probe__free(struct oom_probe *p)
{
	if (!p)
		return;
	ring_buffer__free(p->ring);
	bpf_link__destroy(p->mark);
	bpf_link__destroy(p->signal);
	bpfobj__free(p->obj);
	free(p);
}

int oom_probe__fd(const struct oom_probe *p)
{
	return ring_buffer__epoll_fd(p->ring);
}

int oom_probe__drain(struct oom_probe *p)
{
	return ring_buffer__consume(p->ring);
}

uint64_t oom_probe__counter(const struct oom_probe *p, enum mw_oom_counter which)
{
	uint32_t key = which;
	uint64_t v = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(p->obj->skel->maps.oom_counters), &key, &v))
		return 0;
	return v;
}
