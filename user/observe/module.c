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
#include "sys/box.h"
#include "sys/safeopen.h"

struct module_root *module_table__root(struct module_table *t, pid_t pid)
{
	struct module_root *r = NULL;
	struct rootdir_id id;
	cleanup_fd int fd = rootdir__open(pid, &id);

	for (size_t i = 0; i < t->nroots && fd >= 0 && !r; i++) {
		if (rootdir__same(&t->roots[i]->id, &id))
			r = t->roots[i];
	}
	if (!r && fd >= 0 && !array_reserve(t->roots, t->roots_cap, t->nroots + 1))
		r = calloc(1, sizeof(*r));
	if (r && !r->users++) {
		r->id = id;
		r->fd = take_fd(&fd);
		t->roots[t->nroots++] = r;
	}
	return r;
}

void module_table__put_root(struct module_table *t, struct module_root *r)
{
	if (!r || --r->users)
		return;
	for (size_t i = 0; i < t->nroots; i++) {
		if (t->roots[i] == r)
			t->roots[i] = t->roots[--t->nroots];
	}
	close(r->fd);
	free(r);
}

/* Nobody waits for its reader any more, or it has answered. */
static struct alloc_request *take_request(struct module_table *t, struct module *m)
{
	for (size_t i = 0; i < t->n_read_on; i++) {
		if (t->read_on[i] == m)
			t->read_on[i] = t->read_on[--t->n_read_on];
	}
	return take_ptr(m->request);
}

static void module_free(struct module_table *t, struct module *m)
{
	if (!m)
		return;
	alloc_request__free(take_request(t, m));
	if (m->fd >= 0)
		close(m->fd);
	module_table__put_root(t, m->root);
	free(m->path);
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
		module_free(t, t->modules[i]);
	free(t->modules);
	free(t->roots);
	hash_index__fini(&t->by_file);
	memset(t, 0, sizeof(*t));
}

/* How many more readers may be at work for a process, without anybody who waits for them. */
static size_t read_on_left(const struct module_table *t, const struct box_target *whose)
{
	size_t of_process = 0;

	for (size_t i = 0; i < t->n_read_on; i++)
		of_process += t->read_on[i]->whose.id == whose->id;
	return of_process < MODULE_READ_ON_OF
		       ? min_of(MODULE_READ_ON - t->n_read_on, MODULE_READ_ON_OF - of_process)
		       : 0;
}

/* What the file's reader has found, once it says so: build-id and allocators. Frees r. */
static int take_found(struct module *m, struct alloc_request *r)
{
	struct alloc_found f = {0};
	int err = alloc_request__finish(r, &f);

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
		log_warn_of_many(
			"'%s' has probes for its own samples (otel_memory) that cannot be used: "
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

/* Has the file looked through once; `r` if it was asked about before. -EINPROGRESS: it takes longer
 * than it is waited for. */
static int module_read(struct module_table *t, struct module *m, struct alloc_request *r)
{
	int err = 0;

	if (!r && t->reads_on && !read_on_left(t, &m->whose))
		return -EINPROGRESS;
	if (!r)
		err = alloc_request__new(m->fd, &m->whose, t->names_only, &r);
	if (err)
		return err;
	if (!t->reads_on || alloc_request__await(r, t->until_ns))
		return take_found(m, r);
	if (!read_on_left(t, &m->whose)) {
		alloc_request__free(r);
		return -EINPROGRESS;
	}
	m->request = r;
	t->read_on[t->n_read_on++] = m;
	return -EINPROGRESS;
}

static uint64_t file_hash(uint64_t dev, uint64_t ino)
{
	return keyhash__words(dev, ino);
}

/* One that could not be opened is tried again: the process may have been busy. Not, for the same
 * process, one that was waited for, is no file, or that there was no time for. For another it is:
 * what was mapped there may not have been the file that maps told of. */
static bool is_for_good(int err, uint64_t asked_by, const struct module_process *p)
{
	return (err == -ETIMEDOUT || err == -EINVAL || err == -EDQUOT) && asked_by == p->account.id;
}

/* The file as this root has it, or else as all have it. */
static struct module *find(const struct module_table *t, uint64_t dev, uint64_t ino,
			   const struct module_process *p)
{
	struct module *of_all = NULL;
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&t->by_file, file_hash(dev, ino), &at, &i)) {
		struct module *m = t->modules[i];

		if (m->dev != dev || m->ino != ino ||
		    (m->fd < 0 && !is_for_good(m->fd, m->whose.id, p)))
			continue;
		if (m->root == p->root)
			return m;
		of_all = m->root ? of_all : m;
	}
	return of_all;
}

/* Without opening it. What maps says is asked first: where a module's descriptor has said the same
 * of itself, no other file has these numbers. */
static struct module *find_mapped(const struct module_table *t, const struct module_process *p,
				  const struct procmap_entry *e)
{
	struct module *m = find(t, makedev(e->dev_major, e->dev_minor), e->ino, p);
	struct stat st;

	if (!m && !procmap__stat(p->maps, e, &st))
		m = find(t, st.st_dev, st.st_ino, p);
	return m;
}

static bool is_expected(const struct module_table *t, const struct stat *st)
{
	for (size_t i = 0; i < t->n_expected; i++) {
		if (t->expected[i].st.st_dev == st->st_dev &&
		    t->expected[i].st.st_ino == st->st_ino)
			return true;
	}
	return false;
}

static struct module_expected *find_expected(struct module_table *t, const struct procmap_entry *e)
{
	for (size_t i = 0; i < t->n_expected; i++) {
		if (t->expected[i].entry == e)
			return &t->expected[i];
	}
	return NULL;
}

/* The next files of the process, from entry `from` on, are looked through side by side, as far as
 * that goes: behind one that is not to be had nothing is opened, or each would be opened on behalf
 * of all before it. Only an optimisation. Negative: why that of the first is not to be had. */
static int expect(struct module_table *t, const struct module_process *p, size_t from)
{
	const struct procmap *maps = p->maps;

	size_t most = t->reads_on ? read_on_left(t, &p->account) : MODULE_EXPECTED;

	for (size_t i = from; i < maps->n && t->n_expected < most; i++) {
		const struct procmap_entry *e = &maps->entries[i];
		struct module_expected x = {.entry = e};

		if (!(e->prot & PROCMAP_X) || e->kind != PROCMAP_FILE || find_mapped(t, p, e))
			continue;
		x.fd = procmap__open(maps, e);
		if (x.fd < 0)
			return i == from ? x.fd : 0;
		if (safeopen__only_seen(x.fd) || fstat(x.fd, &x.st) || is_expected(t, &x.st) ||
		    alloc_request__new(x.fd, &p->account, t->names_only, &x.request)) {
			close(x.fd);
			return 0;
		}
		t->expected[t->n_expected++] = x;
	}
	return 0;
}

static void let_go(struct module_expected *x)
{
	alloc_request__free(x->request);
	util__close_fd(&x->fd);
}

void module_table__expect_none(struct module_table *t)
{
	for (size_t i = 0; i < t->n_expected; i++) {
		let_go(&t->expected[i]);
	}
	t->n_expected = 0;
}

static void say_why(struct module *m)
{
	if (m->err == -EINPROGRESS)
		return;
	if (m->fd == -ETIMEDOUT) {
		log_warn_of_many("the file system of '%s' does not answer; continuing without its "
				 "allocators and names",
				 m->path);
	} else if (m->err == -ETIMEDOUT || m->err == -EDQUOT || m->err == -EFAULT) {
		if (!m->told)
			log_warn_of_many("looking for allocators in '%s' %s; continuing without",
					 m->path,
					 m->err == -EFAULT ? "broke its reader" : "took too long");
		m->told = true;
	} else if (m->err && m->err != -ENOEXEC) {
		log_debug("failed to read '%s': %s", m->path, strerror(-m->err));
	}
}

/* A probe takes that the kernel reads the file on behalf of this process, for as long as that may
 * take. */
static void say_seen(const struct module *m)
{
	log_warn_of_many(
		"'%s' is on a file system that another user provides and may stop: its names are "
		"read, no function in it is probed",
		m->path);
}

/* Of a file that was opened, or could not be. */
static int module_new(struct module_table *t, const struct module_process *p,
		      const struct procmap_entry *e, const struct module_expected *x,
		      struct module **ret)
{
	struct module *m = calloc(1, sizeof(*m));
	int err = m ? array_reserve(t->modules, t->cap, t->n + 1) : -ENOMEM;

	if (!err)
		err = hash_index__reserve(&t->by_file);
	if (!err && !(m->path = strdup(e->path)))
		err = -ENOMEM;
	if (err) {
		free(m);
		return err;
	}
	m->dev = x->st.st_dev;
	m->ino = x->st.st_ino;
	m->fd = x->fd;
	m->whose = p->account;
	if (p->root && !rootdir__is_ours(p->root->fd, e->path, &x->st)) {
		m->root = p->root;
		m->root->users++;
	}
	hash_index__add(&t->by_file, file_hash(m->dev, m->ino));
	m->index = t->n;
	t->modules[t->n++] = m;
	*ret = m;
	return 0;
}

bool module_table__read_on(struct module_table *t)
{
	bool news = false;

	for (size_t i = 0; i < t->n_read_on; i++) {
		struct module *m = t->read_on[i];

		if (!alloc_request__await(m->request, 0))
			continue;
		m->err = take_found(m, take_request(t, m));
		say_why(m);
		news = true;
		i--;
	}
	return news;
}

/* What helpers were not given the time for on behalf of one process they may be for the next, and
 * what had no place among those that are read on. */
static void look_again(struct module_table *t, struct module *m, const struct box_target *whose)
{
	if (m->err == -EINPROGRESS && !m->request) {
		m->err = module_read(t, m, NULL);
		say_why(m);
	}
	if ((m->err != -EDQUOT && m->err != -EINTR) || m->fd < 0 || m->whose.id == whose->id)
		return;
	m->whose = *whose;
	m->err = module_read(t, m, NULL);
	say_why(m);
}

/* The file of a mapping that is not known by its numbers. */
static struct module_expected open_file(struct module_table *t, const struct module_process *p,
					const struct procmap_entry *e)
{
	struct module_expected *known = find_expected(t, e), x = {.entry = e};

	if (!known && box__has_spent(&p->account)) {
		x.fd = -EDQUOT;
	} else if (!known) {
		x.fd = expect(t, p, e - p->maps->entries);
		known = find_expected(t, e);
	}
	if (known) {
		x = *known;
		*known = t->expected[--t->n_expected];
		return x;
	}
	if (!x.fd)
		x.fd = procmap__open(p->maps, e);
	if (x.fd < 0 && is_for_good(x.fd, p->account.id, p)) {
		x.st.st_dev = makedev(e->dev_major, e->dev_minor);
		x.st.st_ino = e->ino;
	}
	if (x.fd >= 0 && safeopen__fstat(x.fd, &x.st)) {
		close(x.fd);
		x.fd = -EBADF;
	}
	return x;
}

int module_table__get(struct module_table *t, const struct module_process *p,
		      const struct procmap_entry *e, struct module **ret)
{
	struct module *m = find_mapped(t, p, e);
	struct module_expected x;
	int err;

	if (m) {
		look_again(t, m, &p->account);
		*ret = m;
		return 0;
	}
	x = open_file(t, p, e);
	m = x.fd < 0 ? NULL : find(t, x.st.st_dev, x.st.st_ino, p);
	if (m) {
		let_go(&x);
		*ret = m;
		return 0;
	}
	err = module_new(t, p, e, &x, &m);
	if (err) {
		let_go(&x);
		return err;
	}
	if (m->fd >= 0 && safeopen__only_seen(m->fd))
		say_seen(m);
	else
		m->err = m->fd < 0 ? m->fd : module_read(t, m, x.request);
	say_why(m);
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
			module_free(t, m);
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

		bytes += sizeof(*m) + strlen(m->path) + 1 + m->nsites * sizeof(*m->sites) +
			 m->nexits * sizeof(*m->exits) + m->ninner * sizeof(*m->inner) +
			 m->nusdt * sizeof(*m->usdt);
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
