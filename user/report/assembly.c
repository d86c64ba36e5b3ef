/* SPDX-License-Identifier: GPL-2.0-or-later */
/* assembly.c - see assembly.h. */
#include "report/assembly.h"

#include "core/log.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "sys/apart.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void assembly__free(struct assembly *a)
{
	for (size_t i = 0; i < a->nfiles; i++) {
		disasm__free(&a->files[i].code);
		free(a->files[i].places);
	}
	free(a->files);
	*a = (struct assembly){0};
}

bool assembly__is_address(const struct report *r, uint64_t *ret)
{
	const char *text = rx__pattern(r->o.symbol);
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return !errno && end != text && !*end && *text != '-' && *text != '+';
}

static bool holds(const struct profile_mapping *m, uint64_t address)
{
	return address >= m->start && address < m->limit;
}

/* Only regular files: a name in a profile could point to a pipe or a device. */
static int open_binary_file(const char *path)
{
	return apart__open(path, APART_READ_FILE);
}

/* As pprof looks for binaries: where the profile says, then in $PPROF_BINARY_PATH. */
static int open_binary(const struct profile *p, const struct profile_mapping *m)
{
	const char *path = profile__text(p, m->file), *id = profile__text(p, m->build_id);
	const char *dirs = surroundings.binaries, *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	int fd = *path == '/' ? open_binary_file(path) : -1;

	while (fd < 0 && dirs && *dirs) {
		int len = (int)strcspn(dirs, ":");
		cleanup_free char *below = NULL, *beside = NULL;

		if (asprintf(&below, "%.*s/%s/%s", len, dirs, id, base) < 0)
			below = NULL;
		if (asprintf(&beside, "%.*s/%s", len, dirs, base) < 0)
			beside = NULL;
		fd = below && *id ? open_binary_file(below) : -1;
		fd = fd < 0 && beside ? open_binary_file(beside) : fd;
		dirs += len + (dirs[len] == ':');
	}
	return fd;
}

static int by_vaddr(const void *a, const void *b)
{
	const struct assembly_place *x = a, *y = b;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

/* The nodes in a mapping that may be in a function asked for. */
static int collect(const struct report *r, struct graph *g, const struct profile_mapping *m,
		   struct assembly_file *file, uint64_t **ret_off)
{
	uint64_t address, *off = malloc((g->norder + 1) * sizeof(*off));
	bool all = assembly__is_address(r, &address) && holds(m, address);

	file->places = malloc((g->norder + 1) * sizeof(*file->places));
	*ret_off = off;
	if (!off || !file->places)
		return -ENOMEM;
	for (size_t i = 0; i < g->norder && file->nplaces < DISASM_MAX_PLACES; i++) {
		const struct graph_node *n = &g->nodes[g->order[i]];

		if (n->object != m->file || !holds(m, n->address) ||
		    !(all || rx__match(r->o.symbol, graph__label(g, g->order[i]))))
			continue;
		off[file->nplaces] = n->address - m->start + m->offset;
		file->places[file->nplaces++].node = g->order[i];
	}
	return 0;
}

static void tell(const struct profile *p, const struct profile_mapping *m, const char *why)
{
	log_warn("no instructions of '%s': %s", profile__text(p, m->file), why);
}

int assembly__around(const struct report *r, const struct profile_mapping *m, const uint64_t *off,
		     size_t n, uint64_t around, int *ret_fd, struct disasm *ret)
{
	const struct disasm_wish w = {off, n, around, r->o.intel};
	const struct profile *p = r->p;
	const char *id = profile__text(p, m->build_id);
	cleanup_fd int fd = open_binary(p, m);
	int err = fd < 0 ? -ENOENT : disasm__read(fd, &w, ret);

	if (err) {
		tell(p, m, err == -ENOENT ? "the file is not here" : strerror(-err));
		return err == -ENOMEM ? err : 0;
	}
	if (*id && *ret->build_id && strcmp(id, ret->build_id)) {
		tell(p, m, "the file here is another build");
		disasm__free(ret);
		return 0;
	}
	*ret_fd = take_fd(&fd);
	return 1;
}

static int read_file(struct assembly *a, const struct report *r, const struct profile_mapping *m,
		     const uint64_t *off, struct assembly_file *file)
{
	cleanup_fd int fd = -1;
	int got = assembly__around(r, m, off, file->nplaces, 0, &fd, &file->code);

	if (got < 0)
		return got;
	if (!got) {
		a->unreadable = true;
		file->nplaces = 0;
	}
	for (size_t i = 0; i < file->nplaces; i++)
		file->places[i].vaddr = file->code.place[i];
	if (file->nplaces)
		qsort(file->places, file->nplaces, sizeof(*file->places), by_vaddr);
	return 0;
}

int assembly__read(const struct report *r, struct graph *g, struct assembly *a)
{
	const struct profile *p = r->p;
	int err = 0;

	*a = (struct assembly){0};
	for (size_t i = 0; i < p->nmappings && !err; i++) {
		struct assembly_file file = {0};
		uint64_t *off = NULL;

		if (!p->mappings[i].file)
			continue;
		err = array_reserve(a->files, a->files_cap, a->nfiles + 1);
		err = err ? err : collect(r, g, &p->mappings[i], &file, &off);
		if (!err && file.nplaces)
			err = read_file(a, r, &p->mappings[i], off, &file);
		free(off);
		if (!err && file.nplaces) {
			a->files[a->nfiles++] = file;
		} else {
			disasm__free(&file.code);
			free(file.places);
		}
	}
	if (err)
		assembly__free(a);
	return err;
}

size_t assembly__places(const struct assembly_file *file, const struct disasm_function *f,
			size_t *ret_n)
{
	size_t first = 0, n = 0;

	while (first < file->nplaces && file->places[first].vaddr < f->start)
		first++;
	while (first + n < file->nplaces && file->places[first + n].vaddr < f->end)
		n++;
	*ret_n = n;
	return first;
}

bool assembly__wants(const struct report *r, const struct graph *g,
		     const struct assembly_file *file, const struct disasm_function *f)
{
	uint64_t address;
	size_t n, first = assembly__places(file, f, &n);

	if (!n)
		return false;
	if (assembly__is_address(r, &address)) { /* as far from it as in the process */
		const struct assembly_place *p = &file->places[first];

		address = p->vaddr + (address - g->nodes[p->node].address);
		if (address >= f->start && address < f->end)
			return true;
	}
	return rx__match(r->o.symbol, f->name);
}
