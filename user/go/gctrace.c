/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gctrace.c - decoding and formatting of GC cycles. The probe is in gctrace_attach.c. */
#include "go/gctrace.h"

#include "core/util.h"
#include "go/release.h"

#include <inttypes.h>
#include <string.h>

int go_gctrace__config(const struct go_layout *l, const struct gobin_symbols *sym,
		       struct mw_go_config *ret)
{
	uint32_t work0 = l->work.user_forced & ~7u, ms0 = l->ms.numgc & ~7u;
	uint32_t work_len = l->work.size - work0;
	uint32_t ms_len = l->ms.gc_cpu_fraction + 8 - ms0;

	if (work_len > MW_GO_WORK_MAX || l->gc.size > MW_GO_GC_MAX || ms_len > MW_GO_MS_MAX)
		return -ENOTSUP;
	*ret = (struct mw_go_config){
		.work = {.addr = sym->work + work0, .len = work_len},
		.gc = {.addr = sym->gc_controller, .len = l->gc.size},
		.ms = {.addr = sym->memstats + ms0, .len = ms_len},
	};
	return 0;
}

/* What was copied of one struct: the fields' offsets may be the program's own word. */
struct copied_part {
	const uint8_t *data;
	uint32_t from, len; /* of the struct */
};

static void get(const struct copied_part *p, uint32_t off, void *ret, size_t size)
{
	uint32_t at = off - p->from;

	memset(ret, 0, size);
	if (off >= p->from && at <= p->len && p->len - at >= size)
		memcpy(ret, p->data + at, size);
}

static uint64_t u64_of(const struct copied_part *p, uint32_t off)
{
	uint64_t v;

	get(p, off, &v, sizeof(v));
	return v;
}

static uint32_t u32_of(const struct copied_part *p, uint32_t off)
{
	uint32_t v;

	get(p, off, &v, sizeof(v));
	return v;
}

void go_gctrace__decode(const struct go_layout *l, const struct mw_go_cycle *raw, int64_t init_ns,
			struct go_cycle *ret)
{
	const struct copied_part gc = {raw->gc, 0, MW_GO_GC_MAX};
	const struct copied_part w = {raw->work, l->work.user_forced & ~7u, MW_GO_WORK_MAX};
	const struct copied_part ms = {raw->ms, l->ms.numgc & ~7u, MW_GO_MS_MAX};
	int64_t sweep = (int64_t)u64_of(&w, l->work.t_sweep_term);
	int64_t mark = (int64_t)u64_of(&w, l->work.t_mark);
	int64_t term = (int64_t)u64_of(&w, l->work.t_mark_term);
	int64_t end = (int64_t)u64_of(&w, l->work.t_end);
	int64_t stw = (int32_t)u32_of(&w, l->work.stwprocs);
	uint32_t stacks = go_release__of(l->minor)->prints_largest_scan ? l->gc.max_stack_scan
									: l->gc.last_stack_scan;
	uint8_t forced;

	get(&w, l->work.user_forced, &forced, sizeof(forced));
	*ret = (struct go_cycle){
		.number = u32_of(&ms, l->ms.numgc),
		.start_ns = init_ns ? sweep - init_ns : -1,
		.sweep_term_ns = mark - sweep,
		.mark_ns = term - mark,
		.mark_term_ns = end - term,
		.sweep_term_cpu_ns = stw * (mark - sweep),
		.assist_cpu_ns = (int64_t)u64_of(&gc, l->gc.assist_time),
		.background_cpu_ns = (int64_t)(u64_of(&gc, l->gc.dedicated_time) +
					       u64_of(&gc, l->gc.fractional_time)),
		.idle_cpu_ns = (int64_t)u64_of(&gc, l->gc.idle_time),
		.mark_term_cpu_ns = stw * (end - term),
		.heap_start = u64_of(&w, l->work.heap0),
		.heap_end = u64_of(&w, l->work.heap1),
		.heap_live = u64_of(&w, l->work.heap2),
		.goal = u64_of(&gc, l->gc.last_heap_goal),
		.stacks = u64_of(&gc, stacks),
		.globals = u64_of(&gc, l->gc.globals_scan),
		.procs = u32_of(&w, l->work.maxprocs),
		.forced = forced != 0,
	};
	get(&ms, l->ms.gc_cpu_fraction, &ret->cpu_fraction, sizeof(double));
	if (!(ret->cpu_fraction >= 0 && ret->cpu_fraction <= 1))
		ret->cpu_fraction = 0;
}

/* val / 10^dec with all its decimals. */
static void put_decimal(FILE *f, uint64_t val, int dec)
{
	uint64_t unit = 1;

	for (int i = 0; i < dec; i++)
		unit *= 10;
	if (dec)
		fprintf(f, "%" PRIu64 ".%0*" PRIu64, val / unit, dec, val % unit);
	else
		fprintf(f, "%" PRIu64, val);
}

/* Milliseconds as the runtime prints them: two digits, at most three decimals. */
static void put_ms(FILE *f, int64_t ns)
{
	uint64_t x = (uint64_t)ns;
	int dec = 3;

	if (x >= 10000000) {
		put_decimal(f, x / 1000000, 0);
		return;
	}
	x /= 1000;
	if (!x) {
		fputc('0', f);
		return;
	}
	for (; x >= 100; dec--)
		x /= 10;
	put_decimal(f, x, dec);
}

static void put_times(FILE *f, const int64_t *ns, const char *separators, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputc(separators[i - 1], f);
		put_ms(f, ns[i]);
	}
}

int go_gctrace__format(const struct go_cycle *c, char *buf, size_t len)
{
	const int64_t clock[] = {c->sweep_term_ns, c->mark_ns, c->mark_term_ns};
	const int64_t cpu[] = {c->sweep_term_cpu_ns, c->assist_cpu_ns, c->background_cpu_ns,
			       c->idle_cpu_ns, c->mark_term_cpu_ns};
	cleanup_file FILE *f = fmemopen(buf, len, "w");

	if (!f)
		return -errno;
	fprintf(f, "gc %" PRIu32 " @", c->number);
	if (c->start_ns >= 0)
		put_decimal(f, (uint64_t)c->start_ns / 1000000, 3);
	else
		fputc('?', f);
	fprintf(f, "s %d%%: ", (int)(c->cpu_fraction * 100));
	put_times(f, clock, "++", 3);
	fputs(" ms clock, ", f);
	put_times(f, cpu, "+//+", 5);
	fprintf(f,
		" ms cpu, %" PRIu64 "->%" PRIu64 "->%" PRIu64 " MB, %" PRIu64 " MB goal, %" PRIu64
		" MB stacks, %" PRIu64 " MB globals, %" PRIu32 " P%s",
		c->heap_start >> 20, c->heap_end >> 20, c->heap_live >> 20, c->goal >> 20,
		c->stacks >> 20, c->globals >> 20, c->procs, c->forced ? " (forced)" : "");
	fflush(f);
	return (int)strnlen(buf, len);
}

void go_gctrace__print_json(FILE *f, int pid, int64_t time_unix_ms, const struct go_cycle *c)
{
	fprintf(f,
		"{\"schema\":\"memwatch.gogc/1\",\"time_unix_ms\":%" PRId64
		",\"pid\":%d,\"gc\":%" PRIu32 ",\"start_ns\":%" PRId64
		",\"cpu_fraction\":%.6f,\"forced\":%s,\"procs\":%" PRIu32,
		time_unix_ms, pid, c->number, c->start_ns, c->cpu_fraction,
		c->forced ? "true" : "false", c->procs);
	fprintf(f,
		",\"clock_ns\":{\"sweep_term\":%" PRId64 ",\"mark\":%" PRId64
		",\"mark_term\":%" PRId64 "},\"cpu_ns\":{\"sweep_term\":%" PRId64
		",\"assist\":%" PRId64 ",\"background\":%" PRId64 ",\"idle\":%" PRId64
		",\"mark_term\":%" PRId64 "}",
		c->sweep_term_ns, c->mark_ns, c->mark_term_ns, c->sweep_term_cpu_ns,
		c->assist_cpu_ns, c->background_cpu_ns, c->idle_cpu_ns, c->mark_term_cpu_ns);
	fprintf(f,
		",\"heap_start_bytes\":%" PRIu64 ",\"heap_end_bytes\":%" PRIu64
		",\"heap_live_bytes\":%" PRIu64 ",\"goal_bytes\":%" PRIu64
		",\"stacks_bytes\":%" PRIu64 ",\"globals_bytes\":%" PRIu64 "}\n",
		c->heap_start, c->heap_end, c->heap_live, c->goal, c->stacks, c->globals);
}
