/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/kmsg.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = 0;
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

static bool parse_u64(const char *text, uint64_t *ret, const char **ret_end)
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

/* "key123kB" → bytes; KMSG_NONE if the key is not there. */
static uint64_t get_kb(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	uint64_t v;

	if (!p || !parse_u64(p + strlen(key), &v, NULL) || v > UINT64_MAX >> 10)
		return KMSG_NONE;
	return v << 10;
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
	k->swap_usage_bytes = k->swap_limit_bytes = k->free_bytes = KMSG_NONE;
	p->group = p->after_kill = p->in_table = p->split_rss = false;
}

void kmsg_parser__init(struct kmsg_parser *p, uint64_t page_bytes)
{
	memset(p, 0, sizeof(*p));
	p->page_bytes = page_bytes;
	reset(p);
}

/* "leak invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0" */
static void parse_header(struct kmsg_parser *p, const char *line, const char *at)
{
	reset(p);
	p->cur.has_context = true;
	copy_text(p->cur.trigger_comm, sizeof(p->cur.trigger_comm), line, at - line);
	p->cur.order = get_int(at, "order=", 0);
}

/* "memory: usage 65536kB, limit 65536kB, failcnt 17" */
static void parse_usage(const char *line, uint64_t *usage, uint64_t *limit)
{
	*usage = get_kb(line, "usage ");
	*limit = get_kb(line, "limit ");
}

static void add_task(struct kmsg_kill *k, const struct kmsg_task *t)
{
	size_t i = k->ntasks;

	k->ntasks_seen++;
	if (i == KMSG_TASKS) {
		if (k->tasks[i - 1].rss_bytes >= t->rss_bytes)
			return;
		i--;
	} else {
		k->ntasks++;
	}
	for (; i > 0 && k->tasks[i - 1].rss_bytes < t->rss_bytes; i--)
		k->tasks[i] = k->tasks[i - 1];
	k->tasks[i] = *t;
}

/*
 * "[   1234]     0  1234    12345      678      600       78        0    45056        0
 *     0 bash": pid uid tgid total_vm rss [rss_anon rss_file rss_shmem] pgtables_bytes swapents
 * oom_score_adj name. The three columns in brackets came with 6.8 (a8753a3e6dc0).
 */
static bool parse_task(struct kmsg_parser *p, const char *line)
{
	struct kmsg_task t = {};
	uint64_t v[9];
	const char *at;
	size_t n = p->split_rss ? 9 : 6;
	char *end;

	if (line[0] != '[' || !parse_u64(line + 1, &v[0], &at) || *at != ']')
		return false;
	t.pid = v[0];
	at++;
	for (size_t i = 0; i < n; i++) {
		if (!parse_u64(at, &v[i], &at))
			return false;
	}
	t.uid = v[0];
	t.tgid = v[1];
	t.total_vm_bytes = v[2] * p->page_bytes;
	t.rss_bytes = v[3] * p->page_bytes;
	t.pgtables_bytes = v[n - 2];
	t.swap_bytes = v[n - 1] * p->page_bytes;
	t.oom_score_adj = strtol(at, &end, 10);
	if (end == at || *end != ' ')
		return false;
	copy_text(t.comm, sizeof(t.comm), end + 1, strlen(end + 1));
	add_task(&p->cur, &t);
	return true;
}

/* "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,
 * oom_memcg=/a,task_memcg=/a/b,task=leak,pid=1,uid=0"; "global_oom," in place of oom_memcg=. */
static void parse_summary(struct kmsg_kill *k, const char *line)
{
	const char *memcg = strstr(line, ",oom_memcg="), *task = NULL, *end;

	k->has_context = true;
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

/* "…: Killed process 1234 (leak) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:1kB, UID:0
 * pgtables:1kB oom_score_adj:0" */
static bool parse_kill(struct kmsg_parser *p, const char *line, const char *at)
{
	struct kmsg_kill *k = &p->cur;
	const char *rest = find_last(at, ") total-vm:");
	uint64_t pid, uid;

	if (!rest || !parse_u64(at + strlen("Killed process "), &pid, &at))
		return false;
	if (pid > INT32_MAX || at[0] != ' ' || at[1] != '(')
		return false;
	if (p->after_kill && !p->group)
		reset(p);
	k->is_group = p->after_kill;
	k->is_memcg = !strncmp(line, "Memory cgroup", strlen("Memory cgroup"));
	if (k->is_memcg)
		k->constraint = OOM_CONSTRAINT_MEMCG;
	k->pid = pid;
	copy_text(k->comm, sizeof(k->comm), at + 2, rest > at + 2 ? (size_t)(rest - at - 2) : 0);
	k->total_vm_bytes = get_kb(rest, "total-vm:");
	k->anon_rss_bytes = get_kb(rest, "anon-rss:");
	k->file_rss_bytes = get_kb(rest, "file-rss:");
	k->shmem_rss_bytes = get_kb(rest, "shmem-rss:");
	k->pgtables_bytes = get_kb(rest, "pgtables:");
	at = strstr(rest, "UID:");
	k->uid = at && parse_u64(at + 4, &uid, NULL) ? (uint32_t)uid : UINT32_MAX;
	k->oom_score_adj = get_int(rest, "oom_score_adj:", 0);
	p->after_kill = true;
	p->in_table = false;
	return true;
}

/* Lines between the header and the kill. */
static void parse_context(struct kmsg_parser *p, const char *line)
{
	struct kmsg_kill *k = &p->cur;
	const char *at;
	uint64_t v;

	if (p->in_table && line[0] == '[' && parse_task(p, line))
		return;
	if (!strncmp(line, "[  pid  ]", 9)) {
		p->in_table = true;
		p->split_rss = strstr(line, " rss_anon ") != NULL;
	} else if (!strncmp(line, "memory: usage ", 14)) {
		parse_usage(line, &k->usage_bytes, &k->limit_bytes);
	} else if (!strncmp(line, "memory+swap: usage ", 19)) {
		parse_usage(line, &k->memsw_usage_bytes, &k->memsw_limit_bytes);
	} else if (!strncmp(line, "swap: usage ", 12)) {
		parse_usage(line, &k->swap_usage_bytes, &k->swap_limit_bytes);
	} else if (!strncmp(line, "CPU: ", 5) && !k->trigger_pid) {
		at = strstr(line, " PID: ");
		if (at && parse_u64(at + 6, &v, NULL) && v <= INT32_MAX)
			k->trigger_pid = v;
	} else if ((at = strstr(line, " free:")) && strstr(line, " free_pcp:") &&
		   k->free_bytes == KMSG_NONE) {
		if (parse_u64(at + 6, &v, NULL)) /* Mem-Info, in pages */
			k->free_bytes = v * p->page_bytes;
	}
}

bool kmsg_parser__feed(struct kmsg_parser *p, const char *line, uint64_t seq, uint64_t time_us)
{
	const char *at;

	if (!strncmp(line, "oom-kill:constraint=", 20)) {
		if (p->after_kill)
			reset(p);
		p->in_table = false;
		parse_summary(&p->cur, line);
		return false;
	}
	if (strstr(line, "ut of memory") && (at = strstr(line, ": Killed process "))) {
		if (!parse_kill(p, line, at + 2))
			return false;
		p->cur.seq = seq;
		p->cur.time_us = time_us;
		return true;
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

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The kernel writes what is not printable ASCII, and the backslash, as \xNN. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] == 'x' && hex_digit(text[2]) >= 0 &&
		    hex_digit(text[3]) >= 0) {
			char c = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));

			*to++ = c ? c : '?';
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
}

int kmsg__split(char *record, uint64_t *ret_seq, uint64_t *ret_time_us, unsigned *ret_facility,
		const char **ret_text)
{
	char *text = strchr(record, ';'), *end;
	const char *at;
	uint64_t prio;

	if (!text || !parse_u64(record, &prio, &at) || *at != ',' ||
	    !parse_u64(at + 1, ret_seq, &at) || *at != ',' ||
	    !parse_u64(at + 1, ret_time_us, &at) || at > text)
		return -EBADMSG;
	*ret_facility = prio >> 3;
	text++;
	end = strchr(text, '\n');
	if (end)
		*end = 0;
	unescape(text);
	*ret_text = text;
	return 0;
}

int kmsg__open(struct kmsg *k, bool from_start)
{
	memset(k, 0, sizeof(*k));
	kmsg_parser__init(&k->parser, sysconf(_SC_PAGESIZE));
	k->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (k->fd < 0)
		return -errno;
	if (lseek(k->fd, 0, from_start ? SEEK_SET : SEEK_END) < 0) {
		int err = -errno;

		kmsg__close(k);
		return err;
	}
	return 0;
}

void kmsg__close(struct kmsg *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

int kmsg__next(struct kmsg *k)
{
	uint64_t seq, time_us;
	unsigned facility;
	const char *text;

	for (;;) {
		ssize_t n = read(k->fd, k->buf, KMSG_RECORD_MAX);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EPIPE) /* overwritten while we were away; counted below */
				continue;
			if (errno == EINVAL) /* a record longer than the buffer: not one of ours */
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		k->buf[n] = 0;
		if (kmsg__split(k->buf, &seq, &time_us, &facility, &text))
			continue;
		if (k->next_seq && seq > k->next_seq)
			k->lost += seq - k->next_seq;
		k->next_seq = seq + 1;
		/* Only the kernel's own words: anyone may write to /dev/kmsg as another facility.
		 */
		if (facility == 0 && kmsg_parser__feed(&k->parser, text, seq, time_us))
			return 1;
	}
}
