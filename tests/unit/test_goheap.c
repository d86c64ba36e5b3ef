/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Go heap profile's records, in a memory made by hand: whole, moving, half-written, damaged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "go/go_heap.h"

#define BASE 0x10000
#define HEAD 0x10000
#define CYCLE 0x10008
#define LOCK 0x10010
#define RATE 0x10018
#define BUCKETS 0x10100
#define STRIDE 0x100

struct memory {
	uint8_t p[8192];
	uint32_t reads;
	/* called before each read: the program goes on running */
	void (*meanwhile)(struct memory *m, uint64_t addr, size_t len);
	int state;
};

static void put(struct memory *m, uint64_t addr, uint64_t v)
{
	memcpy(m->p + (addr - BASE), &v, 8);
}

static int read_memory(void *arg, uint64_t addr, void *buf, size_t len)
{
	struct memory *m = arg;

	m->reads++;
	if (m->meanwhile)
		m->meanwhile(m, addr, len);
	if (addr < BASE || addr - BASE > sizeof(m->p) || len > sizeof(m->p) - (addr - BASE))
		return -EFAULT;
	memcpy(buf, m->p + (addr - BASE), len);
	return 0;
}

static uint64_t bucket_at(int i)
{
	return BUCKETS + (uint64_t)i * STRIDE;
}

static uint64_t record_of(int i)
{
	return bucket_at(i) + 48 + 16;
}

/* Bucket i of blocks of 100+i bytes, stack of two; counts in `slot` (0: active). */
static void count_in(struct memory *m, int i, int slot, uint64_t allocs, uint64_t frees)
{
	uint64_t r = record_of(i) + (uint64_t)slot * 32, size = 100 + (uint64_t)i;

	put(m, r, allocs);
	put(m, r + 8, frees);
	put(m, r + 16, allocs * size);
	put(m, r + 24, frees * size);
}

static void add_bucket(struct memory *m, int i, uint64_t next)
{
	uint64_t b = bucket_at(i);

	put(m, b + 8, next);
	put(m, b + 16, 1);
	put(m, b + 32, 100 + (uint64_t)i);
	put(m, b + 40, 2);
	put(m, b + 48, 0x5000 + (uint64_t)i);
	put(m, b + 56, 0x6000);
}

static void make(struct memory *m)
{
	memset(m, 0, sizeof(*m));
	put(m, CYCLE, 7 << 1 | 1);
	put(m, RATE, 512 * 1024);
	put(m, HEAD, bucket_at(0));
	add_bucket(m, 0, bucket_at(1));
	add_bucket(m, 1, bucket_at(2));
	add_bucket(m, 2, 0);
	for (int i = 0; i < 3; i++) {
		count_in(m, i, 0, 10 + (uint64_t)i, (uint64_t)i);
		count_in(m, i, 1, 1000, 0); /* not yet published */
		count_in(m, i, 2, 2000, 0);
		count_in(m, i, 3, 4000, 0);
	}
}

static struct go_heap_source source(struct memory *m)
{
	return (struct go_heap_source){
		.fresh = {read_memory, m},
		.mbuckets = HEAD,
		.mprof_cycle = CYCLE,
		.mem_active_lock = LOCK,
		.mem_profile_rate = RATE,
		.rec = {.size = 128, .future = 32, .alloc_bytes = 16, .free_bytes = 24},
		.max_stack = 32,
	};
}

static void published(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	assert_int_equal(go_heap__read(&s, &h), 0);
	assert_int_equal(h.nbuckets, 3);
	assert_int_equal(h.rate, 512 * 1024);
	assert_int_equal(h.cycle, 7);
	assert_false(h.before_gc);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(h.buckets[i].allocs, 10 + i);
		assert_int_equal(h.buckets[i].frees, i);
		assert_int_equal(h.buckets[i].alloc_bytes, (10 + i) * (100 + i));
		assert_int_equal(h.stack[h.buckets[i].stack0], 0x5000 + i);
		assert_int_equal(h.buckets[i].nstack, 2);
	}
	go_heap__free(&h);
}

/* Between the end of a cycle and its publication the cycle's slot is counted with the rest. */
static void not_yet_flushed(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	put(&m, CYCLE, 7 << 1); /* 7 % 3 = 1: the second slot of three */
	assert_int_equal(go_heap__read(&s, &h), 0);
	assert_int_equal(h.buckets[0].allocs, 10 + 2000);
	go_heap__free(&h);
}

static void before_the_first_gc(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	for (int i = 0; i < 3; i++)
		count_in(&m, i, 0, 0, 0);
	assert_int_equal(go_heap__read(&s, &h), 0);
	assert_true(h.before_gc);
	assert_int_equal(h.buckets[0].allocs, 7000);
	go_heap__free(&h);
}

static void without_bytes(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	s.rec = (struct go_layout_rec){.size = 64,
				       .future = 16,
				       .alloc_bytes = GO_LAYOUT_NONE,
				       .free_bytes = GO_LAYOUT_NONE};
	for (int i = 0; i < 3; i++) {
		memset(m.p + (record_of(i) - BASE), 0, 128);
		put(&m, record_of(i), 5);
		put(&m, record_of(i) + 8, 2);
	}
	assert_int_equal(go_heap__read(&s, &h), 0);
	assert_int_equal(h.buckets[2].alloc_bytes, 5 * 102);
	assert_int_equal(h.buckets[2].free_bytes, 2 * 102);
	go_heap__free(&h);
}

/* The runtime publishes while we read: once with, once without moving the cycle. */
static void publish(struct memory *m, uint64_t addr, size_t len)
{
	if (addr != record_of(1) || m->state++)
		return;
	for (int i = 0; i < 3; i++)
		count_in(m, i, 0, 50, 1);
	put(m, CYCLE, 8 << 1 | 1);
}

static void publish_quietly(struct memory *m, uint64_t addr, size_t len)
{
	if (addr != record_of(1) || m->state++)
		return;
	for (int i = 0; i < 3; i++)
		count_in(m, i, 0, 50, 1);
}

static void published_meanwhile(void **state)
{
	void (*const how[])(struct memory *, uint64_t, size_t) = {publish, publish_quietly};

	for (size_t k = 0; k < 2; k++) {
		struct memory m;
		struct go_heap h;

		make(&m);
		struct go_heap_source s = source(&m);

		m.meanwhile = how[k];
		assert_int_equal(go_heap__read(&s, &h), 0);
		assert_int_equal(h.tries, 2);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(h.buckets[i].allocs, 50);
			assert_int_equal(h.buckets[i].frees, 1);
		}
		go_heap__free(&h);
	}
}

static void always_locked(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	put(&m, LOCK, 1);
	assert_int_equal(go_heap__read(&s, &h), -EAGAIN);
	assert_int_equal(h.nbuckets, 0);
	go_heap__free(&h);
}

/* A record between two of its writes: settles at the next look. */
static void settle(struct memory *m, uint64_t addr, size_t len)
{
	if (addr == record_of(1) && ++m->state == 2)
		count_in(m, 1, 2, 2001, 0);
}

static void half_written_record(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	put(&m, record_of(1) + 64, 2001); /* allocs went up, bytes did not yet */
	m.meanwhile = settle;
	assert_int_equal(go_heap__read(&s, &h), 0);
	assert_int_equal(h.torn, 1);
	assert_int_equal(h.damaged, 0);
	assert_int_equal(h.buckets[1].allocs, 11);
	go_heap__free(&h);

	m.meanwhile = NULL;
	put(&m, record_of(1) + 64, 77); /* stays so: no record of the runtime's */
	assert_int_equal(go_heap__read(&s, &h), -EBADMSG);
	assert_int_equal(h.damaged, 1);
	go_heap__free(&h);
}

static void refused(struct memory *m, uint64_t addr, uint64_t value)
{
	struct go_heap_source s = source(m);
	struct go_heap h;
	uint64_t old;

	memcpy(&old, m->p + (addr - BASE), 8);
	put(m, addr, value);
	assert_int_equal(go_heap__read(&s, &h), -EBADMSG);
	assert_true(h.damaged >= 1);
	go_heap__free(&h);
	put(m, addr, old);
}

static void damaged(void **state)
{
	struct memory m;

	make(&m);
	refused(&m, bucket_at(1) + 16, 2);  /* another kind of bucket */
	refused(&m, bucket_at(1) + 40, 0);  /* no stack */
	refused(&m, bucket_at(1) + 40, 33); /* too deep a stack */
	refused(&m, bucket_at(1) + 40, UINT64_MAX);
	refused(&m, bucket_at(1) + 8, bucket_at(1)); /* a ring of one */
	refused(&m, bucket_at(1) + 8, 0x123);	     /* into nothing */
	refused(&m, HEAD, 0x7fffffff0000);
}

static int gone(void *arg, uint64_t addr, void *buf, size_t len)
{
	return -ESRCH;
}

static void process_gone(void **state)
{
	struct memory m;
	struct go_heap h;

	make(&m);
	struct go_heap_source s = source(&m);

	s.cached = (struct go_reader){gone, NULL};
	assert_int_equal(go_heap__read(&s, &h), -ESRCH);
	go_heap__free(&h);
}

/* Values of runtime/pprof's scaleHeapSample. */
static void scaling(void **state)
{
	int64_t n, b;

	go_heap__scale(1, 1152, 524288, &n, &b);
	assert_int_equal(n, 455);
	assert_int_equal(b, 524864);
	go_heap__scale(3, 300, 1, &n, &b);
	assert_int_equal(n, 3);
	assert_int_equal(b, 300);
	go_heap__scale(3, 0, 524288, &n, &b);
	assert_int_equal(n, 0);
	assert_int_equal(b, 0);
	go_heap__scale(0, 300, 524288, &n, &b);
	assert_int_equal(b, 0);
	go_heap__scale(2, 4 << 20, 524288, &n, &b);
	assert_int_equal(n, 2);
	assert_int_equal(b, 4272558);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published),	       cmocka_unit_test(not_yet_flushed),
		cmocka_unit_test(before_the_first_gc), cmocka_unit_test(without_bytes),
		cmocka_unit_test(published_meanwhile), cmocka_unit_test(always_locked),
		cmocka_unit_test(half_written_record), cmocka_unit_test(damaged),
		cmocka_unit_test(process_gone),	       cmocka_unit_test(scaling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
