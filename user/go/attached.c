/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/attached.h"

#include "core/log.h"
#include "core/util.h"
#include "go/goroutines.h"

#include <string.h>

#define MIN_AGE_NS 50000000ULL

struct go_attached {
	struct go_target *t;
	struct go_heap heap; /* the newest that was read whole */
	bool have;
	uint64_t read_ns; /* when, CLOCK_MONOTONIC */
	uint64_t cost_ns; /* what that took */
	uint32_t cycle;	  /* runtime.mProfCycle then */
	uint64_t failed;
	struct go_memstats memstats;
	uint64_t goroutines;
	bool have_memstats;
	char note[160];
};

int go_attached__open(int pid, struct go_attached **ret, char why[GO_WHY_LEN])
{
	struct go_attached *a = calloc(1, sizeof(*a));
	uint64_t rate = 0;
	int err;

	if (!a)
		return -ENOMEM;
	err = go_target__open(pid, &a->t, why);
	if (err) {
		free(a);
		return err;
	}
	go_target__u64(a->t, a->t->sym.mem_profile_rate, 0, &rate);
	if (!rate)
		snprintf(a->note, sizeof(a->note),
			 "heap profiling is off%s: its Go profile is empty",
			 a->t->profiling_off_by_linker
				 ? ", disabled by the linker because the program does not use it"
				 : "");
	go_attached__refresh(a, 0);
	*ret = a;
	return 0;
}

void go_attached__free(struct go_attached *a)
{
	if (!a)
		return;
	go_heap__free(&a->heap);
	go_target__close(a->t);
	free(a);
}

const char *go_attached__version(const struct go_attached *a)
{
	return a->t->bin.version;
}

bool go_attached__cgo(const struct go_attached *a)
{
	return a->t->bin.cgo;
}

const char *go_attached__note(const struct go_attached *a)
{
	return a->note;
}

void go_attached__refresh(struct go_attached *a, uint64_t max_age_ns)
{
	uint64_t now = util__now_ns();
	char why[GO_WHY_LEN];
	uint32_t cycle = 0;
	struct go_heap h;

	if (a->have && now - a->read_ns < min_of(max_age_ns, MIN_AGE_NS))
		return;
	go_target__u32(a->t, a->t->sym.mprof_cycle, 0, &cycle);
	/* The profile changes once per GC cycle; following each may take a twentieth of a CPU. */
	if (a->have && now - a->read_ns < max_age_ns &&
	    (cycle == a->cycle || now - a->read_ns < 20 * a->cost_ns))
		return;
	if (go_heap__of(a->t, &h, why)) {
		if (procmem__alive(a->t->mem)) { /* a process that is gone refuses nothing */
			a->failed++;
			log_debug("%s", why);
		}
		go_heap__free(&h);
		return;
	}
	if (a->t->bin.cgo) /* frames of C libraries loaded meanwhile */
		go_target__refresh_maps(a->t);
	go_heap__free(&a->heap);
	a->heap = h;
	a->have = true;
	a->read_ns = now;
	a->cost_ns = util__now_ns() - now;
	a->cycle = cycle;
}

int go_attached__add(struct go_attached *a, struct profile *p, const struct profile_label *labels,
		     uint32_t nlabels, uint64_t *ret_rate)
{
	struct profile_totals before = p->totals;
	struct profile_totals *t = &p->totals;
	int err;

	*ret_rate = a->heap.rate;
	if (a->failed && profile__loss(p, "Go heap profile readings refused", a->failed, 0))
		return -ENOMEM;
	if (!a->have)
		return 0;
	err = go_heap__add(a->t, &a->heap, p, labels, nlabels);
	t->free_objects += (t->alloc_objects - before.alloc_objects) -
			   (t->inuse_objects - before.inuse_objects);
	t->free_bytes +=
		(t->alloc_bytes - before.alloc_bytes) - (t->inuse_bytes - before.inuse_bytes);
	return err;
}

bool go_attached__memstats(struct go_attached *a, struct go_memstats *ret, uint64_t *ret_goroutines)
{
	struct go_goroutines_count count;
	struct go_memstats m;

	if (!go_memstats__read(a->t, &m)) {
		a->memstats = m;
		a->have_memstats = true;
		if (!go_goroutines__count(a->t, &count))
			a->goroutines = count.user;
	}
	*ret = a->memstats;
	*ret_goroutines = a->goroutines;
	return a->have_memstats;
}
