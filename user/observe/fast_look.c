/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/fast_look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fast/fast_box.h"

int fast_look__plan(pid_t pid, struct procmem *mem, const struct module *m,
		    const struct procmap_entry *e, struct fast_plan *plan, uint64_t *ret_bias,
		    char why[FAST_WHY])
{
	const struct box_target whose = box__target(pid);
	int err;

	memset(plan, 0, sizeof(*plan));
	*why = 0;
	err = fast_box__plan(m->fd, &whose, m->sites, m->nsites, e->start, e->offset, plan,
			     ret_bias);
	if (!err)
		err = fast_plan__check(plan, mem);
	if (err == -EFAULT || err == -ETIMEDOUT)
		snprintf(why, FAST_WHY, "its file broke its reader");
	else if (err)
		snprintf(why, FAST_WHY, "%s", strerror(-err));
	return err;
}

/* The first module of the process that lies over another allocator, NULL if none does. */
static int find_layer(const struct module_process *p, struct module_table *modules,
		      const struct module **ret)
{
	const struct procmap *maps = p->maps;
	int err = 0;

	*ret = NULL;
	for (size_t i = 0; i < maps->n && !err && !*ret; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct module *m = NULL;

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE)
			continue;
		err = module_table__get(modules, p, e, &m);
		if (!err && module__is_layer(m))
			*ret = m;
	}
	return err;
}

int fast_look__each(int pid,
		    void (*fn)(void *arg, const struct module *m, const struct fast_plan *plan,
			       const char *why),
		    void *arg)
{
	struct module_table modules = {0};
	struct module_process p = {.account = box__target(pid)};
	const struct module *last = NULL, *layer;
	struct procmem *mem;
	struct procmap *maps;
	int err = procmem__open(pid, &mem);

	if (err)
		return err;
	err = procmap__read(pid, &maps);
	if (err) {
		procmem__close(mem);
		return err;
	}
	p.maps = maps;
	err = find_layer(&p, &modules, &layer);
	for (size_t i = 0; i < maps->n && !err; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct module *m = NULL;
		struct fast_plan plan;
		char why[FAST_WHY];
		uint64_t bias;

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE)
			continue;
		err = module_table__get(&modules, &p, e, &m);
		if (err || (!m->nsites && !m->nusdt) || m == last)
			continue;
		last = m;
		if (m->nusdt) {
			fn(arg, m, NULL,
			   "it samples for itself and tells of it (USDT otel_memory): nothing else "
			   "in this process is probed");
			continue;
		}
		if (layer) {
			fn(arg, m, NULL,
			   m == layer ? MODULE_IS_LAYER
				      : "another module lies over it: one of the two would be "
					"counted twice");
			continue;
		}
		if (fast_look__plan(pid, mem, m, e, &plan, &bias, why))
			fn(arg, m, NULL, why);
		else
			fn(arg, m, &plan, plan.why);
		fast_plan__fini(&plan);
	}
	module_table__fini(&modules);
	procmap__free(maps);
	procmem__close(mem);
	return err;
}
