/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flametree.c - see flametree.h. Two open-addressing tables find frames and children. */
#include "format/flametree.h"

#include "core/util.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_NODES (16u << 20)

struct tree_table {
	uint32_t *slot; /* index + 1 */
	size_t mask, used;
};

struct flametree_index {
	struct tree_table frames, nodes;
};

typedef uint64_t (*hash_fn)(const struct flametree *t, uint32_t i);

static uint64_t hash_frame_key(const struct flametree_frame *f)
{
	return util__mix64(((uint64_t)f->name << 32 | f->module) ^ util__mix64(f->address));
}

static uint64_t hash_frame(const struct flametree *t, uint32_t i)
{
	return hash_frame_key(&t->frames[i]);
}

static uint64_t hash_node_key(uint32_t parent, uint32_t frame)
{
	return util__mix64((uint64_t)parent << 32 | frame);
}

static uint64_t hash_node(const struct flametree *t, uint32_t i)
{
	return hash_node_key(t->nodes[i].parent, t->nodes[i].frame);
}

/* Room for one more; first0 is the first index that the table holds. */
static int table_reserve(struct tree_table *tab, const struct flametree *t, hash_fn hash,
			 uint32_t first0)
{
	size_t n = tab->slot ? tab->mask + 1 : 512;
	uint32_t *slot;

	if (tab->slot && (tab->used + 1) * 2 <= n)
		return 0;
	if (tab->slot)
		n *= 2;
	slot = calloc(n, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < tab->used; i++) {
		size_t s = hash(t, first0 + i) & (n - 1);

		while (slot[s])
			s = (s + 1) & (n - 1);
		slot[s] = first0 + i + 1;
	}
	free(tab->slot);
	tab->slot = slot;
	tab->mask = n - 1;
	return 0;
}

static int intern_frame(struct flametree *t, const struct flametree_frame *f, uint32_t *ret)
{
	struct tree_table *tab = &t->index->frames;
	int err = table_reserve(tab, t, hash_frame, 0);
	size_t s;

	if (err)
		return err;
	for (s = hash_frame_key(f) & tab->mask; tab->slot[s]; s = (s + 1) & tab->mask) {
		const struct flametree_frame *g = &t->frames[tab->slot[s] - 1];

		if (g->name == f->name && g->module == f->module && g->address == f->address) {
			*ret = tab->slot[s] - 1;
			return 0;
		}
	}
	err = array_reserve(t->frames, t->frames_cap, t->nframes + 1);
	if (err)
		return err;
	t->frames[t->nframes] = *f;
	*ret = t->nframes++;
	tab->slot[s] = t->nframes;
	tab->used++;
	return 0;
}

static int add_node(struct flametree *t, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	size_t nv = t->p->nvalues;
	struct flametree_node *n;
	int err = t->nnodes >= MAX_NODES ? -E2BIG
					 : array_reserve(t->nodes, t->nodes_cap, t->nnodes + 1);

	if (!err)
		err = array_reserve(t->self, t->self_cap, (t->nnodes + 1) * nv + 1);
	if (err)
		return err;
	memset(t->self + t->nnodes * nv, 0, nv * sizeof(*t->self));
	n = &t->nodes[t->nnodes];
	*n = (struct flametree_node){.parent = parent, .frame = frame};
	if (t->nnodes) {
		n->sibling = t->nodes[parent].child;
		n->depth = t->nodes[parent].depth + 1;
		t->nodes[parent].child = t->nnodes;
	}
	*ret = t->nnodes++;
	return 0;
}

static int intern_child(struct flametree *t, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	struct tree_table *tab = &t->index->nodes;
	int err = table_reserve(tab, t, hash_node, 1);
	size_t s;

	if (err)
		return err;
	for (s = hash_node_key(parent, frame) & tab->mask; tab->slot[s]; s = (s + 1) & tab->mask) {
		const struct flametree_node *n = &t->nodes[tab->slot[s] - 1];

		if (n->parent == parent && n->frame == frame) {
			*ret = tab->slot[s] - 1;
			return 0;
		}
	}
	err = add_node(t, parent, frame, ret);
	if (err)
		return err;
	tab->slot[s] = *ret + 1;
	tab->used++;
	return 0;
}

/* The frames of one location, outermost first, below *node. */
static int descend(struct flametree *t, const struct profile_location *l, uint32_t *node)
{
	const struct profile *p = t->p;
	uint32_t module = l->mapping < p->nmappings ? p->mappings[l->mapping].file : 0, frame;
	int err;

	for (uint32_t i = l->nlines; i-- > 0;) {
		const struct profile_line *line = &p->lines[l->line0 + i];
		struct flametree_frame f = {.module = module};

		if (line->function < p->nfunctions) {
			const struct profile_function *fn = &p->functions[line->function];

			f.name = fn->name ? fn->name : fn->system_name;
			f.file = fn->file;
		}
		if (!f.name)
			f.address = l->address;
		err = intern_frame(t, &f, &frame);
		if (!err)
			err = intern_child(t, *node, frame, node);
		if (err)
			return err;
	}
	if (!l->nlines) {
		struct flametree_frame f = {.module = module, .address = l->address};

		err = intern_frame(t, &f, &frame);
		return err ? err : intern_child(t, *node, frame, node);
	}
	return 0;
}

static int add_sample(struct flametree *t, const struct profile_sample *s)
{
	const struct profile *p = t->p;
	uint32_t node = 0;

	for (uint32_t i = s->nstack; i-- > 0;) {
		uint32_t loc = p->stack[s->stack0 + i];
		int err = loc < p->nlocations ? descend(t, &p->locations[loc], &node) : 0;

		if (err)
			return err;
	}
	for (size_t v = 0; v < p->nvalues; v++)
		t->self[node * p->nvalues + v] += s->value[v];
	return 0;
}

int flametree__new(const struct profile *p, struct flametree **ret)
{
	struct flametree *t = calloc(1, sizeof(*t));
	uint32_t root;
	int err;

	if (!t)
		return -ENOMEM;
	t->p = p;
	t->index = calloc(1, sizeof(*t->index));
	err = t->index ? add_node(t, 0, UINT32_MAX, &root) : -ENOMEM;
	for (size_t i = 0; i < p->nsamples && !err; i++)
		err = add_sample(t, &p->samples[i]);
	if (err) {
		flametree__free(t);
		return err;
	}
	for (size_t i = 0; i < t->nnodes * p->nvalues; i++)
		t->negative |= t->self[i] < 0;
	*ret = t;
	return 0;
}

void flametree__free(struct flametree *t)
{
	if (!t)
		return;
	if (t->index) {
		free(t->index->frames.slot);
		free(t->index->nodes.slot);
		free(t->index);
	}
	free(t->frames);
	free(t->nodes);
	free(t->self);
	free(t);
}

const char *flametree__name(const struct flametree *t, const struct flametree_frame *f, char *buf,
			    size_t len)
{
	const char *module, *slash;

	if (f->name)
		return profile__text(t->p, f->name);
	module = profile__text(t->p, f->module);
	slash = strrchr(module, '/');
	module = slash ? slash + 1 : module;
	snprintf(buf, len, "%s%s0x%" PRIx64, module, *module ? "+" : "", f->address);
	return buf;
}

void flametree__sum(const struct flametree *t, int type, double *value, double *weight)
{
	for (size_t i = 0; i < t->nnodes; i++) {
		value[i] = (double)t->self[i * t->p->nvalues + type];
		weight[i] = fabs(value[i]);
	}
	for (size_t i = t->nnodes; i-- > 1;) {
		value[t->nodes[i].parent] += value[i];
		weight[t->nodes[i].parent] += weight[i];
	}
}
