/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why memory was short: the sentence of the report, the one for the journal, and the JSON's word
 * say the same, and no more than the record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "oom/render.h"

static struct oom_event event_of(unsigned from)
{
	struct oom_event e;

	oom_event__init(&e);
	e.from = from;
	e.signal = 9;
	e.victim.pid = e.victim.tid = 7;
	e.victim.anon_rss_bytes = 36 << 20;
	e.victim.oom_score_adj = 0;
	strcpy(e.victim.comm, "hog");
	return e;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

/* why: of the report, to the end of the line; constraint: NULL is null. */
static void says(const struct oom_event *e, const char *why, const char *summary,
		 const char *constraint)
{
	struct textbuf b = {0};
	char want[512];

	assert_int_equal(render__text(&b, e), 0);
	snprintf(want, sizeof(want), "\n  why       %s\n", why);
	has(b.text, want);
	textbuf__reset(&b);
	assert_int_equal(render__summary(&b, e), 0);
	assert_string_equal(b.text, summary);
	textbuf__reset(&b);
	assert_int_equal(render__json(&b, e), 0);
	snprintf(want, sizeof(want), ",\"constraint\":%s%s%s,", constraint ? "\"" : "",
		 constraint ? constraint : "null", constraint ? "\"" : "");
	has(b.text, want);
	textbuf__free(&b);
	if (constraint)
		assert_string_equal(render__constraint(e), constraint);
	else
		assert_null(render__constraint(e));
}

#define KILL "OOM kill: hog (pid 7) with 36.00MB anonymous memory, "

static void each_constraint(void **state)
{
	struct oom_event e = event_of(OOM_FROM_PROBE | OOM_FROM_KMSG);

	e.has_constraint = e.has_order = true;
	e.constraint = OOM_CONSTRAINT_NONE;
	says(&e, "the machine ran out of memory", KILL "machine out of memory", "none");
	e.mem_free_bytes = 5 << 20;
	says(&e, "the machine ran out of memory; 5.00MB free, read just after the kill",
	     KILL "machine out of memory", "none");
	e.mem_free_bytes = OOM_UNKNOWN;
	e.constraint = OOM_CONSTRAINT_CPUSET;
	says(&e, "the cpuset's nodes ran out of memory", KILL "a cpuset's nodes out of memory",
	     "cpuset");
	e.constraint = OOM_CONSTRAINT_MEMPOLICY;
	says(&e, "the nodes of its memory policy ran out of memory",
	     KILL "the nodes of a memory policy out of memory", "mempolicy");
	e.constraint = OOM_CONSTRAINT_MEMCG;
	says(&e, "a cgroup hit its limit; which one, the kernel's log does not say",
	     KILL "a cgroup at its limit", "memcg");
	strcpy(e.memcg, "/shop");
	e.limit_bytes = 48 << 20;
	e.usage_bytes = 47 << 20;
	says(&e, "cgroup /shop hit its limit: 47.00MB used of 48.00MB",
	     KILL "cgroup /shop at its limit of 48.00MB", "memcg");
	e.limit_bytes = e.usage_bytes = OOM_UNKNOWN;
	says(&e, "cgroup /shop hit its limit: ? used of ?", KILL "cgroup /shop at its limit",
	     "memcg");
}

static void what_was_asked_for(void **state)
{
	struct oom_event e = event_of(OOM_FROM_KMSG);

	e.has_constraint = e.has_order = true;
	e.order = 3;
	says(&e, "no 8 contiguous pages were to be had on the machine",
	     KILL "no 8 contiguous pages on the machine", "none");
	e.order = -1;
	says(&e, "the OOM killer was called by hand (SysRq-f)", KILL "by hand (SysRq-f)", "none");
	e.has_constraint = false;
	says(&e, "the OOM killer was called by hand (SysRq-f)", KILL "by hand (SysRq-f)", NULL);
}

/* The kernel explains ten kills in five seconds; the group at its limit may be further above than
 * the probe looks. */
static void not_known(void **state)
{
	struct oom_event e = event_of(OOM_FROM_PROBE);

	says(&e,
	     "not known: there is no line of the kernel's log, and no group of the victim was at "
	     "its limit",
	     KILL "cause not known", NULL);
	e.from |= OOM_FROM_KMSG;
	says(&e, "no cgroup's limit; the kernel's log says no more",
	     KILL "no cgroup's limit, cause not told", NULL);
	e.victim.anon_rss_bytes = OOM_UNKNOWN;
	says(&e, "no cgroup's limit; the kernel's log says no more",
	     "OOM kill: hog (pid 7), no cgroup's limit, cause not told", NULL);
}

static void by_others(void **state)
{
	struct oom_event e = event_of(OOM_FROM_PROBE);

	e.by_daemon = true;
	e.trigger.pid = 3;
	strcpy(e.trigger.comm, "earlyoom");
	says(&e, "the OOM daemon sent signal 9", KILL "by earlyoom (pid 3)", NULL);
}

static void without_victim(void **state)
{
	struct oom_event e;

	oom_event__init(&e);
	e.from = OOM_FROM_KMSG;
	e.no_victim = true;
	says(&e, "the kernel's log does not say", "OOM without a victim, cause not told", NULL);
	e.has_constraint = true;
	says(&e, "the machine ran out of memory", "OOM without a victim, machine out of memory",
	     "none");
	e.constraint = OOM_CONSTRAINT_MEMCG;
	strcpy(e.memcg, "/a");
	e.repeats = 1308;
	e.limit_bytes = e.usage_bytes = 16 << 20;
	says(&e, "cgroup /a hit its limit: 16.00MB used of 16.00MB",
	     "OOM without a victim, 1308 more times, cgroup /a at its limit of 16.00MB", "memcg");
}

static void in_it(const struct cgroup_stat *s, const char *want)
{
	struct oom_event e = event_of(OOM_FROM_KMSG);
	struct textbuf b = {0};

	e.has_stat = e.stat_from_kernel = true;
	e.stat = *s;
	assert_int_equal(render__text(&b, &e), 0);
	has(b.text, want);
	textbuf__free(&b);
}

/* What is locked is told where no other row has it. */
static void what_cannot_be_reclaimed(void **state)
{
	struct cgroup_stat s;

	cgroup_stat__init(&s);
	s.bytes[CGROUP_STAT_ANON] = 4 << 20;
	s.bytes[CGROUP_STAT_FILE] = 45 << 20;
	s.bytes[CGROUP_STAT_SHMEM] = 3 << 20;
	s.bytes[CGROUP_STAT_ACTIVE_FILE] = 1 << 20;
	s.bytes[CGROUP_STAT_INACTIVE_FILE] = 1 << 20;
	s.bytes[CGROUP_STAT_UNEVICTABLE] = 41 << 20; /* a megabyte of it anonymous */
	in_it(&s, "  in it     locked or ramfs 40.00MB, anonymous 4.00MB, shared and tmpfs 3.00MB, "
		  "cache in use 1.00MB, cache not in use 1.00MB\n");
	/* locked anonymous memory and nothing else */
	s.bytes[CGROUP_STAT_FILE] = 5 << 20;
	s.bytes[CGROUP_STAT_UNEVICTABLE] = 4 << 20;
	in_it(&s, "  in it     anonymous 4.00MB, shared and tmpfs 3.00MB, cache in use 1.00MB, "
		  "cache not in use 1.00MB\n");
	/* of the machine: lists that have nothing in common */
	cgroup_stat__init(&s);
	s.bytes[CGROUP_STAT_ANON] = 4 << 20;
	s.bytes[CGROUP_STAT_UNEVICTABLE] = 8 << 20;
	in_it(&s, "  in it     locked or ramfs 8.00MB, anonymous 4.00MB\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_constraint), cmocka_unit_test(what_was_asked_for),
		cmocka_unit_test(not_known),	   cmocka_unit_test(by_others),
		cmocka_unit_test(without_victim),  cmocka_unit_test(what_cannot_be_reclaimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
