/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a log has is neither written nor listed again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/util.h"
#include "oom/known.h"
#include "oom/oom_merge.h"
#include "oom/oom_record.h"
#include "oom/render.h"

#define SEC 1000000000ULL

/* A log: what was handed on goes through its line of JSON. */
struct fake_log {
	struct known known;
	size_t n;
};

static void write_event(void *arg, struct oom_event *e)
{
	struct fake_log *l = arg;
	struct oom_event *back = calloc(1, sizeof(*back));
	struct textbuf b = {0};

	if (!known__has(&l->known, e)) {
		l->n++;
		assert_int_equal(render__json(&b, e), 0);
		assert_int_equal(oom_record__parse(b.text, b.len, back), 0);
		known__add(&l->known, back);
	}
	textbuf__free(&b);
	free(back);
}

static void no_enrich(void *arg, struct oom_event *e)
{
}

/* The kernel's log: nobody could be killed, n times, two records apart, a tenth of a second each;
 * with a kill after the fifth. */
static void read_kernel_log(struct fake_log *l, uint64_t from_seq, size_t n, bool live, bool flush)
{
	const struct merge_options o = {.has_kmsg = true, .version = 2, .page_bytes = 4096};
	struct kmsg_kill *k = calloc(1, sizeof(*k));
	struct oom_merge *m;

	assert_int_equal(oom_merge__new(&o, write_event, l, &m), 0);
	strcpy(k->oom_memcg, "/a");
	k->constraint = OOM_CONSTRAINT_MEMCG;
	k->has_constraint = k->is_memcg = true;
	for (size_t i = 0; i < n; i++) {
		uint64_t now_ns = 1000 * SEC + i * SEC / 10;

		k->no_victim = i != 5;
		k->pid = i == 5 ? 77 : 0;
		k->seq = 100 + 2 * i;
		k->time_us = now_ns / 1000;
		oom_merge__tick(m, live ? now_ns : 0);
		if (k->seq >= from_seq)
			oom_merge__kmsg(m, k, live, live ? now_ns : 5000 * SEC, 9000000, no_enrich);
	}
	if (flush)
		oom_merge__flush(m);
	oom_merge__free(m);
	free(k);
}

/* A restart goes on behind all of those that a count stands for. */
static void restart(void **state)
{
	struct fake_log l = {0};

	read_kernel_log(&l, 0, 40, true, true);
	assert_int_equal(l.n, 3); /* the first, the kill, a count */
	assert_int_equal(known__next_seq(&l.known), 100 + 2 * 39 + 1);
	read_kernel_log(&l, known__next_seq(&l.known), 40, false, true);
	assert_int_equal(l.n, 3);
	/* whoever reads the whole of it, as a list does, knows them too */
	read_kernel_log(&l, 0, 40, false, true);
	assert_int_equal(l.n, 3);
	/* and what came since is told */
	read_kernel_log(&l, known__next_seq(&l.known), 45, false, true);
	assert_int_equal(l.n, 5);
	known__free(&l.known);
}

/* Windows of counts begin elsewhere when they are read again: nothing comes twice. */
static void other_windows(void **state)
{
	for (size_t late = 1; late < 700; late += 97) {
		struct fake_log l = {0};
		size_t n;

		read_kernel_log(&l, 100 + 2 * late, 1500, true, true);
		n = l.n;
		for (size_t later = 0; later < 40; later += 13) {
			read_kernel_log(&l, 100 + 2 * (late + later), 1500, false, true);
			assert_int_equal(l.n, n);
		}
		known__free(&l.known);
	}
}

/* It was killed before it could tell how often: that is made up for. */
static void killed_in_between(void **state)
{
	struct fake_log l = {0};

	read_kernel_log(&l, 0, 40, true, false);
	assert_int_equal(l.n, 2); /* the first, and the kill */
	read_kernel_log(&l, known__next_seq(&l.known), 40, false, true);
	assert_int_equal(l.n, 4);
	known__free(&l.known);
}

static void kills(void **state)
{
	struct known k = {0};
	struct oom_event *e = calloc(1, sizeof(*e));

	assert_int_equal(known__next_seq(&k), 0);
	oom_event__init(e);
	e->seq = 10;
	e->victim.tid = 5;
	assert_false(known__has(&k, e));
	known__add(&k, e);
	assert_true(known__has(&k, e));
	e->seq = 11;
	assert_false(known__has(&k, e));
	assert_int_equal(known__next_seq(&k), 11);
	/* told by the probe alone: by its time */
	e->seq = OOM_UNKNOWN;
	e->time_unix_ms = 1000000;
	known__add(&k, e);
	assert_int_equal(known__next_seq(&k), 11);
	e->seq = 12;
	e->time_unix_ms += 59000;
	assert_true(known__has(&k, e));
	e->time_unix_ms += 2000;
	assert_false(known__has(&k, e));
	e->time_unix_ms = INT64_MIN;
	assert_false(known__has(&k, e));
	known__free(&k);
	free(e);
}

static void to_another_process(void **state)
{
	struct known k = {0}, back = {0};
	struct oom_event *e = calloc(1, sizeof(*e));
	char data[4096];
	ssize_t len;
	int fd = memfd_create("known", MFD_CLOEXEC);

	assert_int_equal(known__write(&k, fd), 0);
	len = pread(fd, data, sizeof(data), 0);
	assert_int_equal(known__read(&back, data, (size_t)len), 0);
	assert_int_equal(known__next_seq(&back), 0);
	oom_event__init(e);
	for (e->seq = 20; e->seq < 30; e->seq++)
		known__add(&k, e);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(known__write(&k, fd), 0);
	len = pread(fd, data, sizeof(data), 0);
	assert_int_equal(known__read(&back, data, (size_t)len - 1), -EBADMSG);
	assert_int_equal(known__read(&back, data, 3), -EBADMSG);
	assert_int_equal(known__read(&back, data, (size_t)len), 0);
	assert_int_equal(known__next_seq(&back), 30);
	e->seq = 25;
	assert_true(known__has(&back, e));
	known__free(&k);
	known__free(&back);
	close(fd);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restart),
		cmocka_unit_test(other_windows),
		cmocka_unit_test(killed_in_between),
		cmocka_unit_test(kills),
		cmocka_unit_test(to_another_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
