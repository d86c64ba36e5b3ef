/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks in copies of stacks: this program's own, by its own tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "elf/elfobj.h"
#include "probe/stack_walk.h"
#include "sys/procmap.h"

#define MAX_FILES 64

/* This process: mappings, and a table for each file by the number that stands for its inode. */
static struct {
	struct mw_unwind_vma vmas[MAX_FILES];
	char path[MAX_FILES][256];
	struct unwind_table *table[MAX_FILES];
	struct vma_list list;
	bool hide; /* no table is there yet */
} self;

static uint64_t stack_end;

static void read_self(void)
{
	cleanup_file FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end, off;
	char line[512], prot[8], path[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		size_t n = self.list.n;

		path[0] = 0;
		if (strstr(line, "[stack]"))
			stack_end = strtoul(strchr(line, '-') + 1, NULL, 16);
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255s", &start, &end, prot, &off, path) <
			    4 ||
		    prot[2] != 'x' || path[0] != '/')
			continue;
		assert_true(n < MAX_FILES);
		self.vmas[n] = (struct mw_unwind_vma){
			.start = start, .end = end, .off = off, .key = {1, n + 1, 0}};
		snprintf(self.path[n], sizeof(self.path[n]), "%s", path);
		self.list.n++;
	}
	self.list.vmas = self.vmas;
}

static int table(void *arg, const struct mw_unwind_key *key, const uint64_t **ret)
{
	size_t i = key->ino - 1;
	struct elfobj *e = NULL;

	if (self.hide)
		return -ENOENT;
	if (!self.table[i]) {
		cleanup_fd int fd = open(self.path[i], O_RDONLY | O_CLOEXEC);

		assert_int_equal(elfobj__open_fd(fd, "", &e), 0);
		assert_int_equal(unwind_table__from_elf(e, &self.table[i]), 0);
		elfobj__close(e);
	}
	*ret = self.table[i]->words;
	return 0;
}

/* --- a copy of the caller's stack --- */

#define CHUNKS 64

struct event {
	struct mw_ev_copy ev;
	uint64_t frame;
	char chunks[CHUNKS][MW_COPY_CHUNK];
};

static struct event taken;
static uintptr_t returns[8]; /* of the functions above capture(), innermost first */

/* As the kernel's program does, at a moment inside this function; everything is sent. */
static __attribute__((noinline, no_sanitize("address"))) void capture(void)
{
	uint64_t pc, sp, fp, base;

	__asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
			 : "=r"(pc), "=r"(sp), "=r"(fp));
	base = sp & ~(MW_COPY_CHUNK - 1ULL);
	memset(&taken, 0, sizeof(taken));
	taken.ev = (struct mw_ev_copy){
		.st = {.hdr = {.type = MW_EV_COPY, .target = 3, .tid = 77}, .n = 1, .epoch = 5},
		.pc = pc,
		.sp = sp,
		.fp = fp,
		.base = base,
		.exact = 1};
	taken.frame = pc;
	for (uint64_t i = 0; i < CHUNKS && base + i * MW_COPY_CHUNK < stack_end; i++) {
		const char *from = (const char *)base + i * MW_COPY_CHUNK;

		for (size_t k = 0; k < MW_COPY_CHUNK; k++)
			taken.chunks[i][k] = from[k];
		taken.ev.there[0] |= 1ULL << i;
		taken.ev.sent[0] |= 1ULL << i;
	}
	returns[0] = (uintptr_t)__builtin_return_address(0);
}

/* Frames of several kinds above it. */
static __attribute__((noinline)) int with_room(int n)
{
	volatile char room[3000 + 16];

	room[n] = 1;
	capture();
	returns[1] = (uintptr_t)__builtin_return_address(0);
	return room[n];
}

static __attribute__((noinline)) int with_varying_room(int n)
{
	volatile char *room = __builtin_alloca(n);

	room[0] = with_room(3);
	returns[2] = (uintptr_t)__builtin_return_address(0);
	return room[0];
}

static int compare(const void *a, const void *b)
{
	returns[3] = (uintptr_t)with_varying_room(100);
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static struct copied_stacks stacks;
static uint64_t pc[MW_MAX_FRAMES], first[MW_MAX_FRAMES];

static enum mw_stack_end finish(uint64_t *to, uint32_t *n)
{
	struct stack_walk_source src = {.stack = copied_stacks__put(&stacks, &taken.ev),
					.maps = &self.list,
					.table = table,
					.max_frames = MW_MAX_FRAMES};

	return stack_walk__finish(&src, &taken.ev, to, n);
}

static void take(void)
{
	int pair[2] = {2, 1};

	if (!self.list.n)
		read_self();
	self.hide = false;
	qsort(pair, 2, sizeof(*pair), compare);
	assert_true(copied_stacks__whole(&taken.ev, sizeof(taken)));
}

static void whole(void **state)
{
	uint32_t n = 0;

	take();
	assert_int_equal(finish(pc, &n), MW_STACK_OK);
	assert_true(n > 6);
	assert_int_equal(pc[0], taken.frame);
	assert_int_equal(pc[1], returns[0]);
	assert_int_equal(pc[2], returns[1]);
	assert_int_equal(pc[3], returns[2]); /* then qsort of the C library, and main */
}

static void no_table_yet(void **state)
{
	uint32_t n = 0;

	take();
	self.hide = true;
	assert_int_equal(finish(pc, &n), MW_STACK_NO_TABLE);
	assert_int_equal(n, 1);
	self.hide = false;
	assert_int_equal(finish(pc, &n), MW_STACK_OK);
}

/* What did not change is not sent again; what is not there ends the walk. */
static void only_what_changed(void **state)
{
	uint32_t n = 0, m = 0;

	take();
	assert_int_equal(finish(first, &n), MW_STACK_OK);
	memset(taken.ev.sent, 0, sizeof(taken.ev.sent));
	assert_true(copied_stacks__whole(&taken.ev, sizeof(taken.ev) + 8));
	assert_int_equal(finish(pc, &m), MW_STACK_OK);
	assert_int_equal(m, n);
	assert_memory_equal(pc, first, n * sizeof(*pc));
	assert_int_equal(stack_walk__id(&taken.ev, pc, n), stack_walk__id(&taken.ev, first, n));
	assert_false(stack_walk__id(&taken.ev, pc, n) & MW_STACK_COPY);

	taken.ev.there[0] &= 3; /* with_room's frame ends behind them */
	assert_int_equal(finish(pc, &m), MW_STACK_READ_FAULT);
	assert_true(m < n);

	taken.ev.there[0] = 0;
	taken.ev.st.hdr.tid = 78; /* another thread's */
	assert_int_equal(finish(pc, &m), MW_STACK_READ_FAULT);
}

/* Where the copy has that return address. */
static uint64_t *slot_of(uint64_t address, uint64_t *ret_at)
{
	for (size_t i = 0; i < CHUNKS * MW_COPY_CHUNK / 8; i++) {
		uint64_t *slot = (uint64_t *)taken.chunks + i;

		*ret_at = taken.ev.base + i * 8;
		if (*slot == address && *ret_at > taken.ev.sp)
			return slot;
	}
	fail();
	return NULL;
}

static void a_replaced_return_address(void **state)
{
	uint32_t n = 0, m = 0;
	uint64_t at;

	take();
	assert_int_equal(finish(first, &n), MW_STACK_OK);
	*slot_of(returns[1], &at) = taken.ev.trampoline = 0x7fff12345000;
	taken.ev.replaced[0].at = at;
	taken.ev.replaced[0].pc = returns[1];
	taken.ev.n_replaced = 1;
	assert_int_equal(finish(pc, &m), MW_STACK_OK);
	assert_int_equal(m, n);
	assert_memory_equal(pc, first, n * sizeof(*pc));
}

/* Of such an address nothing is told but that it is none. */
static void a_return_address_in_no_mapping(void **state)
{
	uint32_t n = 0;
	uint64_t at;

	take();
	*slot_of(returns[1], &at) = 0x1230;
	assert_int_equal(finish(pc, &n), MW_STACK_NO_MAPPING);
	assert_int_equal(n, 2);
	assert_int_equal(pc[1], returns[0]);
}

/* As a table would have it that a later memwatch made. */
static void a_rule_that_is_not_known(void **state)
{
	const struct mw_unwind_vma *v;
	struct mw_unwind_row *row, was;
	uint32_t n = 0;

	take();
	assert_int_equal(finish(pc, &n), MW_STACK_OK);
	v = vma_list__at(&self.list, taken.ev.pc);
	row = (void *)unwind_table__find(self.table[v->key.ino - 1],
					 taken.ev.pc - v->start + v->off);
	was = *row;
	row->cfa = MW_UNWIND_CFA(MW_UNWIND_SPECIAL, 0x1fff);
	assert_int_equal(finish(pc, &n), MW_STACK_UNSUPPORTED);
	assert_int_equal(n, 1);
	*row = was;
	assert_int_equal(finish(pc, &n), MW_STACK_OK);
}

static void events_that_are_not_whole(void **state)
{
	take();
	assert_false(copied_stacks__whole(&taken.ev, sizeof(taken.ev)));
	taken.ev.st.n = MW_MAX_FRAMES + 1;
	assert_false(copied_stacks__whole(&taken.ev, sizeof(taken)));
	taken.ev.st.n = 1;
	taken.ev.sent[1] = ~0ULL;
	assert_false(copied_stacks__whole(&taken.ev, sizeof(taken)));
}

/* A process at several moments: the look at which the file was mapped there counts. */
static void looks_at_a_process(void **state)
{
	const struct mw_unwind_key a = {1, 2, 3}, b = {1, 9, 3};
	struct vma_lists l = {0};
	const struct vma_list *found;

	for (int look = 0; look < 2 * VMA_LISTS_KEPT; look++) {
		struct mw_unwind_vma *v = calloc(2, sizeof(*v));

		v[0] = (struct mw_unwind_vma){
			.start = 0x1000, .end = 0x2000, .key = look == 6 ? b : a};
		v[1] = (struct mw_unwind_vma){.start = 0x4000, .end = 0x5000 + 0x1000 * look};
		vma_lists__add(&l, 7, v, 2);
	}
	found = vma_lists__find(&l, 7, 0x1000, &b);
	assert_non_null(found);
	assert_int_equal(found->vmas[1].end, 0x5000 + 0x1000 * 6);
	assert_int_equal(vma_lists__find(&l, 7, 0x1fff, &a)->vmas[1].end, 0x5000 + 0x1000 * 7);
	assert_null(vma_lists__find(&l, 7, 0x2000, &a));
	assert_null(vma_lists__find(&l, 8, 0x1000, &a));
	assert_null(vma_list__at(found, 0x3000));
	for (int pid = 100; pid < 100 + VMA_LISTS_PROCESSES; pid++)
		vma_lists__add(&l, pid, calloc(1, sizeof(struct mw_unwind_vma)), 1);
	assert_null(vma_lists__find(&l, 7, 0x1000, &a));
	vma_lists__forget(&l, 100);
	assert_int_equal(l.n, VMA_LISTS_PROCESSES - 1);
	vma_lists__fini(&l);
}

static int done(void **state)
{
	copied_stacks__fini(&stacks);
	for (size_t i = 0; i < MAX_FILES; i++)
		unwind_table__free(self.table[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(no_table_yet),
		cmocka_unit_test(only_what_changed),
		cmocka_unit_test(a_replaced_return_address),
		cmocka_unit_test(a_return_address_in_no_mapping),
		cmocka_unit_test(a_rule_that_is_not_known),
		cmocka_unit_test(events_that_are_not_whole),
		cmocka_unit_test(looks_at_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
