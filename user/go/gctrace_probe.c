/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gctrace_probe.c - the uprobe at the end of each GC cycle. See gctrace.h. */
#include "go/gctrace.h"

#include "core/util.h"
#include "probe/bpfobj.h"
#include "probe/feature.h"
#include "probe/uprobe_link.h"

#include <bpf/bpf.h>
#include <string.h>

#define SITE "runtime.mProf_Flush"

struct go_gctrace {
	const struct go_target *t;
	struct bpfobj *obj;
	struct bpf_link *link; /* a perf event per probe, or */
	int link_fd;	       /* a link that burdens no context switch (Linux 6.6) */
	bool multi;
	struct ring_buffer *ring;
	int64_t init_ns;
	uint32_t last; /* number of the newest cycle reported */
	void (*fn)(void *arg, const struct go_cycle *c);
	void *arg;
};

static int on_record(void *arg, void *data, size_t size)
{
	struct go_gctrace *g = arg;
	struct go_cycle c;

	if (size < sizeof(struct mw_go_cycle))
		return 0;
	go_gctrace__decode(g->t->layout, data, g->init_ns, &c);
	/* A Go function whose stack must grow first is entered a second time. */
	if (c.number == g->last)
		return 0;
	g->last = c.number;
	g->fn(g->arg, &c);
	return 0;
}

static int load(struct go_gctrace *g)
{
	struct memwatch_bpf *skel;
	struct features fs;
	int err = bpfobj__open(&g->obj);

	if (err)
		return err;
	skel = g->obj->skel;
	bpfobj__use_prog(skel->progs.mw_go_cycle_end);
	features__probe(&fs);
	g->multi = fs.f[FEATURE_UPROBE_MULTI].have;
	if (g->multi)
		bpf_program__set_expected_attach_type(skel->progs.mw_go_cycle_end,
						      MW_BPF_TRACE_UPROBE_MULTI);
	err = bpfobj__use_map(skel->maps.go_cycles, 0);
	if (!err)
		err = bpfobj__use_map(skel->maps.go_config, 0);
	if (!err)
		err = bpfobj__use_map(skel->maps.go_counters, 0);
	return err ? err : bpfobj__load(g->obj);
}

static int attach(struct go_gctrace *g, uint64_t off)
{
	struct memwatch_bpf *skel = g->obj->skel;
	struct mw_go_config cfg;
	uint32_t tgid = (uint32_t)g->t->pid;
	char path[64];
	int err = go_gctrace__config(g->t->layout, &g->t->sym, &cfg);

	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(skel->maps.go_config), &tgid, &cfg, BPF_ANY);
	if (err)
		return err;
	g->ring = ring_buffer__new(bpf_map__fd(skel->maps.go_cycles), on_record, g, NULL);
	if (!g->ring)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/exe", g->t->pid);
	if (g->multi) {
		g->link_fd = uprobe_link__create(bpf_program__fd(skel->progs.mw_go_cycle_end),
						 MW_BPF_TRACE_UPROBE_MULTI, path, &off, NULL, 1,
						 g->t->pid, 0);
		return g->link_fd < 0 ? g->link_fd : 0;
	}
	g->link = bpf_program__attach_uprobe(skel->progs.mw_go_cycle_end, false, g->t->pid, path,
					     off);
	return g->link ? 0 : -errno;
}

int go_gctrace__attach(const struct go_target *t, void (*fn)(void *arg, const struct go_cycle *c),
		       void *arg, struct go_gctrace **ret, char why[GO_WHY_LEN])
{
	struct go_gctrace *g = calloc(1, sizeof(*g));
	uint64_t off, init = 0;
	int err;

	why[0] = 0;
	if (!g)
		return -ENOMEM;
	g->link_fd = -1;
	g->t = t;
	g->fn = fn;
	g->arg = arg;
	go_target__u64(t, t->sym.runtime_init_time, 0, &init);
	g->init_ns = (int64_t)init;
	err = gobin__probe_site(&t->bin, SITE, &off);
	if (err)
		snprintf(why, GO_WHY_LEN, "%.200s has no function " SITE, t->exe);
	if (!err) {
		err = load(g);
		if (err)
			snprintf(why, GO_WHY_LEN, "failed to load the GC probe: %s",
				 strerror(-err));
	}
	if (!err) {
		err = attach(g, off);
		if (err)
			snprintf(why, GO_WHY_LEN, "failed to attach the GC probe to %.128s: %s",
				 t->exe, strerror(-err));
	}
	if (err) {
		go_gctrace__detach(g);
		return err;
	}
	*ret = g;
	return 0;
}

void go_gctrace__detach(struct go_gctrace *g)
{
	if (!g)
		return;
	bpf_link__destroy(g->link);
	if (g->link_fd >= 0)
		close(g->link_fd);
	ring_buffer__free(g->ring);
	bpfobj__free(g->obj);
	free(g);
}

int go_gctrace__poll(struct go_gctrace *g)
{
	return ring_buffer__consume(g->ring);
}

void go_gctrace__books(const struct go_gctrace *g, uint64_t *seen, uint64_t *lost)
{
	int fd = bpf_map__fd(g->obj->skel->maps.go_counters);
	uint64_t v[MW_GO_C_COUNT] = {0};

	for (uint32_t i = 0; i < MW_GO_C_COUNT; i++)
		bpf_map_lookup_elem(fd, &i, &v[i]);
	*seen = v[MW_GO_C_CYCLES];
	*lost = v[MW_GO_C_LOST_RING] + v[MW_GO_C_UNREADABLE];
}
