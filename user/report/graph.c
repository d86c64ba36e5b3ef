/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph.c - see graph.h. */
#include "report/graph.h"

#include "core/util.h"
#include "report/keytab.h"

#include <inttypes.h>
#include <string.h>

static int64_t abs64(int64_t v)
{
	return v < 0 ? (int64_t) - (uint64_t)v : v;
}

static int64_t add64(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static const char *last_component(const char *path, size_t len, size_t *ret_len)
{
	while (len > 1 && path[len - 1] == '/')
		len--;
	for (size_t i = len; i-- > 0;) {
		if (path[i] == '/' && len > 1) {
			*ret_len = len - i - 1;
			return path + i + 1;
		}
	}
	*ret_len = len;
	return path;
}

/* Calls fn for every ':'-separated part until it returns non-NULL. */
static const char *each_part(const char *list, const char *path,
			     const char *(*fn)(const char *part, size_t len, const char *path))
{
	while (list && *list) {
		size_t len = strcspn(list, ":");
		const char *found = fn(list, len, path);

		if (found)
			return found;
		list += len + (list[len] == ':');
	}
	return NULL;
}

/* The name of the search directory found inside the path: what follows is relative to it. */
static const char *guess_prefix(const char *dir, size_t len, const char *path)
{
	cleanup_free char *want = NULL;
	const char *base, *found;
	size_t n;

	base = last_component(len ? dir : ".", len ? len : 1, &n);
	if (asprintf(&want, "/%.*s/", (int)n, base) < 0) {
		want = NULL;
		return NULL;
	}
	found = strstr(path, want);
	return found ? found + strlen(want) : NULL;
}

static const char *cut_prefix(const char *prefix, size_t len, const char *path)
{
	bool slash = len && prefix[len - 1] == '/';

	if (strncmp(path, prefix, len) || (!slash && path[len] != '/'))
		return NULL;
	return path + len + !slash;
}

const char *graph__trim_path(const char *path, const char *trim, const char *source_path)
{
	const char *found = NULL;

	if (!trim || !*trim)
		found = each_part(source_path, path, guess_prefix);
	if (!found)
		found = each_part(trim, path, cut_prefix);
	if (!found)
		found = cut_prefix("/proc/self/cwd/./", 17, path);
	if (!found)
		found = cut_prefix("/proc/self/cwd/", 15, path);
	return found ? found : path;
}

/* Lexical path cleaning as in Go's filepath.Clean. out has room for strlen(path) + 2. */
static void clean_path(const char *path, char *out)
{
	bool rooted = *path == '/';
	size_t n = 0, base = 0; /* below base nothing is removed by ".." */

	if (rooted)
		out[n++] = '/';
	base = n;
	for (const char *s = path; *s;) {
		size_t len;

		while (*s == '/')
			s++;
		len = strcspn(s, "/");
		if (!len || (len == 1 && *s == '.')) {
			s += len;
			continue;
		}
		if (len == 2 && s[0] == '.' && s[1] == '.') {
			if (n > base) {
				while (n > base && out[n - 1] != '/')
					n--;
				if (n > base)
					n--;
			} else if (!rooted) {
				n += sprintf(out + n, n ? "/.." : "..");
				base = n;
			}
			s += len;
			continue;
		}
		if (n && out[n - 1] != '/')
			out[n++] = '/';
		memcpy(out + n, s, len);
		n += len;
		s += len;
	}
	if (!n)
		out[n++] = '.';
	out[n] = 0;
}

/* File name per function, trimmed and cleaned; 0 where there is none or it is not wanted. */
static int clean_files(struct profile *p, const struct graph_options *o, uint32_t *file)
{
	for (size_t i = 0; i < p->nfunctions; i++) {
		cleanup_free char *copy = NULL, *clean = NULL;
		const char *t;
		int err;

		file[i] = p->functions[i].file;
		if (!file[i])
			continue;
		if (i && p->functions[i - 1].file == file[i]) {
			file[i] = file[i - 1];
			continue;
		}
		copy = strdup(profile__text(p, file[i]));
		clean = copy ? malloc(strlen(copy) + 4) : NULL;
		if (!clean)
			return -ENOMEM;
		t = graph__trim_path(copy, o->trim_path, o->source_path);
		file[i] = 0;
		if (!*t)
			continue;
		clean_path(t, clean);
		err = profile__string(p, clean, &file[i]);
		if (err)
			return err;
	}
	return 0;
}

static void node_info(const struct profile *p, const struct graph_options *o,
		      const struct profile_location *l, const struct profile_line *line,
		      const uint32_t *file, struct graph_node *n)
{
	enum graph_granularity gr = o->granularity;
	uint32_t object = l->mapping < p->nmappings ? p->mappings[l->mapping].file : 0;

	*n = (struct graph_node){0};
	if (gr == GRAPH_ADDRESSES)
		n->address = l->address;
	if (!line || line->function >= p->nfunctions) {
		n->object = object;
		return;
	}
	if (gr != GRAPH_FILES)
		n->name = p->functions[line->function].name;
	if (gr != GRAPH_FUNCTIONS)
		n->file = file[line->function];
	if (gr == GRAPH_LINES || gr == GRAPH_ADDRESSES)
		n->line = line->line;
	if (o->object_names || !n->name) {
		n->object = object;
		n->start_line = p->functions[line->function].start_line;
	}
}

static int add_node(struct graph *g, struct keytab *keys, const struct graph_node *n, uint32_t *ret)
{
	uint32_t key[] = {n->name,
			  n->file,
			  n->object,
			  n->address,
			  n->address >> 32,
			  n->start_line,
			  (uint64_t)n->start_line >> 32,
			  n->line,
			  (uint64_t)n->line >> 32};
	bool fresh;
	int err = keytab__add(keys, key, ARRAY_SIZE(key), ret, &fresh);

	if (!err && fresh)
		err = array_reserve(g->nodes, g->nodes_cap, g->nnodes + 1);
	if (!err && fresh)
		g->nodes[g->nnodes++] = *n;
	return err;
}

static int make_nodes(struct graph *g, const struct graph_options *o)
{
	struct profile *p = g->p;
	cleanup_free uint32_t *file = malloc((p->nfunctions + 1) * sizeof(*file));
	struct keytab keys = {0};
	size_t total = 0, k = 0;
	int err = file ? clean_files(p, o, file) : -ENOMEM;

	for (size_t i = 0; i < p->nlocations; i++)
		total += max_of(p->locations[i].nlines, 1u);
	g->location0 = malloc((p->nlocations + 1) * sizeof(*g->location0));
	g->line_node = malloc((total + 1) * sizeof(*g->line_node));
	if (!g->location0 || !g->line_node)
		err = -ENOMEM;
	for (size_t i = 0; i < p->nlocations && !err; i++) {
		const struct profile_location *l = &p->locations[i];
		size_t n = max_of(l->nlines, 1u);

		g->location0[i] = k;
		for (size_t j = 0; j < n && !err; j++) {
			struct graph_node node;

			node_info(p, o, l, l->nlines ? &p->lines[l->line0 + j] : NULL, file, &node);
			err = add_node(g, &keys, &node, &g->line_node[k]);
			if (!err && j + 1 < n)
				g->nodes[g->line_node[k]].inlinable = true;
			k++;
		}
	}
	if (!err)
		g->location0[p->nlocations] = k;
	keytab__free(&keys);
	return err;
}

static int sum_values(struct graph *g, int type)
{
	const struct profile *p = g->p;
	cleanup_free uint32_t *seen = calloc(g->nnodes + 1, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		int64_t v = s->value[type];

		if (!v || !s->nstack)
			continue;
		for (size_t j = s->nstack; j-- > 0;) {
			uint32_t loc = p->stack[s->stack0 + j];

			for (uint32_t k = g->location0[loc]; k < g->location0[loc + 1]; k++) {
				uint32_t n = g->line_node[k];

				if (seen[n] == i + 1)
					continue;
				seen[n] = i + 1;
				g->nodes[n].cum = add64(g->nodes[n].cum, v);
			}
		}
		struct graph_node *leaf =
			&g->nodes[g->line_node[g->location0[p->stack[s->stack0]]]];
		leaf->flat = add64(leaf->flat, v);
	}
	return 0;
}

const char *graph__label(struct graph *g, uint32_t node)
{
	struct graph_node *n = &g->nodes[node];
	const char *name = profile__text(g->p, n->name), *file = profile__text(g->p, n->file);
	const char *object = profile__text(g->p, n->object);
	char address[24] = "", line[24] = "";
	size_t len;
	int rc;

	if (!n->address && !n->line && !*file && *name)
		return name;
	if (n->label)
		return n->label;
	if (n->address)
		snprintf(address, sizeof(address), "%016" PRIx64 " ", n->address);
	if (n->line)
		snprintf(line, sizeof(line), ":%" PRId64, n->line);
	if (n->line || *file)
		rc = asprintf(&n->label, "%s%s%s%s%s", address, name, *name ? " " : "", file, line);
	else if (*name)
		rc = asprintf(&n->label, "%s%s", address, name);
	else if (*object) {
		object = last_component(object, strlen(object), &len);
		rc = asprintf(&n->label, "%s[%.*s]", address, (int)len, object);
	} else {
		rc = asprintf(&n->label, "%s<unknown>", address);
	}
	if (rc < 0)
		n->label = NULL;
	return n->label ? n->label : "";
}

/* The last resort of pprof's order: all attributes as one text. */
static int compare_info(struct graph *g, const struct graph_node *a, const struct graph_node *b)
{
	const struct graph_node *n[2] = {a, b};
	char *text[2];
	int r;

	for (int i = 0; i < 2; i++) {
		if (asprintf(&text[i], "{%s  %" PRIu64 " %s %" PRId64 " %" PRId64 " %s}",
			     profile__text(g->p, n[i]->name), n[i]->address,
			     profile__text(g->p, n[i]->file), n[i]->start_line, n[i]->line,
			     profile__text(g->p, n[i]->object)) < 0)
			text[i] = NULL;
	}
	r = text[0] && text[1] ? strcmp(text[0], text[1]) : 0;
	free(text[0]);
	free(text[1]);
	return r;
}

static int descending(int64_t a, int64_t b)
{
	return abs64(a) < abs64(b) ? 1 : abs64(a) > abs64(b) ? -1 : 0;
}

static int flat_order(const void *x, const void *y, void *arg)
{
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	struct graph *g = arg;
	const struct graph_node *a = &g->nodes[i], *b = &g->nodes[j];
	int r = descending(a->flat, b->flat);

	r = r ? r : strcmp(graph__label(g, i), graph__label(g, j));
	r = r ? r : descending(a->cum, b->cum);
	return r ? r : compare_info(g, a, b);
}

static int cum_order(const void *x, const void *y, void *arg)
{
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	struct graph *g = arg;
	const struct graph_node *a = &g->nodes[i], *b = &g->nodes[j];
	int r = descending(a->cum, b->cum);

	r = r ? r : strcmp(graph__label(g, i), graph__label(g, j));
	r = r ? r : descending(a->flat, b->flat);
	return r ? r : compare_info(g, a, b);
}

static int edge_order(const void *x, const void *y, void *arg)
{
	struct graph *g = arg;
	const struct graph_edge *a = &g->edges[*(const uint32_t *)x];
	const struct graph_edge *b = &g->edges[*(const uint32_t *)y];
	int r = descending(a->weight, b->weight);

	r = r ? r : strcmp(graph__label(g, a->src), graph__label(g, b->src));
	return r ? r : strcmp(graph__label(g, a->dst), graph__label(g, b->dst));
}

void graph__sort_edges(struct graph *g, uint32_t *edges, size_t n)
{
	if (n)
		qsort_r(edges, n, sizeof(*edges), edge_order, g);
}

/* Which edge a pair of nodes is: open addressing, edge index + 1. */
struct pairs {
	uint32_t *slot, *last; /* last: the sample that saw the edge, by edge */
	size_t nslots, last_cap;
};

static size_t pair_slot(const struct pairs *t, const struct graph *g, uint32_t src, uint32_t dst)
{
	size_t i = util__mix64((uint64_t)src << 32 | dst) & (t->nslots - 1);

	for (; t->slot[i]; i = (i + 1) & (t->nslots - 1)) {
		const struct graph_edge *e = &g->edges[t->slot[i] - 1];

		if (e->src == src && e->dst == dst)
			break;
	}
	return i;
}

static int grow_pairs(struct pairs *t, const struct graph *g)
{
	size_t n = t->nslots ? t->nslots * 2 : 1024;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	free(t->slot);
	t->slot = slot;
	t->nslots = n;
	for (size_t i = 0; i < g->nedges; i++)
		slot[pair_slot(t, g, g->edges[i].src, g->edges[i].dst)] = i + 1;
	return 0;
}

static int add_edge(struct graph *g, struct pairs *t, uint32_t src, uint32_t dst, int64_t v,
		    uint32_t sample, bool residual, bool inlined)
{
	struct graph_edge *e;
	size_t i;
	int err = (g->nedges + 1) * 2 > t->nslots ? grow_pairs(t, g) : 0;

	if (err)
		return err;
	i = pair_slot(t, g, src, dst);
	if (!t->slot[i]) {
		err = array_reserve(g->edges, g->edges_cap, g->nedges + 1);
		err = err ? err : array_reserve(t->last, t->last_cap, g->nedges + 1);
		if (err)
			return err;
		g->edges[g->nedges] = (struct graph_edge){.src = src,
							  .dst = dst,
							  .weight = v,
							  .residual = residual,
							  .inlined = inlined};
		t->last[g->nedges++] = sample;
		t->slot[i] = g->nedges;
		return 0;
	}
	if (t->last[t->slot[i] - 1] == sample)
		return 0;
	t->last[t->slot[i] - 1] = sample;
	e = &g->edges[t->slot[i] - 1];
	e->weight = add64(e->weight, v);
	e->residual |= residual;
	e->inlined &= inlined;
	return 0;
}

/* Edges between kept nodes (all nodes if !only_listed) of one stack, from the root. */
static int stack_edges(struct graph *g, struct pairs *t, uint32_t sample, int64_t v,
		       bool only_listed, bool all)
{
	const struct profile_sample *s = &g->p->samples[sample];
	uint32_t parent = PROFILE_NONE;
	bool residual = false;

	for (size_t j = s->nstack; j-- > 0;) {
		uint32_t loc = g->p->stack[s->stack0 + j];
		uint32_t first = g->location0[loc], end = g->location0[loc + 1];

		for (uint32_t k = end; k-- > first;) {
			uint32_t n = g->line_node[k];
			int err = 0;

			if (only_listed && !g->nodes[n].listed) {
				residual = true;
				continue;
			}
			if (parent != PROFILE_NONE && n != parent && (all || g->nodes[n].inlinable))
				err = add_edge(g, t, parent, n, v, sample, residual, k + 1 != end);
			if (err)
				return err;
			parent = n;
			residual = false;
		}
	}
	return 0;
}

static int make_edges(struct graph *g, const struct graph_options *o, bool only_listed,
		      int64_t cutoff)
{
	struct pairs t = {0};
	size_t kept = 0;
	bool wanted = o->edges;
	int err = 0;

	for (size_t i = 0; i < g->nnodes && !wanted; i++)
		wanted = g->nodes[i].inlinable;
	for (size_t i = 0; i < g->p->nsamples && !err && wanted; i++) {
		int64_t v = g->p->samples[i].value[o->type];

		if (v)
			err = stack_edges(g, &t, i, v, only_listed, o->edges);
	}
	free(t.slot);
	free(t.last);
	for (size_t i = 0; i < g->nedges; i++) {
		if (abs64(g->edges[i].weight) >= cutoff || !g->nodes[g->edges[i].dst].listed)
			g->edges[kept++] = g->edges[i];
	}
	g->nedges = kept;
	return err;
}

static int64_t fraction(int64_t total, double f)
{
	double v = (double)total * f;

	return v >= 0x1p63 || v <= -0x1p63 ? INT64_MAX : abs64((int64_t)v);
}

/* pprof's trimming: by fraction of the total, then the first max_nodes in order. */
static int trim(struct graph *g, const struct graph_options *o)
{
	int64_t total = 0, cutoff;
	bool rebuilt = false;
	size_t n = 0;

	g->order = malloc((g->nnodes + 1) * sizeof(*g->order));
	if (!g->order)
		return -ENOMEM;
	for (size_t i = 0; i < g->nnodes; i++) {
		if (!g->nodes[i].cum && !g->nodes[i].flat)
			continue;
		g->order[n++] = i;
		total = add64(total, g->nodes[i].flat);
	}
	cutoff = fraction(total, o->node_fraction);
	for (size_t i = 0; i < n; i++) {
		if (abs64(g->nodes[g->order[i]].cum) >= cutoff)
			g->order[g->norder++] = g->order[i];
	}
	g->dropped_nodes = n - g->norder;
	g->orig_count = g->norder;
	rebuilt = g->dropped_nodes;
	qsort_r(g->order, g->norder, sizeof(*g->order), o->cum ? cum_order : flat_order, g);
	if (o->max_nodes && g->norder > o->max_nodes) {
		g->norder = o->max_nodes;
		rebuilt = true;
	}
	for (size_t i = 0; i < g->norder; i++)
		g->nodes[g->order[i]].listed = true;
	return make_edges(g, o, rebuilt, fraction(total, o->edge_fraction));
}

int graph__build(struct graph *g, struct profile *p, const struct graph_options *o)
{
	int err;

	*g = (struct graph){.p = p};
	err = make_nodes(g, o);
	err = err ? err : sum_values(g, o->type);
	err = err ? err : trim(g, o);
	if (err)
		graph__free(g);
	return err;
}

void graph__free(struct graph *g)
{
	for (size_t i = 0; i < g->nnodes; i++)
		free(g->nodes[i].label);
	free(g->nodes);
	free(g->order);
	free(g->edges);
	free(g->location0);
	free(g->line_node);
	*g = (struct graph){0};
}
