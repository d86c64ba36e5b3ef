/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's configuration, and whom its sections choose. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/roster.h"

static struct config *parse(const char *text, int want, struct config_errors *e)
{
	struct config *c = NULL;

	assert_int_equal(config__new(&c), 0);
	assert_int_equal(config__parse(c, text, strlen(text), e), want);
	return c;
}

static void values(void **state)
{
	struct config_errors e;
	struct config *c =
		parse("[daemon]\r\n  interval =250ms \nsample-bytes=64K\nmax-overhead = 0.5\n"
		      "max-overhead-total = 20%\nmax-processes = 7\ngo = off\nstate-dir = /a b\n"
		      "[profile a]\ncomm = x # no comment\nwindow = 30s every 10m\nfast = on\n"
		      "[alert b]\nalert-rss = 1G\nalert-growth = 10M/min\nalert-cooldown = 5m",
		      0, &e);

	assert_int_equal(c->interval_ns, 250000000);
	assert_int_equal(c->sample_bytes, 65536);
	assert_true(c->max_overhead > 0.49 && c->max_overhead < 0.51 &&
		    c->max_overhead_total > 19.9);
	assert_int_equal(c->max_processes, 7);
	assert_true(!c->go && c->oom);
	assert_string_equal(c->state_dir, "/a b");
	assert_int_equal(c->nprofiles, 1);
	assert_int_equal(c->profiles[0].window_ns, 30000000000ULL);
	assert_int_equal(c->profiles[0].every_ns, 600000000000ULL);
	assert_true(c->profiles[0].fast && config__wants_fast(c));
	assert_int_equal(c->nalerts, 1);
	assert_int_equal(c->alerts[0].alert.rules.rss_bytes, 1 << 30);
	assert_true(c->alerts[0].alert.rules.on[ALERT_GROWTH]);
	assert_int_equal(c->alerts[0].alert.cooldown_ns, 300000000000ULL);
	config__free(c);
	c = parse("[profile a]\ncomm = x\nover-budget = windows\n"
		  "[profile b]\ncomm = x\nover-budget = let-go\n",
		  0, &e);
	assert_true(c->profiles[0].windows && !c->profiles[1].windows);
	config__free(c);
}

static void mistakes_are_sorted_and_counted(void **state)
{
	char many[4000] = "";
	struct config_errors e;

	/* The section's own mistake is known last and stands first. */
	config__free(parse("[profile a]\nfast = what\n", -EINVAL, &e));
	assert_int_equal(e.n, 2);
	assert_int_equal(e.e[0].line, 1);
	assert_int_equal(e.e[1].line, 2);
	config__free(parse("[profile a]\ncomm = x\nover-budget = stay\n"
			   "[profile b]\ncomm = x\nfast = yes\nover-budget = windows\n",
			   -EINVAL, &e));
	assert_int_equal(e.n, 2);
	assert_non_null(strstr(e.e[0].text, "'stay' is not let-go or windows"));
	assert_int_equal(e.e[1].line, 4);
	/* What two keys make wrong is told of the one that does. */
	config__free(parse("[history]\nmax-age = 1d\nmax-size = 1M\n[oom]\nenabled = no\n"
			   "journal = no\nsyslog = yes\n",
			   -EINVAL, &e));
	assert_int_equal(e.n, 2);
	assert_int_equal(e.e[0].line, 3);
	assert_int_equal(e.e[1].line, 7);
	config__free(
		parse("[daemon]\nmax-overhead = nan\nhosts = a b/c\nhosts = node1 ::1 a_b.c-d\n"
		      "hosts =\n[profile a]\ncomm = x\nwindow = 1s every 2s or so\n",
		      -EINVAL, &e));
	assert_int_equal(e.n, 4);
	assert_int_equal(e.e[0].line, 2);
	assert_int_equal(e.e[1].line, 3);
	assert_int_equal(e.e[2].line, 5);
	assert_int_equal(e.e[3].line, 8);
	/* The list of keys is whole. */
	config__free(
		parse("[alert a]\nalert-rss = 1G\nbogus = 1\n[profile a]\ncomm = x\nbogus = 1\n",
		      -EINVAL, &e));
	assert_non_null(strstr(e.e[0].text, ", alert-psi, on-alert"));
	assert_non_null(strstr(e.e[1].text, ", label"));
	/* As many rates as there are observers for; the daemon's own is none of them. */
	config__free(parse("[daemon]\nsample-bytes = 1M\n"
			   "[profile a]\ncomm = x\nsample-bytes = 1\n"
			   "[profile b]\ncomm = x\nsample-bytes = 64K\n"
			   "[profile c]\ncomm = x\nsample-bytes = 1M\n"
			   "[profile d]\ncomm = x\nsample-bytes = 2M\n"
			   "[profile e]\ncomm = x\nsample-bytes = 1\n"
			   "[profile f]\ncomm = x\nsample-bytes = 3M\n"
			   "[profile g]\ncomm = x\nfast = yes\nsample-bytes = 1\n",
			   -EINVAL, &e));
	assert_int_equal(e.n, 2);
	assert_int_equal(e.e[0].line, 18);
	assert_int_equal(e.e[1].line, 21);
	for (int i = 0; i < 100; i++)
		strcat(many, "[x]\n");
	config__free(parse(many, -EINVAL, &e));
	assert_int_equal(e.n, 100);
	config__free(parse("", 0, &e));
	config__free(parse("\n\n#\n", 0, &e));
}

/* One mistake, in this line. */
static void is_refused(const char *text, unsigned line, const char *words)
{
	struct config_errors e;

	config__free(parse(text, -EINVAL, &e));
	assert_int_equal(e.n, 1);
	assert_int_equal(e.e[0].line, line);
	if (!strstr(e.e[0].text, words))
		fail_msg("'%s' does not say '%s'", e.e[0].text, words);
}

static void what_has_no_effect_is_refused(void **state)
{
	struct config_errors e;

	is_refused("[history]\nmax-age = 0\n", 2, "a time of 2m or more");
	is_refused("[history]\nmax-age = 119s\n", 2, "a time of 2m or more");
	is_refused("[alert a]\nalert-rss = 1G\nalert-timeout = 0\n", 3, "a time above 0");
	is_refused("[alert a]\nalert-oom-in = 500ms\n", 2, "between 1s and 1d");
	is_refused("[daemon]\nmax-overhead = 20%\n", 2, "max-overhead-total");
	is_refused("[profile a]\ncomm = x\nmax-overhead = 11%\n", 1, "max-overhead-total");
	is_refused("[profile a]\ncomm = x\nwindow = 5s every 1m\n[daemon]\ninterval = 6s\n", 1,
		   "interval");
	is_refused("[daemon]\ninterval = 6s\n[profile a]\ncomm = x\nwindow = 30s every 35s\n", 3,
		   "interval");
	is_refused("[profile a]\ncomm = x\nwindow = 500ms every 1m\n", 3, "a longer one");
	is_refused("[profile a]\ncomm = x\nsnapshot = 500ms\n", 1, "interval");
	is_refused("[profile a]\non-demand = yes\nwindow = 30s every 10m\n", 1, "on-demand");
	is_refused("[profile a]\ncomm = x\npeak-rss = yes\n[history]\nenabled = no\n", 1,
		   "history");
	/* At the edge; and what was not given is no mistake. */
	config__free(parse("[daemon]\nmax-overhead = 10%\n[history]\nmax-age = 2m\n"
			   "[profile a]\ncomm = x\nwindow = 1s every 2s\nsnapshot = 1s\n"
			   "max-overhead = 10%\npeak = yes\n"
			   "[profile b]\ncomm = x\nsnapshot = 0\n",
			   0, &e));
	config__free(parse("[daemon]\ninterval = 1h\nmax-overhead-total = 1%\n"
			   "[profile a]\ncomm = x\n[history]\nenabled = no\n",
			   0, &e));
}

static const char *environ_of(void *arg)
{
	return arg;
}

static bool fits(const char *lines, const struct choice_facts *f)
{
	struct config_errors e;
	char text[1000];
	struct config *c;
	bool is;

	snprintf(text, sizeof(text), "[profile a]\n%s\n", lines);
	c = parse(text, 0, &e);
	is = config__profile(c, f) != NULL;
	config__free(c);
	return is;
}

static double growth_of(const void *arg)
{
	return *(const double *)arg;
}

static void choices(void **state)
{
	static const double growth = 5 << 20;
	static char environ[] = "PATH=/bin\0APP=shop-1\0";
	struct choice_facts f = {.names = {.comm = "worker",
					   .exe = "/usr/bin/worker3",
					   .cgroups = "0::/system.slice/shop.service/a\n",
					   .uid = 33},
				 .command = "worker --queue mail",
				 .environ = environ_of,
				 .environ_arg = environ,
				 .rss_bytes = 100 << 20,
				 .growth = growth_of,
				 .growth_arg = &growth};

	assert_true(fits("comm = ^worker$", &f));
	assert_true(fits("comm = ^worker3$", &f));
	assert_false(fits("comm = ^work$", &f));
	assert_true(fits("command = --queue (mail|news)$", &f));
	assert_false(fits("command = ^--queue", &f));
	assert_true(fits("unit = shop", &f));
	assert_false(fits("unit = sho", &f));
	assert_true(fits("cgroup = /system.slice", &f));
	assert_true(fits("user = 33", &f));
	assert_true(fits("label = APP=shop-*", &f));
	assert_false(fits("label = APP=shop", &f));
	assert_false(fits("label = PP=*", &f));
	assert_true(fits("min-rss = 100M", &f));
	assert_false(fits("min-rss = 101M", &f));
	assert_true(fits("growth = 5M/min", &f));
	assert_false(fits("growth = 1M/s", &f));
	/* One kind widens, several narrow. */
	assert_true(fits("comm = ^a\ncomm = ^worker", &f));
	assert_false(fits("comm = ^worker\nunit = nginx", &f));
	assert_true(fits("comm = ^worker\nunit = nginx\nunit = shop\nlabel = APP=*", &f));
	/* What is not known fits nothing. */
	f.command = NULL;
	f.environ = NULL;
	f.growth = NULL;
	assert_false(fits("command = .", &f));
	assert_false(fits("label = APP=*", &f));
	assert_false(fits("growth = 1K/min", &f));
}

/* The section by whose growth a process was chosen is its own as long as no other wants it. */
static void grown(void **state)
{
	static double growth = 0;
	struct choice_facts f = {
		.names = {.comm = "a"}, .growth = growth_of, .growth_arg = &growth};
	struct roster_entry e = {.id = {1, 1}};
	struct roster r = {.e = &e, .n = 1};
	struct config_errors errors;
	struct config *c = parse("[profile g]\ncomm = ^[ab]$\ngrowth = 1M/min\n"
				 "[profile any]\non-demand = yes\n",
				 0, &errors),
		      *d;

	assert_ptr_equal(roster__rule(&r, &e, 0, c, &f), &c->profiles[1]);
	growth = 2 << 20;
	assert_ptr_equal(roster__rule(&r, &e, 0, c, &f), &c->profiles[0]);
	growth = 0;
	assert_ptr_equal(roster__rule(&r, &e, 0, c, &f), &c->profiles[0]);
	d = parse("[profile never]\nignore = yes\ncomm = ^b$\n[profile g]\ngrowth = 1M/min\n", 0,
		  &errors);
	roster__reload(&r, d);
	config__free(c);
	assert_ptr_equal(roster__rule(&r, &e, 0, d, &f), &d->profiles[1]);
	f.names.comm = "b";
	assert_ptr_equal(roster__rule(&r, &e, 0, d, &f), &d->profiles[0]);
	f.names.comm = "a";
	assert_null(roster__rule(&r, &e, 0, d, &f));
	config__free(d);
}

/* Children of children, whose parents may have ended; not those of others. */
static void followed(void **state)
{
	struct roster_entry e[] = {{.id = {1, 1}}, {.id = {2, 1}}, {.id = {3, 1}}, {.id = {4, 1}}};
	struct roster r = {.e = e, .n = 4};
	struct choice_facts parent = {.names = {.comm = "a"}}, child = {.names = {.comm = "x"}};
	struct config_errors errors;
	struct config *c = parse("[profile a]\ncomm = ^a$\nfollow = yes\n"
				 "[profile any]\non-demand = yes\n",
				 0, &errors);

	assert_ptr_equal(roster__rule(&r, &e[0], 0, c, &parent), &c->profiles[0]);
	assert_ptr_equal(roster__rule(&r, &e[1], 1, c, &child), &c->profiles[0]);
	assert_ptr_equal(roster__rule(&r, &e[2], 2, c, &child), &c->profiles[0]);
	assert_ptr_equal(roster__rule(&r, &e[2], 0, c, &child), &c->profiles[0]);
	assert_ptr_equal(roster__rule(&r, &e[3], 0, c, &child), &c->profiles[1]);
	assert_ptr_equal(roster__rule(&r, &e[3], 9, c, &child), &c->profiles[1]);
	config__free(c);
}

static void units(void **state)
{
	char buf[64];

	assert_string_equal(choice__unit("/system.slice/nginx.service", buf, sizeof(buf)),
			    "nginx.service");
	assert_string_equal(
		choice__unit("/user.slice/user@1.service/app.slice/x.scope/y", buf, sizeof(buf)),
		"x.scope");
	assert_string_equal(choice__unit("/a/b", buf, sizeof(buf)), "");
	assert_string_equal(choice__unit(NULL, buf, sizeof(buf)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),   cmocka_unit_test(mistakes_are_sorted_and_counted),
		cmocka_unit_test(what_has_no_effect_is_refused),
		cmocka_unit_test(choices),  cmocka_unit_test(grown),
		cmocka_unit_test(followed), cmocka_unit_test(units)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
