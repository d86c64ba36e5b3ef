/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/alloc_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/allocs.h"
#include "probe/bpfobj_priv.h"
#include "probe/closer.h"
#include "probe/uprobe_link.h"

struct probe_link {
	uint32_t target;
	int pid;	       /* that it is tied to */
	int fd;		       /* uprobe_multi link, or -1 */
	struct bpf_link *link; /* perf event link, or NULL */
};

struct alloc_probe {
	struct bpfobj *obj;
	enum plan_method method;
	struct probe_link *links;
	size_t nlinks, links_cap;
	struct closer *closer;
	struct bpf_link *thread_exit;
	struct mw_site *sites; /* rows of alloc_sites in use; row 0 means "no callers" */
	size_t nsites, sites_cap;
	struct mw_usdt *usdt; /* rows of usdt_rows in use */
	size_t nusdt, usdt_cap;
};

int alloc_probe__new(struct bpfobj *o, struct alloc_probe **ret)
{
	struct alloc_probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->obj = o;
	p->method = o->plan.method;
	err = array_reserve(p->sites, p->sites_cap, 1);
	if (!err) {
		memset(&p->sites[0], 0, sizeof(p->sites[0]));
		p->nsites = 1;
		err = closer__new(&p->closer);
	}
	if (!err) {
		p->thread_exit = bpfobj__attach(o->skel->progs.mw_alloc_thread_exit);
		err = p->thread_exit ? 0 : -errno;
	}
	if (err) {
		alloc_probe__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void link_close(struct alloc_probe *p, const struct probe_link *l)
{
	closer__push(p->closer, l->fd, l->link);
}

void alloc_probe__free(struct alloc_probe *p)
{
	if (!p)
		return;
	/* All at one moment, whichever probe is out first: no free may go unseen while allocations
	 * are seen. */
	alloc_probe__set_rate(p, 0);
	while (p->nlinks)
		link_close(p, &p->links[--p->nlinks]);
	closer__free(p->closer);
	bpf_link__destroy(p->thread_exit);
	free(p->links);
	free(p->sites);
	free(p->usdt);
	free(p);
}

/* pid 0: of all. */
static void detach(struct alloc_probe *p, uint32_t target, int pid)
{
	size_t n = 0;

	for (size_t i = p->nlinks; i-- > 0;) {
		if (p->links[i].target != target || (pid && p->links[i].pid != pid))
			continue;
		link_close(p, &p->links[i]);
		p->links[i].target = UINT32_MAX;
	}
	for (size_t i = 0; i < p->nlinks; i++) {
		if (p->links[i].target != UINT32_MAX)
			p->links[n++] = p->links[i];
	}
	p->nlinks = n;
}

void alloc_probe__detach_target(struct alloc_probe *p, uint32_t target, bool wait)
{
	detach(p, target, 0);
	if (wait)
		closer__flush(p->closer);
}

void alloc_probe__detach_process(struct alloc_probe *p, uint32_t target, int pid)
{
	detach(p, target, pid);
}

void alloc_probe__expect_sharers(struct alloc_probe *p)
{
	p->obj->skel->data->alloc_config.sharers = 1;
}

void alloc_probe__set_rate(struct alloc_probe *p, uint64_t sample_bytes)
{
	p->obj->skel->data->alloc_config.sample_bytes = sample_bytes;
}

void alloc_probe__thin(struct alloc_probe *p, uint32_t target, unsigned octaves)
{
	p->obj->skel->bss->alloc_thin[target] = (uint8_t)min_of(octaves, (unsigned)MW_MAX_THIN);
}

void alloc_probe__sample_until(struct alloc_probe *p, uint64_t until_ns)
{
	p->obj->skel->data->alloc_config.until_ns = until_ns;
}

void alloc_probe__wait_detached(struct alloc_probe *p)
{
	closer__flush(p->closer);
}

/* As the programs do it (bpf/alloc_live.h, live_put and live_drop). */
static void mark(struct alloc_probe *p, uint64_t key, uint32_t n)
{
	__atomic_add_fetch(&p->obj->skel->bss->alloc_marks[MW_LIVE_MARK(key)], n, __ATOMIC_SEQ_CST);
}

static void live_drop(struct alloc_probe *p, uint64_t key)
{
	if (!bpf_map_delete_elem(bpf_map__fd(p->obj->skel->maps.alloc_live), &key))
		mark(p, key, -1);
}

void alloc_probe__remember(struct alloc_probe *p, uint64_t key, uint64_t size)
{
	int fd = bpf_map__fd(p->obj->skel->maps.alloc_live);

	mark(p, key, 1);
	if (!bpf_map_update_elem(fd, &key, &size, BPF_NOEXIST))
		return;
	mark(p, key, -1);
	bpf_map_update_elem(fd, &key, &size, BPF_EXIST);
}

void alloc_probe__forget_target(struct alloc_probe *p, uint32_t target)
{
	int fd = bpf_map__fd(p->obj->skel->maps.alloc_live);
	uint64_t key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (key >> MW_ADDR_BITS == target)
			live_drop(p, key);
	}
}

size_t alloc_probe__nlinks(const struct alloc_probe *p)
{
	return p->nlinks;
}

void alloc_probe__close_links(struct alloc_probe *p, size_t n)
{
	while (p->nlinks > n)
		link_close(p, &p->links[--p->nlinks]);
	closer__flush(p->closer);
}

void alloc_probe__forget(struct alloc_probe *p, uint64_t key)
{
	live_drop(p, key);
}

static int add_link(struct alloc_probe *p, uint32_t target, int pid, int fd, struct bpf_link *link)
{
	struct probe_link l = {.target = target, .pid = pid, .fd = fd, .link = link};
	int err = array_reserve(p->links, p->links_cap, p->nlinks + 1);

	if (err) {
		link_close(p, &l);
		return err;
	}
	p->links[p->nlinks++] = l;
	return 0;
}

/* Gives a site its row of callers; 0 when it needs none (or there is no room: then nested calls
 * are still recognised while a return probe is pending). */
static uint32_t site_row(struct alloc_probe *p, const struct site *s)
{
	struct mw_site row = {.ncallers = s->ncallers,
			      .null_goes_on = s->null_goes_on,
			      .align_goes_on = s->align_goes_on,
			      .nlayer = s->nlayer};
	uint32_t index;

	for (size_t i = 0; i < s->ncallers; i++) {
		row.caller[i].lo = s->caller[i].lo;
		row.caller[i].hi = s->caller[i].hi;
	}
	for (size_t i = 0; i < s->nlayer; i++) {
		row.layer[i].lo = s->layer[i].lo;
		row.layer[i].hi = s->layer[i].hi;
	}
	/* The same function of the same file has the same row in every process; row 0 is empty. */
	for (size_t i = 0; i < p->nsites; i++) {
		if (!memcmp(&p->sites[i], &row, sizeof(row)))
			return i;
	}
	index = p->nsites;
	if (index >= MW_MAX_SITES || array_reserve(p->sites, p->sites_cap, p->nsites + 1))
		return 0;
	p->sites[index] = row;
	if (bpf_map_update_elem(bpf_map__fd(p->obj->skel->maps.alloc_sites), &index, &row, 0))
		return 0;
	p->nsites++;
	return index;
}

struct probe_batch {
	uint64_t offsets[ALLOCS_MAX], cookies[ALLOCS_MAX];
	uint64_t semaphores[ALLOCS_MAX]; /* 0: none */
	size_t n;
};

static int attach_multi(struct alloc_probe *p, const struct bpf_program *prog, int type,
			const char *path, const struct probe_batch *b, int pid, uint32_t target,
			uint32_t flags)
{
	int fd = uprobe_link__create(bpf_program__fd(prog), type, path, b->offsets, b->cookies,
				     b->semaphores, b->n, pid, flags);

	return fd < 0 ? fd : add_link(p, target, pid, fd, NULL);
}

static int attach_single(struct alloc_probe *p, const struct bpf_program *prog, const char *path,
			 const struct probe_batch *b, int pid, uint32_t target, bool ret)
{
	for (size_t i = 0; i < b->n; i++) {
		struct bpf_link *link = uprobe_link__single(prog, ret, pid, path, b->offsets[i],
							    b->cookies[i], b->semaphores[i]);
		int err;

		if (!link)
			return -errno;
		err = add_link(p, target, pid, -1, link);
		if (err)
			return err;
	}
	return 0;
}

static int attach_batch(struct alloc_probe *p, const char *path, const struct probe_batch *b,
			int pid, uint32_t target, bool frees)
{
	struct memwatch_bpf *s = p->obj->skel;
	int err;

	if (!b->n)
		return 0;
	switch (p->method) {
	case PLAN_SESSION:
		if (frees)
			return attach_multi(p, s->progs.mw_alloc_free, MW_BPF_TRACE_UPROBE_MULTI,
					    path, b, pid, target, 0);
		return attach_multi(p, s->progs.mw_alloc_session, MW_BPF_TRACE_UPROBE_SESSION, path,
				    b, pid, target, 0);
	case PLAN_MULTI:
		if (frees)
			return attach_multi(p, s->progs.mw_alloc_free, MW_BPF_TRACE_UPROBE_MULTI,
					    path, b, pid, target, 0);
		/* The return first: an entry without its return would wait for ever. */
		err = attach_multi(p, s->progs.mw_alloc_return, MW_BPF_TRACE_UPROBE_MULTI, path, b,
				   pid, target, MW_BPF_F_UPROBE_MULTI_RETURN);
		return err ? err
			   : attach_multi(p, s->progs.mw_alloc_entry, MW_BPF_TRACE_UPROBE_MULTI,
					  path, b, pid, target, 0);
	case PLAN_SINGLE:
		if (frees)
			return attach_single(p, s->progs.mw_alloc_free, path, b, pid, target,
					     false);
		err = attach_single(p, s->progs.mw_alloc_return, path, b, pid, target, true);
		return err ? err
			   : attach_single(p, s->progs.mw_alloc_entry, path, b, pid, target, false);
	}
	return -EINVAL;
}

/* Entries alone, by whichever the kernel has. */
static int attach_plain(struct alloc_probe *p, const struct bpf_program *prog, const char *path,
			const struct probe_batch *b, int pid, uint32_t target)
{
	return p->method == PLAN_SINGLE
		       ? attach_single(p, prog, path, b, pid, target, false)
		       : attach_multi(p, prog, MW_BPF_TRACE_UPROBE_MULTI, path, b, pid, target, 0);
}

/*
 * Functions that throw are followed from the entry to their ret instructions by plain probes, on
 * every kernel: a return probe on the stack would end a program whose exception meets it.
 */
static int attach_throwing(struct alloc_probe *p, const char *path,
			   const struct probe_batch *entries, const struct probe_batch *exits,
			   int pid, uint32_t target)
{
	const struct bpf_program *prog[2] = {p->obj->skel->progs.mw_alloc_ret,
					     p->obj->skel->progs.mw_alloc_entry};
	const struct probe_batch *batch[2] = {exits, entries};
	int err = 0;

	if (!entries->n)
		return 0;
	if (!exits->n) {
		log_warn("operator new of an allocator of its own is not followed: its ways out "
			 "were not "
			 "found");
		return 0;
	}
	for (int i = 0; i < 2 && !err; i++)
		err = attach_plain(p, prog[i], path, batch[i], pid, target);
	return err;
}

enum { FREES, ALLOCS, THROWING, EXITS, BATCHES };

/* Does it take a block back, or change it? */
static bool takes_back(enum mw_fn fn)
{
	return allocs__signature(fn)->old > 0;
}

static void add_site(struct alloc_probe *p, const struct site *s, uint32_t target,
		     struct probe_batch b[BATCHES])
{
	enum mw_does does = allocs__signature(s->func.fn)->does;
	struct probe_batch *to = &b[does == MW_DOES_FREE    ? FREES
				    : does == MW_DOES_THROW ? THROWING
							    : ALLOCS];
	uint64_t flags = 0;

	if (s->wrapper || s->kind == SITE_NONE)
		return;
	if (s->kind == SITE_STEPPED)
		flags |= MW_COOKIE_STEPPED;
	if (s->calls_family)
		flags |= MW_COOKIE_CALLER;
	if (s->nlayer) {
		flags |= MW_COOKIE_LAYER;
		p->obj->skel->data->alloc_config.layers = 1;
	}
	to->offsets[to->n] = s->off;
	to->cookies[to->n++] = MW_COOKIE(target, s->func.fn, site_row(p, s)) | flags;
}

int alloc_probe__attach(struct alloc_probe *p, int pid, uint32_t target, int fd,
			const struct site *sites, size_t n, const uint64_t *exits, size_t nexits,
			size_t *ret_n)
{
	cleanup_free struct probe_batch *b = calloc(BATCHES, sizeof(*b));
	char path[64];
	int err;

	*ret_n = 0;
	if (!b)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* One after the other they come to be seen: what takes blocks back first, or a block would
	 * be known whose end was not seen. */
	for (int back = 1; back >= 0; back--) {
		for (size_t i = 0; i < n && i < ALLOCS_MAX; i++) {
			if (takes_back(sites[i].func.fn) == back)
				add_site(p, &sites[i], target, b);
		}
	}
	for (size_t i = 0; i < nexits && i < ALLOCS_MAX; i++) {
		b[EXITS].offsets[b[EXITS].n] = exits[i];
		b[EXITS].cookies[b[EXITS].n++] = MW_COOKIE(target, MW_FN_NEW, 0);
	}
	err = attach_batch(p, path, &b[FREES], pid, target, true);
	if (!err)
		err = attach_throwing(p, path, &b[THROWING], &b[EXITS], pid, target);
	if (!err)
		err = attach_batch(p, path, &b[ALLOCS], pid, target, false);
	if (!err)
		*ret_n = b[FREES].n + b[ALLOCS].n + b[THROWING].n + b[EXITS].n;
	return err;
}

/* Callers in the family, seen from a stub's site. */
static uint32_t fast_row(struct alloc_probe *p, const struct alloc_fast_site *f)
{
	struct site moved = *f->site;
	int64_t by = (int64_t)(f->site->vaddr + f->bias - f->addr);

	moved.null_goes_on = false;
	moved.align_goes_on = 0;
	for (size_t i = 0; i < moved.ncallers; i++) {
		moved.caller[i].lo += by;
		moved.caller[i].hi += by;
	}
	return site_row(p, &moved);
}

/* Attaches the sites of each kind to its program, kind after kind: those that tell of frees come
 * first, so that no allocation is seen before its free can be. fd: the file that they are in. */
static int attach_kinds(struct alloc_probe *p, const struct bpf_program *const *prog,
			const struct probe_batch *b, size_t n, int fd, int pid, uint32_t target)
{
	char path[64];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < n && !err; i++)
		err = b[i].n ? attach_plain(p, prog[i], path, &b[i], pid, target) : 0;
	return err;
}

int alloc_probe__attach_fast(struct alloc_probe *p, int pid, uint32_t target, int fd,
			     const struct alloc_fast_site *sites, size_t n)
{
	const struct bpf_program *prog[] = {
		[ALLOC_FAST_FREE] = p->obj->skel->progs.mw_fast_free,
		[ALLOC_FAST_UNFREE] = p->obj->skel->progs.mw_fast_unfree,
		[ALLOC_FAST_ALLOC] = p->obj->skel->progs.mw_fast_alloc,
	};
	cleanup_free struct probe_batch *b = calloc(ARRAY_SIZE(prog), sizeof(*b));

	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < n && i < ALLOCS_MAX; i++) {
		struct probe_batch *to = &b[sites[i].kind];
		uint32_t row = sites[i].kind == ALLOC_FAST_ALLOC ? fast_row(p, &sites[i]) : 0;

		to->offsets[to->n] = sites[i].off;
		to->cookies[to->n++] = MW_COOKIE(target, sites[i].fn, row);
	}
	return attach_kinds(p, prog, b, ARRAY_SIZE(prog), fd, pid, target);
}

/* The number of a row in usdt_rows, as site_row; -ENOSPC. */
static int usdt_row(struct alloc_probe *p, const struct mw_usdt *row)
{
	uint32_t index = p->nusdt;
	int err;

	for (size_t i = 0; i < p->nusdt; i++) {
		if (!memcmp(&p->usdt[i], row, sizeof(*row)))
			return (int)i;
	}
	err = index < MW_USDT_ROWS ? array_reserve(p->usdt, p->usdt_cap, p->nusdt + 1) : -ENOSPC;
	if (!err && bpf_map_update_elem(bpf_map__fd(p->obj->skel->maps.usdt_rows), &index, row, 0))
		err = -errno;
	if (err)
		return err;
	p->usdt[p->nusdt++] = *row;
	return (int)index;
}

int alloc_probe__attach_usdt(struct alloc_probe *p, int pid, uint32_t target, int fd,
			     const struct usdt_site *sites, size_t n)
{
	const struct bpf_program *prog[] = {p->obj->skel->progs.mw_usdt_free,
					    p->obj->skel->progs.mw_usdt_alloc};
	cleanup_free struct probe_batch *b = calloc(ARRAY_SIZE(prog), sizeof(*b));

	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < n && i < ALLOCS_MAX; i++) {
		struct probe_batch *to = &b[!sites[i].is_free];
		int row = usdt_row(p, &sites[i].row);

		if (row < 0)
			return row;
		to->offsets[to->n] = sites[i].off;
		to->semaphores[to->n] = sites[i].semaphore;
		to->cookies[to->n++] = MW_COOKIE(
			target, sites[i].is_free ? MW_FN_FREE : MW_FN_MALLOC, (uint32_t)row);
	}
	return attach_kinds(p, prog, b, ARRAY_SIZE(prog), fd, pid, target);
}
