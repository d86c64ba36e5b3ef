/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved logs: the corpus tests/oomlogs, and what is done to it on the way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "oom/render.h"
#include "oom/saved.h"

#define KIB 1024ULL
#define MAX 8

struct got {
	size_t n;
	struct oom_event e[MAX];
};

static void take(void *arg, struct oom_event *e)
{
	struct got *g = arg;

	if (g->n < MAX)
		g->e[g->n] = *e;
	g->n++;
}

static struct got *read_log(const char *name, struct saved_stats *s)
{
	struct got *g = calloc(1, sizeof(*g));
	char path[256];

	snprintf(path, sizeof(path), "tests/oomlogs/%s", name);
	assert_int_equal(saved__read(path, take, g, s), 0);
	assert_int_equal(s->damaged, 0);
	assert_int_equal(s->events, g->n);
	return g;
}

static int set_up(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

static void old_child(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("3.10-memcg-child.syslog", &s);
	const struct oom_event *e = g->e;

	assert_int_equal(g->n, 1);
	assert_true(s.assumed_year);
	assert_int_equal(s.kernel_lines, s.lines - 1);
	assert_int_equal(e->victim.pid, 4720);
	assert_int_equal(e->chosen_pid, 4711);
	assert_string_equal(e->memcg, "/shop");
	assert_string_equal(e->victim.cgroup, "/shop/web");
	assert_int_equal(e->limit_bytes, 65536 * KIB);
	assert_int_equal(e->victim.anon_rss_bytes, 1900 * KIB);
	assert_int_equal(e->victim.shmem_rss_bytes, OOM_UNKNOWN);
	assert_int_equal(e->victim.pgtables_bytes, 11 * 4096);
	assert_int_equal(e->victim.swap_bytes, 7 * 4096);
	assert_int_equal(e->victim.uid, 1000);
	assert_int_equal(e->victim.oom_score_adj, 100);
	assert_int_equal(e->trigger.pid, 4711);
	assert_int_equal(e->ntasks, 2);
	assert_int_equal(e->tasks[0].rss_bytes, 16000 * 4096);
	/* both groups of the tree */
	assert_int_equal(e->stat.bytes[CGROUP_STAT_ANON], 64512 * KIB);
	assert_int_equal(e->stat.bytes[CGROUP_STAT_ACTIVE_FILE], 512 * KIB);
	free(g);
}

static void old_machine(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("4.4-machine.dmesg-T", &s);
	const struct oom_event *e = g->e;

	assert_int_equal(g->n, 1);
	assert_false(s.assumed_year);
	assert_int_equal(e->time_unix_ms, 1762232767000LL);
	assert_string_equal(e->victim.comm, "my (odd) prog");
	assert_int_equal(e->chosen_pid, 0);
	assert_false(e->has_constraint); /* a cpuset would be told the same way */
	assert_int_equal(e->mem_total_bytes, (262144 - 6144) * 4096ULL);
	assert_int_equal(e->mem_free_bytes, 1320 * 4096);
	assert_int_equal(e->swap_free_bytes, 12 * KIB);
	assert_int_equal(e->stat.bytes[CGROUP_STAT_ANON], 201000 * 4096ULL);
	assert_int_equal(e->stat.bytes[CGROUP_STAT_SLAB_UNRECLAIMABLE], 700 * 4096);
	assert_int_equal(e->victim.pgtables_bytes, 210 * 4096);
	assert_int_equal(e->victim.oom_score_adj, 200);
	free(g);
}

static void uid_in_the_line(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("3.10-uid.dmesg", &s);
	const struct oom_event *e = g->e;

	assert_int_equal(g->n, 1);
	assert_false(e->has_time);
	assert_int_equal(e->boot_us, 100000002);
	assert_string_equal(e->victim.comm, "mysqld");
	assert_int_equal(e->victim.uid, 27);
	assert_int_equal(e->victim.shmem_rss_bytes, 8 * KIB);
	assert_int_equal(e->ntasks, 0);
	free(g);
}

static void cpuset(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("5.4-cpuset.journal-short-iso", &s);
	const struct oom_event *e = g->e;

	assert_int_equal(g->n, 1);
	assert_int_equal(e->time_unix_ms, 1748764800000LL);
	assert_int_equal(e->constraint, OOM_CONSTRAINT_CPUSET);
	assert_true(e->has_constraint);
	assert_int_equal(e->tasks[0].pgtables_bytes, 520192);
	free(g);
}

/* The first victim is named twice, and a program's words are no kernel's. */
static void group_kill(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("6.1-group.journal.json", &s);

	assert_int_equal(g->n, 2);
	assert_int_equal(g->e[0].victim.pid, 52);
	assert_int_equal(g->e[1].victim.pid, 53);
	assert_true(g->e[1].is_group);
	assert_int_equal(g->e[0].time_unix_ms, 1750000000020LL);
	assert_string_equal(g->e[0].trigger.comm, "php-fpm");
	assert_string_equal(g->e[1].memcg, "/kubepods/pod1");
	assert_int_equal(g->e[0].stat.bytes[CGROUP_STAT_SHMEM], 37748736);
	assert_int_equal(g->e[0].ntasks, 2);
	free(g);
}

/* One sentence says why, and each line belongs to the report: indented but for the first. */
static void one_cause(const char *text)
{
	const char *why = strstr(text, "  why       ");

	assert_non_null(why);
	assert_null(strstr(why + 1, "  why       "));
	for (const char *eol = strchr(text, '\n'); eol && eol[1]; eol = strchr(eol + 1, '\n')) {
		if (eol[1] != '\n' && strncmp(eol + 1, "  ", 2))
			fail_msg("a line of its own: %s", eol + 1);
	}
}

static void contains(const struct oom_event *e, const char *words)
{
	struct textbuf b = {};

	assert_int_equal(render__text(&b, e), 0);
	one_cause(b.text);
	if (!strstr(b.text, words))
		fail_msg("'%s' is not in:\n%s", words, b.text);
	textbuf__free(&b);
}

static void order_and_wrapped(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("6.12-order-wrapped.dmesg", &s);
	const struct oom_event *e = g->e;

	assert_int_equal(g->n, 1);
	assert_int_equal(e->order, 3);
	assert_int_equal(e->victim.anon_rss_bytes, 15600 * KIB);
	assert_int_equal(e->victim.pgtables_bytes, 76 * KIB);
	assert_int_equal(e->tasks[0].pgtables_bytes, 77824);
	assert_string_equal(e->tasks[0].comm, "stress");
	assert_string_equal(e->victim.cgroup, "/user.slice");
	contains(e, "no 8 contiguous pages were to be had on the machine; 1.91GB of 3.81GB free\n");
	contains(e, "777.000009 s after the boot");
	free(g);
}

static void by_hand(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("6.6-sysrq.kmsg", &s);

	assert_int_equal(g->n, 1);
	contains(g->e, "called by hand (SysRq-f); 378.00MB of 463.00MB free");
	free(g);
}

static void other_pages_and_cut(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("5.10-arm-mempolicy.rfc5424", &s);

	assert_int_equal(g->n, 2);
	assert_int_equal(g->e[0].constraint, OOM_CONSTRAINT_MEMPOLICY);
	assert_int_equal(g->e[0].tasks[0].rss_bytes, 800 * 65536);
	assert_int_equal(g->e[0].tasks[0].pgtables_bytes, 196608);
	assert_int_equal(g->e[1].victim.pid, 71);
	assert_int_equal(g->e[1].victim.total_vm_bytes, 64000 * KIB);
	assert_int_equal(g->e[1].victim.anon_rss_bytes, OOM_UNKNOWN);
	assert_int_equal(g->e[1].ntasks, 0);
	contains(&g->e[1], "a cgroup hit its limit; which one, the kernel's log does not say");
	free(g);
}

static void nobody(void **state)
{
	struct saved_stats s;
	struct got *g = read_log("6.8-no-victim.txt", &s);

	assert_int_equal(g->n, 2);
	assert_true(g->e[0].no_victim);
	assert_string_equal(g->e[0].memcg, "/a");
	contains(g->e, "OOM without a victim: nobody could be killed");
	assert_int_equal(g->e[1].victim.pid, 9);
	free(g);
}

/* Whatever is done to the lines: cut anywhere, bytes changed, put in another order; nothing but
 * wrong or missing kills comes of it. */
static void hurt(void **state)
{
	static const char *const names[] = {"3.10-memcg-child.syslog", "6.1-group.journal.json",
					    "6.12-order-wrapped.dmesg"};
	char path[] = "/tmp/memwatch-saved-XXXXXX";
	int fd = mkstemp(path);
	uint32_t x = 12345;

	assert_true(fd >= 0);
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		char from[256], *data = malloc(1 << 16);
		struct got *g = calloc(1, sizeof(*g));
		size_t len;
		FILE *f;

		snprintf(from, sizeof(from), "tests/oomlogs/%s", names[k]);
		f = fopen(from, "r");
		assert_non_null(f);
		len = fread(data, 1, 1 << 16, f);
		fclose(f);
		for (int round = 0; round < 200; round++) {
			struct saved_stats s;

			for (int i = 0; i < 3; i++) {
				x = x * 1664525 + 1013904223;
				data[(x >> 8) % len] = (char)(x >> 3);
			}
			assert_int_equal(pwrite(fd, data, len, 0), len);
			assert_int_equal(ftruncate(fd, len - (x >> 16) % (len / 4)), 0);
			assert_int_equal(saved__read(path, take, g, &s), 0);
			for (size_t i = 0; i < g->n && i < MAX; i++)
				contains(&g->e[i], "OOM");
			g->n = 0;
		}
		free(g);
		free(data);
	}
	close(fd);
	unlink(path);
}

static void stamps(void **state)
{
	static const struct {
		const char *line, *text;
		bool kernel;
		int64_t ms;
	} good[] = {
		{"[    1.000002] words", "words", true, 0},
		{"<4>[    1.000002] words", "words", true, 0},
		{"kern  :warn  : [    1.000002] words", "words", true, 0},
		{"[    1.000002][ T123] words", "words", true, 0},
		{"2025-06-01T10:00:00,500000+02:00 words here", "words here", true, 1748764800500},
		{"2025-06-01 08:00:00 h kernel: words", "words", true, 1748764800000},
		{"2025-06-01T08:00:00Z h app[3]: words", "words", false, 1748764800000},
		{"Jun  1 08:00:00.25 h kern.warn kernel: [ 1.000002] words", "words", true,
		 1748764800250},
		{"Dec 31 23:59:59 h kernel: words", "words", true, 1735689599000}, /* last year */
		{"[Jun 1 08:00:00] words", "words", true, 1748764800000},
	};
	static const char *const none[] = {
		"[  4711]     0 4711",	       "words", "[",	"[1.5] x",
		"Jun 99 08:00:00 h kernel: x", "{",	"6,x;y"};
	struct saved_line d;
	char line[128];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		strcpy(line, good[i].line);
		assert_true(saved__decode(line, 1748764800000 + 3600000, &d));
		assert_string_equal(d.text, good[i].text);
		assert_int_equal(d.is_kernel, good[i].kernel);
		assert_int_equal(d.has_time, good[i].ms != 0);
		assert_int_equal(d.time_unix_ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		strcpy(line, none[i]);
		assert_false(saved__decode(line, 0, &d));
	}
}

/* Each of these in memory of its own size: what is read behind its end, ASan sees. */
static void cut_anywhere(void **state)
{
	static const char *const whole[] = {
		"<6>1 2025-06-01T08:00:00.123Z host kernel - - [a b=\"c\"] words",
		"<6>1 2025-06-01T08:00:00.123Z host kernel 12 id - words",
		"2025-06-01T08:00:00,123456+02:00 [    1.234567] [T12] words",
		"Jun  1 08:00:00.123 host kern.info kernel: [    1.234567] words",
		"[Sun Jun  1 08:00:00 2025] [    C0] words",
		"kern  :info  : [    1.234567] words",
		"6,1,2345678,-;words",
		"{\"MESSAGE\":[119,111],\"_TRANSPORT\":\"kernel\"}",
	};
	struct saved_line d;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		for (size_t n = 1; n <= strlen(whole[i]); n++) {
			char *line = strndup(whole[i], n);
			bool is_one;

			assert_non_null(line);
			is_one = saved__decode(line, 1748764800000, &d);
			assert_true(!is_one || (d.text >= line && d.text <= line + n));
			free(line);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_child),	   cmocka_unit_test(old_machine),
		cmocka_unit_test(uid_in_the_line), cmocka_unit_test(cpuset),
		cmocka_unit_test(group_kill),	   cmocka_unit_test(order_and_wrapped),
		cmocka_unit_test(by_hand),	   cmocka_unit_test(other_pages_and_cut),
		cmocka_unit_test(nobody),	   cmocka_unit_test(hurt),
		cmocka_unit_test(stamps),	   cmocka_unit_test(cut_anywhere),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
