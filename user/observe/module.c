/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "core/keyhash.h"
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
	free(m->inner);
	free(m->usdt);
	free(m);
}

void module_table__fini(struct module_table *t)
{
	module_table__expect_none(t);
	for (size_t i = 0; i < t->n; i++)
		module_free(t->modules[i]);
	free(t->modules);
	hash_index__fini(&t->by_file);
	memset(t, 0, sizeof(*t));
}

/* Has the file looked through once: build-id and allocators; `r` if it was asked about before. */
static int module_read(const struct module_table *t, struct module *m, struct alloc_request *r)
{
	struct alloc_found f = {0};
	int err = r ? 0 : alloc_request__new(m->fd, &m->whose, t->names_only, &r);

	if (!err)
		err = alloc_request__finish(r, &f);
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
	m->inner = take_ptr(f.inner);
	m->ninner = f.ninner;
	m->usdt = take_ptr(f.usdt);
	m->nusdt = f.nusdt;
	memcpy(m->usdt_why, f.usdt_why, sizeof(m->usdt_why));
	if (*m->usdt_why)
		log_warn("'%s' has probes for its own samples (otel_memory) that cannot be used: "
			 "%s; "
			 "its allocators are probed instead",
			 m->path, m->usdt_why);
	for (size_t i = 0; i < m->nsites; i++) {
		if (strcmp(m->sites[i].why, SITE_OTHER_ARGUMENTS))
			continue;
		log_info("'%s': %s and its like are left out: %s", m->path, m->sites[i].func.name,
			 SITE_OTHER_ARGUMENTS);
		break;
	}
	m->is_allocator = m->nsites && f.is_library && !f.starts_programs;
	return 0;
}

static uint64_t file_hash(uint64_t dev, uint64_t ino)
{
	return keyhash__words(dev, ino);
}

static struct module *find(const struct module_table *t, uint64_t dev, uint64_t ino)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&t->by_file, file_hash(dev, ino), &at, &i)) {
		struct module *m = t->modules[i];

		/* A file that could not be opened is tried again: the process may have been busy.
		 */
		if (m->dev == dev && m->ino == ino && m->fd >= 0)
			return m;
	}
	return NULL;
}

static struct module_expected *find_expected(struct module_table *t, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < t->n_expected; i++) {
		if (t->expected[i].dev == dev && t->expected[i].ino == ino)
			return &t->expected[i];
	}
	return NULL;
}

/* The next files of `maps`, from entry `from` on, are looked through side by side. Only an
 * optimisation. */
static void expect(struct module_table *t, const struct procmap *maps, size_t from)
{
	const struct box_target whose = box__target(maps->pid);

	for (size_t i = from; i < maps->n && t->n_expected < MODULE_EXPECTED; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		uint64_t dev = makedev(e->dev_major, e->dev_minor);
		struct module_expected x = {.dev = dev, .ino = e->ino};

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE || find(t, dev, e->ino) ||
		    find_expected(t, dev, e->ino))
			continue;
		x.fd = procmap__open(maps, e);
		if (x.fd >= 0 && !alloc_request__new(x.fd, &whose, t->names_only, &x.request))
			t->expected[t->n_expected++] = x;
		else
			util__close_fd(&x.fd);
	}
}

void module_table__expect_none(struct module_table *t)
{
	for (size_t i = 0; i < t->n_expected; i++) {
		alloc_request__free(t->expected[i].request);
		util__close_fd(&t->expected[i].fd);
	}
	t->n_expected = 0;
}

static int module_new(struct module_table *t, const struct procmap *maps,
		      const struct procmap_entry *e, struct module **ret)
{
	struct alloc_request *request = NULL;
	struct module_expected *x;
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
	if (!find_expected(t, m->dev, m->ino))
		expect(t, maps, e - maps->entries);
	x = find_expected(t, m->dev, m->ino);
	if (x) {
		m->fd = x->fd;
		request = x->request;
		*x = t->expected[--t->n_expected];
	} else {
		m->fd = procmap__open(maps, e);
	}
	m->whose = box__target(maps->pid);
	m->err = m->fd < 0 ? m->fd : module_read(t, m, request);
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

	m = find(t, dev, e->ino);
	if (m) {
		*ret = m;
		return 0;
	}
	err = array_reserve(t->modules, t->cap, t->n + 1);
	if (!err)
		err = hash_index__reserve(&t->by_file);
	if (!err)
		err = module_new(t, maps, e, &m);
	if (err)
		return err;
	hash_index__add(&t->by_file, file_hash(dev, e->ino));
	m->index = t->n;
	t->modules[t->n++] = m;
	*ret = m;
	return 0;
}

void module_table__keep(struct module_table *t, const bool *used)
{
	size_t n = 0;

	hash_index__clear(&t->by_file); /* has room for as many as there were */
	for (size_t i = 0; i < t->n; i++) {
		struct module *m = t->modules[i];

		if (!used[i]) {
			module_free(m);
			continue;
		}
		m->index = n;
		t->modules[n++] = m;
		hash_index__add(&t->by_file, file_hash(m->dev, m->ino));
	}
	t->n = n;
}

size_t module_table__bytes(const struct module_table *t)
{
	size_t bytes = t->cap * sizeof(*t->modules) + hash_index__bytes(&t->by_file);

	for (size_t i = 0; i < t->n; i++) {
		const struct module *m = t->modules[i];

		bytes += sizeof(*m) + strlen(m->path) + strlen(m->root) + 2 +
			 m->nsites * sizeof(*m->sites) + m->nexits * sizeof(*m->exits) +
			 m->ninner * sizeof(*m->inner) + m->nusdt * sizeof(*m->usdt);
	}
	return bytes;
}

bool module__in_allocator(const struct module *m, uint64_t off)
{
	if (m->is_allocator)
		return true;
	for (size_t i = 0; i < m->ninner && m->inner[i].off <= off; i++) {
		if (off < m->inner[i].end)
			return true;
	}
	for (size_t i = 0; i < m->nsites; i++) {
		const struct site *s = &m->sites[i];
		/* off of the function's start: the site's moved back by what lies between */
		uint64_t start = s->off - (s->vaddr - s->func.vaddr);

		if (s->kind != SITE_NONE && off >= start && off - start < s->func.size)
			return true;
	}
	return false;
}

bool module__is_layer(const struct module *m)
{
	for (size_t i = 0; i < m->nsites; i++) {
		const struct site *s = &m->sites[i];

		if (s->nlayer && !s->wrapper && s->kind != SITE_NONE)
			return true;
	}
	return false;
}
