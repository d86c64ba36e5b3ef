/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/rung.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/unwind_table.h"
#include "fast/inject.h"
#include "observe/fast_look.h"
#include "sys/signals.h"

/* Stubs for the allocator in a module, one for each time that it is loaded. */
struct stubbed {
	struct fast fast;
	const struct module *module;
	uint64_t load;		       /* address less file offset, where its functions are */
	struct alloc_fast_site *sites; /* for those that come to run in the process's memory */
};

static void stubbed_fini(struct stubbed *s)
{
	fast__fini(&s->fast);
	free(take_ptr(s->sites));
}

/* What was left there is not to be taken out, for nobody asked for fast mode. */
static int refuse_leftovers(const struct observed *t, const struct fast_left *left)
{
	observer__set_error(
		"PID %d still has the jumps of a --fast run %s: 'memwatch detach -p %d' "
		"takes them out",
		t->pub.pid,
		left->inherited ? "in the process that it was forked from" : "that was killed",
		t->pub.pid);
	return -EBUSY;
}

int rung__check(struct observer *o, struct observed *t, enum target_origin from)
{
	struct fast_left left;
	char why[FAST_WHY];
	int err;

	if (!o->probe) /* who probes nothing need not know what another put in */
		return 0;
	err = fast__clean(t->pub.pid, o->host, true, &left, why);

	/* One that has called exec before this look has nothing of its parent's any more. */
	if (!err && from >= TARGET_STUBBED && !left.regions)
		t->inherits = false;
	t->sharing = !err && from == TARGET_SHARING && left.regions;
	if (err || !left.patched || t->sharing)
		return 0;
	if (left.owner) {
		observer__set_error("PID %d is being sampled by another memwatch --fast (PID %d)",
				    t->pub.pid, left.owner);
		return -EBUSY;
	}
	if (!o->opts.fast)
		return refuse_leftovers(t, &left);
	err = fast__clean(t->pub.pid, o->host, false, &left, why);
	if (err && observer__gone(&t->pub)) { /* and what was in it; its new image has nothing */
		t->inherits = false;
		return observer__gone(&t->pub) == -ESRCH ? -ESRCH : 0;
	}
	if (err) {
		observer__set_error("failed to take out of PID %d what an earlier --fast left "
				    "there: %s",
				    t->pub.pid, why);
		return -EBUSY;
	}
	log_debug("PID %d: %zu jumps of an earlier --fast taken out", t->pub.pid, left.patched);
	return 0;
}

/* A kind of site by the words of the probes. */
static enum alloc_fast_kind kind_of(uint8_t site)
{
	return site == SITE_ALLOC  ? ALLOC_FAST_ALLOC
	       : site == SITE_FREE ? ALLOC_FAST_FREE
				   : ALLOC_FAST_UNFREE;
}

static int attach_sites(struct observer *o, struct observed *t, struct stubbed *s,
			const struct fast_plan *plan, uint64_t bias)
{
	const struct fast *f = &s->fast;
	struct alloc_fast_site *sites = calloc(f->image.n_sites + 1, sizeof(*sites));
	const struct plan_func *funcs[STUB_MAX_FUNCS];
	size_t n = 0;

	if (!sites)
		return -ENOMEM;
	s->sites = sites;
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->funcs[i].hooked)
			funcs[n++] = &plan->funcs[i];
	}
	for (size_t i = 0; i < f->image.n_sites; i++) {
		const struct stub_site *at = &f->image.sites[i];

		sites[i] = (struct alloc_fast_site){.off = at->off,
						    .addr = f->image.hdr.base + at->off,
						    .kind = kind_of(at->kind),
						    .fn = funcs[at->func]->stub.fn,
						    .site = funcs[at->func]->site,
						    .bias = bias};
	}
	return alloc_probe__attach_fast(o->probe, observed__probed(t), t->pub.index, f->fd, sites,
					f->image.n_sites);
}

/* Stacks lead through the stubs: of what an allocator maps in a sampled call, of a signal there. */
static int tell_rows(struct observer *o, const struct observed *t, const struct fast *f)
{
	const struct stub_image *im = &f->image;
	cleanup_free struct mw_unwind_row *rows = NULL;
	struct unwind_table *table = NULL;
	int err;

	if (!o->unwind)
		return 0;
	rows = calloc(im->n_rows, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < im->n_rows; i++)
		rows[i] = (struct mw_unwind_row){
			.off = im->rows[i].off,
			.cfa = MW_UNWIND_CFA(MW_UNWIND_SP, im->rows[i].words),
			.fp = MW_UNWIND_FP_SAME};
	err = unwind_table__from_rows(rows, im->n_rows, &table);
	if (!err)
		err = unwind_maps__add_code(o->unwind, t->pub.pid, im->hdr.base, f->fd, table);
	unwind_table__free(table);
	return err;
}

/* Functions without a stub that keep their probe. */
static int attach_rest(struct observer *o, const struct observed *t, const struct module *m,
		       pid_t pid)
{
	cleanup_free struct site *rest = calloc(m->nsites, sizeof(*rest));
	size_t n = 0, done;

	if (!rest)
		return -ENOMEM;
	for (size_t i = 0; i < m->nsites; i++) {
		if (allocs__signature(m->sites[i].func.fn)->does == MW_DOES_RESIZE)
			rest[n++] = m->sites[i];
	}
	return n ? alloc_probe__attach(o->probe, pid, t->pub.index, m->fd, rest, n, NULL, 0, &done)
		 : 0;
}

static unsigned long mapped_kb(const struct fast *f)
{
	return (f->image.hdr.code_bytes + DATA_BYTES) >> 10;
}

/* The first stubs of the module from number i on; t->nfast: none. */
static size_t next_of(const struct observed *t, const struct module *m, size_t i)
{
	while (i < t->nfast && !module__same_file(t->fast[i].module, m))
		i++;
	return i;
}

static int enter(struct observer *o, struct observed *t, struct module *m, struct fast_plan *plan,
		 uint64_t bias, char why[FAST_WHY])
{
	int err = array_reserve(t->fast, t->fast_cap, t->nfast + 1);
	bool first = next_of(t, m, 0) == t->nfast;
	struct stubbed *s;
	struct fast *f;
	size_t links;

	if (err)
		return err;
	s = &t->fast[t->nfast];
	*s = (struct stubbed){.module = m, .load = bias + m->sites->vaddr - m->sites->off};
	f = &s->fast;
	err = fast__map(t->pub.pid, o->host, plan, m->fd, observer__sample_bytes_of(o, &t->pub), f,
			why);
	if (err)
		return err;
	links = alloc_probe__nlinks(o->probe);
	signals__finish_first(true); /* it is to be left as it was found */
	err = tell_rows(o, t, f);
	if (!err)
		err = attach_sites(o, t, s, plan, bias);
	if (!err && first) /* probes are the file's, however often it is loaded */
		err = attach_rest(o, t, m, observed__probed(t));
	if (!err)
		err = fast__patch(f, why);
	if (err) {
		if (!*why)
			snprintf(why, FAST_WHY, "no probes on the stubs: %s", strerror(-err));
		alloc_probe__close_links(o->probe, links);
		log_info("PID %d: %lukB stay mapped, unused", t->pub.pid, mapped_kb(f));
		fast__fini(f);
		signals__finish_first(false);
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

/* Of all of its functions it is known why they are left alone: none was refused. */
static bool passes_on(const struct fast_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->funcs[i].hooked || !plan->funcs[i].why || !*plan->funcs[i].why)
			return false;
	}
	return true;
}

/* Do stubs work where the module is loaded another time? */
static bool is_sampled(const struct observed *t, const struct module *m)
{
	size_t i = next_of(t, m, 0);

	while (i < t->nfast && !fast__patched(&t->fast[i].fast))
		i = next_of(t, m, i + 1);
	return i < t->nfast;
}

/* One that only passes calls on is none of fast mode's business. */
static int no_stubs(struct observer *o, struct observed *t, const struct module *m,
		    const struct fast_plan *plan, bool failed, const char *why)
{
	if (!plan->written && !is_sampled(t, m))
		return !passes_on(plan) || failed ? refused(o, t, m, why) : 1;
	/* a probe would be put into the midst of what is there */
	log_warn("PID %d, %s: not sampled", t->pub.pid, why);
	return 0;
}

/* Probes know whose call it is; said once. */
static int over_another(struct observer *o, struct observed *t)
{
	if (!t->told_layer)
		refused(o, t, t->layer, MODULE_IS_LAYER);
	t->told_layer = true;
	return 1;
}

/* Forgets stubs of the module whose library was closed: a descriptor each. */
static void forget_closed(struct observed *t, const struct module *m)
{
	size_t i = next_of(t, m, 0);

	while (i < t->nfast) {
		if (fast__patched(&t->fast[i].fast)) {
			i = next_of(t, m, i + 1);
			continue;
		}
		stubbed_fini(&t->fast[i]);
		signals__finish_first(false);
		t->fast[i] = t->fast[--t->nfast];
		i = next_of(t, m, i);
	}
}

int rung__fast(struct observer *o, struct observed *t, struct module *m,
	       const struct procmap_entry *e, size_t *ret_n)
{
	struct fast_plan plan = {0};
	char why[FAST_WHY] = "";
	uint64_t bias;
	int err = 0, gone;

	/* A followed child frees blocks of its parent's, of which stubs of its own know nothing. */
	if (!o->opts.fast || t->inherits)
		return 1;
	*ret_n = 0;
	if (t->layer)
		return over_another(o, t);
	if (!t->memory)
		snprintf(why, sizeof(why), "its memory cannot be opened");
	else if (fast_plan__process(t->pub.pid, o->host ? o->host->tracer : 0, why))
		err = fast_look__plan(t->pub.pid, t->memory, m, e, &plan, &bias, why);
	if (!err && plan.hooked && !*plan.why)
		err = enter(o, t, m, &plan, bias, why);
	else if (!*why)
		snprintf(why, sizeof(why), "%s", plan.why);
	if (err && err != -EINPROGRESS && !*why)
		snprintf(why, sizeof(why), "%s", strerror(-err));
	gone = *why ? observer__gone(&t->pub) : 0;
	if (err == -EINPROGRESS) {
		/* looked at again when it is held */
	} else if (gone) {
		err = gone == -ESRCH ? gone : 0;
	} else if (*why) {
		err = no_stubs(o, t, m, &plan, err || !plan.n, why);
	} else {
		*ret_n = t->fast[t->nfast - 1].fast.image.n_sites;
		forget_closed(t, m);
		t->pub.nfast = t->nfast;
	}
	fast_plan__fini(&plan);
	return err;
}

/* Closed and, maybe, opened again in the same place: then the same stubs serve, and the probes on
 * them. False: others are needed. */
static bool serves_again(struct observed *t, const struct stubbed *s)
{
	char why[FAST_WHY];
	int err;

	if (!fast__mapped(&s->fast))
		return false;
	err = fast__patch(&s->fast, why);
	/* closed again; or not let go yet at its start */
	if (err && err != -EFAULT && err != -EPERM && !observer__gone(&t->pub))
		log_warn("'%s' was opened again and is not sampled: %s", s->module->path, why);
	return true;
}

/* Does the mapping hold the functions that would get stubs? */
static bool holds_functions(const struct module *m, const struct procmap_entry *e)
{
	return e->kind == PROCMAP_FILE && m->nsites && m->sites->off >= e->offset &&
	       m->sites->off - e->offset < e->end - e->start;
}

bool rung__loaded_anew(struct observed *t, const struct module *m, const struct procmap_entry *e)
{
	size_t i = next_of(t, m, 0);

	if (i == t->nfast || !holds_functions(m, e) || observer__gone(&t->pub))
		return false;
	for (; i < t->nfast; i = next_of(t, m, i + 1)) {
		const struct stubbed *s = &t->fast[i];

		if (s->load == e->start - e->offset &&
		    (fast__patched(&s->fast) || serves_again(t, s)))
			return false;
	}
	return true;
}

static void leave_one(const struct observed *t, const struct fast *f)
{
	uint64_t full = fast__full(f);
	char why[FAST_WHY];
	int err;

	if (full)
		log_warn("%lu samples of PID %d found no room in its table", (unsigned long)full,
			 t->pub.pid);
	if (!fast__patched(f))
		return; /* its library was closed */
	err = fast__unpatch(f, why);
	if (!err)
		log_info("PID %d: every byte that --fast changed is restored; %lukB stay mapped, "
			 "unused",
			 t->pub.pid, mapped_kb(f));
	else if (!observer__gone(&t->pub))
		log_warn("failed to take the stubs out of PID %d: %s; they count on, for nobody: "
			 "memwatch detach -p %d",
			 t->pub.pid, why, t->pub.pid);
}

void rung__leave(struct observer *o, struct observed *t)
{
	for (size_t i = 0; i < t->nfast; i++)
		leave_one(t, &t->fast[i].fast);
	rung__forget(o, t);
}

void rung__renewed(struct observer *o, struct observed *t)
{
	char why[FAST_WHY];

	for (size_t i = 0; i < t->nfast; i++) {
		if (fast__patched(&t->fast[i].fast) && fast__unpatch(&t->fast[i].fast, why))
			log_debug("stubs of PID %d: %s", t->pub.pid, why);
	}
	rung__forget(o, t);
}

bool rung__owns(const struct observed *t, uint64_t addr)
{
	for (size_t i = 0; i < t->nfast; i++) {
		const struct stub_header *h = &t->fast[i].fast.image.hdr;

		if (addr - h->base < (uint64_t)h->code_bytes + h->data_bytes)
			return true;
	}
	return false;
}

void rung__forget(struct observer *o, struct observed *t)
{
	if (t->nfast && o->unwind)
		unwind_maps__forget_code(o->unwind, t->pub.pid);
	for (size_t i = 0; i < t->nfast; i++) {
		stubbed_fini(&t->fast[i]);
		signals__finish_first(false);
	}
	free(t->fast);
	t->fast = NULL;
	t->nfast = t->fast_cap = 0;
}

bool rung__has_stubs(const struct observed *t, const struct module *m)
{
	return next_of(t, m, 0) < t->nfast;
}

int rung__attach_sharer(struct observer *o, const struct observed *t, pid_t pid)
{
	int err = 0;

	for (size_t i = 0; i < t->nfast && !err; i++) {
		const struct stubbed *s = &t->fast[i];

		err = alloc_probe__attach_fast(o->probe, pid, t->pub.index, s->fast.fd, s->sites,
					       s->fast.image.n_sites);
		if (!err && next_of(t, s->module, 0) == i) /* as in enter() */
			err = attach_rest(o, t, s->module, pid);
	}
	return err;
}

void rung__set_rate(const struct observer *o, const struct observed *t)
{
	for (size_t k = 0; !t->pub.ended && k < t->nfast; k++)
		fast__set_rate(&t->fast[k].fast, observer__sample_bytes_of(o, &t->pub));
}
