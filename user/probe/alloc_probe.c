/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/alloc_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/log.h"
#include "core/util.h"
#include "probe/uprobe_link.h"

enum method { METHOD_SESSION, METHOD_MULTI, METHOD_SINGLE };

struct probe_link {
	uint32_t target;
	int fd;		       /* uprobe_multi link, or -1 */
	struct bpf_link *link; /* perf event link, or NULL */
};

#define MAX_CLAIMS 64

/* A file whose throwing functions this memwatch probes for one target; see claim(). */
struct claim {
	uint32_t target;
	int fd;
};

struct alloc_probe {
	struct claim claims[MAX_CLAIMS];
	size_t nclaims;
	struct bpfobj *obj;
	enum method method;
	struct probe_link *links;
	size_t nlinks, links_cap;
	uint32_t nsites; /* rows of alloc_sites in use; row 0 means "no callers" */
};

/* Bytes that operator new may ask for without any chance of failing; see may_throw() in
 * alloc.bpf.c. With strict overcommit every allocation may fail. */
static uint64_t new_max_bytes(void)
{
	cleanup_free char *text = NULL;
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	if (util__read_file("/proc/sys/vm/overcommit_memory", 64, &text) > 0 && text[0] == '2')
		return 0;
	return pages > 0 ? (uint64_t)pages * page / 4 : 0;
}

static uint64_t max_map_count(void)
{
	cleanup_free char *text = NULL;

	if (util__read_file("/proc/sys/vm/max_map_count", 64, &text) <= 0)
		return 65530;
	return strtoull(text, NULL, 10);
}

static void use_programs(struct alloc_probe *p)
{
	struct memwatch_bpf *s = p->obj->skel;

	bpfobj__use_prog(s->progs.mw_alloc_free);
	if (p->method == METHOD_SESSION) {
		bpfobj__use_prog(s->progs.mw_alloc_session);
		bpf_program__set_expected_attach_type(s->progs.mw_alloc_session,
						      MW_BPF_TRACE_UPROBE_SESSION);
	} else {
		bpfobj__use_prog(s->progs.mw_alloc_entry);
		bpfobj__use_prog(s->progs.mw_alloc_return);
	}
	if (p->method == METHOD_SINGLE)
		return;
	bpf_program__set_expected_attach_type(s->progs.mw_alloc_free, MW_BPF_TRACE_UPROBE_MULTI);
	bpf_program__set_expected_attach_type(s->progs.mw_alloc_entry, MW_BPF_TRACE_UPROBE_MULTI);
	bpf_program__set_expected_attach_type(s->progs.mw_alloc_return, MW_BPF_TRACE_UPROBE_MULTI);
}

/* The best rung that the kernel has. MEMWATCH_PROBE=multi or =single takes a lower one, so that
 * tests can prove each on one kernel. */
static enum method pick_method(const struct features *fs)
{
	const char *cap = getenv("MEMWATCH_PROBE");
	enum method best = fs->f[FEATURE_UPROBE_SESSION].have ? METHOD_SESSION
			   : fs->f[FEATURE_UPROBE_MULTI].have ? METHOD_MULTI
							      : METHOD_SINGLE;

	if (cap && !strcmp(cap, "single"))
		return METHOD_SINGLE;
	if (cap && !strcmp(cap, "multi") && best == METHOD_SESSION)
		return METHOD_MULTI;
	return best;
}

int alloc_probe__new(struct bpfobj *o, const struct features *fs,
		     const struct alloc_probe_opts *opts, struct alloc_probe **ret)
{
	struct alloc_probe *p;
	struct mw_alloc_config *cfg = &o->skel->data->alloc_config;
	int err;

	if (!fs->f[FEATURE_COOKIE].have)
		return -EOPNOTSUPP;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->obj = o;
	p->nsites = 1;
	p->method = pick_method(fs);
	cfg->sample_bytes = opts->sample_bytes;
	cfg->wake_bytes = opts->wake_bytes ? opts->wake_bytes : opts->ring_bytes / 8;
	cfg->new_max_bytes = new_max_bytes();
	cfg->max_map_count = max_map_count();
	use_programs(p);
	err = bpfobj__use_map(o->skel->maps.alloc_sites, 0);
	if (!err) /* exact mode keeps no live blocks in the kernel */
		err = bpfobj__use_map(o->skel->maps.alloc_live,
				      opts->sample_bytes <= 1 ? 1 : opts->max_live);
	if (!err)
		err = bpfobj__use_map(o->skel->maps.alloc_callers, 0);
	if (!err)
		err = bpfobj__use_map(o->skel->maps.alloc_threads, opts->max_threads);
	if (err) {
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void link_close(struct probe_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	bpf_link__destroy(l->link);
}

static void release_claims(struct alloc_probe *p, uint32_t target, bool all)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nclaims; i++) {
		if (all || p->claims[i].target == target)
			close(p->claims[i].fd);
		else
			p->claims[n++] = p->claims[i];
	}
	p->nclaims = n;
}

void alloc_probe__free(struct alloc_probe *p)
{
	if (!p)
		return;
	release_claims(p, 0, true);
	/* All at one moment: taking the probes out one by one lasts tens of milliseconds. */
	alloc_probe__set_rate(p, 0);
	/* In the reverse order: while a free can no longer be seen, no allocation may be. */
	while (p->nlinks)
		link_close(&p->links[--p->nlinks]);
	free(p->links);
	free(p);
}

void alloc_probe__detach_target(struct alloc_probe *p, uint32_t target)
{
	size_t n = 0;

	release_claims(p, target, false);

	for (size_t i = p->nlinks; i-- > 0;) {
		if (p->links[i].target != target)
			continue;
		link_close(&p->links[i]);
		p->links[i].target = UINT32_MAX;
	}
	for (size_t i = 0; i < p->nlinks; i++) {
		if (p->links[i].target != UINT32_MAX)
			p->links[n++] = p->links[i];
	}
	p->nlinks = n;
}

void alloc_probe__set_rate(struct alloc_probe *p, uint64_t sample_bytes)
{
	p->obj->skel->data->alloc_config.sample_bytes = sample_bytes;
}

static int add_link(struct alloc_probe *p, uint32_t target, int fd, struct bpf_link *link)
{
	struct probe_link l = {.target = target, .fd = fd, .link = link};
	int err = array_reserve(p->links, p->links_cap, p->nlinks + 1);

	if (err) {
		link_close(&l);
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
			      .align_goes_on = s->align_goes_on};
	uint32_t index = p->nsites;

	if ((!s->ncallers && !s->null_goes_on && !s->align_goes_on) || index >= MW_MAX_SITES)
		return 0;
	for (size_t i = 0; i < s->ncallers; i++) {
		row.caller[i].lo = s->caller[i].lo;
		row.caller[i].hi = s->caller[i].hi;
	}
	if (bpf_map_update_elem(bpf_map__fd(p->obj->skel->maps.alloc_sites), &index, &row, 0))
		return 0;
	p->nsites++;
	return index;
}

struct batch {
	uint64_t offsets[ALLOCS_MAX], cookies[ALLOCS_MAX];
	size_t n;
};

static int attach_multi(struct alloc_probe *p, const struct bpf_program *prog, int type,
			const char *path, const struct batch *b, int pid, uint32_t target,
			uint32_t flags)
{
	int fd = uprobe_link__create(bpf_program__fd(prog), type, path, b->offsets, b->cookies, b->n,
				     pid, flags);

	return fd < 0 ? fd : add_link(p, target, fd, NULL);
}

static int attach_single(struct alloc_probe *p, const struct bpf_program *prog, const char *path,
			 const struct batch *b, int pid, uint32_t target, bool ret)
{
	for (size_t i = 0; i < b->n; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = b->cookies[i], .retprobe = ret);
		struct bpf_link *link =
			bpf_program__attach_uprobe_opts(prog, pid, path, b->offsets[i], &opts);
		int err;

		if (!link)
			return -errno;
		err = add_link(p, target, -1, link);
		if (err)
			return err;
	}
	return 0;
}

static int attach_batch(struct alloc_probe *p, const char *path, const struct batch *b, int pid,
			uint32_t target, bool frees)
{
	struct memwatch_bpf *s = p->obj->skel;
	int err;

	if (!b->n)
		return 0;
	switch (p->method) {
	case METHOD_SESSION:
		if (frees)
			return attach_multi(p, s->progs.mw_alloc_free, MW_BPF_TRACE_UPROBE_MULTI,
					    path, b, pid, target, 0);
		return attach_multi(p, s->progs.mw_alloc_session, MW_BPF_TRACE_UPROBE_SESSION, path,
				    b, pid, target, 0);
	case METHOD_MULTI:
		if (frees)
			return attach_multi(p, s->progs.mw_alloc_free, MW_BPF_TRACE_UPROBE_MULTI,
					    path, b, pid, target, 0);
		/* The return first: an entry without its return would wait for ever. */
		err = attach_multi(p, s->progs.mw_alloc_return, MW_BPF_TRACE_UPROBE_MULTI, path, b,
				   pid, target, MW_BPF_F_UPROBE_MULTI_RETURN);
		return err ? err
			   : attach_multi(p, s->progs.mw_alloc_entry, MW_BPF_TRACE_UPROBE_MULTI,
					  path, b, pid, target, 0);
	case METHOD_SINGLE:
		if (frees)
			return attach_single(p, s->progs.mw_alloc_free, path, b, pid, target, false);
		err = attach_single(p, s->progs.mw_alloc_return, path, b, pid, target, true);
		return err ? err
			   : attach_single(p, s->progs.mw_alloc_entry, path, b, pid, target, false);
	}
	return -EINVAL;
}

/*
 * Without sessions the return probe is there on every call, also on one that throws, and an
 * exception that meets it ends the program (see may_throw() in alloc.bpf.c). So operator new of an
 * allocator of its own has no return probe there: its calls are only counted, as not followed.
 */
static bool can_follow(const struct alloc_probe *p, const struct site *s)
{
	if (s->func.fn != MW_FN_NEW || p->method == METHOD_SESSION)
		return true;
	log_warn("%s is not followed: without session uprobes (Linux 6.13) a return probe on a function "
		 "that throws would endanger the target",
		 s->func.name);
	return false;
}

/*
 * Linux (6.18) puts the return trampoline of a probe into every process that has a breakpoint
 * there, whichever process the probe was for: a probe of one target's operator new would end
 * another target that throws. So each file's throwing functions are probed for one target of one
 * memwatch at a time. The claim is an abstract socket, which the kernel drops with its owner.
 */
static bool claim(struct alloc_probe *p, uint32_t target, int fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	int sock, len;

	if (p->nclaims == MAX_CLAIMS || fstat(fd, &st))
		return false;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return false;
	len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "memwatch-throws-%llx-%llx",
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	if (bind(sock, (struct sockaddr *)&addr,
		 offsetof(struct sockaddr_un, sun_path) + 1 + len)) {
		close(sock);
		log_warn("operator new of an allocator of its own is not followed in one more process: it "
			 "is being followed in another, and the two would endanger each other");
		return false;
	}
	p->claims[p->nclaims++] = (struct claim){.target = target, .fd = sock};
	return true;
}

static bool any_throws(const struct site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (sites[i].func.fn == MW_FN_NEW && !sites[i].wrapper && sites[i].kind != SITE_NONE)
			return true;
	}
	return false;
}

static int attach_counted(struct alloc_probe *p, const char *path, const struct batch *b, int pid,
			  uint32_t target)
{
	const struct bpf_program *entry = p->obj->skel->progs.mw_alloc_entry;

	if (!b->n)
		return 0;
	return p->method == METHOD_SINGLE
		       ? attach_single(p, entry, path, b, pid, target, false)
		       : attach_multi(p, entry, MW_BPF_TRACE_UPROBE_MULTI, path, b, pid, target, 0);
}

int alloc_probe__attach(struct alloc_probe *p, int pid, uint32_t target, int fd,
			const struct site *sites, size_t n, size_t *ret_n)
{
	cleanup_free struct batch *frees = calloc(1, sizeof(*frees));
	cleanup_free struct batch *allocs = calloc(1, sizeof(*allocs));
	cleanup_free struct batch *counted = calloc(1, sizeof(*counted));
	bool claimed;
	char path[64];
	int err;

	*ret_n = 0;
	if (!frees || !allocs || !counted)
		return -ENOMEM;
	claimed = any_throws(sites, n) && claim(p, target, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < n && i < ALLOCS_MAX; i++) {
		const struct site *s = &sites[i];
		struct batch *b = s->func.fn == MW_FN_FREE ? frees : allocs;
		uint64_t flags = 0;

		if (s->wrapper || s->kind == SITE_NONE || (s->func.fn == MW_FN_NEW && !claimed))
			continue;
		if (s->kind == SITE_STEPPED)
			flags |= MW_COOKIE_STEPPED;
		if (s->calls_family)
			flags |= MW_COOKIE_CALLER;
		if (!can_follow(p, s)) {
			flags |= MW_COOKIE_COUNT;
			b = counted;
		}
		b->offsets[b->n] = s->off;
		b->cookies[b->n++] =
			MW_COOKIE(target, s->func.fn, 0, site_row(p, s)) | flags;
	}
	err = attach_batch(p, path, frees, pid, target, true);
	if (!err)
		err = attach_batch(p, path, allocs, pid, target, false);
	if (!err)
		err = attach_counted(p, path, counted, pid, target);
	if (!err)
		*ret_n = frees->n + allocs->n;
	return err;
}
