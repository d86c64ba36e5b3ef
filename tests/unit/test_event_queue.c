/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events keep their order and bytes between two threads; memory is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "probe/event_queue.h"

#define EVENTS 200000

static size_t size_of(uint32_t i)
{
	return 4 + i * 2654435761u % 97 + (i % 5000 ? 0 : 400000); /* some larger than a chunk */
}

static void *put_all(void *arg)
{
	static uint8_t buf[500000];
	struct event_queue *q = arg;

	for (uint32_t i = 0; i < EVENTS; i++) {
		size_t n = size_of(i);

		memset(buf, (int)i, n);
		memcpy(buf, &i, 4);
		if (event_queue__put(q, buf, n))
			return q;
		while (event_queue__full(q))
			sched_yield();
	}
	return NULL;
}

static void order_and_bytes(void **state)
{
	struct event_queue *q;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(event_queue__new(1 << 20, &q), 0);
	assert_int_equal(pthread_create(&thread, NULL, put_all, q), 0);
	for (uint32_t i = 0, got; i < EVENTS;) {
		size_t n;
		uint8_t *p = event_queue__take(q, &n);

		if (!p) {
			sched_yield();
			continue;
		}
		assert_int_equal((uintptr_t)p & 7, 0);
		memcpy(&got, p, 4);
		assert_int_equal(got, i);
		assert_int_equal(n, size_of(i));
		assert_int_equal(n > 4 ? p[n - 1] : (uint8_t)(i >> 24),
				 n > 4 ? (uint8_t)i : (uint8_t)(i >> 24));
		i++;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	event_queue__free(q);
}

static void limit(void **state)
{
	struct event_queue *q;
	uint64_t word = 7;
	size_t n, taken = 0;

	(void)state;
	assert_int_equal(event_queue__new(1 << 20, &q), 0);
	assert_null(event_queue__take(q, &n));
	for (n = 0; !event_queue__full(q); n++)
		assert_int_equal(event_queue__put(q, &word, sizeof(word)), 0);
	assert_int_equal(n, (1 << 20) / 16);
	for (size_t size; event_queue__take(q, &size);)
		taken++;
	assert_int_equal(taken, n);
	assert_false(event_queue__full(q)); /* all that was taken counts no more */
	event_queue__free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(order_and_bytes),
					   cmocka_unit_test(limit)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
