/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top_view_json.c - top's table as JSON: one object, one line, every tick. */
#include <jansson.h>
#include <string.h>

#include "core/util.h"
#include "top/top_view.h"

static json_t *text_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *machine_json(const struct machine *m)
{
	json_t *o = json_pack(
		"{sI sI sI sI sI sI sI sI}", "total_bytes", (json_int_t)m->total_bytes,
		"available_bytes", (json_int_t)m->available_bytes, "free_bytes",
		(json_int_t)m->free_bytes, "cached_bytes",
		(json_int_t)(m->cached_bytes + m->buffers_bytes), "swap_total_bytes",
		(json_int_t)m->swap_total_bytes, "swap_free_bytes", (json_int_t)m->swap_free_bytes,
		"commit_bytes", (json_int_t)m->commit_bytes, "commit_limit_bytes",
		(json_int_t)m->commit_limit_bytes);

	if (m->has_psi)
		json_object_set_new(
			o, "psi",
			json_pack("{s{sf sf sf sI} s{sf sf sf sI}}", "some", "avg10", m->some_avg10,
				  "avg60", m->some_avg60, "avg300", m->some_avg300, "total_us",
				  (json_int_t)m->some_total_us, "full", "avg10", m->full_avg10,
				  "avg60", m->full_avg60, "avg300", m->full_avg300, "total_us",
				  (json_int_t)m->full_total_us));
	else
		json_object_set_new(o, "psi", json_null());
	json_object_set_new(o, "load", json_pack("[fff]", m->load[0], m->load[1], m->load[2]));
	return o;
}

static json_t *proc_json(const struct table *t, const struct table_proc *p)
{
	const struct mw_task_row *r = &p->row;
	const char *trend = table_proc__trend(p);
	double growth;
	json_t *o = json_pack(
		"{si si si si sI sI sI sI sI sI sI sI sI sI sI si si}", "pid", (int)r->tgid, "ppid",
		(int)r->ppid, "uid", (int)r->uid, "threads", (int)r->nr_threads, "virt_bytes",
		(json_int_t)r->virt_bytes, "rss_bytes", (json_int_t)mw_task_row__rss(r),
		"rss_anon_bytes", (json_int_t)r->anon_bytes, "rss_file_bytes",
		(json_int_t)r->file_bytes, "rss_shmem_bytes", (json_int_t)r->shmem_bytes,
		"swap_bytes", (json_int_t)r->swap_bytes, "pgtables_bytes",
		(json_int_t)r->pgtables_bytes, "locked_bytes", (json_int_t)r->locked_bytes,
		"peak_rss_bytes", (json_int_t)p->peak_bytes, "peak_virt_bytes",
		(json_int_t)r->hiwater_virt_bytes, "start_boottime_ns", (json_int_t)r->start_ns,
		"oom_score", table__oom_score(r, t->total_pages, sysconf(_SC_PAGESIZE)),
		"oom_score_adj", (int)r->oom_score_adj);

	if (!o)
		return NULL;
	json_object_set_new(o, "interval_peak_rss_bytes",
			    r->flags & MW_TASK_PEAK ? json_integer(p->interval_peak_bytes)
						    : json_null());
	json_object_set_new(o, "growth_bytes_per_minute",
			    table_proc__growth_shown(p, &growth) ? json_integer((json_int_t)growth)
								 : json_null());
	json_object_set_new(o, "trend", *trend ? json_string(trend) : json_null());
	json_object_set_new(o, "user", text_or_null(p->user));
	json_object_set_new(o, "comm", json_string(p->comm));
	json_object_set_new(o, "cmdline", text_or_null(p->cmdline));
	json_object_set_new(o, "cgroup", text_or_null(p->cgroup));
	json_object_set_new(o, "container", text_or_null(p->container));
	json_object_set_new(o, "kernel_thread", json_boolean(r->flags & MW_TASK_KTHREAD));
	json_object_set_new(o, "has_memory", json_boolean(!(r->flags & MW_TASK_NO_MM)));
	json_object_set_new(o, "approximate", json_boolean(r->flags & MW_TASK_APPROX));
	return o;
}

int top_view__json(FILE *f, const struct top_view *v, const struct table *t,
		   const struct machine *m, size_t rows, int64_t time_unix_ms,
		   const struct view_extra *x)
{
	json_t *list = json_array(), *o;
	int err = -ENOMEM;

	if (!list) {
		json_decref(x->resident);
		return err;
	}
	for (size_t i = 0; i < v->n && (!rows || i < rows); i++)
		json_array_append_new(list, proc_json(t, v->row[i]));
	o = json_pack("{ss sI so sI sI sI so}", "schema", "memwatch.top/1", "time_unix_ms",
		      (json_int_t)time_unix_ms, "machine", machine_json(m), "processes_total",
		      (json_int_t)t->n, "torn_rows", (json_int_t)t->torn_rows, "lost_events",
		      (json_int_t)x->lost_events, "processes", list);
	if (!o) {
		json_decref(x->resident);
		return err;
	}
	if (x->gap_seconds > 0)
		json_object_set_new(o, "gap_seconds", json_real(x->gap_seconds));
	if (x->timeline_dropped)
		json_object_set_new(o, "timeline_dropped",
				    json_integer((json_int_t)x->timeline_dropped));
	if (x->timeline_rejected)
		json_object_set_new(o, "timeline_rejected",
				    json_integer((json_int_t)x->timeline_rejected));
	if (x->clock_step_ms)
		json_object_set_new(o, "clock_step_ms", json_integer(x->clock_step_ms));
	if (x->resident)
		json_object_set_new(o, "resident", x->resident);
	if (*x->note)
		json_object_set_new(o, "note", json_string(x->note));
	if (!json_dumpf(o, f, JSON_COMPACT) && fputc('\n', f) != EOF && !fflush(f))
		err = 0;
	else
		err = -EIO;
	json_decref(o);
	return err;
}
