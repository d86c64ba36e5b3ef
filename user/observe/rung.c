/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/rung.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/elfobj.h"
#include "fast/inject.h"

#define PAGE_MASK 4095ULL

int rung__check(struct observer *o, struct observed *t)
{
	struct fast_left left;
	char why[FAST_WHY];
	int err = fast__clean(t->pub.pid, true, &left, why);

	if (err || !left.patched)
		return 0;
	/* A child that was forked has its parent's jumps: they do nothing there. */
	if (left.owner && !t->pub.child) {
		observer__set_error("PID %d is being sampled by another memwatch --fast (PID %d)",
				    t->pub.pid, left.owner);
		return -EBUSY;
	}
	if (!o->opts.fast) {
		observer__set_error("PID %d still has the jumps of a --fast run that was killed: "
				    "'memwatch detach -p %d' takes them out",
				    t->pub.pid, t->pub.pid);
		return -EBUSY;
	}
	err = fast__clean(t->pub.pid, false, &left, why);
	if (err) {
		observer__set_error("failed to take out of PID %d what an earlier --fast left "
				    "there: %s",
				    t->pub.pid, why);
		return -EBUSY;
	}
	log_debug("PID %d: %zu jumps of an earlier --fast taken out", t->pub.pid, left.patched);
	return 0;
}

static bool find_bias(const struct elfobj *elf, const struct procmap_entry *e, uint64_t *ret)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(elf, &seg);

	for (size_t i = 0; i < n; i++) {
		if ((seg[i].flags & PF_X) && (seg[i].off & ~PAGE_MASK) == e->offset) {
			*ret = e->start - (seg[i].vaddr & ~PAGE_MASK);
			return true;
		}
	}
	return false;
}

/* A kind of site by the words of the probes. */
static enum alloc_fast_kind kind_of(uint8_t site)
{
	return site == SITE_ALLOC  ? ALLOC_FAST_ALLOC
	       : site == SITE_FREE ? ALLOC_FAST_FREE
				   : ALLOC_FAST_UNFREE;
}

static int attach_sites(struct observer *o, struct observed *t, const struct fast *f,
			const struct fast_plan *plan, uint64_t bias)
{
	cleanup_free struct alloc_fast_site *sites = calloc(STUB_MAX_SITES, sizeof(*sites));
	const struct plan_func *funcs[STUB_MAX_FUNCS];
	size_t n = 0;

	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->funcs[i].hooked)
			funcs[n++] = &plan->funcs[i];
	}
	for (size_t i = 0; i < f->image.n_sites; i++) {
		const struct stub_site *s = &f->image.sites[i];

		sites[i] = (struct alloc_fast_site){.off = s->off,
						    .addr = f->image.hdr.base + s->off,
						    .kind = kind_of(s->kind),
						    .fn = funcs[s->func]->stub.fn,
						    .site = funcs[s->func]->site,
						    .bias = bias};
	}
	return alloc_probe__attach_fast(o->probe, t->pub.pid, t->pub.index, f->fd, sites,
					f->image.n_sites);
}

/* Functions without a stub that keep their probe. */
static int attach_rest(struct observer *o, struct observed *t, struct module *m)
{
	cleanup_free struct site *rest = calloc(m->nsites, sizeof(*rest));
	size_t n = 0, done;

	if (!rest)
		return -ENOMEM;
	for (size_t i = 0; i < m->nsites; i++) {
		if (allocs__signature(m->sites[i].func.fn)->does == MW_DOES_RESIZE)
			rest[n++] = m->sites[i];
	}
	return n ? alloc_probe__attach(o->probe, t->pub.pid, t->pub.index, m->fd, rest, n, NULL, 0,
				       &done)
		 : 0;
}

static int enter(struct observer *o, struct observed *t, struct module *m,
		 const struct fast_plan *plan, uint64_t bias, char why[FAST_WHY])
{
	int err = array_reserve(t->fast, t->fast_cap, t->nfast + 1);
	struct fast *f;

	if (err)
		return err;
	f = &t->fast[t->nfast];
	err = fast__map(t->pub.pid, plan, o->opts.sample_bytes, f, why);
	if (err)
		return err;
	err = attach_sites(o, t, f, plan, bias);
	if (!err)
		err = attach_rest(o, t, m);
	if (!err)
		err = fast__patch(f, why);
	if (err) {
		if (!*why)
			snprintf(why, FAST_WHY, "no probes on the stubs: %s", strerror(-err));
		fast__fini(f);
		return err;
	}
	t->nfast++;
	return 0;
}

static int refused(struct observer *o, struct observed *t, const struct module *m, const char *why)
{
	struct observer_event e = {.what = OBSERVER_NOT_FAST, .target = &t->pub};

	observer__set_error("%s: %s", m->path, why);
	observer__tell(o, &e);
	observer__set_error("%s", "");
	return 1;
}

int rung__fast(struct observer *o, struct observed *t, struct module *m,
	       const struct procmap_entry *e, size_t *ret_n)
{
	struct elfobj *elf = NULL;
	struct procmem *mem = NULL;
	struct fast_plan plan = {0};
	char why[FAST_WHY] = "";
	uint64_t bias;
	int err;

	/* A followed child frees blocks of its parent's, of which stubs of its own know nothing. */
	if (!o->opts.fast || t->pub.child)
		return 1;
	if (!fast_plan__process(t->pub.pid, why))
		return refused(o, t, m, why);
	err = elfobj__open_fd(m->fd, m->path, &elf);
	if (!err)
		err = procmem__open(t->pub.pid, &mem);
	if (!err && !find_bias(elf, e, &bias))
		err = -ENOEXEC;
	if (!err)
		err = fast_plan__make(elf, m->sites, m->nsites, bias, mem, &plan);
	if (!err && plan.hooked && !*plan.why)
		err = enter(o, t, m, &plan, bias, why);
	else if (!err)
		snprintf(why, sizeof(why), "%s", plan.why);
	if (err && !*why)
		snprintf(why, sizeof(why), "%s", strerror(-err));
	*ret_n = t->nfast ? t->fast[t->nfast - 1].image.n_sites : 0;
	procmem__close(mem);
	elfobj__close(elf);
	if (!*why) {
		t->pub.nfast = t->nfast;
		fast_plan__fini(&plan);
		return 0;
	}
	/* one that only passes calls on is none of fast mode's business */
	err = plan.hooked || err ? refused(o, t, m, why) : 1;
	fast_plan__fini(&plan);
	return err;
}

void rung__leave(struct observer *o, struct observed *t)
{
	char why[FAST_WHY];

	for (size_t i = 0; i < t->nfast; i++) {
		uint64_t full = fast__full(&t->fast[i]);
		int err = fast__unpatch(&t->fast[i], why);

		if (full)
			log_warn("%lu samples of PID %d found no room in its table",
				 (unsigned long)full, t->pub.pid);
		if (!err)
			log_info("PID %d: every byte that --fast changed is restored; %lu KiB stay "
				 "mapped, unused",
				 t->pub.pid,
				 (unsigned long)(t->fast[i].image.hdr.code_bytes + DATA_BYTES) >>
					 10);
		else if (err != -ESRCH)
			log_warn("failed to take the stubs out of PID %d: %s; they count on, for "
				 "nobody: memwatch detach -p %d",
				 t->pub.pid, why, t->pub.pid);
	}
	rung__forget(t);
}

void rung__forget(struct observed *t)
{
	for (size_t i = 0; i < t->nfast; i++)
		fast__fini(&t->fast[i]);
	free(t->fast);
	t->fast = NULL;
	t->nfast = t->fast_cap = 0;
}

void rung__set_rate(struct observer *o, uint64_t sample_bytes)
{
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		for (size_t k = 0; t && !t->pub.ended && k < t->nfast; k++)
			fast__set_rate(&t->fast[k], sample_bytes);
	}
}
