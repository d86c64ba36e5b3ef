/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/observer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/rung.h"
#include "sys/nofile.h"

#define RING_BYTES (16u << 20)
#define FEW_RING_BYTES (1 << 20) /* of page faults at a low rate */
#define FEW_FAULTS 8192		 /* per sample, or more */
#define MAX_EVENTS_PER_POLL 200000
#define WORK_NS 100000000ULL	  /* on what events ask for, in one reading */
#define CATCH_UP_NS 3000000000ULL /* of who wants to know all that is there */
#define LOOKS_SHARE 0.2		  /* of the time, of all targets' mappings */
#define LOOKS_BURST_NS 5000000000ULL
#define MAX_ENDS 64    /* read at once */
#define MAX_PUT_OFF 64 /* polls at which ends may wait for the ring's */
#define RING_TAG UINT32_MAX
#define INITIAL_PID_NS_INO 0xeffffffcu

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

void observer__tell(const struct observer *o, const struct observer_event *e)
{
	if (o->opts.tell)
		o->opts.tell(o->opts.arg, e);
}

/* The kernel tells PIDs of the initial namespace; in another one every number would be wrong. */
static bool in_initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NS_INO;
}

const char *observer__refusal(void)
{
	if (geteuid() != 0 && !features__privileged())
		return "not permitted: attaching needs root (sudo), or CAP_BPF, CAP_PERFMON and "
		       "CAP_SYS_PTRACE";
	if (!in_initial_pid_namespace())
		return "not supported in a PID namespace: run memwatch on the host, with the "
		       "host's PID of the process (a container needs --pid=host)";
	return NULL;
}

static int on_event(void *arg, void *data, size_t size);

/* Sampled faults alone are few; the others must have room for what a burst brings. */
static uint32_t ring_bytes(const struct observer_opts *o)
{
	if (o->faults_only && o->fault_period >= FEW_FAULTS)
		return FEW_RING_BYTES;
	return o->tuning.ring_bytes ? o->tuning.ring_bytes : RING_BYTES;
}

static int open_plan(struct observer *o)
{
	struct plan_want want = {
		.processes = true,
		.all_processes = o->opts.wants != NULL,
		.mappings = !o->opts.no_mmap,
		.allocators = !o->opts.faults_only,
		.fast = o->opts.fast,
		.faults = o->opts.fault_period > 0,
		.faults_of_all = o->opts.faults_all,
		.sample_bytes = o->opts.sample_bytes,
		.ring_bytes = ring_bytes(&o->opts),
		.max_depth = o->opts.max_depth,
		.counter_rows = MW_STRANGER + 1,
		.tuning = o->opts.tuning,
	};
	struct features fs;
	struct plan plan;
	int err;

	features__probe(&fs);
	if (features__missing(&fs)) {
		observer__set_error("%s", features__missing(&fs));
		return -EOPNOTSUPP;
	}
	err = plan__make(&fs, &want, &plan);
	if (err) {
		observer__set_error("%s", plan.lacks);
		return -EOPNOTSUPP;
	}
	return bpfobj__open(&plan, &o->obj);
}

static int start_probes(struct observer *o)
{
	struct unwind_maps_opts unwind_opts = {.budget_bytes = o->opts.tuning.table_bytes,
					       .state_dir = o->opts.tuning.state_dir,
					       .patience_ns = o->opts.patience_ns};
	int err = bpfobj__plan(o->obj)->tables ? unwind_maps__new(o->obj, &unwind_opts, &o->unwind)
					       : 0;

	if (!err)
		err = bpfobj__ring(o->obj, on_event, o);
	if (!err)
		err = proc_probe__new(o->obj, &o->proc, error_text, sizeof(error_text));
	if (!err && !o->opts.faults_only)
		err = alloc_probe__new(o->obj, &o->probe);
	if (!err && o->opts.fault_period) {
		err = faults__new(o, o->opts.fault_period, &o->faults);
		if (err)
			observer__set_error("page faults cannot be sampled: %s", strerror(-err));
	}
	if (!err && o->probe && calibrate__new(o->obj, o->probe, &o->calibration, &o->calibrator))
		log_debug("the cost of a probe could not be measured");
	return err;
}

static int start(struct observer *o)
{
	int err = open_plan(o);

	if (err)
		return err;
	if (!bpfobj__plan(o->obj)->tables) {
		struct observer_event e = {.what = OBSERVER_FP_STACKS, .err = -EOPNOTSUPP};

		observer__tell(o, &e);
	}
	err = bpfobj__load(o->obj);
	if (err) {
		observer__set_error("the kernel refused a BPF program: %s (-v shows its words)",
				    strerror(-err));
		return err;
	}
	return start_probes(o);
}

/* One descriptor for the ring and for the ends of targets. */
static int watch_ring(struct observer *o)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = RING_TAG};

	return epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, bpfobj__ring_fd(o->obj), &e) ? -errno : 0;
}

int observer__new(const struct observer_opts *opts, struct observer **ret)
{
	struct heap_opts heap_opts = {.sample_bytes = opts->sample_bytes,
				      .start_ns = util__now_ns()};
	struct observer *o = calloc(1, sizeof(*o));
	int err;

	error_text[0] = 0;
	if (!o)
		return -ENOMEM;
	nofile__raise();
	o->opts = *opts;
	o->modules.reads_on = opts->patience_ns;
	o->modules.names_only = opts->faults_only && opts->no_mmap;
	allowance__init(&o->looks, LOOKS_SHARE, LOOKS_BURST_NS, util__now_ns());
	o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = o->epoll_fd < 0 ? -errno : heap__new(&heap_opts, &o->heap);
	if (!err)
		err = anon__new(o->heap, &o->anon);
	if (!err)
		err = start(o);
	if (!err)
		err = watch_ring(o);
	if (err) {
		observer__free(o);
		return err;
	}
	*ret = o;
	return 0;
}

/* Before the probes go: what is counted inside the targets would be counted for nobody. */
static void leave_all(struct observer *o)
{
	for (size_t i = 0; i < o->ntargets; i++) {
		struct observed *t = o->targets[i];

		if (t && !t->pub.ended)
			rung__leave(o, t);
	}
}

static void detach(struct observer *o)
{
	if (o->faults)
		faults__stop(o->faults);
	leave_all(o);
	alloc_probe__free(take_ptr(o->probe));
	calibrate__free(take_ptr(o->calibrator));
	o->nsharers = 0;
	proc_probe__free(take_ptr(o->proc));
}

void observer__free(struct observer *o)
{
	if (!o)
		return;
	detach(o);
	faults__free(o->faults);
	unwind_maps__free(o->unwind);
	bpfobj__free(o->obj);
	for (size_t i = 0; i < o->ntargets; i++)
		observed__free(o, o->targets[i]);
	module_table__fini(&o->modules);
	anon__free(o->anon);
	heap__free(o->heap);
	free(o->sharers);
	free(o->maps);
	free(o->frames);
	hash_index__fini(&o->frame_index);
	if (o->epoll_fd >= 0)
		close(o->epoll_fd);
	free(o);
}

void observer__set_rate(struct observer *o, uint64_t sample_bytes)
{
	uint64_t since_ns;
	bool coarser;

	if (!o->probe || o->opts.sample_bytes <= 1)
		return;
	/* What was sampled before the last change is counted: the heap knows of one. */
	observer__catch_up(o);
	/*
	 * The change is not one moment for all that sample. What falls between is weighed at the
	 * finer of both rates: few samples at the coarser are then a little light, where many at
	 * the finer would be far too heavy.
	 */
	since_ns = util__now_ns();
	alloc_probe__set_rate(o->probe, sample_bytes);
	coarser = sample_bytes > o->opts.sample_bytes;
	o->opts.sample_bytes = sample_bytes;
	for (size_t i = 0; i < o->ntargets; i++) {
		if (o->targets[i])
			rung__set_rate(o, o->targets[i]);
	}
	if (coarser)
		since_ns = util__now_ns();
	heap__set_rate(o->heap, sample_bytes, since_ns);
}

void observer__thin(struct observer *o, const struct target *target, unsigned octaves)
{
	struct observed *t = observed_of(target);
	uint64_t since_ns;
	bool coarser;

	if (!o->probe || o->opts.sample_bytes <= 1 || t->thin == octaves)
		return;
	observer__catch_up(o); /* as above: the heap knows of one change */
	since_ns = util__now_ns();
	alloc_probe__thin(o->probe, target->index, octaves);
	coarser = octaves > t->thin;
	t->thin = octaves;
	rung__set_rate(o, t);
	if (coarser)
		since_ns = util__now_ns();
	heap__thin(o->heap, target->index, octaves, since_ns);
}

struct forget {
	struct observer *o;
	uint32_t target;
};

static void forget_block(void *arg, const struct livemap_block *b)
{
	struct forget *f = arg;

	if (b->key >> MW_ADDR_BITS == f->target)
		alloc_probe__forget(f->o->probe, b->key);
}

void observer__forget_live(struct observer *o, uint32_t target)
{
	struct forget f = {.o = o, .target = target};

	if (o->probe && o->opts.sample_bytes > 1)
		livemap__each(&o->heap->live, forget_block, &f);
}

/* --- events --- */

struct observed *observer__of(const struct observer *o, uint32_t index)
{
	return index < MW_MAX_TARGETS ? o->targets[index] : NULL;
}

/* The range may be mapped and touched anew before anyone looks at its pages. */
static void forget_unmapped(struct observer *o, const struct mw_ev_map *ev)
{
	if (ev->hdr.target >= MW_MAX_TARGETS)
		return;
	if (ev->hdr.kind == MW_MAP_MUNMAP)
		faults__unmapped(o->faults, ev->hdr.target, ev->addr, ev->size);
	else if (ev->hdr.kind == MW_MAP_MREMAP)
		faults__unmapped(o->faults, ev->hdr.target, ev->old_addr, ev->old_size);
}

static int on_stack(struct observer *o, const void *data, size_t size)
{
	const struct mw_ev_stack *ev = data;

	if (size < sizeof(*ev))
		return 0;
	if (ev->hdr.target == MW_STRANGER)
		return o->faults ? observer__queue(o, JOB_STACK, data, size) : 0;
	return frames__on_stack(o, ev, size, false) == -EAGAIN
		       ? observer__queue(o, JOB_STACK, data, size)
		       : 0;
}

static int on_map(struct observer *o, const struct mw_ev_map *ev)
{
	const struct observed *t = observer__of(o, ev->hdr.target);

	if (t && ev->hdr.kind == MW_MAP_MMAP && rung__owns(t, ev->addr))
		return 0; /* mapped by memwatch */
	anon__event(o->anon, ev);
	if (o->faults)
		forget_unmapped(o, ev);
	return 0;
}

/* The event's stack was a copy: from now on it is what was found in it. */
static void replace_copy(const struct observer *o, void *data)
{
	struct mw_ev_hdr *hdr = data;
	__u64 *stack;

	switch (hdr->type) {
	case MW_EV_WEIGHED: stack = &((struct mw_ev_weighed *)data)->alloc.stack; break;
	case MW_EV_ALLOC: stack = &((struct mw_ev_alloc *)data)->stack; break;
	case MW_EV_MAP: stack = &((struct mw_ev_map *)data)->stack; break;
	case MW_EV_FAULT: stack = &((struct mw_ev_fault *)data)->stack; break;
	default: return;
	}
	if (*stack & MW_STACK_COPY)
		*stack = frames__of_copy(o, *stack);
}

/* What is still on its way from the probes that it had before must not come into the heap. */
static bool samples_itself(const struct observer *o, uint32_t target)
{
	const struct observed *t = observer__of(o, target);

	return t && t->pub.samples_itself;
}

/* Changes the model, or leaves the event to observer__work. 0 or -EAGAIN. */
static int take_event(struct observer *o, const void *data, size_t size)
{
	const struct mw_ev_hdr *hdr = data;

	if (hdr->target != MW_STRANGER && !observer__of(o, hdr->target))
		return 0; /* of one that was let go */
	switch (hdr->type) {
	case MW_EV_ALLOC:
		if (!samples_itself(o, hdr->target))
			heap__alloc(o->heap, data);
		return 0;
	case MW_EV_WEIGHED:
		if (samples_itself(o, hdr->target))
			heap__weighed(o->heap, data);
		return 0;
	case MW_EV_FREE: heap__dealloc(o->heap, data); return 0;
	case MW_EV_UNFREE: heap__undealloc(o->heap, data); return 0;
	case MW_EV_STACK: return on_stack(o, data, size);
	case MW_EV_COPY: return o->unwind ? observer__queue(o, JOB_COPY, data, size) : 0;
	case MW_EV_FAULT:
		if (o->faults && faults__event(o->faults, data) == -EAGAIN)
			return observer__queue(o, JOB_FAULT, data, size);
		return 0;
	case MW_EV_MAP: return on_map(o, data);
	case MW_EV_UNKNOWN_FILE:
		if (o->unwind)
			unwind_maps__on_unknown_file(o->unwind, data);
		return 0;
	}
	if (hdr->target == MW_STRANGER)
		return hdr->type == MW_EV_FORK || hdr->type == MW_EV_EXEC
			       ? observer__queue(o, JOB_CAME, data, size)
			       : 0;
	switch (hdr->type) {
	case MW_EV_EXECMAP: return observer__queue(o, JOB_RESCAN, data, size);
	case MW_EV_SHARER: return observer__queue(o, JOB_SHARER, data, size);
	case MW_EV_FORK:
		return hdr->kind || o->opts.follow || o->opts.wants
			       ? observer__queue(o, JOB_FOLLOW, data, size)
			       : 0;
	case MW_EV_EXEC: return observer__queue(o, JOB_EXEC, data, size);
	case MW_EV_EXIT: return observer__queue(o, JOB_END, data, size);
	case MW_EV_THREAD_END: return observer__queue(o, JOB_THREAD_END, data, size);
	}
	return 0;
}

static int on_event(void *arg, void *data, size_t size)
{
	struct observer *o = arg;
	int err;

	replace_copy(o, data);
	err = take_event(o, data, size);

	o->events++;
	/* Under a flood the loop must still come round to its clock and signals. The event is
	 * consumed; a negative value only ends this reading. */
	return ++o->events_this_poll < MAX_EVENTS_PER_POLL ? err : -EAGAIN;
}

static int read_events(struct observer *o)
{
	uint64_t until = util__now_ns() + WORK_NS;
	bool more, to_the_end;
	int n;

	o->events_this_poll = 0;
	do {
		n = bpfobj__drain(o->obj);
		to_the_end = n >= 0 && !o->has_job;
		more = o->has_job && o->events_this_poll < MAX_EVENTS_PER_POLL &&
		       util__now_ns() < until;
		observer__work(o);
	} while (more);
	if (to_the_end) {
		o->drained++;
		if (observer__has_waste(o))
			observer__compact(o);
	}
	return n < 0 && n != -EAGAIN ? n : (int)o->events_this_poll;
}

/*
 * All that is in the ring by now: it is read to its end, and once more for what a program was just
 * writing. Not until nothing comes any more, which on a busy machine is never, and no longer than
 * that: others wait for the loop. False: it was not read to its end.
 */
static bool read_what_is_there(struct observer *o, int (*read)(struct observer *o), uint64_t ns)
{
	uint64_t enough = o->drained + 2, until = util__now_ns() + ns;
	int n;

	do
		n = read(o);
	while (n > 0 && o->drained < enough && util__now_ns() < until);
	return n <= 0 || o->drained + 1 >= enough;
}

/* What processes did last is still in the ring when their ends are seen: they have ended for the
 * observer when that is read, which may be at a later poll. */
static void read_ends(struct observer *o)
{
	struct epoll_event e[MAX_ENDS];
	int n = epoll_wait(o->epoll_fd, e, MAX_ENDS, 0), nends = 0;

	for (int i = 0; i < n; i++) {
		if (e[i].data.u32 != RING_TAG)
			e[nends++] = e[i];
	}
	if (!nends ||
	    !(read_what_is_there(o, read_events, WORK_NS) || ++o->ends_put_off > MAX_PUT_OFF))
		return;
	o->ends_put_off = 0;
	for (int i = 0; i < nends; i++) {
		struct observed *t = observer__of(o, e[i].data.u32);

		if (t)
			observed__ended(o, t);
	}
}

int observer__poll(struct observer *o)
{
	int n = read_events(o);

	mappings__look_again(o);
	mappings__read_on(o);
	if (!o->stopped) {
		read_ends(o);
		sharers__look(o);
	}
	if (!o->frozen && !o->stopped && o->calibrator &&
	    calibrate__is_due(o->calibrator, util__now_ns()))
		calibrate__again(o->calibrator, &o->calibration);
	if (o->opts.faults_all)
		observer__limit_ended(o);
	return n;
}

void observer__catch_up(struct observer *o)
{
	read_what_is_there(o, observer__poll, CATCH_UP_NS);
}

int observer__fd(const struct observer *o)
{
	return o->epoll_fd;
}

void observer__freeze(struct observer *o)
{
	if (o->probe)
		alloc_probe__set_rate(o->probe, 0);
	observer__catch_up(o); /* mappings and processes go on being told of */
	o->frozen = true;
}

void observer__stop(struct observer *o)
{
	if (o->stopped)
		return;
	o->stopped = true;
	detach(o);
	while (observer__poll(o) > 0)
		;
	o->frozen = true;
}

/* --- targets --- */

const struct target *observer__next(const struct observer *o, const struct target *t)
{
	for (size_t i = t ? t->index + 1 : 0; i < o->ntargets; i++) {
		if (o->targets[i])
			return &o->targets[i]->pub;
	}
	return NULL;
}

const struct target *observer__at(const struct observer *o, uint32_t index)
{
	struct observed *t = observer__of(o, index);

	return t ? &t->pub : NULL;
}

const struct target *observer__find(const struct observer *o, int pid)
{
	const struct target *newest = NULL;

	for (size_t i = 0; i < o->ntargets; i++) {
		const struct target *t = observer__at(o, i);

		if (t && t->pid == pid && (!newest || t->start_ns > newest->start_ns))
			newest = t;
	}
	return newest;
}

size_t observer__count(const struct observer *o)
{
	return o->count;
}

size_t observer__living(const struct observer *o)
{
	return o->nlive;
}

int observer__rescan(struct observer *o, const struct target *t)
{
	return mappings__scan(o, observed_of(t));
}

void observer__set_children_held(struct observer *o, bool held)
{
	o->children_held = held;
}

void observer__wait_tables(struct observer *o)
{
	if (o->unwind)
		unwind_maps__drain(o->unwind);
}

/* --- what was seen --- */

bool observer__frozen(const struct observer *o)
{
	return o->frozen;
}

uint64_t observer__sample_bytes(const struct observer *o)
{
	return o->opts.sample_bytes;
}

uint64_t observer__sample_bytes_of(const struct observer *o, const struct target *t)
{
	return o->opts.sample_bytes << (t ? observed_of(t)->thin : 0);
}

const struct observer_opts *observer__opts(const struct observer *o)
{
	return &o->opts;
}

const char *observer__method(const struct observer *o)
{
	return plan__method_name(bpfobj__plan(o->obj)->method);
}

void observer__keep_moments(struct observer *o)
{
	heap__keep_moments(o->heap);
}

const struct heap *observer__heap(const struct observer *o)
{
	return o->heap;
}

const struct anon *observer__anon(const struct observer *o)
{
	return o->anon;
}

struct faults *observer__faults(const struct observer *o)
{
	return o->faults;
}

const struct observer_frame *observer__frame(const struct observer *o, uint32_t id)
{
	return &o->frames[id];
}

size_t observer__nframes(const struct observer *o)
{
	return o->nframes;
}

const struct observer_map *observer__map(const struct observer *o, uint32_t index)
{
	return &o->maps[index];
}

size_t observer__files(const struct observer *o, int *fds, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < o->modules.n; i++) {
		if (o->modules.modules[i]->fd < 0)
			continue;
		if (known < n)
			fds[known] = o->modules.modules[i]->fd;
		known++;
	}
	return known;
}

size_t observer__nmaps(const struct observer *o)
{
	return o->nmaps;
}

int observer__counters(const struct observer *o, const struct target *t, uint64_t *ret)
{
	uint64_t one[MW_C_COUNT];
	int err;

	if (t)
		return bpfobj__counters(o->obj, t->index, ret);
	memcpy(ret, o->gone_counters, sizeof(*ret) * MW_C_COUNT);
	for (size_t i = 0; i <= o->ntargets; i++) {
		err = bpfobj__counters(o->obj, i < o->ntargets ? i : MW_STRANGER, one);
		if (err)
			return err;
		for (int c = 0; c < MW_C_COUNT; c++)
			ret[c] += one[c];
	}
	return 0;
}

uint64_t observer__children_gone(const struct observer *o)
{
	return o->children_gone;
}

uint64_t observer__sharers_unseen(const struct observer *o)
{
	return o->sharers_unseen;
}

uint64_t observer__probes_ended(const struct observer *o)
{
	return o->probes_ended;
}

uint64_t observer__children_missed(const struct observer *o)
{
	return o->children_missed;
}

const struct losses *observer__losses_of_gone(const struct observer *o)
{
	return &o->gone;
}
