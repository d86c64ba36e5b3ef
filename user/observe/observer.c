/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/observer.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "snapshot/go_part.h"
#include "observe/faults.h"
#include "observe/target.h"
#include "sys/nofile.h"

#define DEFAULT_RING_BYTES (16u << 20)
#define MAX_EVENTS_PER_POLL 200000
#define FREEZE_POLLS 64

static char error_text[512];

const char *observer__error(void)
{
	return error_text;
}

void observer__set_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, ap);
	va_end(ap);
}

static void use_programs(struct observer *s)
{
	struct memwatch_bpf *k = s->obj->skel;

	bpfobj__use_prog(k->progs.mw_proc_fork);
	bpfobj__use_prog(k->progs.mw_proc_exec);
	bpfobj__use_prog(k->progs.mw_proc_exit);
	if (!s->opts.faults_only)
		bpfobj__use_prog(k->progs.mw_alloc_thread_exit);
	if (s->opts.no_mmap || !s->features.f[FEATURE_SYSCALL_TP].have)
		return;
	bpfobj__use_map(k->maps.proc_mapcalls, 0);
	bpfobj__use_prog(k->progs.mw_proc_mmap_enter);
	bpfobj__use_prog(k->progs.mw_proc_mmap_exit);
	bpfobj__use_prog(k->progs.mw_proc_munmap_enter);
	bpfobj__use_prog(k->progs.mw_proc_munmap_exit);
	bpfobj__use_prog(k->progs.mw_proc_mremap_enter);
	bpfobj__use_prog(k->progs.mw_proc_mremap_exit);
	bpfobj__use_prog(k->progs.mw_proc_brk_enter);
	bpfobj__use_prog(k->progs.mw_proc_brk_exit);
}

/* Attaches every loaded tracepoint program of proc.bpf.c. */
static int attach_tracepoints(struct observer *s)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, s->obj->skel->obj)
	{
		struct bpf_link *link;
		int err;

		if (!bpf_program__autoload(prog) ||
		    (strncmp(bpf_program__name(prog), "mw_proc_", 8) &&
		     prog != s->obj->skel->progs.mw_alloc_thread_exit))
			continue;
		link = bpf_program__attach(prog);
		if (!link) {
			int saved = errno;

			observer__set_error("failed to attach '%s': %s%s", bpf_program__name(prog),
					    strerror(saved),
					    saved == EMFILE ? "; raise the limit (ulimit -n)" : "");
			return -saved;
		}
		err = array_reserve(s->links, s->links_cap, s->nlinks + 1);
		if (err) {
			bpf_link__destroy(link);
			return err;
		}
		s->links[s->nlinks++] = link;
	}
	return 0;
}

static int on_event(void *arg, void *data, size_t size);

static int load(struct observer *s)
{
	struct alloc_probe_opts probe_opts = {.sample_bytes = s->opts.sample_bytes,
					      .ring_bytes = s->opts.ring_bytes};
	struct unwind_maps_opts unwind_opts = {.budget_bytes = 0};
	int err, tables;

	features__probe(&s->features);
	if (features__missing(&s->features)) {
		observer__set_error("%s", features__missing(&s->features));
		return -EOPNOTSUPP;
	}
	err = bpfobj__open(&s->obj);
	if (err)
		return err;
	err = bpfobj__use_events(s->obj, s->opts.ring_bytes, MW_STRANGER + 1);
	if (!err)
		err = bpfobj__use_stacks(s->obj);
	if (err)
		return err;
	tables = unwind_maps__setup(s->obj);
	if (tables)
		log_warn("stacks follow frame pointers: this kernel cannot unwind by table (%s)",
			 strerror(-tables));
	if (!s->opts.faults_only)
		err = alloc_probe__new(s->obj, &s->features, &probe_opts, &s->probe);
	if (err) {
		observer__set_error("allocator probes need attach cookies (Linux 5.15)");
		return err;
	}
	use_programs(s);
	if (s->opts.fault_period)
		faults__use(s, s->opts.faults_all);
	err = bpfobj__load(s->obj);
	if (err) {
		observer__set_error("the kernel refused a BPF program: %s (-v shows its words)",
				    strerror(-err));
		return err;
	}
	err = tables ? 0 : unwind_maps__new(s->obj, &unwind_opts, &s->unwind);
	if (!err)
		err = bpfobj__ring(s->obj, on_event, s);
	if (!err)
		err = attach_tracepoints(s);
	if (!err && s->opts.fault_period) {
		err = faults__new(s, s->opts.fault_period, &s->faults);
		if (err)
			observer__set_error("page faults cannot be sampled: %s", strerror(-err));
	}
	if (!err && s->probe && calibrate__run(s->probe, &s->calibration))
		log_debug("the cost of a probe could not be measured");
	return err;
}

int observer__new(const struct observer_opts *opts, struct observer **ret)
{
	struct observer *s = calloc(1, sizeof(*s));
	struct heap_opts heap_opts = {.sample_bytes = opts->sample_bytes,
				      .max_blocks = opts->max_blocks,
				      .start_ns = util__now_ns()};
	struct symbolizer_opts sym_opts = {.no_lines = opts->no_lines};
	int err;

	error_text[0] = 0;
	if (!s)
		return -ENOMEM;
	nofile__raise();
	s->opts = *opts;
	if (!s->opts.ring_bytes)
		s->opts.ring_bytes = DEFAULT_RING_BYTES;
	err = heap__new(&heap_opts, &s->heap);
	if (!err)
		err = anon__new(s->heap, &s->anon);
	if (!err)
		err = symbolizer__new(&sym_opts, &s->symbolizer);
	if (!err)
		err = load(s);
	if (err) {
		observer__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void observer__detach_allocators(struct observer *s)
{
	alloc_probe__free(s->probe);
	s->probe = NULL;
}

void observer__set_rate(struct observer *s, uint64_t sample_bytes)
{
	if (!s->probe || s->opts.sample_bytes <= 1)
		return;
	/* What was sampled at the old rate is counted at it. */
	while (observer__poll(s) > 0)
		;
	s->opts.sample_bytes = sample_bytes;
	alloc_probe__set_rate(s->probe, sample_bytes);
	heap__set_rate(s->heap, sample_bytes);
}

static void detach(struct observer *s)
{
	if (s->faults)
		faults__stop(s->faults);
	alloc_probe__free(s->probe);
	s->probe = NULL;
	for (size_t i = 0; i < s->nlinks; i++)
		bpf_link__destroy(s->links[i]);
	s->nlinks = 0;
}

void observer__free(struct observer *s)
{
	if (!s)
		return;
	detach(s);
	faults__free(s->faults);
	unwind_maps__free(s->unwind);
	free(s->links);
	bpfobj__free(s->obj);
	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		target__free(s->targets[i]);
	symbolizer__free(s->symbolizer);
	module_table__fini(&s->modules);
	anon__free(s->anon);
	heap__free(s->heap);
	free(s->maps);
	free(s->frames);
	hash_index__fini(&s->frame_index);
	free(s);
}

/* The kernel must know which live blocks a followed child has, or it would not report their frees.
 */
struct share {
	struct observer *s;
	uint32_t child;
};

static void share_block(void *arg, const struct livemap_block *b)
{
	struct share *sh = arg;
	uint64_t size = b->size;

	if (b->key >> MW_ADDR_BITS == sh->child)
		bpf_map_update_elem(bpf_map__fd(sh->s->obj->skel->maps.alloc_live), &b->key, &size,
				    0);
}

static void forget_block(void *arg, const struct livemap_block *b)
{
	struct share *sh = arg;

	if (b->key >> MW_ADDR_BITS == sh->child)
		bpf_map_delete_elem(bpf_map__fd(sh->s->obj->skel->maps.alloc_live), &b->key);
}

/* The kernel's table of live samples need not remember a process that is gone. */
void observer__forget_live(struct observer *s, uint32_t target)
{
	struct share sh = {.s = s, .child = target};

	if (s->opts.sample_bytes > 1)
		livemap__each(&s->heap->live, forget_block, &sh);
}

static void on_fork(struct observer *s, const struct mw_ev_proc *ev)
{
	struct target *child;
	struct share sh = {.s = s};
	int err;

	if (!s->opts.follow)
		return;
	err = observer__add(s, ev->pid, &child);
	if (err) {
		if (err == -ESRCH) {
			s->children_gone++;
		} else if (!s->children_missed++) {
			log_warn("failed to follow child %u of %u: %s; continuing without it",
				 ev->pid, ev->parent,
				 observer__error()[0] ? observer__error() : strerror(-err));
		}
		log_debug("child %u of %u not followed: %s", ev->pid, ev->parent, strerror(-err));
		return;
	}
	child->child = true;
	s->heap->targets[child->index].follow_gap_ns = util__now_ns() - ev->hdr.time_ns;
	log_info("attached to child %u of %u (%s), %.1f ms after its fork", ev->pid, ev->parent,
		 child->comm, (double)s->heap->targets[child->index].follow_gap_ns / 1e6);
	heap__fork(s->heap, ev->hdr.target, child->index);
	anon__fork(s->anon, ev->hdr.target, child->index);
	sh.child = child->index;
	if (s->opts.sample_bytes > 1)
		livemap__each(&s->heap->live, share_block, &sh);
}

static void on_proc(struct observer *s, const struct mw_ev_proc *ev)
{
	struct target *t = ev->hdr.target < MW_MAX_TARGETS ? s->targets[ev->hdr.target] : NULL;

	if (!t)
		return;
	switch (ev->hdr.type) {
	case MW_EV_FORK: on_fork(s, ev); break;
	case MW_EV_EXEC:
		if (s->faults)
			faults__clear_target(s->faults, t->index);
		observer__forget_live(s, t->index);
		heap__clear_target(s->heap, t->index);
		anon__clear_target(s->anon, t->index);
		target__read_names(t);
		target__exec(s, t, ev->parent != ev->pid);
		go_part__look(t);
		log__printf(s->opts.faults_all ? LOG_DEBUG : LOG_INFO, "PID %d is now '%s' (exec)",
			    t->pid, t->comm);
		break;
	case MW_EV_EXIT: target__ended(s, t); break;
	}
}

/* The range may be mapped and touched anew before anyone looks at its pages. */
static void forget_unmapped(struct observer *s, const struct mw_ev_map *ev)
{
	if (ev->hdr.target >= MW_MAX_TARGETS)
		return;
	if (ev->hdr.kind == MW_MAP_MUNMAP)
		faults__unmapped(s->faults, ev->hdr.target, ev->addr, ev->size);
	else if (ev->hdr.kind == MW_MAP_MREMAP)
		faults__unmapped(s->faults, ev->hdr.target, ev->old_addr, ev->old_size);
}

static int on_event(void *arg, void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;
	struct observer *s = arg;

	s->events++;
	switch (hdr->type) {
	case MW_EV_ALLOC: heap__alloc(s->heap, data); break;
	case MW_EV_FREE: heap__dealloc(s->heap, data); break;
	case MW_EV_UNFREE: heap__undealloc(s->heap, data); break;
	case MW_EV_STACK:
		if (hdr->target == MW_STRANGER && s->faults)
			faults__on_stack(s->faults, data, size);
		else
			target__on_stack(s, data, size);
		break;
	case MW_EV_FAULT:
		if (s->faults)
			faults__event(s->faults, data);
		break;
	case MW_EV_MAP:
		anon__event(s->anon, data);
		if (s->faults)
			forget_unmapped(s, data);
		break;
	case MW_EV_EXECMAP:
		if (hdr->target < MW_MAX_TARGETS && s->targets[hdr->target])
			observer__rescan(s, s->targets[hdr->target]);
		break;
	case MW_EV_UNKNOWN_FILE:
		if (s->unwind)
			unwind_maps__on_unknown_file(s->unwind, data);
		break;
	case MW_EV_FORK:
	case MW_EV_EXEC:
	case MW_EV_EXIT: on_proc(s, data); break;
	}
	/* Under a flood the loop must still come round to its clock and signals. The event is
	 * consumed; a negative value only ends this reading. */
	return ++s->events_this_poll < MAX_EVENTS_PER_POLL ? 0 : -EAGAIN;
}

int observer__poll(struct observer *s)
{
	int n;

	s->events_this_poll = 0;
	if (!s->stopped)
		go_part__tick(s);
	n = bpfobj__drain(s->obj);
	return n < 0 && n != -EAGAIN ? n : (int)s->events_this_poll;
}

void observer__freeze(struct observer *s)
{
	if (s->probe)
		alloc_probe__set_rate(s->probe, 0);
	/* Mappings and processes go on being told of: the ring of a busy program may never run dry.
	 */
	for (int i = 0; i < FREEZE_POLLS && observer__poll(s) > 0; i++)
		;
	s->frozen = true;
}

void observer__stop(struct observer *s)
{
	if (s->stopped)
		return;
	s->stopped = true;
	detach(s);
	while (observer__poll(s) > 0)
		;
	s->frozen = true;
}

int observer__counters(struct observer *s, const struct target *t, uint64_t *ret)
{
	uint64_t one[MW_C_COUNT];
	int err;

	if (t)
		return bpfobj__counters(s->obj, t->index, ret);
	memset(ret, 0, sizeof(*ret) * MW_C_COUNT);
	for (uint32_t i = 0; i <= s->ntargets; i++) {
		err = bpfobj__counters(s->obj, i < s->ntargets ? i : MW_STRANGER, one);
		if (err)
			return err;
		for (int c = 0; c < MW_C_COUNT; c++)
			ret[c] += one[c];
	}
	return 0;
}

double observer__cost_ns(const struct observer *s, const uint64_t *c)
{
	const struct calibration *k = &s->calibration;
	uint64_t hits = c[MW_C_ALLOCS] + c[MW_C_FAILED_ALLOCS] + c[MW_C_FREES] +
			c[MW_C_NULL_FREES] + c[MW_C_NESTED];
	uint64_t stepped = min_of(c[MW_C_STEPPED], hits), returns = c[MW_C_RETURNS];

	if (!s->features.f[FEATURE_UPROBE_SESSION].have)
		returns = c[MW_C_ALLOCS];
	/* A return probe takes a trap more: half an emulated hit, as measured on Linux 6.18. */
	stepped += c[MW_C_RETS];
	hits += c[MW_C_RETS];
	return (double)(hits - stepped) * k->emulated_ns + (double)stepped * k->stepped_ns +
	       (double)returns * k->emulated_ns / 2 + (double)c[MW_C_SAMPLE_NS];
}

char *observer__cost(const struct observer *s, const uint64_t *c, char *buf, size_t len)
{
	double cost = observer__cost_ns(s, c), watched = 0;

	for (uint32_t i = 0; i < s->ntargets; i++)
		watched = max_of(watched, (double)(util__now_ns() - s->targets[i]->start_ns));
	if (!s->calibration.emulated_ns || watched <= 0)
		snprintf(buf, len, "not known");
	else
		snprintf(buf, len, "%.2f %% of one CPU (%.1f ms)", 100 * cost / watched,
			 cost / 1e6);
	return buf;
}
