/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heap_profile.c - the runtime's heap records as a profile. See go_heap.h. */
#include "go/go_heap.h"

#include <string.h>

#include "core/util.h"
#include "go/go_stacks.h"

struct naming {
	struct go_stacks *stacks;
	const struct go_heap *h;
	const struct go_heap_named *before;
	size_t newer; /* records in front of those before: the runtime adds no others */
	uint32_t key; /* of a sample's label */
	uint32_t locs[GO_STACK_MAX];
};

/* Locations of record i; their number or -errno. */
static int locate(struct naming *n, size_t i, const uint32_t **ret)
{
	const struct go_heap *h = n->h, *old = &n->before->heap;
	const struct go_bucket *b = &h->buckets[i], *was;

	if (i >= n->newer) {
		const struct profile_sample *s = &n->before->samples[i - n->newer];

		was = &old->buckets[i - n->newer];
		*ret = n->before->stack + s->stack0;
		if (was->nstack == b->nstack &&
		    !memcmp(old->stack + was->stack0, h->stack + b->stack0, b->nstack * 8ULL))
			return (int)s->nstack;
	}
	*ret = n->locs;
	return go_stacks__locations(n->stacks, h->stack + b->stack0, b->nstack, true, n->locs);
}

static int add_sample(struct naming *n, size_t i, struct profile *p)
{
	const struct go_bucket *b = &n->h->buckets[i];
	struct profile_label label = {.key = n->key};
	int64_t v[4], rate = (int64_t)n->h->rate;
	const uint32_t *locs;
	uint32_t nlabels = 0;
	int nlocs = locate(n, i, &locs);

	if (nlocs < 0)
		return nlocs;
	go_heap__scale((int64_t)b->allocs, (int64_t)b->alloc_bytes, rate, &v[PROFILE_ALLOC_OBJECTS],
		       &v[PROFILE_ALLOC_SPACE]);
	go_heap__scale((int64_t)(b->allocs - b->frees), (int64_t)(b->alloc_bytes - b->free_bytes),
		       rate, &v[PROFILE_INUSE_OBJECTS], &v[PROFILE_INUSE_SPACE]);
	if (b->allocs && b->alloc_bytes / b->allocs) {
		label.num = (int64_t)(b->alloc_bytes / b->allocs);
		nlabels = 1;
	}
	p->totals.alloc_objects += (double)v[PROFILE_ALLOC_OBJECTS];
	p->totals.alloc_bytes += (double)v[PROFILE_ALLOC_SPACE];
	p->totals.inuse_objects += (double)v[PROFILE_INUSE_OBJECTS];
	p->totals.inuse_bytes += (double)v[PROFILE_INUSE_SPACE];
	return profile__sample(p, locs, (size_t)nlocs, v, &label, nlabels);
}

int go_heap__add(struct go_stacks *s, const struct go_heap *h, const struct go_heap_named *before,
		 struct profile *p)
{
	struct naming n = {.stacks = s, .h = h, .before = before};
	size_t old = before->heap.nbuckets;
	int err = profile__string(p, "bytes", &n.key);

	n.newer = h->nbuckets >= old && old ? h->nbuckets - old : h->nbuckets;
	for (size_t i = 0; !err && i < h->nbuckets; i++)
		err = add_sample(&n, i, p);
	p->totals.free_objects = p->totals.alloc_objects - p->totals.inuse_objects;
	p->totals.free_bytes = p->totals.alloc_bytes - p->totals.inuse_bytes;
	return err;
}
