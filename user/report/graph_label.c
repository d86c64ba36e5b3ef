/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_label.c - names of nodes and of source files, and the orders in which they are shown. */
#include "core/util.h"
#include "report/graph_priv.h"

#include <inttypes.h>
#include <string.h>

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

void graph__clean_path(const char *path, char *out)
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
int graph_label__clean_files(struct profile *p, const struct graph_options *o, uint32_t *file)
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
		t = o->whole_paths ? copy : graph__trim_path(copy, o->trim_path, o->source_path);
		file[i] = 0;
		if (!*t)
			continue;
		graph__clean_path(t, clean);
		err = profile__string(p, clean, &file[i]);
		if (err)
			return err;
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
int graph_label__compare_info(struct graph *g, const struct graph_node *a,
			      const struct graph_node *b)
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
	return r ? r : graph_label__compare_info(g, a, b);
}

static int cum_order(const void *x, const void *y, void *arg)
{
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	struct graph *g = arg;
	const struct graph_node *a = &g->nodes[i], *b = &g->nodes[j];
	int r = descending(a->cum, b->cum);

	r = r ? r : strcmp(graph__label(g, i), graph__label(g, j));
	r = r ? r : descending(a->flat, b->flat);
	return r ? r : graph_label__compare_info(g, a, b);
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

void graph_label__sort_nodes(struct graph *g, bool cum)
{
	qsort_r(g->order, g->norder, sizeof(*g->order), cum ? cum_order : flat_order, g);
}
