/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gctrace_attach.c - feeds the decoder of GC cycles from the probe in one program. See gctrace.h.
 */
#include "go/gctrace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "probe/go_probe.h"
#include "sys/safeopen.h"

struct go_gctrace {
	const struct go_program *t;
	struct go_probe *probe;
	int64_t init_ns;
	uint32_t last; /* number of the newest cycle reported */
	void (*fn)(void *arg, const struct go_cycle *c);
	void *arg;
};

static void on_record(void *arg, const struct mw_go_cycle *raw)
{
	struct go_gctrace *g = arg;
	struct go_cycle c;

	go_gctrace__decode(&go_program__facts(g->t)->layout, raw, g->init_ns, &c);
	/* A Go function whose stack must grow first is entered a second time. */
	if (c.number == g->last)
		return;
	g->last = c.number;
	g->fn(g->arg, &c);
}

static int attach(struct go_gctrace *g, uint64_t off, char why[GO_WHY_LEN])
{
	const struct go_facts *f = go_program__facts(g->t);
	enum go_probe_step step = GO_PROBE_ATTACH;
	struct mw_go_config cfg;
	int err = go_gctrace__config(&f->layout, &f->sym, &cfg);

	if (!err && safeopen__only_seen(go_program__exe_fd(g->t)))
		err = -EREMOTE; /* the kernel would read it for this process, and may wait for ever
				 */
	if (!err)
		err = go_probe__new(go_program__pid(g->t), go_program__exe_fd(g->t), off, &cfg,
				    on_record, g, &g->probe, &step);
	if (err && step == GO_PROBE_LOAD)
		snprintf(why, GO_WHY_LEN, "failed to load the GC probe: %s", strerror(-err));
	else if (err)
		snprintf(why, GO_WHY_LEN, "failed to attach the GC probe to %.128s: %s",
			 go_program__exe(g->t), strerror(-err));
	return err;
}

int go_gctrace__attach(const struct go_program *t, void (*fn)(void *arg, const struct go_cycle *c),
		       void *arg, struct go_gctrace **ret, char why[GO_WHY_LEN])
{
	struct go_gctrace *g = calloc(1, sizeof(*g));
	uint64_t init = 0;
	int err = 0;

	why[0] = 0;
	if (!g)
		return -ENOMEM;
	g->t = t;
	g->fn = fn;
	g->arg = arg;
	go_program__init_time(t, &init);
	g->init_ns = (int64_t)init;
	if (!go_program__facts(t)->gc_site)
		err = -ENOENT;
	if (err)
		snprintf(why, GO_WHY_LEN, "%.200s has no function " GO_GC_SITE, go_program__exe(t));
	else
		err = attach(g, go_program__facts(t)->gc_site, why);
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
	go_probe__free(g->probe);
	free(g);
}

int go_gctrace__poll(struct go_gctrace *g)
{
	return go_probe__poll(g->probe);
}

void go_gctrace__books(const struct go_gctrace *g, uint64_t *seen, uint64_t *lost)
{
	go_probe__books(g->probe, seen, lost);
}
