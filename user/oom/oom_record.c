/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/oom_record.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lines.h"
#include "core/util.h"
#include "sys/apart.h"

#define LINE_BYTES (1 << 20)
#define FILE_BYTES (1ULL << 30)

static uint64_t get_size(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v)
								: OOM_UNKNOWN;
}

static void get_text(const json_t *o, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(o, key));

	snprintf(to, size, "%s", text ? text : "");
}

static uint32_t get_id(const json_t *o, const char *key, uint32_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (uint32_t)json_integer_value(v) : otherwise;
}

static void get_proc(const json_t *o, struct oom_proc *p)
{
	p->pid = get_id(o, "pid", 0);
	p->tid = get_id(o, "tid", p->pid);
	p->uid = get_id(o, "uid", UINT32_MAX);
	p->oom_score_adj = (int32_t)get_id(o, "oom_score_adj", (uint32_t)OOM_NO_ADJ);
	get_text(o, "comm", p->comm, sizeof(p->comm));
	get_text(o, "cmdline", p->cmdline, sizeof(p->cmdline));
	get_text(o, "cgroup", p->cgroup, sizeof(p->cgroup));
	p->total_vm_bytes = get_size(o, "total_vm_bytes");
	p->anon_rss_bytes = get_size(o, "anon_rss_bytes");
	p->file_rss_bytes = get_size(o, "file_rss_bytes");
	p->shmem_rss_bytes = get_size(o, "shmem_rss_bytes");
	p->swap_bytes = get_size(o, "swap_bytes");
	p->pgtables_bytes = get_size(o, "pgtables_bytes");
}

static void get_lists(const json_t *o, struct oom_event *e)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, "tasks"), i, v)
	{
		struct kmsg_task *t = &e->tasks[e->ntasks];

		if (e->ntasks == OOM_TASKS)
			break;
		e->ntasks++;
		t->pid = t->tgid = get_id(v, "pid", 0);
		t->uid = get_id(v, "uid", UINT32_MAX);
		t->oom_score_adj = (int32_t)get_id(v, "oom_score_adj", 0);
		t->rss_bytes = get_size(v, "rss_bytes");
		t->total_vm_bytes = get_size(v, "total_vm_bytes");
		t->pgtables_bytes = get_size(v, "pgtables_bytes");
		t->swap_bytes = get_size(v, "swap_bytes");
		get_text(v, "comm", t->comm, sizeof(t->comm));
	}
	json_array_foreach(json_object_get(o, "timeline"), i, v)
	{
		struct oom_point *p = &e->timeline[e->npoints];

		if (e->npoints == OOM_POINTS)
			break;
		e->npoints++;
		p->time_unix_ms = json_integer_value(json_object_get(v, "time_unix_ms"));
		p->virt_bytes = get_size(v, "virt_bytes");
		p->rss_bytes = get_size(v, "rss_bytes");
		p->shared_bytes = get_size(v, "rss_shared_bytes");
	}
}

static void get_psi_line(const json_t *o, struct psi_line *p)
{
	p->avg10 = json_number_value(json_object_get(o, "avg10"));
	p->avg60 = json_number_value(json_object_get(o, "avg60"));
	p->avg300 = json_number_value(json_object_get(o, "avg300"));
	p->total_us = json_integer_value(json_object_get(o, "total_us"));
}

static void get_machine(const json_t *o, struct oom_event *e)
{
	const json_t *m = json_object_get(o, "memcg"), *all = json_object_get(o, "machine");
	const json_t *psi = json_object_get(o, "psi");
	const char *from;

	if (json_is_object(m))
		get_text(m, "path", e->memcg, sizeof(e->memcg));
	e->limit_bytes = get_size(m, "limit_bytes");
	e->usage_bytes = get_size(m, "usage_bytes");
	e->swap_limit_bytes = get_size(m, "swap_limit_bytes");
	e->swap_usage_bytes = get_size(m, "swap_usage_bytes");
	e->memsw_limit_bytes = get_size(m, "memsw_limit_bytes");
	e->memsw_usage_bytes = get_size(m, "memsw_usage_bytes");
	e->mem_total_bytes = get_size(all, "total_bytes");
	e->mem_free_bytes = get_size(all, "free_bytes");
	e->mem_available_bytes = get_size(all, "available_bytes");
	e->swap_total_bytes = get_size(all, "swap_total_bytes");
	e->swap_free_bytes = get_size(all, "swap_free_bytes");
	from = json_string_value(json_object_get(all, "free_from"));
	e->free_from_kernel = from && !strcmp(from, "kernel");
	e->psi.valid = json_is_object(psi);
	get_psi_line(json_object_get(psi, "some"), &e->psi.some);
	get_psi_line(json_object_get(psi, "full"), &e->psi.full);
}

static void get_stat(const json_t *o, struct oom_event *e)
{
	const json_t *stat = json_object_get(o, "stat"), *v;
	const char *from = json_string_value(json_object_get(stat, "from"));
	size_t i;

	e->has_stat = json_is_object(stat);
	e->stat_from_kernel = from && !strcmp(from, "kernel");
	for (i = 0; i < CGROUP_STATS; i++) {
		char key[64];

		snprintf(key, sizeof(key), "%s_bytes", cgroup_stat__name(i));
		e->stat.bytes[i] = get_size(stat, key);
	}
	json_array_foreach(json_object_get(o, "tmpfs"), i, v)
	{
		struct oom_tmpfs *t = &e->tmpfs[e->ntmpfs];

		if (e->ntmpfs == OOM_TMPFS)
			break;
		e->ntmpfs++;
		t->used_bytes = get_size(v, "used_bytes");
		get_text(v, "path", t->path, sizeof(t->path));
	}
}

static void get_stall(const json_t *o, struct oom_stall *s, bool *ret_have)
{
	static const char *const window[OOM_WINDOWS] = {"last_10s", "last_60s"};

	*ret_have = json_is_object(o);
	for (size_t i = 0; i < OOM_WINDOWS; i++) {
		const json_t *w = json_object_get(o, window[i]);

		s->cnt[i] = (uint64_t)json_integer_value(json_object_get(w, "count"));
		s->ns[i] = (uint64_t)json_integer_value(json_object_get(w, "stall_us")) * 1000;
		s->bytes[i] = (uint64_t)json_integer_value(json_object_get(w, "freed_bytes"));
	}
}

static void get_stalls(const json_t *o, struct oom_stalls *s)
{
	const json_t *group = json_object_get(o, "group");
	const struct {
		const char *name;
		struct oom_stall *reclaim, *compaction;
	} of[] = {{"machine", &s->machine, &s->machine_compaction},
		  {"victim", &s->victim, &s->victim_compaction},
		  {"trigger", &s->trigger, &s->trigger_compaction}};
	bool have;

	s->watched_s = get_id(o, "watched_s", 0);
	get_text(group, "path", s->group_path, sizeof(s->group_path));
	get_stall(json_object_get(group, "reclaim"), &s->group, &have);
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		const json_t *v = json_object_get(o, of[i].name);

		get_stall(json_object_get(v, "reclaim"), of[i].reclaim, &s->has_reclaim);
		get_stall(json_object_get(v, "compaction"), of[i].compaction, &s->has_compaction);
	}
}

static void get_writer(const json_t *o, struct oom_writer *w)
{
	w->pid = get_id(o, "pid", 0);
	w->of = get_id(o, "of_pid", 0);
	w->time_unix_ms = json_integer_value(json_object_get(o, "time_unix_ms"));
	get_text(o, "comm", w->comm, sizeof(w->comm));
}

static enum oom_constraint get_constraint(const char *text)
{
	if (text && !strcmp(text, "memcg"))
		return OOM_CONSTRAINT_MEMCG;
	if (text && !strcmp(text, "cpuset"))
		return OOM_CONSTRAINT_CPUSET;
	if (text && !strcmp(text, "mempolicy"))
		return OOM_CONSTRAINT_MEMPOLICY;
	return OOM_CONSTRAINT_NONE;
}

static void get_event(const json_t *o, struct oom_event *e)
{
	const char *from = json_string_value(json_object_get(o, "source"));
	const char *killer = json_string_value(json_object_get(o, "killer"));
	const char *tasks = json_string_value(json_object_get(o, "tasks_from"));
	const json_t *boot = json_object_get(o, "since_boot_s");

	memset(e, 0, sizeof(*e));
	e->has_time = json_is_integer(json_object_get(o, "time_unix_ms"));
	e->time_unix_ms = json_integer_value(json_object_get(o, "time_unix_ms"));
	e->boot_us = OOM_UNKNOWN;
	if (json_is_number(boot) && json_number_value(boot) >= 0 && json_number_value(boot) < 1e12)
		e->boot_us = (uint64_t)llround(json_number_value(boot) * 1e6);
	e->no_victim = json_is_null(json_object_get(o, "victim"));
	e->repeats = get_id(o, "repeats", 0);
	e->chosen_pid = get_id(o, "sacrificed_for_pid", 0);
	e->has_order = json_is_integer(json_object_get(o, "order"));
	e->order = (int32_t)json_integer_value(json_object_get(o, "order"));
	e->has_constraint = json_is_string(json_object_get(o, "constraint"));
	e->seq = get_size(o, "kmsg_seq");
	e->first_seq = get_size(o, "kmsg_first_seq");
	e->from = !from			   ? OOM_FROM_PROBE
		  : !strcmp(from, "kmsg")  ? OOM_FROM_KMSG
		  : !strcmp(from, "probe") ? OOM_FROM_PROBE
					   : OOM_FROM_PROBE | OOM_FROM_KMSG;
	e->by_daemon = killer && !strcmp(killer, "daemon");
	e->signal = (int)json_integer_value(json_object_get(o, "signal"));
	e->is_group = json_is_true(json_object_get(o, "group_kill"));
	e->constraint = get_constraint(json_string_value(json_object_get(o, "constraint")));
	e->tasks_from_kernel = tasks && !strcmp(tasks, "kernel");
	e->growth_bytes_per_s = json_number_value(json_object_get(o, "growth_bytes_per_s"));
	get_text(o, "profile", e->profile, sizeof(e->profile));
	get_text(o, "boot_id", e->boot_id, sizeof(e->boot_id));
	get_proc(json_object_get(o, "victim"), &e->victim);
	get_proc(json_object_get(o, "trigger"), &e->trigger);
	get_machine(o, e);
	get_stat(o, e);
	get_stalls(json_object_get(o, "stalls"), &e->stalls);
	get_writer(json_object_get(json_object_get(o, "victim"), "oom_score_adj_set"), &e->score);
	get_lists(o, e);
}

int oom_record__parse(const char *line, size_t len, struct oom_event *ret)
{
	json_t *o = json_loadb(line, len, 0, NULL);
	const char *schema = json_string_value(json_object_get(o, "schema"));
	int err = 0;

	if (!schema)
		err = -EBADMSG;
	else if (strcmp(schema, "memwatch.oom/1"))
		err = -ENOMSG;
	else if (!json_is_object(json_object_get(o, "victim")) &&
		 !json_is_null(json_object_get(o, "victim")))
		err = -EBADMSG;
	else
		get_event(o, ret);
	json_decref(o);
	return err;
}

int oom_record__each(const char *path,
		     void (*fn)(void *arg, const char *line, size_t len, const struct oom_event *e),
		     void *arg, struct record_stats *ret)
{
	const struct lines_limits limits = {LINE_BYTES, FILE_BYTES};
	cleanup_free struct oom_event *e = malloc(sizeof(*e));
	struct lines *l;
	char *line;
	size_t len;
	int fd, err;

	*ret = (struct record_stats){0};
	if (!e)
		return -ENOMEM;
	fd = apart__open(path, APART_READ_FILE);
	err = fd < 0 ? fd : lines__open_fd(fd, &limits, &l);
	if (err)
		return err;
	while ((err = lines__next(l, &line, &len)) > 0) {
		int bad = len ? oom_record__parse(line, len, e) : 0;

		if (len && (!bad || bad == -ENOMSG))
			fn(arg, line, len, bad ? NULL : e);
		else if (bad == -EBADMSG)
			ret->bad++;
	}
	ret->bad += lines__damaged(l);
	ret->cut = lines__cut(l);
	lines__close(l);
	return err;
}
