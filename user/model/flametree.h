/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flametree.h - a profile's stacks merged into one call tree, root first: what flame graphs are
 * drawn from. Frames are functions (inlined ones included) of one module; code without symbols is
 * one frame for each address. Nodes stand in an array in which parents come before children.
 */
#ifndef MODEL_FLAMETREE_H
#define MODEL_FLAMETREE_H

#include "model/profile.h"

struct flametree_frame {
	uint32_t name;	  /* string of the profile; 0: unknown, show `address` */
	uint32_t module;  /* string of the profile (path of the mapping), 0 if none */
	uint32_t file;	  /* string of the profile, 0 if unknown */
	uint64_t address; /* of frames without a name: in the module, else in the process */
};

struct flametree_node {
	uint32_t parent; /* of the root: itself */
	uint32_t frame;
	uint32_t child, sibling; /* first child, next sibling; 0: none */
	uint32_t depth;
};

struct flametree {
	const struct profile *p; /* borrowed */
	struct flametree_frame *frames;
	size_t nframes, frames_cap;
	struct flametree_node *nodes; /* nodes[0] is the root, without a frame */
	size_t nnodes, nodes_cap;
	int64_t *self; /* nnodes * p->nvalues: values of stacks that end here */
	size_t self_cap;
	bool difference;	       /* values are changes: said so, or one is below zero */
	struct flametree_index *index; /* private */
};

/* 0, -ENOMEM or -E2BIG. flametree__free accepts NULL. */
int flametree__new(const struct profile *p, struct flametree **ret);
void flametree__free(struct flametree *t);

/* Name to show: function, or "module+0xplace". Returns buf or a string of the profile. */
const char *flametree__name(const struct flametree *t, const struct flametree_frame *f, char *buf,
			    size_t len);

/*
 * Per node: the net value of the stacks through it and its weight, which is the sum of the
 * absolute values of the stacks that end at or above it (the same where nothing is negative).
 * Both arrays have nnodes entries.
 */
void flametree__sum(const struct flametree *t, int type, double *value, double *weight);

#endif
