/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

static const struct profile_label *label_of(const struct profile *p, const struct profile_sample *s,
					    const char *key)
{
	for (uint32_t i = 0; i < s->nlabels; i++) {
		const struct profile_label *l = &p->labels[s->label0 + i];

		if (!strcmp(profile__text(p, l->key), key))
			return l;
	}
	return NULL;
}

uint32_t processes__of(const struct profile *p, const struct profile_sample *s)
{
	const struct profile_label *l = label_of(p, s, "pid");

	return l && !l->str && l->num > 0 && l->num <= INT32_MAX ? (uint32_t)l->num : 0;
}

static int by_inuse(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	if (x->inuse_bytes != y->inuse_bytes)
		return x->inuse_bytes < y->inuse_bytes ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

size_t processes__list(const struct profile *p, struct process *ret)
{
	int type = profile__find_type(p, "inuse_space");
	size_t n = 0, at;

	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		const struct profile_label *comm;
		uint32_t pid = processes__of(p, s);

		if (!pid)
			continue;
		for (at = 0; at < n && ret[at].pid != pid; at++)
			;
		if (at == PROCESSES_MAX)
			continue;
		if (at == n) {
			comm = label_of(p, s, "comm");
			ret[n++] =
				(struct process){pid, comm ? profile__text(p, comm->str) : "", 0};
		}
		ret[at].inuse_bytes += type < 0 ? 0 : (double)s->value[type];
	}
	qsort(ret, n, sizeof(*ret), by_inuse);
	return n;
}

static bool is_of(const struct profile *p, const struct profile_sample *s, void *pid)
{
	return processes__of(p, s) == *(uint32_t *)pid;
}

int processes__keep(struct profile *p, uint32_t pid)
{
	const struct profile_label *comm;
	size_t ledgers = 0;

	profile__keep_samples(p, is_of, &pid);
	for (size_t i = 0; i < p->nledgers; i++) {
		if (p->ledgers[i].pid == pid)
			p->ledgers[ledgers++] = p->ledgers[i];
	}
	p->nledgers = ledgers;
	if (!p->nsamples)
		return -ENOENT;
	comm = label_of(p, &p->samples[0], "comm");
	p->pid = pid;
	p->comm = comm ? comm->str : p->comm;
	return 0;
}
