/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/alloc_box.h"

static void module_free(struct module *m)
{
	if (!m)
		return;
	if (m->fd >= 0)
		close(m->fd);
	free(m->path);
	free(m->root);
	free(m->sites);
	free(m->exits);
	free(m);
}

void module_table__fini(struct module_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		module_free(t->modules[i]);
	free(t->modules);
	memset(t, 0, sizeof(*t));
}

/* Has the file looked through once: build-id and allocators. */
static int module_read(struct module *m)
{
	struct alloc_found f = {0};
	int err = alloc_box__find(m->fd, &f);

	if (err)
		return err;
	if (f.malformed)
		log_debug("malformed symbol table in '%s': using what came before", m->path);
	if (f.exits_missing)
		log_debug("'%s': not every way out of operator new is known", m->path);
	memcpy(m->build_id, f.build_id, sizeof(m->build_id));
	m->has_symbols = f.has_symbols;
	m->sites = take_ptr(f.sites);
	m->nsites = f.nsites;
	m->exits = take_ptr(f.exits);
	m->nexits = f.nexits;
	m->is_allocator = m->nsites && f.is_library && !f.starts_programs;
	return 0;
}

static int module_new(const struct procmap *maps, const struct procmap_entry *e,
		      struct module **ret)
{
	struct module *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->dev = makedev(e->dev_major, e->dev_minor);
	m->ino = e->ino;
	m->fd = -1;
	m->path = strdup(e->path);
	if (!m->path || asprintf(&m->root, "/proc/%d/root", maps->pid) < 0) {
		m->root = NULL;
		module_free(m);
		return -ENOMEM;
	}
	m->fd = procmap__open(maps, e);
	if (m->fd < 0)
		m->err = m->fd;
	else
		m->err = module_read(m);
	if (m->err == -ETIMEDOUT || m->err == -EDQUOT || m->err == -EFAULT)
		log_warn("looking for allocators in '%s' %s; continuing without", m->path,
			 m->err == -EFAULT ? "broke its reader" : "took too long");
	else if (m->err && m->err != -ENOEXEC)
		log_debug("failed to read '%s': %s", m->path, strerror(-m->err));
	*ret = m;
	return 0;
}

int module_table__get(struct module_table *t, const struct procmap *maps,
		      const struct procmap_entry *e, struct module **ret)
{
	uint64_t dev = makedev(e->dev_major, e->dev_minor);
	struct module *m;
	int err;

	for (size_t i = t->n; i-- > 0;) {
		m = t->modules[i];
		/* A file that could not be opened is tried again: the process may have been busy.
		 */
		if (m->dev == dev && m->ino == e->ino && m->fd >= 0) {
			*ret = m;
			return 0;
		}
	}
	err = array_reserve(t->modules, t->cap, t->n + 1);
	if (!err)
		err = module_new(maps, e, &m);
	if (err)
		return err;
	m->index = t->n;
	t->modules[t->n++] = m;
	*ret = m;
	return 0;
}

void module_table__keep(struct module_table *t, const bool *used)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct module *m = t->modules[i];

		if (!used[i]) {
			module_free(m);
			continue;
		}
		m->index = n;
		t->modules[n++] = m;
	}
	t->n = n;
}

bool module__in_allocator(const struct module *m, uint64_t off)
{
	if (m->is_allocator)
		return true;
	for (size_t i = 0; i < m->nsites; i++) {
		const struct site *s = &m->sites[i];
		/* off of the function's start: the site's moved back by what lies between */
		uint64_t start = s->off - (s->vaddr - s->func.vaddr);

		if (s->kind != SITE_NONE && off >= start && off - start < s->func.size)
			return true;
	}
	return false;
}
