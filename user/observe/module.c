/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/module.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/exits.h"

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

/* What the symbols say about the file as a whole. */
struct symbol_facts {
	bool any, starts_programs;
};

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct symbol_facts *f = arg;

	f->any = true;
	f->starts_programs |= !strcmp(sym->name, "__libc_start_main");
	return 0;
}

/* The ways out of the functions that throw. */
static int find_exits(struct module *m, struct elfobj *elf)
{
	struct exits_function fn[64];
	cleanup_free struct exits *x = calloc(1, sizeof(*x));
	size_t n = 0;
	int err;

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < m->nsites && n < ARRAY_SIZE(fn); i++) {
		const struct site *s = &m->sites[i];

		if (s->func.fn == MW_FN_NEW && !s->wrapper && s->kind != SITE_NONE)
			fn[n++] = (struct exits_function){s->func.vaddr, s->func.size};
	}
	if (!n)
		return 0;
	err = exits__find(elf, fn, n, x);
	if (err)
		return err;
	if (x->incomplete)
		log_debug("'%s': not every way out of operator new is known", m->path);
	m->exits = malloc((x->n + 1) * sizeof(*m->exits));
	if (!m->exits)
		return -ENOMEM;
	memcpy(m->exits, x->off, x->n * sizeof(*m->exits));
	m->nexits = x->n;
	return 0;
}

/* Looks through the file once: build-id and allocators. */
static int module_read(struct module *m)
{
	cleanup_free struct alloc_func *funcs = NULL;
	struct symbol_facts facts = {0};
	struct elfobj *elf;
	size_t n = 0;
	int err;

	err = elfobj__open_fd(m->fd, m->path, &elf);
	if (err)
		return err;
	elfobj__build_id_hex(elf, m->build_id);
	elfobj__each_symbol(elf, on_symbol, &facts);
	m->has_symbols = facts.any;
	err = allocs__find(elf, &funcs, &n);
	if (err == -EBADMSG)
		log_debug("malformed symbol table in '%s': using what came before", m->path);
	if (n && (!err || err == -EBADMSG)) {
		err = site__choose(elf, funcs, n, &m->sites);
		m->nsites = err ? 0 : n;
		if (!err)
			err = find_exits(m, elf);
	}
	m->is_allocator = m->nsites && !facts.starts_programs && elfobj__type(elf) == ET_DYN &&
			  !elfobj__has_interp(elf);
	elfobj__close(elf);
	return err == -EBADMSG ? 0 : err;
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
	if (m->err && m->err != -ENOEXEC)
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
