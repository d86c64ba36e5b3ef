/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/go_part.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "go/attached.h"

#define MAX_AGE_NS 2000000000ULL
#define MAX_TRIES 40 /* one a poll: some seconds */

static void look_again(struct target *t)
{
	char why[GO_WHY_LEN];
	int err;

	err = go_attached__open(t->pid, &t->go, why);
	t->go_tries--;
	if (!err) {
		if (go_attached__note(t->go)[0])
			log_warn("PID %d (%s): %s", t->pid, t->comm, go_attached__note(t->go));
		t->go_tries = 0;
		return;
	}
	t->go = NULL;
	/* A program that was started this moment has not relocated its tables yet. */
	if (err == -EBADMSG && t->go_tries)
		return;
	t->go_tries = 0;
	if (err != -ENOENT && err != -ESRCH)
		log_warn("%s; continuing without the Go heap profile", why);
}

void go_part__look(struct target *t)
{
	go_attached__free(t->go);
	t->go = NULL;
	t->go_tries = MAX_TRIES;
	look_again(t);
}

void go_part__tick(struct observer *s)
{
	for (size_t i = 0; i < s->ntargets; i++) {
		if (s->targets[i]->ended)
			continue;
		if (s->targets[i]->go)
			go_attached__refresh(s->targets[i]->go, MAX_AGE_NS);
		else if (s->targets[i]->go_tries)
			look_again(s->targets[i]);
	}
}

static int heap_label(struct profile *p, const char *value, struct profile_label *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = profile__string(p, "heap", &ret->key);
	return err ? err : profile__string(p, value, &ret->str);
}

int go_part__add(const struct target *t, struct profile *p, const struct profile_label *labels,
		 size_t nlabels)
{
	struct profile_label all[GO_HEAP_MAX_LABELS];
	uint64_t rate = 0;
	size_t n = 0;
	int err;

	if (!t->go)
		return 0;
	for (; n < nlabels && n + 1 < GO_HEAP_MAX_LABELS; n++)
		all[n] = labels[n];
	if (go_attached__cgo(t->go)) {
		err = heap_label(p, "go", &all[n++]);
		if (err)
			return err;
	}
	if (!t->ended)
		go_attached__refresh(t->go, 0);
	bool alone = !p->nsamples && !go_attached__cgo(t->go) && !nlabels;

	err = go_attached__add(t->go, p, all, (uint32_t)n, &rate);
	if (!err && alone) {
		p->period = (int64_t)rate;
		p->sample_bytes = rate;
	}
	return err;
}

size_t go_part__c_label(const struct target *t, struct profile *p, struct profile_label *ret)
{
	if (!t->go || !go_attached__cgo(t->go))
		return 0;
	return heap_label(p, "c", ret) ? 0 : 1;
}

void go_part__numbers(const struct target *t, struct go_part_numbers *n)
{
	struct go_memstats m;
	uint64_t goroutines;

	if (!t->go || !go_attached__memstats(t->go, &m, &goroutines))
		return;
	n->inuse_bytes += (double)m.heap_alloc;
	n->inuse_objects += (double)m.mallocs - (double)m.frees;
	n->alloc_bytes += (double)m.total_alloc;
	n->alloc_objects += (double)m.mallocs;
}

void go_part__print(FILE *f, const struct target *t)
{
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], e[UNITS_LEN];
	struct go_memstats m;
	uint64_t goroutines;

	if (!t->go || !go_attached__memstats(t->go, &m, &goroutines))
		return;
	fprintf(f, "\n  %s: HeapAlloc %s  HeapInuse %s  HeapIdle %s (released %s)  StackInuse %s",
		go_attached__version(t->go), units__size(a, sizeof(a), (int64_t)m.heap_alloc),
		units__size(b, sizeof(b), (int64_t)m.heap_inuse),
		units__size(c, sizeof(c), (int64_t)m.heap_idle),
		units__size(d, sizeof(d), (int64_t)m.heap_released),
		units__size(e, sizeof(e), (int64_t)m.stack_inuse));
	fprintf(f, "\n  NextGC %s  NumGC %u  PauseTotal %s  GOGC %d  goroutines %lu",
		units__size(a, sizeof(a), (int64_t)m.next_gc), m.num_gc,
		units__time(b, sizeof(b), m.pause_total_ns), m.gogc, (unsigned long)goroutines);
	if (m.gomemlimit != GO_NO_MEMORY_LIMIT)
		fprintf(f, "  GOMEMLIMIT %s", units__size(a, sizeof(a), m.gomemlimit));
	go_memstats__print_causes(f, &m, goroutines);
}

bool go_part__words(const struct target *t, char *buf, size_t len)
{
	char a[UNITS_LEN], b[UNITS_LEN];
	struct go_memstats m;
	uint64_t goroutines;

	if (!t->go || go_attached__cgo(t->go) || !go_attached__memstats(t->go, &m, &goroutines))
		return false;
	snprintf(buf, len, "no probes; NextGC %s, idle %s, %lu goroutines",
		 units__size(a, sizeof(a), (int64_t)m.next_gc),
		 units__size(b, sizeof(b), (int64_t)(m.heap_idle - m.heap_released)),
		 (unsigned long)goroutines);
	return true;
}
