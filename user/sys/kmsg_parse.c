/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kmsg_parse.c - what the kernel writes about an OOM kill, from 3.10 on. See kmsg.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "core/top_n.h"
#include "sys/kmsg.h"

static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = 0;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* The last occurrence: names may hold anything, what the kernel prints after them may not. */
static const char *find_last(const char *text, const char *what)
{
	const char *found = NULL, *p = text;

	while ((p = strstr(p, what))) {
		found = p;
		p++;
	}
	return found;
}

bool kmsg__number(const char *text, uint64_t *ret, const char **ret_end)
{
	char *end;

	while (*text == ' ')
		text++;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (ret_end)
		*ret_end = end;
	return true;
}

/* The number after `key` times `unit`; KMSG_NONE if the key is not there. */
static uint64_t get_sized(const char *text, const char *key, uint64_t unit)
{
	const char *p = strstr(text, key);
	uint64_t v;

	if (!p || !kmsg__number(p + strlen(key), &v, NULL) || v > UINT64_MAX / unit)
		return KMSG_NONE;
	return v * unit;
}

static uint64_t get_kb(const char *text, const char *key)
{
	return get_sized(text, key, 1024);
}

static int32_t get_int(const char *text, const char *key, int32_t otherwise)
{
	const char *p = strstr(text, key);

	return p ? (int32_t)strtol(p + strlen(key), NULL, 10) : otherwise;
}

static void reset(struct kmsg_parser *p)
{
	struct kmsg_kill *k = &p->cur;

	memset(k, 0, sizeof(*k));
	k->usage_bytes = k->limit_bytes = KMSG_NONE;
	k->memsw_usage_bytes = k->memsw_limit_bytes = KMSG_NONE;
	k->swap_usage_bytes = k->swap_limit_bytes = KMSG_NONE;
	k->free_bytes = k->total_bytes = k->swap_free_bytes = k->swap_total_bytes = KMSG_NONE;
	cgroup_stat__init(&k->stat);
	p->group = p->after_kill = p->in_stat = p->in_meminfo = false;
	p->ncolumns = 0;
}

void kmsg_parser__init(struct kmsg_parser *p, uint64_t page_bytes)
{
	memset(p, 0, sizeof(*p));
	p->page_bytes = page_bytes;
	reset(p);
}

/* "leak invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0". Order -1 is
 * SysRq-f. */
static void parse_header(struct kmsg_parser *p, const char *line, const char *at)
{
	reset(p);
	p->cur.has_context = true;
	copy_text(p->cur.trigger_comm, sizeof(p->cur.trigger_comm), line, at - line);
	p->cur.has_order = strstr(at, "order=") != NULL;
	p->cur.order = get_int(at, "order=", 0);
}

/* "memory: usage 65536kB, limit 65536kB, failcnt 17" */
static void parse_usage(const char *line, uint64_t *usage, uint64_t *limit)
{
	*usage = get_kb(line, "usage ");
	*limit = get_kb(line, "limit ");
}

/* --- the table of candidates --- */

int kmsg__by_rss(const void *a, const void *b)
{
	const struct kmsg_task *x = a, *y = b;

	return (x->rss_bytes < y->rss_bytes) - (x->rss_bytes > y->rss_bytes);
}

static void add_task(struct kmsg_kill *k, const struct kmsg_task *t)
{
	k->ntasks_seen++;
	k->ntasks = top_n__insert(k->tasks, k->ntasks, KMSG_TASKS, sizeof(*t), t, kmsg__by_rss);
}

static const char *const column_name[KMSG_COLUMNS] = {
	[KMSG_COL_UID] = "uid",		  [KMSG_COL_TGID] = "tgid",
	[KMSG_COL_TOTAL_VM] = "total_vm", [KMSG_COL_RSS] = "rss",
	[KMSG_COL_PTES] = "nr_ptes",	  [KMSG_COL_PGTABLES] = "pgtables_bytes",
	[KMSG_COL_SWAP] = "swapents",	  [KMSG_COL_ADJ] = "oom_score_adj",
};

/*
 * "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name": the columns
 * differ between kernels (nr_ptes until 4.14, also nr_pmds from 4.1, nr_puds in 4.15; rss_anon,
 * rss_file and rss_shmem from 6.8); the heading says which there are.
 */
static void parse_heading(struct kmsg_parser *p, const char *line)
{
	const char *at = strchr(line, ']');

	p->ncolumns = 0;
	while (at && *(at += 1 + strspn(at + 1, " "))) {
		size_t len = strcspn(at, " ");
		uint8_t what = KMSG_COL_OTHER;

		if (len == 4 && !memcmp(at, "name", 4))
			return;
		for (size_t i = 0; i < KMSG_COLUMNS; i++) {
			if (column_name[i] && strlen(column_name[i]) == len &&
			    !memcmp(at, column_name[i], len))
				what = i;
		}
		if (p->ncolumns == KMSG_COLUMNS_MAX)
			break;
		p->column[p->ncolumns++] = what;
		at += len - 1;
	}
	p->ncolumns = 0; /* no heading that we know */
}

/* "[   1234]     0  1234    12345      678    45056        0             0 bash" */
static bool parse_task(struct kmsg_parser *p, const char *line)
{
	struct kmsg_task t = {};
	uint64_t v[KMSG_COLUMNS] = {}, pid;
	const char *at;
	char *end;

	if (line[0] != '[' || !kmsg__number(line + 1, &pid, &at) || *at != ']')
		return false;
	at++;
	for (size_t i = 0; i < p->ncolumns; i++) {
		if (p->column[i] == KMSG_COL_ADJ) {
			t.oom_score_adj = strtol(at, &end, 10);
			if (end == at)
				return false;
			at = end;
		} else if (!kmsg__number(at, &v[p->column[i]], &at)) {
			return false;
		}
	}
	if (*at != ' ')
		return false;
	t.pid = pid;
	t.uid = v[KMSG_COL_UID];
	t.tgid = v[KMSG_COL_TGID];
	t.total_vm_bytes = v[KMSG_COL_TOTAL_VM] * p->page_bytes;
	t.rss_bytes = v[KMSG_COL_RSS] * p->page_bytes;
	t.pgtables_bytes = v[KMSG_COL_PGTABLES] + v[KMSG_COL_PTES] * p->page_bytes;
	t.swap_bytes = v[KMSG_COL_SWAP] * p->page_bytes;
	copy_text(t.comm, sizeof(t.comm), at + 1, strlen(at + 1));
	add_task(&p->cur, &t);
	return true;
}

/* --- why --- */

/* "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,
 * oom_memcg=/a,task_memcg=/a/b,task=leak,pid=1,uid=0"; "global_oom," in place of oom_memcg=. Since
 * 5.0. */
static void parse_summary(struct kmsg_kill *k, const char *line)
{
	const char *memcg = strstr(line, ",oom_memcg="), *task = NULL, *end;

	k->has_context = k->has_constraint = true;
	if (strstr(line, "constraint=CONSTRAINT_MEMCG"))
		k->constraint = OOM_CONSTRAINT_MEMCG;
	else if (strstr(line, "constraint=CONSTRAINT_CPUSET"))
		k->constraint = OOM_CONSTRAINT_CPUSET;
	else if (strstr(line, "constraint=CONSTRAINT_MEMORY_POLICY"))
		k->constraint = OOM_CONSTRAINT_MEMPOLICY;
	else
		k->constraint = OOM_CONSTRAINT_NONE;
	task = strstr(line, ",task_memcg=");
	if (memcg) {
		memcg += strlen(",oom_memcg=");
		end = strstr(memcg, ",task_memcg=");
		copy_text(k->oom_memcg, sizeof(k->oom_memcg), memcg,
			  end ? (size_t)(end - memcg) : strlen(memcg));
	}
	if (task) {
		task += strlen(",task_memcg=");
		end = find_last(task, ",task=");
		copy_text(k->task_memcg, sizeof(k->task_memcg), task,
			  end ? (size_t)(end - task) : strlen(task));
	}
}

/* "Task in /a/b killed as a result of limit of /a": until 4.20. */
static bool parse_old_summary(struct kmsg_kill *k, const char *line)
{
	static const char killed[] = " killed as a result of limit of ";
	const char *at = find_last(line, killed);

	if (!starts(line, "Task in ") || !at)
		return false;
	k->has_context = k->has_constraint = true;
	k->constraint = OOM_CONSTRAINT_MEMCG;
	line += strlen("Task in ");
	copy_text(k->task_memcg, sizeof(k->task_memcg), line, at - line);
	at += strlen(killed);
	copy_text(k->oom_memcg, sizeof(k->oom_memcg), at, strlen(at));
	return true;
}

/* --- the kill --- */

/* "… 1234 (leak) total-vm:1kB …", in some distributions' 3.10 "1234 (leak), UID 48, total-vm:…"
 * and older "1234, UID 48, (leak) total-vm:…". `at` is behind "Killed process ". */
static bool parse_victim(struct kmsg_parser *p, const char *at, const char **ret_rest)
{
	struct kmsg_kill *k = &p->cur;
	const char *rest = find_last(at, " total-vm:"), *open, *close;
	uint64_t pid, uid = UINT32_MAX;

	if (!kmsg__number(at, &pid, &at) || !pid || pid > INT32_MAX || (*at != ' ' && *at != ','))
		return false;
	if (!rest && !p->lenient)
		return false;
	if (starts(at, ", UID ") && !kmsg__number(at + 6, &uid, &at))
		return false;
	open = strchr(at, '(');
	if (!open || open - at > 2)
		return false;
	*ret_rest = rest ? rest : at + strlen(at);
	for (close = *ret_rest; close > open && *close != ')'; close--)
		;
	if (close == open && !p->lenient)
		return false;
	if (rest && starts(close, "), UID "))
		kmsg__number(close + 7, &uid, NULL);
	k->pid = pid;
	k->uid = uid;
	copy_text(k->comm, sizeof(k->comm), open + 1,
		  close > open ? (size_t)(close - open - 1) : strlen(open + 1));
	return true;
}

/* What is cut off or not printed by an old kernel stays unknown. */
static bool parse_kill(struct kmsg_parser *p, const char *line, const char *at)
{
	struct kmsg_kill *k = &p->cur;
	const char *rest;
	struct kmsg_kill before;
	uint64_t uid;

	if (p->after_kill && !p->group) {
		before = *k;
		reset(p);
		if (!parse_victim(p, at, &rest)) {
			*k = before;
			p->after_kill = true;
			return false;
		}
	} else if (!parse_victim(p, at, &rest)) {
		return false;
	}
	k->is_group = p->after_kill;
	k->is_memcg = k->is_memcg || starts(line, "Memory cgroup");
	if (k->is_memcg) {
		k->constraint = OOM_CONSTRAINT_MEMCG;
		k->has_constraint = true;
	}
	k->total_vm_bytes = get_kb(rest, "total-vm:");
	k->anon_rss_bytes = get_kb(rest, "anon-rss:");
	k->file_rss_bytes = get_kb(rest, "file-rss:");
	k->shmem_rss_bytes = get_kb(rest, "shmem-rss:");
	k->pgtables_bytes = get_kb(rest, "pgtables:");
	rest = strstr(rest, "UID:") ? strstr(rest, "UID:") : rest;
	if (starts(rest, "UID:") && kmsg__number(rest + 4, &uid, NULL))
		k->uid = uid;
	k->has_adj = strstr(rest, "oom_score_adj:") != NULL;
	k->oom_score_adj = get_int(rest, "oom_score_adj:", 0);
	k->no_victim = false;
	for (size_t i = 0; !k->has_adj && i < k->ntasks; i++) {
		if (k->tasks[i].pid != k->pid)
			continue;
		k->oom_score_adj = k->tasks[i].oom_score_adj;
		k->has_adj = true;
		if (k->uid == UINT32_MAX)
			k->uid = k->tasks[i].uid;
	}
	p->after_kill = true;
	p->ncolumns = 0;
	return true;
}

/* "Memory cgroup out of memory: Kill process 12 (leak) score 987 or sacrifice child": until 4.20
 * this line names who was chosen; the "Killed process" that follows may be a child of it. */
static void parse_choice(struct kmsg_parser *p, const char *line, const char *at)
{
	struct kmsg_kill *k = &p->cur;
	uint64_t pid;

	if (p->after_kill)
		reset(p);
	if (!kmsg__number(at, &pid, &at) || pid > INT32_MAX)
		return;
	k->has_context = true;
	k->chosen_pid = pid;
	if (starts(line, "Memory cgroup")) {
		k->is_memcg = k->has_constraint = true;
		k->constraint = OOM_CONSTRAINT_MEMCG;
	}
}

/* --- the context --- */

/* "cache:0KB rss:65536KB … inactive_file:4KB …": kernels before 5.2, a line per group of the tree.
 */
static void add_old_stat(struct kmsg_kill *k, const char *text)
{
	static const struct {
		const char *key;
		enum cgroup_stat_row row;
	} row[] = {{" rss:", CGROUP_STAT_ANON},
		   {" cache:", CGROUP_STAT_FILE},
		   {" shmem:", CGROUP_STAT_SHMEM},
		   {" active_file:", CGROUP_STAT_ACTIVE_FILE},
		   {" inactive_file:", CGROUP_STAT_INACTIVE_FILE},
		   {" unevictable:", CGROUP_STAT_UNEVICTABLE}};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		uint64_t v = get_kb(text, row[i].key), *to = &k->stat.bytes[row[i].row];

		if (v != KMSG_NONE)
			*to = *to == CGROUP_STAT_UNKNOWN ? v : *to + v;
	}
	k->has_stat = true;
}

/* "active_anon:24 inactive_anon:103 isolated_anon:0", " free:1320 …": in pages. */
static void parse_meminfo(struct kmsg_parser *p, const char *line)
{
	static const struct {
		const char *key;
		enum cgroup_stat_row row;
	} row[] = {{"active_anon:", CGROUP_STAT_ANON},
		   {"inactive_anon:", CGROUP_STAT_ANON},
		   {"active_file:", CGROUP_STAT_ACTIVE_FILE},
		   {"inactive_file:", CGROUP_STAT_INACTIVE_FILE},
		   {"unevictable:", CGROUP_STAT_UNEVICTABLE},
		   {"slab_reclaimable:", CGROUP_STAT_SLAB_RECLAIMABLE},
		   {"slab_unreclaimable:", CGROUP_STAT_SLAB_UNRECLAIMABLE},
		   {"shmem:", CGROUP_STAT_SHMEM},
		   {"pagetables:", CGROUP_STAT_PAGETABLES},
		   {"kernel_stack:", CGROUP_STAT_KERNEL_STACK}};
	struct kmsg_kill *k = &p->cur;
	uint64_t v = get_sized(line, " free:", p->page_bytes);

	if (v != KMSG_NONE && k->free_bytes == KMSG_NONE)
		k->free_bytes = v;
	for (const char *at = line; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
			uint64_t *to = &k->stat.bytes[row[i].row];

			if (!starts(at, row[i].key) ||
			    !kmsg__number(at + strlen(row[i].key), &v, NULL) ||
			    v > UINT64_MAX / p->page_bytes / 4)
				continue;
			*to = (*to == CGROUP_STAT_UNKNOWN ? 0 : *to) + v * p->page_bytes;
			k->has_stat = true;
		}
	}
}

static bool parse_machine(struct kmsg_parser *p, const char *line)
{
	struct kmsg_kill *k = &p->cur;
	uint64_t v;
	const char *at;

	if (starts(line, "Mem-Info:")) {
		p->in_meminfo = true;
		line += 9;
	}
	if (starts(line, "Node ") || starts(line, "lowmem_reserve"))
		p->in_meminfo = false;
	else if ((p->in_meminfo && strchr(line, ':')) ||
		 (strstr(line, " free:") && strstr(line, " free_pcp:")))
		parse_meminfo(p, line);
	else if (starts(line, "Free swap "))
		k->swap_free_bytes = get_kb(line, "= ");
	else if (starts(line, "Total swap = "))
		k->swap_total_bytes = get_kb(line, "= ");
	else if (kmsg__number(line, &v, &at) && !strcmp(at, " pages RAM"))
		k->total_bytes = v <= UINT64_MAX / p->page_bytes ? v * p->page_bytes : KMSG_NONE;
	else if (kmsg__number(line, &v, &at) && !strcmp(at, " pages reserved") &&
		 k->total_bytes != KMSG_NONE && v < k->total_bytes / p->page_bytes)
		k->total_bytes -= v * p->page_bytes;
	else
		return false;
	return true;
}

static bool parse_group(struct kmsg_parser *p, const char *line)
{
	struct kmsg_kill *k = &p->cur;
	const char *at;

	if (starts(line, "memory: usage ")) {
		parse_usage(line, &k->usage_bytes, &k->limit_bytes);
	} else if (starts(line, "memory+swap: usage ")) {
		parse_usage(line, &k->memsw_usage_bytes, &k->memsw_limit_bytes);
	} else if (starts(line, "swap: usage ")) {
		parse_usage(line, &k->swap_usage_bytes, &k->swap_limit_bytes);
	} else if (starts(line, "Memory cgroup stats for ")) {
		at = find_last(line, ": cache:");
		if (!k->oom_memcg[0]) { /* the line to come that names it does so only with a victim
					 */
			const char *path = line + strlen("Memory cgroup stats for ");
			size_t len = at ? (size_t)(at - path) : strlen(path);

			copy_text(k->oom_memcg, sizeof(k->oom_memcg), path,
				  len && !at && path[len - 1] == ':' ? len - 1 : len);
		}
		p->in_stat = !at;
		if (at)
			add_old_stat(k, at + 1);
	} else if (p->in_stat && cgroup_stat__line(&k->stat, line)) {
		k->has_stat = true;
	} else {
		return parse_old_summary(k, line);
	}
	return true;
}

/* Lines between the header and the kill. */
static void parse_context(struct kmsg_parser *p, const char *line)
{
	struct kmsg_kill *k = &p->cur;
	const char *at;
	uint64_t v;

	if (p->ncolumns && line[0] == '[' && parse_task(p, line))
		return;
	if (line[0] == '[' && strstr(line, " uid ") && strstr(line, " total_vm ")) {
		p->in_stat = false;
		k->has_table = true;
		parse_heading(p, line);
	} else if (parse_group(p, line) || parse_machine(p, line)) {
		return;
	} else if (!k->trigger_pid && strstr(line, "PID: ") && strstr(line, " Comm: ")) {
		at = strstr(line, "PID: ");
		if (kmsg__number(at + 5, &v, NULL) && v <= INT32_MAX)
			k->trigger_pid = v;
	}
}

/* Behind "Killed process ", where a line tells of a kill; else NULL. */
static const char *find_kill(const struct kmsg_parser *p, const char *line)
{
	const char *at = strstr(line, ": Killed process ");

	if (at && strstr(line, "ut of memory"))
		return at + strlen(": Killed process ");
	/* Until 4.20 the line stands alone, after one that says who was chosen. */
	if (p->cur.has_context && starts(line, "Killed process "))
		return line + strlen("Killed process ");
	return NULL;
}

static bool no_killable(struct kmsg_parser *p, uint64_t seq, uint64_t time_us)
{
	if (p->after_kill)
		reset(p);
	p->cur.no_victim = true;
	p->cur.pid = 0;
	p->cur.uid = UINT32_MAX;
	p->cur.comm[0] = 0;
	p->cur.total_vm_bytes = p->cur.anon_rss_bytes = p->cur.file_rss_bytes =
		p->cur.shmem_rss_bytes = p->cur.pgtables_bytes = KMSG_NONE;
	if (p->cur.usage_bytes != KMSG_NONE && !p->cur.has_constraint) {
		/* The report of a limit; without a victim it does not name the group. */
		p->cur.is_memcg = p->cur.has_constraint = true;
		p->cur.constraint = OOM_CONSTRAINT_MEMCG;
	}
	p->cur.seq = seq;
	p->cur.time_us = time_us;
	p->after_kill = true;
	p->group = false;
	return true;
}

bool kmsg_parser__feed(struct kmsg_parser *p, const char *line, uint64_t seq, uint64_t time_us)
{
	const char *at;

	if (starts(line, "oom-kill:constraint=")) {
		if (p->after_kill)
			reset(p);
		p->ncolumns = 0;
		parse_summary(&p->cur, line);
		return false;
	}
	at = find_kill(p, line);
	if (at) {
		if (!parse_kill(p, line, at))
			return false;
		p->cur.seq = seq;
		p->cur.time_us = time_us;
		return true;
	}
	if (strstr(line, "ut of memory") && strstr(line, " and no killable processes"))
		return no_killable(p, seq, time_us);
	at = strstr(line, ": Kill process ");
	if (at && strstr(line, "ut of memory")) {
		parse_choice(p, line, at + strlen(": Kill process "));
		return false;
	}
	if (strstr(line, " are going to be killed due to memory.oom.group set")) {
		p->group = true;
		return false;
	}
	at = find_last(line, " invoked oom-killer: ");
	if (at)
		parse_header(p, line, at);
	else if (p->cur.has_context && !p->after_kill)
		parse_context(p, line);
	return false;
}
