/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What helpers may take of the processor's time, by whom it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/box_accounts.h"

#define SEC 1000000000ULL
#define FEW (SEC / 2) /* of an allowance that has grown since it was used up */

static uint64_t last_id;

static struct box_accounts process(bool foreign)
{
	const struct box_target t = {.id = ++last_id, .pid = 1, .foreign = foreign};

	return box_accounts__of(-1, &t, true);
}

static struct box_accounts file(mode_t mode)
{
	char path[] = "/tmp/memwatch-test-XXXXXX";
	int fd = mkstemp(path);
	struct box_accounts a;

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	a = box_accounts__of(fd, NULL, true);
	close(fd);
	return a; /* its name stays, or the next would have its number */
}

static uint64_t spend(struct box_accounts a)
{
	uint64_t may = box_accounts__left(&a, 0);

	box_accounts__charge(&a, may);
	return may;
}

static void a_process_has_four_times_what_a_file_has(void **state)
{
	struct box_accounts own, f;

	box_accounts__open(5 * SEC);
	own = process(false);
	f = file(0600);
	assert_true(spend(f) == 5 * SEC);
	assert_true(spend(own) == 20 * SEC);
	assert_in_range(box_accounts__left(&own, 0), 0, FEW);
	assert_in_range(box_accounts__left(&f, 0), 0, FEW);
}

static void all_of_other_users_share(void **state)
{
	struct box_accounts hers[2];

	box_accounts__open(5 * SEC);
	for (int i = 0; i < 2; i++)
		hers[i] = process(true);
	assert_in_range(spend(hers[0]) + spend(hers[1]), 39 * SEC, 41 * SEC);
	hers[0] = process(true);
	assert_in_range(box_accounts__left(&hers[0], 0), 0, FEW);
	assert_true(spend(process(false)) == 20 * SEC);
}

static void all_files_that_others_may_write_share(void **state)
{
	uint64_t took = 0;

	box_accounts__open(5 * SEC);
	for (int i = 0; i < 6; i++)
		took += spend(file(0666));
	assert_in_range(took, 20 * SEC, 20 * SEC + FEW);
	assert_true(spend(file(0600)) == 5 * SEC);
}

static int drop_files(void **state)
{
	return system("rm -f /tmp/memwatch-test-??????");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_has_four_times_what_a_file_has),
		cmocka_unit_test(all_of_other_users_share),
		cmocka_unit_test(all_files_that_others_may_write_share),
	};

	return cmocka_run_group_tests(tests, NULL, drop_files);
}
