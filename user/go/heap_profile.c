/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heap_profile.c - the runtime's heap records as a profile. See heap.h. */
#include "go/go_heap.h"

#include "core/util.h"
#include "go/go_stacks.h"

static int add_sample(struct go_stacks *s, struct profile *p, const struct go_heap *h,
		      const struct go_bucket *b, const struct profile_label *more, uint32_t nmore,
		      uint32_t key)
{
	struct profile_label labels[GO_HEAP_MAX_LABELS + 1];
	uint32_t locs[GO_STACK_MAX], nlabels = 0;
	int64_t v[4], rate = (int64_t)h->rate;
	int n;

	n = go_stacks__locations(s, h->stack + b->stack0, b->nstack, true, locs);
	if (n < 0)
		return n;
	go_heap__scale((int64_t)b->allocs, (int64_t)b->alloc_bytes, rate, &v[PROFILE_ALLOC_OBJECTS],
		       &v[PROFILE_ALLOC_SPACE]);
	go_heap__scale((int64_t)(b->allocs - b->frees), (int64_t)(b->alloc_bytes - b->free_bytes),
		       rate, &v[PROFILE_INUSE_OBJECTS], &v[PROFILE_INUSE_SPACE]);
	if (b->allocs && b->alloc_bytes / b->allocs)
		labels[nlabels++] = (struct profile_label){
			.key = key, .num = (int64_t)(b->alloc_bytes / b->allocs)};
	for (uint32_t i = 0; i < nmore; i++)
		labels[nlabels++] = more[i];
	p->totals.alloc_objects += (double)v[PROFILE_ALLOC_OBJECTS];
	p->totals.alloc_bytes += (double)v[PROFILE_ALLOC_SPACE];
	p->totals.inuse_objects += (double)v[PROFILE_INUSE_OBJECTS];
	p->totals.inuse_bytes += (double)v[PROFILE_INUSE_SPACE];
	return profile__sample(p, locs, (size_t)n, v, labels, nlabels);
}

int go_heap__add(const struct go_target *t, const struct go_heap *h, struct profile *p,
		 const struct profile_label *labels, uint32_t nlabels)
{
	struct go_stacks *s = NULL;
	char note[160];
	uint32_t key;
	int err = nlabels > GO_HEAP_MAX_LABELS ? -E2BIG : profile__string(p, "bytes", &key);

	if (!err)
		err = go_stacks__new(t, p, &s);
	for (size_t i = 0; !err && i < h->nbuckets; i++)
		err = add_sample(s, p, h, &h->buckets[i], labels, nlabels, key);
	go_stacks__free(s);
	if (err)
		return err;
	if (t->profiling_off_by_linker && !h->rate)
		snprintf(note, sizeof(note), "%s: heap profiling was disabled by the linker",
			 t->bin.version);
	else
		snprintf(note, sizeof(note), "%s: the runtime's own heap profile, %s",
			 t->bin.version,
			 h->before_gc ? "before the first GC"
				      : "as of the last completed GC cycle");
	return profile__comment(p, note);
}

int go_heap__profile(const struct go_target *t, const struct go_heap *h, struct profile **ret)
{
	struct profile *p = NULL;
	int err = profile__new(&p);

	if (!err)
		err = profile__set_heap_types(p, h->rate);
	if (!err)
		err = go_target__describe(t, p);
	if (!err)
		err = go_heap__add(t, h, p, NULL, 0);
	if (err) {
		profile__free(p);
		return err;
	}
	p->sample_bytes = h->rate;
	p->totals.free_objects = p->totals.alloc_objects - p->totals.inuse_objects;
	p->totals.free_bytes = p->totals.alloc_bytes - p->totals.inuse_bytes;
	*ret = p;
	return 0;
}
