/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarf_layout.c - a layout from the program's own debug information, for releases between those of
 * the table. See layout.h.
 */
#include "go/layout.h"

#include "core/util.h"
#include "elf/elfobj.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <string.h>

#define MAX_OFFSET (16u << 20) /* no struct of the runtime is larger */

struct field {
	const char *type; /* without "runtime." */
	const char *path; /* member, or member.member; NULL: the size of the type */
	size_t at;	  /* in struct go_layout */
	bool optional;	  /* releases without it exist */
};

#define F(group, field, type, path)                                        \
	{                                                                  \
		type, path, offsetof(struct go_layout, group.field), false \
	}
#define O(group, field, type, path)                                       \
	{                                                                 \
		type, path, offsetof(struct go_layout, group.field), true \
	}

static const struct field fields[] = {
	F(md, text, "moduledata", "text"),
	F(md, etext, "moduledata", "etext"),
	F(md, noptrdata, "moduledata", "noptrdata"),
	F(md, enoptrbss, "moduledata", "enoptrbss"),
	F(md, gofunc, "moduledata", "gofunc"),
	F(rec, size, "memRecord", NULL),
	F(rec, future, "memRecord", "future"),
	O(rec, alloc_bytes, "memRecordCycle", "alloc_bytes"),
	O(rec, free_bytes, "memRecordCycle", "free_bytes"),
	F(ms, stacks_sys, "mstats", "stacks_sys"),
	F(ms, mspan_sys, "mstats", "mspan_sys"),
	F(ms, mcache_sys, "mstats", "mcache_sys"),
	F(ms, buckhash_sys, "mstats", "buckhash_sys"),
	F(ms, gc_misc_sys, "mstats", "gcMiscSys"),
	F(ms, other_sys, "mstats", "other_sys"),
	F(ms, last_gc_unix, "mstats", "last_gc_unix"),
	F(ms, pause_total_ns, "mstats", "pause_total_ns"),
	F(ms, numgc, "mstats", "numgc"),
	F(ms, numforcedgc, "mstats", "numforcedgc"),
	F(ms, gc_cpu_fraction, "mstats", "gc_cpu_fraction"),
	F(ms, last_heap_in_use, "mstats", "lastHeapInUse"),
	F(hs, size, "heapStatsDelta", NULL),
	F(hs, in_stacks, "heapStatsDelta", "inStacks"),
	F(hs, in_work_bufs, "heapStatsDelta", "inWorkBufs"),
	O(hs, in_ptr_bits, "heapStatsDelta", "inPtrScalarBits"),
	F(hs, tiny_allocs, "heapStatsDelta", "tinyAllocCount"),
	F(hs, large_allocs, "heapStatsDelta", "largeAllocCount"),
	F(hs, small_allocs, "heapStatsDelta", "smallAllocCount"),
	F(hs, large_frees, "heapStatsDelta", "largeFreeCount"),
	F(hs, small_frees, "heapStatsDelta", "smallFreeCount"),
	F(gc, gc_percent, "gcControllerState", "gcPercent"),
	F(gc, memory_limit, "gcControllerState", "memoryLimit"),
	F(gc, heap_live, "gcControllerState", "heapLive"),
	F(gc, heap_marked, "gcControllerState", "heapMarked"),
	F(gc, triggered, "gcControllerState", "triggered"),
	F(gc, last_heap_goal, "gcControllerState", "lastHeapGoal"),
	F(gc, percent_goal, "gcControllerState", "gcPercentHeapGoal"),
	F(gc, sweep_min_trigger, "gcControllerState", "sweepDistMinTrigger"),
	F(gc, last_stack_scan, "gcControllerState", "lastStackScan"),
	F(gc, max_stack_scan, "gcControllerState", "maxStackScan"),
	F(gc, globals_scan, "gcControllerState", "globalsScan"),
	F(gc, assist_time, "gcControllerState", "assistTime"),
	F(gc, dedicated_time, "gcControllerState", "dedicatedMarkTime"),
	F(gc, fractional_time, "gcControllerState", "fractionalMarkTime"),
	F(gc, idle_time, "gcControllerState", "idleMarkTime"),
	F(gc, heap_in_use, "gcControllerState", "heapInUse"),
	F(gc, heap_released, "gcControllerState", "heapReleased"),
	F(gc, heap_free, "gcControllerState", "heapFree"),
	F(gc, total_alloc, "gcControllerState", "totalAlloc"),
	F(gc, total_free, "gcControllerState", "totalFree"),
	F(gc, mapped_ready, "gcControllerState", "mappedReady"),
	F(gc, size, "gcControllerState", NULL),
	F(work, t_sweep_term, "workType", "tSweepTerm"),
	F(work, t_mark, "workType", "tMark"),
	F(work, t_mark_term, "workType", "tMarkTerm"),
	F(work, t_end, "workType", "tEnd"),
	F(work, heap0, "workType", "heap0"),
	F(work, heap1, "workType", "heap1"),
	F(work, heap2, "workType", "heap2"),
	F(work, stwprocs, "workType", "stwprocs"),
	F(work, maxprocs, "workType", "maxprocs"),
	F(work, user_forced, "workType", "userForced"),
	F(work, cycles, "workType", "cycles"),
	F(work, size, "workType", NULL),
	F(g, sched_pc, "g", "sched.pc"),
	F(g, sched_sp, "g", "sched.sp"),
	F(g, syscall_sp, "g", "syscallsp"),
	F(g, syscall_pc, "g", "syscallpc"),
	F(g, status, "g", "atomicstatus"),
	F(g, goid, "g", "goid"),
	F(g, wait_reason, "g", "waitreason"),
	F(g, gopc, "g", "gopc"),
	F(g, startpc, "g", "startpc"),
	F(g, size, "g", NULL),
	F(mheap, span_inuse, "mheap", "spanalloc.inuse"),
	F(mheap, cache_inuse, "mheap", "cachealloc.inuse"),
};

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;

	if (!dwarf_attr_integrate(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, ret))
		return false;
	for (int i = 0; i < 8 && dwarf_tag(ret) == DW_TAG_typedef; i++) {
		Dwarf_Die next;

		if (!dwarf_attr_integrate(ret, DW_AT_type, &attr) ||
		    !dwarf_formref_die(&attr, &next))
			return false;
		*ret = next;
	}
	return true;
}

/* Offset of `path` in a struct; UINT32_MAX if it has no such member. */
static uint32_t offset_of(Dwarf_Die *type, const char *path)
{
	size_t len = strcspn(path, ".");
	Dwarf_Attribute attr;
	Dwarf_Die member, inner;
	Dwarf_Word off;

	if (dwarf_child(type, &member))
		return UINT32_MAX;
	do {
		const char *name = dwarf_diename(&member);

		if (dwarf_tag(&member) != DW_TAG_member || !name || strlen(name) != len ||
		    strncmp(name, path, len))
			continue;
		if (!dwarf_attr(&member, DW_AT_data_member_location, &attr) ||
		    dwarf_formudata(&attr, &off) || off >= UINT32_MAX / 2)
			return UINT32_MAX;
		if (!path[len])
			return (uint32_t)off;
		if (!type_of(&member, &inner))
			return UINT32_MAX;
		uint32_t rest = offset_of(&inner, path + len + 1);

		return rest == UINT32_MAX ? rest : (uint32_t)off + rest;
	} while (dwarf_siblingof(&member, &member) == 0);
	return UINT32_MAX;
}

struct layout_search {
	struct go_layout *layout;
	uint64_t found[2]; /* one bit a field: its type was met */
};

static void take_type(struct layout_search *s, Dwarf_Die *type, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint32_t v;

		if (strcmp(fields[i].type, name))
			continue;
		if (fields[i].path) {
			v = offset_of(type, fields[i].path);
		} else {
			int size = dwarf_bytesize(type);

			v = size > 0 ? (uint32_t)size : UINT32_MAX;
		}
		memcpy((char *)s->layout + fields[i].at, &v, sizeof(v));
		s->found[i / 64] |= 1ULL << (i % 64);
	}
}

static void search_unit(struct layout_search *s, Dwarf_Die *unit)
{
	Dwarf_Die die;

	if (dwarf_child(unit, &die))
		return;
	do {
		const char *name;

		if (dwarf_tag(&die) != DW_TAG_structure_type)
			continue;
		name = dwarf_diename(&die);
		if (name && !strncmp(name, "runtime.", 8))
			take_type(s, &die, name + 8);
	} while (dwarf_siblingof(&die, &die) == 0);
}

static int read_dwarf(Elf *elf, struct go_layout *ret)
{
	struct go_layout l = {0};
	struct layout_search s = {.layout = &l};
	Dwarf *dw = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	Dwarf_CU *cu = NULL;
	int err = 0;

	if (!dw)
		return -ENOENT;
	Dwarf_Die unit, sub;
	uint8_t unit_type;

	while (dwarf_get_units(dw, cu, &cu, NULL, &unit_type, &unit, &sub) == 0)
		search_unit(&s, &unit);
	for (size_t i = 0; i < ARRAY_SIZE(fields) && !err; i++) {
		uint32_t v;

		memcpy(&v, (char *)&l + fields[i].at, sizeof(v));
		if (!(s.found[i / 64] >> (i % 64) & 1) ||
		    (v == GO_LAYOUT_NONE && !fields[i].optional))
			err = -ENOENT;
	}
	dwarf_end(dw);
	if (!err)
		*ret = l;
	return err;
}

int go_layout__from_dwarf(struct elfobj *e, int minor, struct go_layout *ret)
{
	struct go_layout l = {0};
	int err = read_dwarf(elfobj__elf(e), &l);

	for (size_t i = 0; i < ARRAY_SIZE(fields) && !err; i++) {
		uint32_t v;

		memcpy(&v, (char *)&l + fields[i].at, sizeof(v));
		if (v > MAX_OFFSET && (v != GO_LAYOUT_NONE || !fields[i].optional))
			err = -ENOENT;
	}
	if (err)
		return err;
	l.minor = minor;
	*ret = l;
	return 0;
}
