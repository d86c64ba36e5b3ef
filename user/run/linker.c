/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/linker.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "sys/proc_image.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/procmem.h"

#define STACK_LOOK 2048 /* words of a stack */

static void find_program(const struct procmap *maps, struct linker *l)
{
	const struct procmap_entry *e = procmap__find(maps, l->entry);

	if (e && (e->prot & PROCMAP_X)) {
		l->text = e->start;
		l->text_end = e->end;
	}
}

bool linker__find(int pid, struct linker *l)
{
	const struct procmap_entry *e;
	struct procmap *maps;
	uint64_t base;

	if (proc_image__auxv(pid, AT_ENTRY, &l->entry))
		l->entry = 0;
	if (proc_image__auxv(pid, AT_BASE, &base) || !base || procmap__read(pid, &maps))
		return false;
	find_program(maps, l);
	e = procmap__find(maps, base);
	l->lo = l->hi = 0;
	l->is_libc = e && e->kind == PROCMAP_FILE && strstr(e->path, "musl");
	for (size_t i = 0; e && i < maps->n; i++) {
		const struct procmap_entry *x = &maps->entries[i];

		if (x->ino != e->ino || x->dev_major != e->dev_major ||
		    x->dev_minor != e->dev_minor)
			continue;
		if (!l->lo)
			l->lo = x->start;
		l->hi = x->end;
	}
	procmap__free(maps);
	return l->hi > l->lo;
}

/* Is code of the program's on the stack? Its entry point may lie there before it runs. */
static bool program_on_stack(const struct linker *l, uint64_t sp)
{
	uint64_t words[STACK_LOOK], top = proc_task__stack_start(l->pid);
	struct procmem *mem;
	bool found = false;
	size_t n;

	if (top <= sp || procmem__open(l->pid, &mem))
		return false;
	n = min_of((top - sp) / 8, (uint64_t)STACK_LOOK);
	if (!procmem__read(mem, sp, words, n * 8)) {
		for (size_t i = 0; i < n && !found; i++)
			found = words[i] >= l->text && words[i] < l->text_end &&
				words[i] != l->entry;
	}
	procmem__close(mem);
	return found;
}

bool linker__left(const struct linker *l, const struct user_regs_struct *r)
{
	if (REG_IP(*r) < l->lo || REG_IP(*r) >= l->hi)
		return true;
	return l->is_libc && program_on_stack(l, REG_SP(*r));
}
