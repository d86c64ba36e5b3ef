/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot.c - the live heap of an observer as a struct profile: frames get names, weights
 * become counts, and everything that was lost gets its line and, where bytes are known, its
 * bracketed frame.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "elf/symbolizer.h"
#include "model/heap.h"
#include "observe/faults.h"
#include "observe/module.h"
#include "snapshot/inuse.h"
#include "snapshot/ledgers.h"
#include "snapshot/missing.h"
#include "snapshot/runtimes.h"
#include "snapshot/snapshot.h"
#include "snapshot/touched.h"

#define AGES_SHARE 2000 /* stacks with 1/2000 of the bytes in use tell the ages of their blocks */

struct named_frame {
	struct symbolizer_module *module;
	uint64_t off;
};

/* Blocks of a site that were allocated since a moment and live. */
struct young_site {
	double objects, bytes;
};

struct build {
	struct observer *o;
	struct symbolizer *symbolizer;
	struct snapshot_opts opts;
	const struct heap *heap;
	struct profile *p;
	const struct target *only; /* NULL: all */
	struct module_symbols {
		struct symbolizer_module *module; /* NULL: there are none */
		bool asked;
	} * symbols; /* by module index */
	size_t nsymbols;
	uint32_t *location; /* by frame id: index + 1 */
	uint32_t *mapping;  /* by observer map: index + 1 */
	uint32_t class_key, class_mmap, pid_key, comm_key;
	double inuse_bytes;	      /* of all targets in the profile */
	struct touched_site *touched; /* by site; NULL: not looked at */
	struct young_site *young;     /* by site; NULL: everything counts */
	uint32_t since_ms;
};

/* From one to the next target in the profile: from NULL to NULL. */
static const struct target *next_target(const struct build *b, const struct target *t)
{
	if (b->only)
		return t ? NULL : b->only;
	return observer__next(b->o, t);
}

static bool is_in(const struct build *b, uint32_t target)
{
	return b->only ? b->only->index == target : observer__at(b->o, target) != NULL;
}

static struct symbolizer_module *symbols_of(struct build *b, const struct observer_map *map)
{
	const struct target *t = observer__at(b->o, map->target);
	const struct module *m = map->module;
	size_t old = b->nsymbols;
	struct module_symbols *of;

	if (m->fd < 0 || m->err || array_reserve(b->symbols, b->nsymbols, m->index + 1))
		return NULL;
	if (b->nsymbols > old)
		memset(b->symbols + old, 0, (b->nsymbols - old) * sizeof(*b->symbols));
	of = &b->symbols[m->index];
	if (!of->asked && symbolizer__module(b->symbolizer, m->fd, m->path,
					     m->root ? m->root->fd : -1, &m->whose, &of->module))
		of->module = NULL;
	of->asked = true;
	if (of->module && t)
		symbolizer_module__charge(b->symbolizer, of->module, &t->account);
	return of->module;
}

static int map_mapping(struct build *b, uint32_t map, uint32_t *ret)
{
	const struct observer_map *sm = observer__map(b->o, map);
	struct profile_mapping m = {.start = sm->start, .limit = sm->end, .offset = sm->offset};
	struct profile_adder a = {b->p, 0};
	uint32_t id;

	if (b->mapping[map]) {
		*ret = b->mapping[map] - 1;
		return 0;
	}
	if (!sm->module) {
		*ret = PROFILE_NONE;
		return 0;
	}
	m.file = profile__add_string(&a, sm->module->path);
	m.build_id = profile__add_string(&a, sm->module->build_id);
	if (!a.err && symbols_of(b, sm)) {
		m.has_functions = true;
		m.has_filenames = m.has_lines = m.has_inlines = true;
	}
	id = profile__add_mapping(&a, &m);
	if (a.err)
		return a.err;
	b->mapping[map] = id + 1;
	*ret = id;
	return 0;
}

static int add_line(struct profile *p, const struct symbolizer_frame *f, struct profile_line *ret)
{
	struct profile_function fn = {.start_line = f->start_line};
	const char *sys = f->system_name ? f->system_name : f->name;
	struct profile_adder a = {p, 0};

	fn.name = profile__add_string(&a, f->name ? f->name : sys);
	fn.system_name = profile__add_string(&a, sys);
	if (f->file)
		fn.file = profile__add_string(&a, f->file);
	*ret = (struct profile_line){.function = profile__add_function(&a, &fn), .line = f->line};
	return a.err;
}

/* Names of code that is in no file: what a JIT wrote down about itself. */
static int lookup_jit(struct build *b, const struct observer_map *m, uint64_t addr,
		      struct symbolizer_frame *frames)
{
	const struct target *t = observer__at(b->o, m->target);
	struct symbolizer_jit *jit =
		b->opts.runtimes && t ? runtimes__jit(b->opts.runtimes, t) : NULL;

	return jit ? symbolizer_jit__lookup(jit, addr, frames, SYMBOLIZER_MAX_INLINE) : 0;
}

/* Files that may be made to take long come last: the others have their names before the end. */
static int by_module(const void *pa, const void *pb)
{
	const struct named_frame *a = pa, *b = pb;
	int foreign =
		symbolizer_module__is_foreign(a->module) - symbolizer_module__is_foreign(b->module);

	if (foreign)
		return foreign;
	return a->module < b->module ? -1 : a->module > b->module;
}

/* Asks for the names of all frames at once: a question for each would cost a round trip to the
 * process that reads debug information. Only an optimisation, so that failures do not matter. */
static void prefetch_names(struct build *b)
{
	cleanup_free struct named_frame *f = calloc(observer__nframes(b->o) + 1, sizeof(*f));
	cleanup_free uint64_t *offs = calloc(observer__nframes(b->o) + 1, sizeof(*offs));
	size_t n = 0;

	for (size_t i = 0; f && i < observer__nframes(b->o); i++) {
		const struct observer_map *m = observer__map(b->o, observer__frame(b->o, i)->map);

		if (!m->module || !is_in(b, m->target) || !symbols_of(b, m))
			continue;
		f[n].module = symbols_of(b, m);
		f[n++].off = observer__frame(b->o, i)->address - m->start + m->offset;
	}
	if (!n || !offs)
		return;
	qsort(f, n, sizeof(*f), by_module);
	for (size_t i = 0, first = 0; i < n; i++) {
		offs[i - first] = f[i].off;
		if (i + 1 < n && f[i + 1].module == f[i].module)
			continue;
		symbolizer__prefetch(b->symbolizer, f[i].module, offs, i + 1 - first);
		first = i + 1;
	}
}

static int frame_location(struct build *b, uint32_t frame, uint32_t *ret)
{
	const struct observer_frame *f = observer__frame(b->o, frame);
	const struct observer_map *m = observer__map(b->o, f->map);
	struct symbolizer_frame names[SYMBOLIZER_MAX_INLINE];
	struct profile_line lines[SYMBOLIZER_MAX_INLINE];
	struct symbolizer_module *sym;
	uint32_t mapping;
	int n = 0, err;

	if (b->location[frame]) {
		*ret = b->location[frame] - 1;
		return 0;
	}
	err = map_mapping(b, f->map, &mapping);
	if (err)
		return err;
	if (!m->module)
		n = lookup_jit(b, m, f->address, names);
	else if ((sym = symbols_of(b, m)))
		n = symbolizer__lookup(b->symbolizer, sym, f->address - m->start + m->offset, names,
				       SYMBOLIZER_MAX_INLINE);
	for (int i = 0; i < n && !err; i++)
		err = add_line(b->p, &names[i], &lines[i]);
	if (!err && n <= 0 && m->module) {
		err = profile__name_place(b->p, mapping, f->address, &lines[0]);
		n = 1;
	}
	if (!err)
		err = profile__location(b->p, mapping, f->address, lines, n > 0 ? n : 0, ret);
	if (!err)
		b->location[frame] = *ret + 1;
	return err;
}

static int site_stack(struct build *b, const struct heap_site *site, uint32_t *locs, size_t *ret_n)
{
	const uint32_t *frames = heap__site_frames(b->heap, site);
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < site->nframes && !err; i++)
		err = frame_location(b, frames[i], &locs[n++]);
	if (!err && site->unknown)
		err = profile__pseudo_location(b->p, "[no stack]", &locs[n++]);
	else if (!err && site->end < MW_STACK_ENDS && losses_endings[site->end].frame[0])
		err = profile__pseudo_location(b->p, losses_endings[site->end].frame, &locs[n++]);
	*ret_n = n;
	return err;
}

static size_t target_labels(struct build *b, const struct target *t, struct profile_label *labels)
{
	if (b->only)
		return 0;
	labels[0] = (struct profile_label){.key = b->pid_key, .num = t->pid};
	labels[1] = (struct profile_label){.key = b->comm_key};
	return profile__string(b->p, t->comm, &labels[1].str) ? 1 : 2;
}

static int64_t rounded(double v)
{
	return v > 0 ? llround(v) : 0;
}

/* The fifth value of the sample added last; profile__sample takes those that all samples have. */
static void set_resident(struct build *b, double bytes)
{
	b->p->samples[b->p->nsamples - 1].value[PROFILE_RESIDENT_SPACE] = rounded(bytes);
}

static void count_young(void *arg, const struct livemap_block *block)
{
	struct build *b = arg;
	double weight;

	if (block->time_ms < b->since_ms)
		return;
	weight = heap__block_weight(b->heap, block);
	b->young[block->site].objects += weight;
	b->young[block->site].bytes += weight * (double)block->size;
}

static int look_at_young(struct build *b)
{
	b->young = calloc(b->heap->nsites + 1, sizeof(*b->young));
	if (!b->young)
		return -ENOMEM;
	b->since_ms = heap__time_ms(b->heap, b->opts.since_ns);
	livemap__each(&b->heap->live, count_young, b);
	return 0;
}

static int add_site(struct build *b, const struct heap_site *site)
{
	const struct young_site *young = b->young ? &b->young[site - b->heap->sites] : NULL;
	const struct touched_site *touched = b->touched ? &b->touched[site - b->heap->sites] : NULL;
	const struct target *t = observer__at(b->o, site->target);
	struct profile_label labels[4];
	uint32_t locs[MW_MAX_FRAMES + 2];
	int64_t v[4];
	size_t n, nlabels;
	int err = site_stack(b, site, locs, &n);

	nlabels = target_labels(b, t, labels);
	nlabels += runtimes__c_label(b->opts.runtimes, t, b->p, &labels[nlabels]);
	if (!err && site->alloc_samples) {
		v[PROFILE_ALLOC_OBJECTS] = rounded(site->alloc_objects);
		v[PROFILE_ALLOC_SPACE] = rounded(site->alloc_bytes);
		v[PROFILE_INUSE_OBJECTS] =
			rounded(young ? young->objects : heap_site__inuse_objects(site));
		v[PROFILE_INUSE_SPACE] =
			rounded(young ? young->bytes : heap_site__inuse_bytes(site));
		if (!inuse__known(b->o, t))
			v[PROFILE_INUSE_OBJECTS] = v[PROFILE_INUSE_SPACE] = 0;
		err = profile__sample(b->p, locs, n, v, labels, nlabels);
		if (!err && touched)
			set_resident(b, touched->heap_bytes);
		if (!err && b->opts.histograms)
			err = profile__hist(b->p, &site->hist);
		if (!err &&
		    heap_site__inuse_bytes(site) * AGES_SHARE > max_of(b->inuse_bytes, 0.0) &&
		    site->ages)
			err = profile__ages(b->p, site->ages);
	}
	/* A Go runtime's mappings are its heap, which its own profile divides up. */
	if (!err && b->opts.mappings && site->map_count && !site->internal &&
	    !runtimes__is_go(b->opts.runtimes, t)) {
		labels[nlabels++] =
			(struct profile_label){.key = b->class_key, .str = b->class_mmap};
		v[PROFILE_ALLOC_OBJECTS] = site->map_count;
		v[PROFILE_ALLOC_SPACE] = site->map_bytes;
		v[PROFILE_INUSE_OBJECTS] =
			site->map_bytes > site->unmap_bytes ? site->map_count : 0;
		v[PROFILE_INUSE_SPACE] = site->map_bytes - site->unmap_bytes;
		err = profile__sample(b->p, locs, n, v, labels, nlabels);
		if (!err && touched)
			set_resident(b, touched->map_bytes);
	}
	return err;
}

static int add_losses(struct build *b)
{
	struct losses l;
	int err = missing__gather(b->o, b->only, &l);

	if (!b->opts.histograms)
		l.count[MW_LOSS_HISTOGRAMS] = 0;
	return err ? err : losses__into_profile(&l, observer__sample_bytes_of(b->o, b->only), b->p);
}

static void add_totals(struct build *b)
{
	struct profile_totals *t = &b->p->totals;

	for (const struct target *of = next_target(b, NULL); of; of = next_target(b, of)) {
		const struct heap_target *h = &b->heap->targets[of->index];

		t->alloc_objects += h->alloc_objects;
		t->alloc_bytes += h->alloc_bytes;
		t->free_objects += h->free_objects;
		t->free_bytes += h->free_bytes;
	}
	/* (a Go runtime's share is in there already, with its frees) */
	t->inuse_objects = t->alloc_objects - t->free_objects;
	t->inuse_bytes = t->alloc_bytes - t->free_bytes;
}

/* What windows mean for the figures, in every file. */
static int add_windows(struct build *b)
{
	char text[INUSE_TEXT];
	int err = 0;

	for (const struct target *t = next_target(b, NULL); t && !err; t = next_target(b, t)) {
		if (*inuse__text(b->o, t, text))
			err = profile__comment(b->p, text);
		b->p->inuse_unknown |= !inuse__known(b->o, t);
	}
	return err;
}

/* Of targets that are sampled less than they are asked to be. */
static int add_thinned(struct build *b)
{
	uint64_t asked = observer__sample_bytes(b->o);
	char text[160], now_text[UNITS_LEN], asked_text[UNITS_LEN];
	int err = 0;

	units__size(asked_text, sizeof(asked_text), (int64_t)asked);
	for (const struct target *t = next_target(b, NULL); t && !err; t = next_target(b, t)) {
		uint64_t now = observer__sample_bytes_of(b->o, t);

		if (now == asked)
			continue;
		snprintf(text, sizeof(text),
			 "sampled less for what it cost: one sample per %s now, not per %s; each "
			 "counts at the rate it was taken at",
			 units__size(now_text, sizeof(now_text), (int64_t)now), asked_text);
		err = profile__comment(b->p, text);
	}
	return err;
}

static int add_histograms(struct build *b)
{
	int err = 0;

	for (const struct target *t = next_target(b, NULL); t && !err; t = next_target(b, t)) {
		const struct heap_target *h = &b->heap->targets[t->index];

		if (h->hist)
			err = profile__hist_total(b->p, h->hist);
	}
	return err;
}

/* Why the pages of a process cannot be looked at. */
static const char *no_pages(const struct build *b, const struct target *t, int err)
{
	if (runtimes__is_go(b->opts.runtimes, t))
		return "is a Go program, whose profile has no addresses";
	return err == -ESRCH ? "has ended, and its pages with it" : strerror(-err);
}

/*
 * Looks at the pages of every process in the profile. Where they cannot be seen the value is left
 * out: a zero would say that nothing is resident. Of a process that has ended that is true, but
 * says nothing if there is no other.
 */
static int look_at_pages(struct build *b)
{
	cleanup_free struct touched_site *sum = calloc(b->heap->nsites + 1, sizeof(*sum));
	const struct target *blind = NULL;
	bool seen = false;
	int err = 0;

	if (!sum)
		return -ENOMEM;
	for (const struct target *t = next_target(b, NULL); t; t = next_target(b, t)) {
		err = runtimes__is_go(b->opts.runtimes, t) ? -EOPNOTSUPP
							   : touched__sum(b->o, t, sum);
		if (err == -ENOMEM)
			return err;
		seen |= !err;
		if (err)
			blind = t;
		if (err && err != -ESRCH)
			break;
	}
	if (err && err != -ESRCH)
		seen = false;
	if (seen)
		b->touched = take_ptr(sum);
	else if (blind)
		log_warn("no resident_space: %s (%d) %s", blind->comm, blind->pid,
			 no_pages(b, blind, err));
	return 0;
}

static int add_go(struct build *b, const struct target *t)
{
	struct profile_label labels[2];
	size_t n = target_labels(b, t, labels);

	return runtimes__add(b->opts.runtimes, t, b->p, labels, n);
}

static int describe(struct build *b)
{
	const struct target *t = next_target(b, NULL);
	struct profile *p = b->p;
	const struct profile_text keys[] = {{"class", &b->class_key},
					    {"mmap", &b->class_mmap},
					    {"pid", &b->pid_key},
					    {"comm", &b->comm_key}};
	int err = profile__set_heap_types(p, observer__sample_bytes_of(b->o, b->only));

	err = err ? err : profile__strings(p, keys, ARRAY_SIZE(keys));
	if (err || !t)
		return err;
	p->pid = t->pid;
	p->time_ns = util__wall_ms() * 1000000;
	p->duration_ns = util__now_ns() - t->start_ns;
	return profile__strings(
		p, (const struct profile_text[]){{t->comm, &p->comm}, {t->cmdline, &p->cmdline}},
		2);
}

/* faulted: ever; resident: still there. Values in the order of a heap profile. */
static int set_fault_types(struct build *b)
{
	static const char *const types[4][2] = {{"faulted_pages", "count"},
						{"faulted_space", "bytes"},
						{"resident_pages", "count"},
						{"resident_space", "bytes"}};
	struct profile *p = b->p;
	struct profile_adder a = {p, 0};

	for (int i = 0; i < 4; i++) {
		p->sample_type[i].type = profile__add_string(&a, types[i][0]);
		p->sample_type[i].unit = profile__add_string(&a, types[i][1]);
	}
	p->nvalues = 4;
	p->default_sample_type = p->sample_type[3].type;
	p->period_type.type = profile__add_string(&a, "space");
	p->period_type.unit = profile__add_string(&a, "bytes");
	p->period = (int64_t)faults__period(observer__faults(b->o)) * sysconf(_SC_PAGESIZE);
	p->sample_bytes = p->period;
	return a.err;
}

static int add_fault_site(struct build *b, uint32_t index)
{
	const struct heap_site *site = &b->heap->sites[index];
	const struct faults_site *sums = faults__site(observer__faults(b->o), index);
	struct profile_totals *totals = &b->p->totals;
	uint32_t locs[MW_MAX_FRAMES + 2];
	struct profile_label labels[3];
	int64_t v[4];
	size_t n;
	int err;

	if (!sums || !sums->faults)
		return 0;
	err = site_stack(b, site, locs, &n);
	if (err)
		return err;
	v[0] = rounded(sums->faulted_bytes / sysconf(_SC_PAGESIZE));
	v[1] = rounded(sums->faulted_bytes);
	v[2] = rounded(sums->resident_pages);
	v[3] = rounded(sums->resident_bytes);
	totals->alloc_objects += v[0];
	totals->alloc_bytes += v[1];
	totals->inuse_objects += v[2];
	totals->inuse_bytes += v[3];
	return profile__sample(b->p, locs, n, v, labels,
			       target_labels(b, observer__at(b->o, site->target), labels));
}

/* What is resident from before the recording, or came with faults that were not sampled. */
static int add_fault_rest(struct build *b, const struct target *t)
{
	int64_t v[4] = {0}, rest = faults__rest(observer__faults(b->o), t->index);
	struct profile_label labels[3];
	uint32_t loc;
	int err;

	if (rest <= 0)
		return 0;
	v[2] = rest / sysconf(_SC_PAGESIZE);
	v[3] = rest;
	b->p->totals.inuse_objects += v[2];
	b->p->totals.inuse_bytes += v[3];
	err = profile__pseudo_location(b->p, "[resident, not attributed]", &loc);
	return err ? err : profile__sample(b->p, &loc, 1, v, labels, target_labels(b, t, labels));
}

static void build_free(struct build *b)
{
	profile__free(b->p);
	free(b->touched);
	free(b->young);
	free(b->location);
	free(b->mapping);
	free(b->symbols);
	free(b);
}

static int build_new(struct observer *o, struct symbolizer *sym, const struct snapshot_opts *opts,
		     struct build **ret)
{
	struct build *b = calloc(1, sizeof(*b));
	int err = -ENOMEM;

	if (!b)
		return err;
	b->o = o;
	b->symbolizer = sym;
	b->opts = *opts;
	b->heap = observer__heap(o);
	b->only = opts->target		    ? opts->target
		  : observer__count(o) == 1 ? observer__next(o, NULL)
					    : NULL;
	b->location = calloc(observer__nframes(o) + 1, sizeof(*b->location));
	b->mapping = calloc(observer__nmaps(o) + 1, sizeof(*b->mapping));
	if (b->location && b->mapping)
		err = profile__new(&b->p);
	if (!err)
		err = describe(b);
	if (err)
		build_free(b);
	else
		*ret = b;
	return err;
}

/* The executable's mapping first: its is the lowest address. Of a process that has called exec it
 * is the one that runs now, of several processes the first's. */
static int add_first_mapping(struct build *b)
{
	const struct observer_map *first = NULL;
	uint32_t id = 0, unused;

	for (uint32_t i = 0; i < observer__nmaps(b->o); i++) {
		const struct observer_map *m = observer__map(b->o, i);

		if (!m->module || !is_in(b, m->target) ||
		    (first && (m->target != first->target || m->image <= first->image)))
			continue;
		first = m;
		id = i;
	}
	return first ? map_mapping(b, id, &unused) : 0;
}

/* The newest ledgers, if they are wanted; then the profile is the caller's. */
static int finish(struct build *b, struct profile **ret)
{
	int err = b->opts.ledgers ? ledgers__add(b->opts.ledgers, b->opts.target, b->p) : 0;

	if (!err)
		*ret = take_ptr(b->p);
	return err;
}

int snapshot__faults(struct observer *o, struct symbolizer *sym, const struct snapshot_opts *opts,
		     struct profile **ret)
{
	struct build *b;
	int err;

	if (!observer__faults(o))
		return -EINVAL;
	faults__look(observer__faults(o), opts->target);
	err = build_new(o, sym, opts, &b);
	if (err)
		return err;
	err = set_fault_types(b);
	if (!err)
		err = add_first_mapping(b);
	prefetch_names(b);
	for (uint32_t i = 0; i < b->heap->nsites && !err; i++) {
		if (is_in(b, b->heap->sites[i].target))
			err = add_fault_site(b, i);
	}
	for (const struct target *t = next_target(b, NULL); t && !err; t = next_target(b, t)) {
		err = add_fault_rest(b, t);
		if (!err && runtimes__note(b->opts.runtimes, t)[0])
			err = profile__comment(b->p, runtimes__note(b->opts.runtimes, t));
	}
	if (!err)
		err = add_losses(b);
	if (!err)
		err = finish(b, ret);
	build_free(b);
	return err;
}

/* Go's own first: its tables name code that the symbols of a stripped file do not. */
static int add_sites(struct build *b)
{
	int err = 0;

	for (const struct target *t = next_target(b, NULL); t && !err; t = next_target(b, t)) {
		const struct heap_target *h = &b->heap->targets[t->index];

		err = add_go(b, t);
		b->inuse_bytes += h->alloc_bytes - h->free_bytes;
	}
	for (size_t i = 0; i < b->heap->nsites && !err; i++) {
		if (is_in(b, b->heap->sites[i].target))
			err = add_site(b, &b->heap->sites[i]);
	}
	return err;
}

int snapshot__heap(struct observer *o, struct symbolizer *sym, const struct snapshot_opts *opts,
		   struct profile **ret)
{
	struct build *b;
	int err = build_new(o, sym, opts, &b);

	if (err)
		return err;
	for (const struct target *t = next_target(b, NULL); t; t = next_target(b, t))
		inuse__look(o, t, false);
	b->p->ages_ms = heap__time_ms(b->heap, util__now_ns());
	err = add_first_mapping(b);
	if (!err && opts->residency)
		err = look_at_pages(b);
	if (!err && opts->since_ns)
		err = look_at_young(b);
	prefetch_names(b);
	if (!err)
		err = add_sites(b);
	if (!err)
		err = add_losses(b);
	if (!err && opts->histograms)
		err = add_histograms(b);
	if (!err)
		err = add_windows(b);
	if (!err)
		err = add_thinned(b);
	if (!err) {
		add_totals(b);
		if (b->touched)
			err = profile__add_resident_type(b->p);
	}
	if (!err)
		err = finish(b, ret);
	build_free(b);
	return err;
}

void snapshot__close_files(const struct observer *o, struct symbolizer *sym)
{
	size_t n = observer__files(o, NULL, 0);
	cleanup_free int *fds = malloc((n + 1) * sizeof(*fds));

	if (fds)
		symbolizer__keep(sym, fds, observer__files(o, fds, n));
}
