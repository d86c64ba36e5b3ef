/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A profile as bytes arrives as it was; bytes of which any part was changed are refused or add
 * something of bounded size, and never read beyond their end (the sanitizers look). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "model/profile_packed.h"

#define ROUNDS 20000

struct bytes {
	char *data;
	size_t len, cap;
};

static int append(void *arg, const void *data, size_t len)
{
	struct bytes *b = arg;

	assert_int_equal(array_reserve(b->data, b->cap, b->len + len), 0);
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static struct profile *empty(void)
{
	struct profile *p;

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 4096), 0);
	return p;
}

static uint32_t string(struct profile *p, const char *text)
{
	uint32_t id;

	assert_int_equal(profile__string(p, text, &id), 0);
	return id;
}

static uint32_t location(struct profile *p, uint32_t mapping, uint64_t address)
{
	struct profile_function f = {.start_line = 3};
	struct profile_line lines[2] = {{.line = 7, .column = 1}, {.line = 70}};
	char name[32];
	uint32_t loc;

	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "f%d_%lx", i, (unsigned long)address);
		f.name = f.system_name = string(p, name);
		f.file = string(p, "a.go");
		assert_int_equal(profile__function(p, &f, &lines[i].function), 0);
	}
	assert_int_equal(profile__location(p, mapping, address, lines, 2, &loc), 0);
	return loc;
}

static struct profile *example(void)
{
	struct profile *p = empty();
	struct profile_mapping m = {.start = 0x1000, .limit = 0x9000, .has_lines = true};
	struct profile_label label = {.num = 48};
	uint32_t mapping, locs[5];

	m.file = string(p, "/bin/program");
	m.build_id = string(p, "abcd");
	assert_int_equal(profile__mapping(p, &m, &mapping), 0);
	label.key = string(p, "bytes");
	for (uint32_t i = 0; i < 4; i++)
		locs[i] = location(p, mapping, 0x1100 + 16 * i);
	assert_int_equal(profile__pseudo_location(p, "[cut]", &locs[4]), 0);
	for (uint32_t i = 0; i < 20; i++) {
		int64_t v[4] = {i, 48 * i, 1, 48};

		assert_int_equal(profile__sample(p, locs + i % 4, 5 - i % 4, v, &label, i % 2), 0);
	}
	p->totals.alloc_bytes = 1e6;
	p->totals.free_objects = 12;
	return p;
}

static struct bytes packed(void)
{
	struct profile *p = example();
	struct bytes b = {0};

	assert_int_equal(profile_packed__write(p, append, &b), 0);
	profile__free(p);
	return b;
}

static void equal_samples(const struct profile *a, const struct profile *b)
{
	assert_int_equal(a->nsamples, b->nsamples);
	for (size_t i = 0; i < a->nsamples; i++) {
		const struct profile_sample *x = &a->samples[i], *y = &b->samples[i];

		assert_memory_equal(x->value, y->value, 4 * sizeof(int64_t));
		assert_int_equal(x->nstack, y->nstack);
		for (uint32_t k = 0; k < x->nstack; k++) {
			const struct profile_location *l = &a->locations[a->stack[x->stack0 + k]];
			const struct profile_location *m = &b->locations[b->stack[y->stack0 + k]];

			assert_int_equal(l->address, m->address);
			assert_int_equal(l->nlines, m->nlines);
			for (uint32_t j = 0; j < l->nlines; j++) {
				const struct profile_line *c = &a->lines[l->line0 + j];
				const struct profile_line *d = &b->lines[m->line0 + j];

				assert_int_equal(c->line, d->line);
				assert_string_equal(
					profile__text(a, a->functions[c->function].name),
					profile__text(b, b->functions[d->function].name));
			}
		}
	}
}

static void arrives_as_it_was(void **state)
{
	struct profile *p = example(), *q = empty();
	struct profile_label more = {.key = string(q, "heap"), .str = string(q, "go")};
	struct bytes b = packed();

	assert_int_equal(profile_packed__check(b.data, b.len), 0);
	assert_int_equal(profile_packed__add(b.data, b.len, q, &more, 1), 0);
	equal_samples(p, q);
	assert_int_equal(q->samples[0].nlabels, 1);
	assert_int_equal(q->samples[1].nlabels, 2);
	assert_int_equal(q->labels[q->samples[1].label0].num, 48);
	assert_string_equal(profile__text(q, q->mappings[0].file), "/bin/program");
	assert_true(q->mappings[0].has_lines && !q->mappings[0].has_inlines);
	assert_true(q->totals.alloc_bytes == 1e6 && q->totals.free_objects == 12);
	/* once more: the names are there already */
	size_t nstrings = q->nstrings, nlocations = q->nlocations;

	assert_int_equal(profile_packed__add(b.data, b.len, q, NULL, 0), 0);
	assert_int_equal(q->nsamples, 2 * p->nsamples);
	assert_int_equal(q->nstrings, nstrings);
	assert_int_equal(q->nlocations, nlocations);
	free(b.data);
	profile__free(p);
	profile__free(q);
}

static void other_values_are_refused(void **state)
{
	struct bytes b = packed();
	struct profile *q = empty();

	q->nvalues = 1;
	assert_int_equal(profile_packed__add(b.data, b.len, q, NULL, 0), -EBADMSG);
	profile__free(q);
	free(b.data);
}

static void every_length_but_the_right_one_is_refused(void **state)
{
	struct bytes b = packed();

	for (size_t n = 0; n < b.len; n++) {
		char *exact = malloc(n + 1); /* so that reading on is seen */

		memcpy(exact, b.data, n);
		assert_int_equal(profile_packed__check(exact, n), -EBADMSG);
		free(exact);
	}
	free(b.data);
}

/* Numbers of counts and ids most of all: words of 32 bits, small, large and off by one. */
static void mutate(struct bytes *b, uint64_t seed)
{
	for (uint64_t i = 0; i < 1 + seed % 3; i++) {
		uint64_t r = util__mix64(seed * 8 + i);
		uint32_t v, *at = (uint32_t *)(b->data + (r >> 8) % (b->len / 4) * 4);

		memcpy(&v, at, sizeof(v));
		switch (r & 3) {
		case 0: v += 1; break;
		case 1: v -= 1; break;
		case 2: v = (uint32_t)(r >> 32); break;
		default: v = (uint32_t)(r >> 32) % 40;
		}
		memcpy(at, &v, sizeof(v));
	}
}

static void what_was_changed_is_refused_or_small(void **state)
{
	struct bytes b = packed(), c = {0};
	unsigned refused = 0, taken = 0;

	assert_int_equal(append(&c, b.data, b.len), 0);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct profile *q;

		memcpy(c.data, b.data, b.len);
		mutate(&c, i);
		if (profile_packed__check(c.data, c.len)) {
			refused++;
			continue;
		}
		taken++;
		q = empty();
		profile_packed__add(c.data, c.len, q, NULL, 0);
		assert_true(q->strings_len < 4 * b.len && q->nstack < b.len && q->nlines < b.len);
		profile__free(q);
	}
	assert_true(refused > ROUNDS / 10 && taken > ROUNDS / 10);
	free(b.data);
	free(c.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrives_as_it_was),
		cmocka_unit_test(other_values_are_refused),
		cmocka_unit_test(every_length_but_the_right_one_is_refused),
		cmocka_unit_test(what_was_changed_is_refused_or_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
