/* SPDX-License-Identifier: GPL-2.0-or-later */
/* render_json.c - an OOM event as a line of JSON (schema memwatch.oom/1); read by oom_record.c. */
#include <inttypes.h>
#include <stdio.h>

#include "core/when.h"
#include "oom/render.h"

static void json_size(struct textbuf *b, const char *key, uint64_t v)
{
	if (v == OOM_UNKNOWN || v == OOM_NO_LIMIT) {
		textbuf__format(b, ",\"%s\":null", key);
		return;
	}
	textbuf__format(b, ",\"%s\":%" PRIu64, key, v);
}

static void json_text(struct textbuf *b, const char *key, const char *text)
{
	textbuf__format(b, ",\"%s\":", key);

	if (*text)
		textbuf__json(b, text);
	else
		textbuf__str(b, "null");
}

static void json_id(struct textbuf *b, const char *key, uint32_t v)
{
	if (v == UINT32_MAX)
		textbuf__format(b, ",\"%s\":null", key);
	else
		textbuf__format(b, ",\"%s\":%u", key, v);
}

static void json_writer(struct textbuf *b, const struct oom_writer *w)
{
	if (!w->pid) {
		textbuf__format(b, ",\"oom_score_adj_set\":null");
		return;
	}
	textbuf__format(b, ",\"oom_score_adj_set\":{\"time_unix_ms\":%" PRId64 ",\"pid\":%u",
			w->time_unix_ms, w->pid);
	json_text(b, "comm", w->comm);
	textbuf__format(b, ",\"of_pid\":%u}", w->of);
}

static void json_victim(struct textbuf *b, const struct oom_proc *p, const struct oom_writer *w)
{
	textbuf__format(b, ",\"victim\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid);

	json_text(b, "comm", p->comm);
	json_text(b, "cmdline", p->cmdline);
	json_id(b, "uid", p->uid);
	json_text(b, "cgroup", p->cgroup);
	json_size(b, "total_vm_bytes", p->total_vm_bytes);
	json_size(b, "anon_rss_bytes", p->anon_rss_bytes);
	json_size(b, "file_rss_bytes", p->file_rss_bytes);
	json_size(b, "shmem_rss_bytes", p->shmem_rss_bytes);
	json_size(b, "swap_bytes", p->swap_bytes);
	json_size(b, "pgtables_bytes", p->pgtables_bytes);
	if (p->oom_score_adj == OOM_NO_ADJ)
		textbuf__format(b, ",\"oom_score_adj\":null");
	else
		textbuf__format(b, ",\"oom_score_adj\":%d", p->oom_score_adj);
	json_writer(b, w);
	textbuf__format(b, "}");
}

static void json_trigger(struct textbuf *b, const struct oom_proc *p)
{
	if (!p->pid && !p->comm[0]) {
		textbuf__format(b, ",\"trigger\":null");
		return;
	}
	if (p->pid)
		textbuf__format(b, ",\"trigger\":{\"pid\":%u,\"tid\":%u", p->pid, p->tid);
	else
		textbuf__str(b, ",\"trigger\":{\"pid\":null,\"tid\":null");
	json_text(b, "comm", p->comm);
	json_id(b, "uid", p->uid);
	json_text(b, "cgroup", p->cgroup);
	textbuf__format(b, "}");
}

static void json_memcg(struct textbuf *b, const struct oom_event *e)
{
	if (!e->memcg[0]) {
		textbuf__format(b, ",\"memcg\":null");
		return;
	}
	textbuf__format(b, ",\"memcg\":{\"path\":");
	textbuf__json(b, e->memcg);
	json_size(b, "limit_bytes", e->limit_bytes);
	json_size(b, "usage_bytes", e->usage_bytes);
	json_size(b, "swap_limit_bytes", e->swap_limit_bytes);
	json_size(b, "swap_usage_bytes", e->swap_usage_bytes);
	json_size(b, "memsw_limit_bytes", e->memsw_limit_bytes);
	json_size(b, "memsw_usage_bytes", e->memsw_usage_bytes);
	textbuf__format(b, "}");
}

/* What the memory of that group, or of the machine, was. */
static void json_stat(struct textbuf *b, const struct oom_event *e)
{
	if (!e->has_stat) {
		textbuf__format(b, ",\"stat\":null");
		return;
	}
	textbuf__format(b, ",\"stat\":{\"from\":\"%s\"", e->stat_from_kernel ? "kernel" : "later");
	for (size_t i = 0; i < CGROUP_STATS; i++) {
		char key[64];

		snprintf(key, sizeof(key), "%s_bytes", cgroup_stat__name(i));
		json_size(b, key, e->stat.bytes[i]);
	}
	textbuf__format(b, "},\"tmpfs\":[");
	for (size_t i = 0; i < e->ntmpfs; i++) {
		textbuf__format(b, "%s{\"used_bytes\":%" PRIu64, i ? "," : "",
				e->tmpfs[i].used_bytes);
		json_text(b, "path", e->tmpfs[i].path);
		textbuf__format(b, "}");
	}
	textbuf__format(b, "]");
}

static void json_tasks(struct textbuf *b, const struct oom_event *e)
{
	textbuf__format(b, ",\"tasks_from\":\"%s\",\"tasks\":[",
			!e->ntasks	       ? "none"
			: e->tasks_from_kernel ? "kernel"
					       : "proc");

	for (size_t i = 0; i < e->ntasks; i++) {
		const struct kmsg_task *t = &e->tasks[i];

		textbuf__format(b, "%s{\"pid\":%u", i ? "," : "", t->tgid);
		json_text(b, "comm", t->comm);
		json_id(b, "uid", t->uid);
		json_size(b, "rss_bytes", t->rss_bytes);
		json_size(b, "total_vm_bytes", t->total_vm_bytes);
		json_size(b, "pgtables_bytes", t->pgtables_bytes);
		json_size(b, "swap_bytes", t->swap_bytes);
		textbuf__format(b, ",\"oom_score_adj\":%d}", t->oom_score_adj);
	}
	textbuf__format(b, "]");
}

static void json_psi(struct textbuf *b, const struct psi *p)
{
	if (!p->valid) {
		textbuf__format(b, ",\"psi\":null");
		return;
	}
	textbuf__format(b,
			",\"psi\":{\"some\":{\"avg10\":%.2f,\"avg60\":%.2f,\"avg300\":%.2f,"
			"\"total_us\":%" PRIu64 "},\"full\":{\"avg10\":%.2f,\"avg60\":%.2f,"
			"\"avg300\":%.2f,\"total_us\":%" PRIu64 "}}",
			p->some.avg10, p->some.avg60, p->some.avg300, p->some.total_us,
			p->full.avg10, p->full.avg60, p->full.avg300, p->full.total_us);
}

static void json_stall(struct textbuf *b, const char *key, const struct oom_stall *s, bool have,
		       bool frees)
{
	static const char *const window[OOM_WINDOWS] = {"last_10s", "last_60s"};

	if (!have) {
		textbuf__format(b, "%s:null", key);
		return;
	}
	textbuf__format(b, "%s:{", key);
	for (size_t i = 0; i < OOM_WINDOWS; i++) {
		textbuf__format(b, "%s\"%s\":{\"count\":%" PRIu64 ",\"stall_us\":%" PRIu64,
				i ? "," : "", window[i], s->cnt[i], s->ns[i] / 1000);
		if (frees)
			textbuf__format(b, ",\"freed_bytes\":%" PRIu64, s->bytes[i]);
		textbuf__format(b, "}");
	}
	textbuf__format(b, "}");
}

static void json_staller(struct textbuf *b, const char *key, const struct oom_stalls *s,
			 const struct oom_stall *reclaim, const struct oom_stall *compaction)
{
	textbuf__format(b, ",\"%s\":{", key);

	json_stall(b, "\"reclaim\"", reclaim, s->has_reclaim, true);
	json_stall(b, ",\"compaction\"", compaction, s->has_compaction, false);
	textbuf__format(b, "}");
}

static void json_stalls(struct textbuf *b, const struct oom_stalls *s)
{
	if (!s->has_reclaim && !s->has_compaction) {
		textbuf__format(b, ",\"stalls\":null");
		return;
	}
	textbuf__format(b, ",\"stalls\":{\"watched_s\":%u", s->watched_s);
	if (s->group_path[0]) {
		textbuf__format(b, ",\"group\":{\"path\":");
		textbuf__json(b, s->group_path);
		json_stall(b, ",\"reclaim\"", &s->group, s->has_reclaim, true);
		textbuf__format(b, "}");
	} else {
		textbuf__format(b, ",\"group\":null");
	}
	json_staller(b, "machine", s, &s->machine, &s->machine_compaction);
	json_staller(b, "victim", s, &s->victim, &s->victim_compaction);
	json_staller(b, "trigger", s, &s->trigger, &s->trigger_compaction);
	textbuf__format(b, "}");
}

static void json_timeline(struct textbuf *b, const struct oom_event *e)
{
	textbuf__format(b, ",\"growth_bytes_per_s\":%.0f,\"timeline\":[", e->growth_bytes_per_s);

	for (size_t i = 0; i < e->npoints; i++) {
		const struct oom_point *p = &e->timeline[i];

		textbuf__format(b,
				"%s{\"time_unix_ms\":%" PRId64 ",\"virt_bytes\":%" PRIu64
				",\"rss_bytes\":%" PRIu64 ",\"rss_shared_bytes\":%" PRIu64 "}",
				i ? "," : "", p->time_unix_ms, p->virt_bytes, p->rss_bytes,
				p->shared_bytes);
	}
	textbuf__format(b, "]");
}

int render__json(struct textbuf *b, const struct oom_event *e)
{
	const char *constraint = render__constraint(e);
	char when[WHEN_LEN];

	textbuf__format(b, "{\"schema\":\"memwatch.oom/1\"");

	if (e->has_time)
		textbuf__format(b, ",\"time\":\"%s\",\"time_unix_ms\":%" PRId64,
				when__utc(when, sizeof(when), e->time_unix_ms), e->time_unix_ms);
	else
		textbuf__format(b, ",\"time\":null,\"time_unix_ms\":null");
	if (e->boot_us != OOM_UNKNOWN)
		textbuf__format(b, ",\"since_boot_s\":%.6f", (double)e->boot_us / 1e6);
	textbuf__format(b, ",\"source\":\"%s\"",
			e->from == OOM_FROM_KMSG    ? "kmsg"
			: e->from == OOM_FROM_PROBE ? "probe"
						    : "probe+kmsg");

	json_size(b, "kmsg_seq", e->seq);
	json_text(b, "boot_id", e->boot_id);
	textbuf__format(b, ",\"killer\":\"%s\"", e->by_daemon ? "daemon" : "kernel");
	textbuf__format(b, ",\"signal\":%d", e->signal);
	textbuf__format(b, ",\"group_kill\":%s", e->is_group ? "true" : "false");
	if (e->no_victim) {
		textbuf__format(b, ",\"victim\":null,\"repeats\":%u", e->repeats);
		if (e->repeats)
			json_size(b, "kmsg_first_seq", e->first_seq);
	} else {
		json_victim(b, &e->victim, &e->score);
	}
	if (e->chosen_pid)
		textbuf__format(b, ",\"sacrificed_for_pid\":%u", e->chosen_pid);
	json_trigger(b, &e->trigger);
	json_text(b, "constraint", constraint ? constraint : "");
	if (e->has_order)
		textbuf__format(b, ",\"order\":%d", e->order);
	json_memcg(b, e);
	json_stat(b, e);
	textbuf__format(b, ",\"machine\":{\"time_unix_ms\":%" PRId64, e->time_unix_ms);
	json_size(b, "total_bytes", e->mem_total_bytes);
	json_size(b, "free_bytes", e->mem_free_bytes);
	json_size(b, "available_bytes", e->mem_available_bytes);
	json_size(b, "swap_total_bytes", e->swap_total_bytes);
	json_size(b, "swap_free_bytes", e->swap_free_bytes);
	textbuf__format(b, ",\"free_from\":\"%s\"", e->free_from_kernel ? "kernel" : "proc");
	textbuf__format(b, "}");
	json_tasks(b, e);
	json_psi(b, &e->psi);
	json_stalls(b, &e->stalls);
	json_timeline(b, e);
	json_text(b, "profile", e->profile);
	textbuf__format(b, "}\n");
	return b->err;
}
