/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/runtimes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/units.h"
#include "elf/symbolizer.h"
#include "go/attached.h"
#include "model/heap.h"
#include "sys/proc_task.h"

#define MAX_AGE_NS 2000000000ULL
#define MAX_TRIES 40 /* one a tick: some seconds */

struct runtime {
	uint64_t start_ns;	    /* of the target: its index may be given to another */
	uint32_t images;	    /* of the target, when it was looked at; 0: never */
	uint32_t tries;		    /* looks left: the program is still being started */
	struct go_attached *go;	    /* NULL: no Go program */
	struct symbolizer_jit *jit; /* NULL: no names of generated code */
};

struct runtimes {
	const struct observer *observer;
	struct symbolizer *symbolizer;
	struct runtime of[MW_MAX_TARGETS]; /* by the target's index */
};

int runtimes__new(const struct observer *o, struct symbolizer *sym, struct runtimes **ret)
{
	struct runtimes *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->observer = o;
	r->symbolizer = sym;
	*ret = r;
	return 0;
}

static void forget(struct runtime *m)
{
	go_attached__free(m->go);
	symbolizer_jit__free(m->jit);
	memset(m, 0, sizeof(*m));
}

void runtimes__free(struct runtimes *r)
{
	for (size_t i = 0; r && i < MW_MAX_TARGETS; i++)
		forget(&r->of[i]);
	free(r);
}

void runtimes__forget(struct runtimes *r, const struct target *t)
{
	forget(&r->of[t->index]);
}

/* What is known of a target; of another that had its index before, nothing is kept. */
static struct runtime *runtime_of(struct runtimes *r, const struct target *t)
{
	struct runtime *m = &r->of[t->index];

	if (m->start_ns != t->start_ns) {
		forget(m);
		m->start_ns = t->start_ns;
	}
	return m;
}

static struct go_attached *go_of(const struct runtimes *r, const struct target *t)
{
	return r && r->of[t->index].start_ns == t->start_ns ? r->of[t->index].go : NULL;
}

static void look_for_go(struct runtime *m, const struct target *t, bool warn)
{
	char why[GO_WHY_LEN];
	int err = go_attached__open(t->pid, &m->go, why);

	m->tries--;
	if (!err) {
		if (warn && go_attached__note(m->go)[0])
			log_warn("PID %d (%s): %s", t->pid, t->comm, go_attached__note(m->go));
		m->tries = 0;
		return;
	}
	m->go = NULL;
	/* A program that was started this moment has not relocated its tables yet, or its runtime
	 * has not begun. */
	if ((err == -EBADMSG || err == -EAGAIN) && m->tries)
		return;
	m->tries = 0;
	if (err != -ENOENT && err != -ESRCH)
		log_warn("%s; continuing without the Go heap profile", why);
}

/* Names of generated code can be read after the target's end only if they were opened before. */
static void look_for_jit(struct runtimes *r, const struct target *t)
{
	struct runtime *m = runtime_of(r, t);
	char root[64];

	snprintf(root, sizeof(root), "/proc/%d/root", proc_task__shows(t->pid));
	if (symbolizer__jit(r->symbolizer, t->pid, root, &m->jit))
		m->jit = NULL;
}

static void look(struct runtimes *r, const struct target *t)
{
	struct runtime *m = runtime_of(r, t);

	if (m->images != t->images) {
		look_for_jit(r, t);
		go_attached__free(m->go);
		m->go = NULL;
		m->images = t->images;
		m->tries = MAX_TRIES;
	}
	if (m->go)
		go_attached__refresh(m->go, MAX_AGE_NS);
	else if (m->tries)
		look_for_go(m, t, !observer__opts(r->observer)->faults_only);
}

void runtimes__tick(struct runtimes *r)
{
	const struct observer *o = r->observer;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		if (!t->ended)
			look(r, t);
	}
	for (uint32_t i = 0; i < MW_MAX_TARGETS; i++) {
		if (r->of[i].start_ns && !observer__at(o, i))
			forget(&r->of[i]);
	}
}

struct symbolizer_jit *runtimes__jit(struct runtimes *r, const struct target *t)
{
	if (!runtime_of(r, t)->jit)
		look_for_jit(r, t);
	return runtime_of(r, t)->jit;
}

bool runtimes__go_begins(const struct runtimes *r, const struct target *t)
{
	const struct runtime *m = &r->of[t->index];

	return m->start_ns == t->start_ns && m->tries && !m->go;
}

const char *runtimes__note(const struct runtimes *r, const struct target *t)
{
	const struct go_attached *go = go_of(r, t);

	return go ? go_attached__note(go) : "";
}

bool runtimes__is_go(const struct runtimes *r, const struct target *t)
{
	return go_of(r, t) != NULL;
}

const char *runtimes__go_version(const struct runtimes *r, const struct target *t, bool *ret_cgo)
{
	const struct go_attached *go = go_of(r, t);

	*ret_cgo = go && go_attached__cgo(go);
	return go ? go_attached__version(go) : NULL;
}

int runtimes__collections(const struct runtimes *r, const struct target *t, uint32_t *ret)
{
	const struct go_attached *go = go_of(r, t);

	return go ? go_attached__collections(go, ret) : -ENOENT;
}

static int heap_label(struct profile *p, const char *value, struct profile_label *ret)
{
	struct profile_adder a = {p, 0};

	*ret = (struct profile_label){.key = profile__add_string(&a, "heap")};
	ret->str = profile__add_string(&a, value);
	return a.err;
}

int runtimes__add(struct runtimes *r, const struct target *t, struct profile *p,
		  const struct profile_label *labels, size_t nlabels)
{
	struct go_attached *go = go_of(r, t);
	bool alone = go && !p->nsamples && !go_attached__cgo(go) && !nlabels;
	struct profile_label all[GO_HEAP_MAX_LABELS];
	uint64_t rate = 0;
	size_t n = 0;
	int err;

	if (!go)
		return 0;
	for (; n < nlabels && n + 1 < GO_HEAP_MAX_LABELS; n++)
		all[n] = labels[n];
	if (go_attached__cgo(go)) {
		err = heap_label(p, "go", &all[n++]);
		if (err)
			return err;
	}
	if (!t->ended)
		go_attached__refresh(go, 0);
	err = go_attached__add(go, p, all, (uint32_t)n, &rate);
	if (!err && alone) {
		p->period = (int64_t)rate;
		p->sample_bytes = rate;
	}
	return err;
}

size_t runtimes__c_label(const struct runtimes *r, const struct target *t, struct profile *p,
			 struct profile_label *ret)
{
	const struct go_attached *go = go_of(r, t);

	if (!go || !go_attached__cgo(go))
		return 0;
	return heap_label(p, "c", ret) ? 0 : 1;
}

void runtimes__numbers(const struct runtimes *r, const struct observer *o, const struct target *t,
		       struct runtimes_numbers *ret)
{
	const struct heap_target *h = &observer__heap(o)->targets[t->index];
	struct go_attached *go = go_of(r, t);
	struct go_memstats m;
	uint64_t goroutines;

	*ret = (struct runtimes_numbers){
		h->alloc_bytes - h->free_bytes, h->alloc_objects - h->free_objects, h->alloc_bytes,
		h->alloc_objects, go ? 0 : (double)h->map_bytes - (double)h->unmap_bytes};
	if (!go || !go_attached__memstats(go, &m, &goroutines))
		return;
	ret->inuse_bytes += (double)m.heap_alloc;
	ret->inuse_objects += (double)m.mallocs - (double)m.frees;
	ret->alloc_bytes += (double)m.total_alloc;
	ret->alloc_objects += (double)m.mallocs;
}

bool runtimes__timeline(const struct runtimes *r, const struct target *t,
			int64_t ret[GO_TIMELINE_COLUMNS])
{
	struct go_attached *go = go_of(r, t);
	struct go_memstats m;
	uint64_t goroutines;

	if (!go || !go_attached__memstats(go, &m, &goroutines))
		return false;
	go_timeline__values(&m, goroutines, ret);
	return true;
}

void runtimes__print(const struct runtimes *r, FILE *f, const struct target *t)
{
	struct go_attached *go = go_of(r, t);
	char a[UNITS_LEN], b[UNITS_LEN], c[UNITS_LEN], d[UNITS_LEN], e[UNITS_LEN];
	struct go_memstats m;
	uint64_t goroutines;

	if (!go || !go_attached__memstats(go, &m, &goroutines))
		return;
	fprintf(f, "\n  %s: HeapAlloc %s  HeapInuse %s  HeapIdle %s (released %s)  StackInuse %s",
		go_attached__version(go), units__size(a, sizeof(a), (int64_t)m.heap_alloc),
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

bool runtimes__words(const struct runtimes *r, const struct target *t, char *buf, size_t len)
{
	struct go_attached *go = go_of(r, t);
	char a[UNITS_LEN], b[UNITS_LEN];
	struct go_memstats m;
	uint64_t goroutines;

	if (!go || go_attached__cgo(go) || !go_attached__memstats(go, &m, &goroutines))
		return false;
	snprintf(buf, len, "no probes; NextGC %s, idle %s, %lu goroutines",
		 units__size(a, sizeof(a), (int64_t)m.next_gc),
		 units__size(b, sizeof(b), (int64_t)(m.heap_idle - m.heap_released)),
		 (unsigned long)goroutines);
	return true;
}
