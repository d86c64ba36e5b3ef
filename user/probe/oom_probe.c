/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/oom_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "probe/bpfobj_priv.h"

struct oom_probe {
	struct bpfobj *obj;
	struct ring_buffer *ring;
	struct bpf_link *signal, *mark;
	struct bpf_link *extra[OOM_PROBE_EXTRAS][2];
	int extra_err[OOM_PROBE_EXTRAS];
	uint64_t since_ns;
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

/* The end of a stall before its begin: what is begun is ended, and an end alone counts nothing. */
static void extra_progs(const struct memwatch_bpf *skel, enum oom_probe_extra which,
			struct bpf_program *ret[2])
{
	struct bpf_program *const all[OOM_PROBE_EXTRAS][2] = {
		[OOM_PROBE_RECLAIM] = {skel->progs.mw_oom_reclaim_end,
				       skel->progs.mw_oom_reclaim_begin},
		[OOM_PROBE_MEMCG] = {skel->progs.mw_oom_memcg_end, skel->progs.mw_oom_memcg_begin},
		[OOM_PROBE_COMPACTION] = {skel->progs.mw_oom_compaction_end,
					  skel->progs.mw_oom_compaction_begin},
		[OOM_PROBE_SCORE] = {skel->progs.mw_oom_score, NULL},
	};

	ret[0] = all[which][0];
	ret[1] = all[which][1];
}

static void detach_extra(struct oom_probe *p, enum oom_probe_extra which)
{
	for (int i = 1; i >= 0; i--) {
		bpf_link__destroy(p->extra[which][i]);
		p->extra[which][i] = NULL;
	}
}

static void attach_extra(struct oom_probe *p, enum oom_probe_extra which)
{
	struct bpf_program *progs[2];

	extra_progs(p->obj->skel, which, progs);
	for (int i = 0; i < 2 && progs[i] && !p->extra_err[which]; i++) {
		p->extra[which][i] = bpfobj__attach(progs[i]);
		if (!p->extra[which][i])
			p->extra_err[which] = -errno;
	}
	if (p->extra_err[which]) {
		detach_extra(p, which);
		log_debug("no record of what led to a kill: %s: %s", bpf_program__name(progs[0]),
			  strerror(-p->extra_err[which]));
	}
}

static int attach(struct oom_probe *p)
{
	struct memwatch_bpf *skel = p->obj->skel;

	/* The signal first: a mark without it would be taken for a process dying anyway. */
	p->signal = bpfobj__attach(skel->progs.mw_oom_signal);
	if (!p->signal)
		return -errno;
	p->mark = bpfobj__attach(skel->progs.mw_oom_mark);
	if (!p->mark)
		return -errno;
	for (int i = 0; i < OOM_PROBE_EXTRAS; i++)
		attach_extra(p, i);
	p->since_ns = util__now_ns();
	p->ring = ring_buffer__new(bpf_map__fd(skel->maps.oom_events), on_event, p, NULL);
	return p->ring ? 0 : -errno;
}

/* without_extras: 0, or why what leads to a kill is left out. */
static int load(struct oom_probe *p, const char *const *daemons, int without_extras)
{
	static const struct features none; /* nothing that is asked for beforehand */
	struct plan_want want = {.kills = true, .kill_causes = !without_extras};
	struct plan plan;
	int err = plan__make(&none, &want, &plan);

	for (int i = 0; i < OOM_PROBE_EXTRAS; i++)
		p->extra_err[i] = without_extras;
	if (!err)
		err = bpfobj__open(&plan, &p->obj);
	if (err)
		return err;
	for (int i = 0; daemons && daemons[i] && i < MW_OOM_DAEMONS; i++)
		strncpy((char *)p->obj->skel->rodata->oom_daemons[i], daemons[i], MW_OOM_COMM - 1);
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
	err = load(p, daemons, 0);
	if (err && err != -EPERM && err != -EACCES) {
		/* A kernel that refuses one of the others still reports kills. */
		log_debug("no record of what leads to a kill: %s", strerror(-err));
		bpfobj__free(p->obj);
		p->obj = NULL;
		err = load(p, daemons, err);
	}
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
	for (int i = 0; i < OOM_PROBE_EXTRAS; i++)
		detach_extra(p, i);
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

int oom_probe__extra(const struct oom_probe *p, enum oom_probe_extra which)
{
	return p->extra_err[which];
}

uint64_t oom_probe__since_ns(const struct oom_probe *p)
{
	return p->since_ns;
}

uint64_t oom_probe__counter(const struct oom_probe *p, enum mw_oom_counter which)
{
	uint32_t key = which;
	uint64_t v = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(p->obj->skel->maps.oom_counters), &key, &v))
		return 0;
	return v;
}
