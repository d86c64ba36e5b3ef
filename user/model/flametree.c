/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flametree.c - see flametree.h. */
#include "model/flametree.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_NODES (16u << 20)

struct flametree_index {
	struct hash_index frames,
		nodes; /* node i + 1 is element i: the root is looked for by nobody */
};

static int intern_frame(struct flametree *t, const struct flametree_frame *f, uint32_t *ret)
{
	struct hash_index *index = &t->index->frames;
	uint64_t hash = keyhash__words((uint64_t)f->name << 32 | f->module, f->address);
	size_t at = HASH_INDEX_START;
	int err;

	while (hash_index__next(index, hash, &at, ret)) {
		const struct flametree_frame *g = &t->frames[*ret];

		if (g->name == f->name && g->module == f->module && g->address == f->address)
			return 0;
	}
	err = hash_index__reserve(index);
	err = err ? err : array_reserve(t->frames, t->frames_cap, t->nframes + 1);
	if (err)
		return err;
	hash_index__add(index, hash);
	t->frames[t->nframes] = *f;
	*ret = t->nframes++;
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
	struct hash_index *index = &t->index->nodes;
	uint64_t hash = keyhash__word((uint64_t)parent << 32 | frame);
	size_t at = HASH_INDEX_START;
	uint32_t i;
	int err;

	while (hash_index__next(index, hash, &at, &i)) {
		*ret = i + 1;
		if (t->nodes[*ret].parent == parent && t->nodes[*ret].frame == frame)
			return 0;
	}
	err = hash_index__reserve(index);
	err = err ? err : add_node(t, parent, frame, ret);
	if (!err)
		hash_index__add(index, hash);
	return err;
}

/* The frames of one location, outermost first, below *node. */
static int descend(struct flametree *t, const struct profile_location *l, uint32_t *node)
{
	const struct profile *p = t->p;
	const struct profile_mapping *m =
		l->mapping < p->nmappings ? &p->mappings[l->mapping] : NULL;
	uint32_t module = m ? m->file : 0, frame;
	/* where it is in the file means the same in every process */
	uint64_t place = module ? l->address - m->start + m->offset : l->address;
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
			f.address = place;
		err = intern_frame(t, &f, &frame);
		if (!err)
			err = intern_child(t, *node, frame, node);
		if (err)
			return err;
	}
	if (!l->nlines) {
		struct flametree_frame f = {.module = module, .address = place};

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
		util__add(&t->self[node * p->nvalues + v], s->value[v]);
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
	t->difference = p->difference;
	for (size_t i = 0; i < t->nnodes * p->nvalues; i++)
		t->difference |= t->self[i] < 0;
	*ret = t;
	return 0;
}

void flametree__free(struct flametree *t)
{
	if (!t)
		return;
	if (t->index) {
		hash_index__fini(&t->index->frames);
		hash_index__fini(&t->index->nodes);
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
