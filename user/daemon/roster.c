/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/roster.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "go/go_program.h"
#include "sys/proc_image.h"

#define ENVIRON_BYTES (64 << 10)
#define GO_AGE_S 3.0	 /* what lives shorter is not looked at */
#define GO_LOOKS_PASS 16 /* executables opened in one pass */

static void clear_entry(struct roster_entry *e)
{
	free(take_ptr(e->environ));
	free(take_ptr(e->exe));
}

void roster__clear(struct roster *r)
{
	for (size_t i = 0; i < r->n; i++)
		clear_entry(&r->e[i]);
	free(r->e);
	memset(r, 0, sizeof(*r));
}

static bool is_of(const struct roster_entry *e, const struct table_proc *p)
{
	return e->id.pid == p->row.tgid && e->id.start_ns == p->row.start_ns;
}

int roster__update(struct roster *r, const struct table *t,
		   void (*gone)(void *arg, struct roster_entry *e), void *arg)
{
	struct roster_entry *next = calloc(t->n ? t->n : 1, sizeof(*next));
	size_t k = 0;

	if (!next)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const struct table_proc *p = t->proc[i];

		while (k < r->n && r->e[k].id.pid <= p->row.tgid && !is_of(&r->e[k], p)) {
			if (gone)
				gone(arg, &r->e[k]);
			clear_entry(&r->e[k++]);
		}
		if (k < r->n && is_of(&r->e[k], p))
			next[i] = r->e[k++];
		else
			next[i].id = (struct deep_id){p->row.tgid, p->row.start_ns};
	}
	for (; k < r->n; k++) {
		if (gone)
			gone(arg, &r->e[k]);
		clear_entry(&r->e[k]);
	}
	free(r->e);
	r->e = next;
	r->n = r->cap = t->n;
	r->go_left = GO_LOOKS_PASS;
	return 0;
}

static struct roster_entry *find_entry(const struct roster *r, uint32_t pid)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->e[mid].id.pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n && r->e[lo].id.pid == pid ? &r->e[lo] : NULL;
}

bool roster__meet(struct roster *r, uint32_t pid)
{
	if (!r->look || (pid && (find_entry(r, pid) || (kill((pid_t)pid, 0) && errno == ESRCH))))
		return false;
	r->look(r->look_arg);
	return true;
}

bool roster__is_go(struct roster *r, struct roster_entry *e, const struct table_proc *p,
		   double seconds)
{
	if (e->go_known || p->row.flags & (MW_TASK_KTHREAD | MW_TASK_NO_MM) || !r->go_left ||
	    seconds - p->seen_first < GO_AGE_S)
		return e->is_go;
	r->go_left--;
	e->go_known = true;
	e->is_go = go_program__is_go((int)e->id.pid);
	return e->is_go;
}

static const char *path_of(const struct roster_entry *e, char path[64])
{
	snprintf(path, 64, "/proc/%u/environ", e->id.pid);
	return path;
}

/* For choice_facts.environ; arg is the entry. */
static const char *environ_of(void *arg)
{
	cleanup_free char *text = NULL;
	struct roster_entry *e = arg;
	char path[64];
	ssize_t n;

	if (!e->environ) {
		n = util__read_file(path_of(e, path), ENVIRON_BYTES, &text);
		e->environ = calloc(1, (size_t)max_of(n, 0) + 2); /* ends with an empty one */
		if (e->environ && n > 0)
			memcpy(e->environ, text, n);
	}
	return e->environ;
}

static void read_exe(struct roster_entry *e, const struct table_proc *p)
{
	char file[4096];

	clear_entry(e);
	snprintf(e->comm, sizeof(e->comm), "%s", p->comm);
	proc_image__path((pid_t)e->id.pid, file, sizeof(file));
	e->exe = strdup(file);
	e->go_known = e->is_go = false;
}

/* For choice_facts.growth */
static double growth_of(const void *arg)
{
	double bytes_min;

	return table_proc__growth_lasting(arg, &bytes_min) ? bytes_min : 0;
}

/* A program that has replaced itself by one of the same name keeps its path. */
void roster__facts(struct roster_entry *e, const struct table_proc *p, struct choice_facts *ret,
		   char buf[ROSTER_CGROUPS])
{
	if (!e->exe || strcmp(e->comm, p->comm))
		read_exe(e, p);
	snprintf(buf, ROSTER_CGROUPS, "0::%s\n", p->cgroup ? p->cgroup : "");
	*ret = (struct choice_facts){
		.names = {.comm = p->comm, .exe = e->exe, .cgroups = buf, .uid = p->row.uid},
		.command = p->cmdline,
		.environ = environ_of,
		.environ_arg = e,
		.rss_bytes = mw_task_row__rss(&p->row),
		.growth = growth_of,
		.growth_arg = p};
}

static const struct config_profile *rule_of_parent(const struct roster *r, uint32_t ppid)
{
	const struct roster_entry *parent = find_entry(r, ppid);

	return parent && parent->rule && parent->rule->follow ? parent->rule : NULL;
}

const struct config_profile *roster__rule(struct roster *r, struct roster_entry *e, uint32_t ppid,
					  const struct config *c, const struct choice_facts *f)
{
	const struct config_profile *rule = config__profile(c, f);

	if (rule && !rule->on_demand)
		e->stays = rule->who.growth_bytes_min > 0 && !rule->ignore ? rule : NULL;
	else if (!e->stays)
		e->stays = rule_of_parent(r, ppid);
	e->rule = e->stays ? e->stays : rule;
	return e->rule;
}

void roster__reload(struct roster *r, const struct config *c)
{
	for (size_t i = 0; i < r->n; i++) {
		struct roster_entry *e = &r->e[i];

		e->rule = NULL; /* the next pass says */
		e->stays = e->stays ? config__find_profile(c, e->stays->name) : NULL;
		if (e->stays && ((e->stays->who.growth_bytes_min <= 0 && !e->stays->follow) ||
				 e->stays->ignore || e->stays->on_demand))
			e->stays = NULL;
	}
}
