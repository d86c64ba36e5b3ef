/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/vma_lists.h"

#include <stdlib.h>
#include <string.h>

#include "core/util.h"

static void clear(struct vma_process *p)
{
	for (int i = 0; i < VMA_LISTS_KEPT; i++)
		free(p->looks[i].vmas);
}

void vma_lists__fini(struct vma_lists *l)
{
	for (size_t i = 0; i < l->n; i++)
		clear(&l->processes[i]);
	free(l->processes);
	*l = (struct vma_lists){0};
}

static struct vma_process *find(const struct vma_lists *l, pid_t pid)
{
	for (size_t i = l->n; i-- > 0;) {
		if (l->processes[i].pid == pid)
			return &l->processes[i];
	}
	return NULL;
}

static void take_out(struct vma_lists *l, size_t i)
{
	memmove(&l->processes[i], &l->processes[i + 1], (--l->n - i) * sizeof(*l->processes));
}

/* The process at the end, where those looked at last stand; NULL: no memory. */
static struct vma_process *at_end(struct vma_lists *l, pid_t pid)
{
	struct vma_process keep = {.pid = pid}, *p = find(l, pid);

	if (p) {
		keep = *p;
		take_out(l, p - l->processes);
	} else if (l->n == VMA_LISTS_PROCESSES) {
		clear(&l->processes[0]);
		take_out(l, 0);
	}
	if (array_reserve(l->processes, l->cap, l->n + 1)) {
		clear(&keep);
		return NULL;
	}
	l->processes[l->n] = keep;
	return &l->processes[l->n++];
}

static bool same(const struct vma_list *a, const struct mw_unwind_vma *vmas, size_t n)
{
	return a->n == n && a->vmas && !memcmp(a->vmas, vmas, n * sizeof(*vmas));
}

void vma_lists__add(struct vma_lists *l, pid_t pid, struct mw_unwind_vma *vmas, size_t n)
{
	struct vma_process *p = at_end(l, pid);

	if (!p || same(&p->looks[0], vmas, n)) {
		free(vmas);
		return;
	}
	free(p->looks[VMA_LISTS_KEPT - 1].vmas);
	memmove(&p->looks[1], &p->looks[0], (VMA_LISTS_KEPT - 1) * sizeof(p->looks[0]));
	p->looks[0] = (struct vma_list){.vmas = vmas, .n = n};
}

void vma_lists__forget(struct vma_lists *l, pid_t pid)
{
	struct vma_process *p = find(l, pid);

	if (!p)
		return;
	clear(p);
	take_out(l, p - l->processes);
}

const struct mw_unwind_vma *vma_list__at(const struct vma_list *list, __u64 addr)
{
	size_t lo = 0, hi = list->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (list->vmas[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < list->n && list->vmas[lo].start <= addr ? &list->vmas[lo] : NULL;
}

const struct vma_list *vma_lists__find(const struct vma_lists *l, pid_t pid, __u64 start,
				       const struct mw_unwind_key *key)
{
	const struct vma_process *p = find(l, pid);

	for (int i = 0; p && i < VMA_LISTS_KEPT && p->looks[i].vmas; i++) {
		const struct mw_unwind_vma *v = vma_list__at(&p->looks[i], start);

		if (v && !memcmp(&v->key, key, sizeof(*key)))
			return &p->looks[i];
	}
	return NULL;
}
