/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/memstats.h"

#include "core/units.h"
#include "core/util.h"
#include "go/release.h"
#include "sys/smaps_sums.h"
#include "sys/statm.h"

#include <inttypes.h>
#include <string.h>

#define SIZE_CLASSES 68
#define DELTAS 3
#define MAX_BLOB 16384
#define MIB ((uint64_t)1 << 20)
#define OUTSIDE_MIN (16 * MIB) /* above what the runtime holds: worth a cause */
#define MANY_GCS 100	       /* a second */

static uint64_t u64_at(const uint8_t *p, uint32_t off)
{
	uint64_t v = 0;

	if (off != GO_LAYOUT_NONE)
		memcpy(&v, p + off, sizeof(v));
	return v;
}

static uint32_t u32_at(const uint8_t *p, uint32_t off)
{
	uint32_t v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

/* memstats.heapStats: three deltas, whose sums are the truth. */
static uint64_t sum_at(const uint8_t *p, const struct go_layout *l, uint32_t off)
{
	uint64_t v = 0;

	if (off == GO_LAYOUT_NONE)
		return 0;
	for (uint32_t i = 0; i < DELTAS; i++)
		v += u64_at(p, i * l->hs.size + off);
	return v;
}

/* mgcpacer.go: heapGoalInternal and memoryLimitHeapGoal. */
uint64_t go_memstats__goal(const struct go_goal_input *in)
{
	uint64_t alloc = in->total_alloc - in->total_free, limit = in->memory_limit, goal, headroom;
	uint64_t used = in->heap_free + alloc;
	uint64_t other = in->mapped_ready > used ? in->mapped_ready - used : 0;
	uint64_t over = in->mapped_ready > limit ? in->mapped_ready - limit : 0;

	if (other + over >= limit) {
		goal = in->heap_marked;
	} else {
		goal = limit - (other + over);
		headroom = max_of(goal / 100 * go_release__of(in->minor)->headroom_percent, MIB);
		goal = goal < headroom || goal - headroom < headroom ? headroom : goal - headroom;
		goal = max_of(goal, in->heap_marked);
	}
	if (goal < in->percent_goal)
		return goal;
	goal = max_of(in->percent_goal, in->sweep_min_trigger);
	if (in->triggered != UINT64_MAX && goal < in->triggered + (64 << 10))
		goal = in->triggered + (64 << 10);
	return goal;
}

static void from_controller(const uint8_t *gc, const struct go_target *t, struct go_memstats *m)
{
	const struct go_layout *l = t->layout;
	uint64_t heap_free = u64_at(gc, l->gc.heap_free);
	struct go_goal_input in = {
		.percent_goal = u64_at(gc, l->gc.percent_goal),
		.sweep_min_trigger = u64_at(gc, l->gc.sweep_min_trigger),
		.triggered = u64_at(gc, l->gc.triggered),
		.heap_marked = u64_at(gc, l->gc.heap_marked),
		.heap_free = heap_free,
		.total_alloc = u64_at(gc, l->gc.total_alloc),
		.total_free = u64_at(gc, l->gc.total_free),
		.mapped_ready = u64_at(gc, l->gc.mapped_ready),
		.memory_limit = u64_at(gc, l->gc.memory_limit),
		.minor = t->bin.minor,
	};

	m->heap_inuse = u64_at(gc, l->gc.heap_in_use);
	m->heap_released = u64_at(gc, l->gc.heap_released);
	m->heap_idle = heap_free + m->heap_released;
	m->heap_sys = m->heap_inuse + m->heap_idle;
	m->total_alloc = in.total_alloc;
	m->heap_alloc = in.total_alloc - in.total_free;
	m->next_gc = go_memstats__goal(&in);
	m->heap_live = u64_at(gc, l->gc.heap_live);
	m->heap_marked = in.heap_marked;
	m->gogc = (int32_t)u32_at(gc, l->gc.gc_percent);
	m->gomemlimit = (int64_t)in.memory_limit;
}

static void from_memstats(const uint8_t *ms, const struct go_layout *l, struct go_memstats *m)
{
	uint64_t work_bufs = sum_at(ms, l, l->hs.in_work_bufs);
	uint64_t ptr_bits = sum_at(ms, l, l->hs.in_ptr_bits);
	uint64_t tiny = sum_at(ms, l, l->hs.tiny_allocs);

	m->stack_inuse = sum_at(ms, l, l->hs.in_stacks);
	m->stack_sys = m->stack_inuse + u64_at(ms, l->ms.stacks_sys);
	m->mspan_sys = u64_at(ms, l->ms.mspan_sys);
	m->mcache_sys = u64_at(ms, l->ms.mcache_sys);
	m->buckhash_sys = u64_at(ms, l->ms.buckhash_sys);
	m->gc_sys = u64_at(ms, l->ms.gc_misc_sys) + work_bufs + ptr_bits;
	m->other_sys = u64_at(ms, l->ms.other_sys);
	m->sys = m->heap_sys + m->stack_sys + m->mspan_sys + m->mcache_sys + m->buckhash_sys +
		 m->gc_sys + m->other_sys;
	m->mallocs = sum_at(ms, l, l->hs.large_allocs) + tiny;
	m->frees = sum_at(ms, l, l->hs.large_frees) + tiny;
	for (uint32_t i = 0; i < SIZE_CLASSES; i++) {
		m->mallocs += sum_at(ms, l, l->hs.small_allocs + i * 8);
		m->frees += sum_at(ms, l, l->hs.small_frees + i * 8);
	}
	m->last_gc_unix_ns = u64_at(ms, l->ms.last_gc_unix);
	m->pause_total_ns = u64_at(ms, l->ms.pause_total_ns);
	m->num_gc = u32_at(ms, l->ms.numgc);
	m->num_forced_gc = u32_at(ms, l->ms.numforcedgc);
	memcpy(&m->gc_cpu_fraction, ms + l->ms.gc_cpu_fraction, sizeof(double));
	if (!(m->gc_cpu_fraction >= 0 && m->gc_cpu_fraction <= 1))
		m->gc_cpu_fraction = 0;
}

static uint64_t held(const struct go_memstats *m)
{
	return m->sys - m->heap_released;
}

/* RSS that is neither what the runtime holds nor freed lazily. */
static uint64_t outside_go(const struct go_memstats *m)
{
	uint64_t known = held(m) + m->lazy_free;

	return m->rss > known ? m->rss - known : 0;
}

void go_memstats__add_kernel(int pid, struct go_memstats *m)
{
	struct smaps_sums sums;
	struct statm s;

	if (!statm__read(pid, &s)) {
		m->virt = s.virt;
		m->rss = s.rss;
	}
	if (outside_go(m) > OUTSIDE_MIN && m->heap_released > OUTSIDE_MIN &&
	    !smaps_sums__read(pid, &sums))
		m->lazy_free = min_of(sums.lazy_free, m->heap_released);
}

void go_memstats__rate(struct go_memstats *m, const struct go_memstats *before)
{
	uint64_t ns = m->since_ns - before->since_ns;

	if (!before->since_ns || m->num_gc < before->since_gc)
		return;
	if (ns >= GO_RATE_NS) {
		m->gc_per_s = (double)(m->num_gc - before->since_gc) * 1e9 / (double)ns;
		return;
	}
	m->gc_per_s = before->gc_per_s;
	m->since_ns = before->since_ns;
	m->since_gc = before->since_gc;
}

int go_memstats__read(const struct go_target *t, struct go_memstats *ret)
{
	const struct go_layout *l = t->layout;
	uint8_t gc[1024], ms[MAX_BLOB];
	size_t ms_len = l->ms.last_heap_in_use + 8;
	int err;

	if (l->gc.size > sizeof(gc) || ms_len > sizeof(ms))
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	err = t->reader.read(t->reader.arg, t->sym.gc_controller, gc, l->gc.size);
	if (!err)
		err = t->reader.read(t->reader.arg, t->sym.memstats, ms, ms_len);
	if (err)
		return err;
	from_controller(gc, t, ret);
	from_memstats(ms, l, ret);
	if (t->sym.mheap) {
		go_target__u64(t, t->sym.mheap, l->mheap.span_inuse, &ret->mspan_inuse);
		go_target__u64(t, t->sym.mheap, l->mheap.cache_inuse, &ret->mcache_inuse);
	}
	ret->since_ns = util__now_ns();
	ret->since_gc = ret->num_gc;
	return 0;
}

static void line(FILE *f, const char *name, uint64_t bytes, const char *note)
{
	char buf[UNITS_LEN];

	fprintf(f, "  %-28s %12s  %s\n", name, units__size(buf, sizeof(buf), (int64_t)bytes), note);
}

/* The limit is reached: the collector's goal is what is alive already. */
static bool limit_reached(const struct go_memstats *m)
{
	return m->gomemlimit != GO_NO_MEMORY_LIMIT && m->num_gc &&
	       m->next_gc < m->heap_marked + m->heap_marked / 16 &&
	       held(m) + 4 * MIB > (uint64_t)m->gomemlimit;
}

static void print_gc_cause(FILE *f, const struct go_memstats *m)
{
	char a[UNITS_LEN], b[UNITS_LEN];

	if (m->gc_per_s < MANY_GCS && !limit_reached(m))
		return;
	fputs("\n  cause: GC without pause: ", f);
	if (m->gc_per_s >= 1) /* known from the second look on */
		fprintf(f, "%.0f GCs a second, ", m->gc_per_s);
	if (limit_reached(m))
		fprintf(f,
			"GOMEMLIMIT %s leaves no room above the live heap of %s and what else the "
			"runtime holds: raise the limit, or hold less",
			units__size(a, sizeof(a), m->gomemlimit),
			units__size(b, sizeof(b), (int64_t)m->heap_marked));
	else
		fprintf(f,
			"the program allocates the way to the next goal (%s, %s of it alive) again "
			"and again: a higher GOGC with a GOMEMLIMIT, or fewer allocations",
			units__size(a, sizeof(a), (int64_t)m->next_gc),
			units__size(b, sizeof(b), (int64_t)m->heap_marked));
}

/* What the pages behind the runtime's accounts add up to, and who else holds RSS. */
void go_memstats__print_causes(FILE *f, const struct go_memstats *m, uint64_t goroutines)
{
	uint64_t kept = m->heap_idle - m->heap_released;
	char a[UNITS_LEN], b[UNITS_LEN];

	if (kept > m->heap_inuse / 4 && kept > 16 * MIB)
		fprintf(f,
			"\n  cause: HeapIdle not released: %s of free heap that the runtime keeps "
			"for "
			"the next growth (it returns it slowly; GOMEMLIMIT makes it return more)",
			units__size(a, sizeof(a), (int64_t)kept));
	if (m->stack_inuse > m->heap_inuse / 4 && m->stack_inuse > 16 * MIB)
		fprintf(f, "\n  cause: goroutine stacks kept: %s for %" PRIu64 " goroutines",
			units__size(a, sizeof(a), (int64_t)m->stack_inuse), goroutines);
	if (m->lazy_free > OUTSIDE_MIN)
		fprintf(f,
			"\n  cause: freed lazily: %s of RSS are heap that Go has released and the "
			"kernel takes only when it needs memory (LazyFree; "
			"GODEBUG=madvdontneed=1 returns it at once)",
			units__size(a, sizeof(a), (int64_t)m->lazy_free));
	if (outside_go(m) > OUTSIDE_MIN)
		fprintf(f,
			"\n  cause: memory outside Go: RSS %s is above what the Go runtime holds "
			"(%s): "
			"C code, mapped files, or the program's own text",
			units__size(a, sizeof(a), (int64_t)m->rss),
			units__size(b, sizeof(b), (int64_t)(held(m) + m->lazy_free)));
	print_gc_cause(f, m);
}

void go_memstats__print(FILE *f, const struct go_memstats *m, uint64_t goroutines)
{
	char limit[UNITS_LEN + 16] = "none", gogc[16] = "off", size[UNITS_LEN];

	if (m->gomemlimit != GO_NO_MEMORY_LIMIT)
		units__size(limit, sizeof(limit), m->gomemlimit);
	if (m->gogc >= 0)
		snprintf(gogc, sizeof(gogc), "%d", m->gogc);
	fprintf(f, "process\n");
	line(f, "RSS", m->rss, "");
	line(f, "VIRT", m->virt, "");
	fprintf(f, "Go runtime\n");
	line(f, "HeapAlloc", m->heap_alloc, "live objects and garbage not yet swept");
	line(f, "HeapInuse", m->heap_inuse, "spans with objects");
	line(f, "HeapIdle", m->heap_idle, "spans without");
	line(f, "HeapReleased", m->heap_released, "of these, returned to the kernel");
	line(f, "idle, not released", m->heap_idle - m->heap_released, "");
	line(f, "HeapSys", m->heap_sys, "reserved for the heap");
	line(f, "StackInuse", m->stack_inuse, "goroutine stacks");
	line(f, "StackSys", m->stack_sys, "");
	line(f, "off-heap", m->sys - m->heap_sys - m->stack_sys, "span, cache, profile, GC tables");
	line(f, "Sys", m->sys, "all that the runtime asked the kernel for");
	if (m->lazy_free)
		line(f, "freed lazily", m->lazy_free, "of HeapReleased, still in RSS");
	line(f, "outside Go", outside_go(m),
	     "RSS above what Go holds: cgo, files, text (at least)");
	line(f, "TotalAlloc", m->total_alloc, "since the start");
	fprintf(f, "  %-28s %12" PRIu64 "\n  %-28s %12" PRIu64 "\n", "Mallocs", m->mallocs, "Frees",
		m->frees);
	line(f, "NextGC", m->next_gc, "goal of the next GC");
	fprintf(f, "  %-28s %12" PRIu32 "  %" PRIu32 " forced\n", "NumGC", m->num_gc,
		m->num_forced_gc);
	fprintf(f, "  %-28s %12s\n", "PauseTotal",
		units__time(size, sizeof(size), m->pause_total_ns));
	fprintf(f, "  %-28s %12s\n  %-28s %12s\n", "GOGC", gogc, "GOMEMLIMIT", limit);
	if (goroutines)
		fprintf(f, "  %-28s %12" PRIu64 "\n", "goroutines", goroutines);
	go_memstats__print_causes(f, m, goroutines);
	fputc('\n', f);
}

void go_memstats__print_json(FILE *f, int pid, int64_t time_unix_ms, const struct go_memstats *m,
			     uint64_t goroutines)
{
	const struct {
		const char *name;
		uint64_t v;
	} u[] = {
		{"rss_bytes", m->rss},
		{"virt_bytes", m->virt},
		{"heap_alloc", m->heap_alloc},
		{"heap_sys", m->heap_sys},
		{"heap_inuse", m->heap_inuse},
		{"heap_idle", m->heap_idle},
		{"heap_released", m->heap_released},
		{"lazy_free", m->lazy_free},
		{"stack_inuse", m->stack_inuse},
		{"stack_sys", m->stack_sys},
		{"mspan_sys", m->mspan_sys},
		{"mcache_sys", m->mcache_sys},
		{"buckhash_sys", m->buckhash_sys},
		{"gc_sys", m->gc_sys},
		{"other_sys", m->other_sys},
		{"sys", m->sys},
		{"total_alloc", m->total_alloc},
		{"mallocs", m->mallocs},
		{"frees", m->frees},
		{"next_gc", m->next_gc},
		{"num_gc", m->num_gc},
		{"num_forced_gc", m->num_forced_gc},
		{"pause_total_ns", m->pause_total_ns},
		{"last_gc_unix_ns", m->last_gc_unix_ns},
		{"goroutines", goroutines},
	};

	fprintf(f, "{\"schema\":\"memwatch.gomemstats/1\",\"time_unix_ms\":%" PRId64 ",\"pid\":%d",
		time_unix_ms, pid);
	for (size_t i = 0; i < ARRAY_SIZE(u); i++)
		fprintf(f, ",\"%s\":%" PRIu64, u[i].name, u[i].v);
	fprintf(f, ",\"gc_cpu_fraction\":%.6f,\"gogc\":%d", m->gc_cpu_fraction, m->gogc);
	if (m->gomemlimit == GO_NO_MEMORY_LIMIT)
		fprintf(f, ",\"gomemlimit\":null}\n");
	else
		fprintf(f, ",\"gomemlimit\":%" PRId64 "}\n", m->gomemlimit);
}
