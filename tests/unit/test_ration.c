/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who costs too much is sampled less, and as before when it is cheap again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/ration.h"

#define LIMIT 2.0
#define ALL 10.0

/* Of a program whose calls cost so much, and its samples so much at the rate of its rule. */
static struct ration_cost costs(const struct ration *r, double traps, double samples)
{
	double sampling = samples / (1 << r->octaves);

	return (struct ration_cost){.percent = traps + sampling,
				    .sampling_percent = sampling,
				    .limit = LIMIT,
				    .all_percent = traps + sampling,
				    .all_limit = ALL};
}

/* What budget.c does at each look; how many looks it took until the rate changed, at most `most`. */
static unsigned looks(struct ration *r, double traps, double samples, unsigned most)
{
	unsigned was = r->octaves, n = 0;

	while (r->octaves == was && n < most) {
		struct ration_cost c = costs(r, traps, samples);

		n++;
		ration__look(r, &c);
		if (ration__is_calm(r))
			ration__set(r, r->octaves - RATION_STEP);
		else if (ration__is_over(r) && ration__less_helps(r, &c))
			ration__set(r, r->octaves + RATION_STEP);
	}
	return n;
}

static void less_and_as_before(void **state)
{
	struct ration r = {0};

	/* 100 %, 25 %, 6.25 %, 1.56 %: three steps until it is within the limit */
	for (unsigned k = 1; k <= 3; k++) {
		assert_int_equal(looks(&r, 0.1, 100, 1000), RATION_PATIENCE);
		assert_int_equal(r.octaves, k * RATION_STEP);
	}
	assert_int_equal(looks(&r, 0.1, 100, 1000), 1000); /* there it stays: no step back, none on */
	/* it rests: back in as many steps, each after a while */
	for (unsigned k = 3; k-- > 0;) {
		assert_int_equal(looks(&r, 0, 0, 1000), RATION_CALM);
		assert_int_equal(r.octaves, k * RATION_STEP);
	}
	assert_int_equal(looks(&r, 0, 0, 1000), 1000);
	assert_int_equal(r.octaves, 0);
	/* and at work again it is the same as at first */
	assert_int_equal(looks(&r, 0.1, 100, 1000), RATION_PATIENCE);
	assert_int_equal(r.octaves, RATION_STEP);
}

/* The rate before the last step must fit twice into the limit; a look in between that says
 * otherwise begins the wait anew. */
static void no_way_back_that_leads_here_again(void **state)
{
	struct ration r = {.octaves = 2};

	assert_int_equal(looks(&r, 0.1, 1.0, 1000), 1000); /* 1.1 % with all samples: more than half */
	assert_int_equal(looks(&r, 0.1, 0.8, RATION_CALM - 1), RATION_CALM - 1);
	assert_int_equal(looks(&r, 0.1, 1.0, 1), 1);
	assert_int_equal(looks(&r, 0.1, 0.8, RATION_CALM - 1), RATION_CALM - 1);
	assert_int_equal(r.octaves, 2);
	assert_int_equal(looks(&r, 0.1, 0.8, 1), 1);
	assert_int_equal(r.octaves, 0);
}

/* Others leave no room: it has to wait for that, too. */
static void room_is_of_all(void **state)
{
	struct ration r = {.octaves = 2};
	struct ration_cost c = costs(&r, 0.1, 0.4);

	c.all_percent = ALL / 2;
	for (int i = 0; i < 2 * RATION_CALM; i++)
		ration__look(&r, &c);
	assert_false(ration__is_calm(&r));
	c.all_percent = c.percent;
	for (int i = 0; i < RATION_CALM; i++)
		ration__look(&r, &c);
	assert_true(ration__is_calm(&r));
}

/* Calls that are not sampled cost their traps: where those are too much, fewer samples are no help.
 */
static void traps_remain(void **state)
{
	struct ration r = {0}, last = {.octaves = RATION_MAX_OCTAVES};
	struct ration_cost c = costs(&r, 1.5 * LIMIT, 100);

	assert_false(ration__less_helps(&r, &c));
	c = costs(&r, 0.5 * LIMIT, 100);
	assert_true(ration__less_helps(&r, &c));
	assert_false(ration__less_helps(&last, &c)); /* fewer tell nothing */
	/* of one that is within its own limit when all together are not: where most is samples */
	c = costs(&r, 0.9, 0.8);
	assert_false(ration__less_helps(&r, &c));
	c = costs(&r, 0.8, 0.9);
	assert_true(ration__less_helps(&r, &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_and_as_before),
		cmocka_unit_test(no_way_back_that_leads_here_again),
		cmocka_unit_test(room_is_of_all),
		cmocka_unit_test(traps_remain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
