/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heap_profile.c - the runtime's heap records as a profile. See heap.h. */
#include "go/heap.h"

#include "core/util.h"
#include "go/stacks.h"

static int add_sample(struct go_stacks *s, struct profile *p, const struct go_heap *h,
		      const struct go_bucket *b, uint32_t key)
{
	uint32_t locs[GO_STACK_MAX];
	struct profile_label label = {.key = key};
	int64_t v[4], rate = (int64_t)h->rate;
	int n;

	n = go_stacks__locations(s, h->stack + b->stack0, b->nstack, true, locs);
	if (n < 0)
		return n;
	go_heap__scale((int64_t)b->allocs, (int64_t)b->alloc_bytes, rate,
		       &v[PROFILE_ALLOC_OBJECTS], &v[PROFILE_ALLOC_SPACE]);
	go_heap__scale((int64_t)(b->allocs - b->frees), (int64_t)(b->alloc_bytes - b->free_bytes),
		       rate, &v[PROFILE_INUSE_OBJECTS], &v[PROFILE_INUSE_SPACE]);
	if (b->allocs)
		label.num = (int64_t)(b->alloc_bytes / b->allocs);
	p->totals.alloc_objects += (double)v[PROFILE_ALLOC_OBJECTS];
	p->totals.alloc_bytes += (double)v[PROFILE_ALLOC_SPACE];
	p->totals.inuse_objects += (double)v[PROFILE_INUSE_OBJECTS];
	p->totals.inuse_bytes += (double)v[PROFILE_INUSE_SPACE];
	return profile__sample(p, locs, (size_t)n, v, &label, label.num ? 1 : 0);
}

static int fill(const struct go_target *t, const struct go_heap *h, struct go_stacks *s,
		struct profile *p)
{
	char note[160];
	uint32_t key;
	int err = profile__set_heap_types(p, h->rate);

	if (!err)
		err = go_target__describe(t, p);
	if (!err)
		err = profile__string(p, "bytes", &key);
	for (size_t i = 0; !err && i < h->nbuckets; i++)
		err = add_sample(s, p, h, &h->buckets[i], key);
	if (err)
		return err;
	p->sample_bytes = h->rate;
	p->totals.free_objects = p->totals.alloc_objects - p->totals.inuse_objects;
	p->totals.free_bytes = p->totals.alloc_bytes - p->totals.inuse_bytes;
	if (t->profiling_off_by_linker && !h->rate)
		snprintf(note, sizeof(note), "%s: heap profiling was disabled by the linker",
			 t->bin.version);
	else
		snprintf(note, sizeof(note), "%s: the runtime's own heap profile, %s", t->bin.version,
			 h->before_gc ? "before the first GC" : "as of the last completed GC cycle");
	return profile__comment(p, note);
}

int go_heap__profile(const struct go_target *t, const struct go_heap *h, struct profile **ret)
{
	struct go_stacks *s = NULL;
	struct profile *p = NULL;
	int err = profile__new(&p);

	if (!err)
		err = go_stacks__new(t, p, &s);
	if (!err)
		err = fill(t, h, s, p);
	go_stacks__free(s);
	if (err) {
		profile__free(p);
		return err;
	}
	*ret = p;
	return 0;
}
