/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/attached.h"

#include "core/log.h"
#include "core/util.h"

#include <string.h>

#define MIN_AGE_NS 50000000ULL

struct go_attached {
	struct go_program *program;
	struct go_reading heap; /* the newest that was read whole */
	bool have;
	uint64_t read_ns; /* when, CLOCK_MONOTONIC */
	uint64_t cost_ns; /* what that took */
	uint32_t cycle;	  /* runtime.mProfCycle then */
	uint64_t failed;
	struct go_memstats memstats;
	uint64_t goroutines;
	bool have_memstats;
	char note[256];
};

int go_attached__open(int pid, struct go_attached **ret, char why[GO_WHY_LEN])
{
	struct go_attached *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	err = go_program__open(pid, &a->program, why);
	if (err) {
		free(a);
		return err;
	}
	if (go_program__profiling_off(a->program))
		snprintf(a->note, sizeof(a->note),
			 "heap profiling is off%s: nothing comes into its Go profile (--faults "
			 "samples "
			 "what it touches, memwatch go --go-enable-memprofile switches it on)",
			 go_program__facts(a->program)->profiling_off_by_linker
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
	go_reading__free(&a->heap);
	go_program__close(a->program);
	free(a);
}

const char *go_attached__version(const struct go_attached *a)
{
	return go_program__facts(a->program)->version;
}

bool go_attached__cgo(const struct go_attached *a)
{
	return go_program__facts(a->program)->cgo;
}

const char *go_attached__note(const struct go_attached *a)
{
	return a->note;
}

int go_attached__collections(const struct go_attached *a, uint32_t *ret)
{
	return go_program__collections(a->program, ret);
}

void go_attached__refresh(struct go_attached *a, uint64_t max_age_ns)
{
	uint64_t now = util__now_ns();
	char why[GO_WHY_LEN];
	uint32_t cycle = 0;
	struct go_reading h;

	if (a->have && now - a->read_ns < min_of(max_age_ns, MIN_AGE_NS))
		return;
	go_program__cycle(a->program, &cycle);
	/* The profile changes once per GC cycle; following each may take a twentieth of a CPU. */
	if (a->have && now - a->read_ns < max_age_ns &&
	    (cycle == a->cycle || now - a->read_ns < 20 * a->cost_ns))
		return;
	if (go_program__heap(a->program, &h, why)) {
		if (go_program__alive(a->program)) { /* a process that is gone refuses nothing */
			a->failed++;
			log_debug("%s", why);
		}
		return;
	}
	go_reading__free(&a->heap);
	a->heap = h;
	a->have = true;
	a->read_ns = now;
	a->cost_ns = util__now_ns() - now;
	a->cycle = cycle;
}

int go_attached__add(struct go_attached *a, struct profile *p, const struct profile_label *labels,
		     uint32_t nlabels, uint64_t *ret_rate)
{
	*ret_rate = a->heap.facts.rate;
	if (a->failed && profile__loss(p, "Go heap profile readings refused", a->failed, 0))
		return -ENOMEM;
	if (!a->have)
		return 0;
	return go_program__add(a->program, &a->heap, p, labels, nlabels);
}

bool go_attached__memstats(struct go_attached *a, struct go_memstats *ret, uint64_t *ret_goroutines)
{
	struct go_goroutines_count count = {.user = a->goroutines};
	struct go_memstats m;

	if (!go_program__memstats(a->program, &m, &count)) {
		go_memstats__rate(&m, &a->memstats);
		a->memstats = m;
		a->have_memstats = true;
		a->goroutines = count.user;
	}
	*ret = a->memstats;
	*ret_goroutines = a->goroutines;
	return a->have_memstats;
}
