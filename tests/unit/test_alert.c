/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "alert/kept_files.h"
#include "alert/rules.h"
#include "alert/runner.h"
#include "alert/tell.h"
#include "sys/cgroup.h"
#include "sys/psi.h"

#define MIB 1048576.0

static struct rules_sample sample(double t, double rss)
{
	return (struct rules_sample){.t_s = t,
				     .rss_bytes = (uint64_t)rss,
				     .cgroup_used_bytes = (uint64_t)rss,
				     .cgroup_limit_bytes = (uint64_t)(100 * MIB),
				     .machine_total_bytes = (uint64_t)(1000 * MIB),
				     .machine_available_bytes = (uint64_t)(900 * MIB),
				     .psi_some10 = 0,
				     .psi_full10 = 0};
}

static unsigned step(const struct rules *r, enum rules_scope scope, struct rules_state *s, double t,
		     double bytes)
{
	struct rules_verdict v[ALERT_RULES];
	struct rules_sample x = sample(t, bytes);

	return rules__step(r, scope, s, &x, v);
}

static void parse(void **state)
{
	struct rules r = {};

	assert_false(rules__any(&r));
	assert_int_equal(rules__parse(ALERT_RSS, "50%", &r), 0);
	assert_float_equal(r.rss_share, 0.5, 1e-9);
	assert_int_equal(rules__parse(ALERT_RSS, "2G", &r), 0);
	assert_int_equal(r.rss_bytes, 2ULL << 30);
	assert_int_equal(rules__parse(ALERT_CGROUP, "80%", &r), 0);
	assert_int_equal(rules__parse(ALERT_GROWTH, "10M/min", &r), 0);
	assert_float_equal(r.growth_bytes_s, 10 * MIB / 60, 1e-6);
	assert_int_equal(rules__parse(ALERT_GROWTH, "1K/s", &r), 0);
	assert_float_equal(r.growth_bytes_s, 1024, 1e-6);
	assert_int_equal(rules__parse(ALERT_GROWTH, "60M", &r), 0);
	assert_float_equal(r.growth_bytes_s, MIB, 1e-6);
	assert_int_equal(rules__parse(ALERT_OOM_IN, "5m", &r), 0);
	assert_float_equal(r.oom_in_s, 300, 1e-6);
	assert_int_equal(rules__parse(ALERT_PSI, "full=5.5%", &r), 0);
	assert_true(r.psi_full);
	assert_true(rules__any(&r));
	static const char *const bad[] = {"",	  "%",	  "-1%", "0%",	 "101%",
					  "1e1%", "nan%", "x",	 "50%%", " 5%"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rules__parse(ALERT_CGROUP, bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse(ALERT_RSS, bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse(ALERT_GROWTH, bad[i], &r), -EINVAL);
		assert_int_equal(rules__parse(ALERT_PSI, bad[i], &r), -EINVAL);
	}
	assert_int_equal(rules__parse(ALERT_GROWTH, "1M/year", &r), -EINVAL);
	assert_int_equal(
		rules__parse(ALERT_GROWTH, "99999999999999999999999999999999999999999M/s", &r),
		-EINVAL);
	assert_int_equal(rules__parse(ALERT_OOM_IN, "0", &r), -EINVAL);
	/* over before three samples could foretell it */
	assert_int_equal(rules__parse(ALERT_OOM_IN, "900ms", &r), -EINVAL);
	assert_int_equal(rules__parse(ALERT_OOM_IN, "1s", &r), 0);
	assert_int_equal(rules__parse(ALERT_PSI, "some", &r), -EINVAL);
}

/* On the edge it fires once; again only after having clearly gone back. */
static void hysteresis(void **state)
{
	struct rules r = {.on = {[ALERT_CGROUP] = true}, .cgroup_share = 0.8};
	struct rules_state *s = calloc(1, sizeof(*s));
	unsigned fired = 0, resolved = 0;

	for (int i = 0; i < 200; i++) {
		fired += !!step(&r, RULES_GROUP, s, i * 0.25, (i % 2 ? 80.5 : 79.5) * MIB);
		resolved += !!s->resolved;
	}
	assert_int_equal(fired, 1);
	for (int i = 0; i < 100; i++) { /* below 72 now and then, but not for long */
		fired += !!step(&r, RULES_GROUP, s, 51 + i * 0.25, (i % 4 ? 71 : 81) * MIB);
		resolved += !!s->resolved;
	}
	assert_int_equal(fired, 1);
	assert_int_equal(resolved, 0);
	for (int i = 0; i < 100; i++) {
		fired += !!step(&r, RULES_GROUP, s, 80 + i * 0.25, 71 * MIB);
		resolved += !!s->resolved;
	}
	assert_int_equal(fired, 1);
	assert_int_equal(resolved, 1);
	assert_true(step(&r, RULES_GROUP, s, 152, 81 * MIB));
	free(s);
}

static void rss_of_the_lower_limit(void **state)
{
	struct rules r = {.on = {[ALERT_RSS] = true}, .rss_share = 0.5};
	struct rules_state *s = calloc(1, sizeof(*s));

	assert_false(step(&r, RULES_PROCESS, s, 0, 49 * MIB));
	assert_true(step(&r, RULES_PROCESS, s, 1,
			 50 * MIB)); /* of the cgroup's 100, not the machine's 1000 */
	free(s);
}

/* When the machine's memory cannot be read there is no share of it, and no end of it. */
static void machine_unknown(void **state)
{
	struct rules r = {.on = {[ALERT_RSS] = true, [ALERT_OOM_IN] = true},
			  .rss_share = 0.5,
			  .oom_in_s = 3600};
	struct rules_verdict v[ALERT_RULES];
	struct rules_state *s = calloc(1, sizeof(*s)), *m = calloc(1, sizeof(*m));

	for (int i = 0; i < 100; i++) {
		struct rules_sample x = {.t_s = i * 0.25,
					 .rss_bytes = i * 10 * MIB,
					 .cgroup_limit_bytes = RULES_NO_LIMIT,
					 .machine_total_bytes = i < 90 ? 1000 * MIB : 0,
					 .machine_available_bytes = i < 90 ? 1000 * MIB : 0,
					 .psi_some10 = -1,
					 .psi_full10 = -1};

		if (i < 90)
			x.rss_bytes = 0;
		assert_int_equal(rules__step(&r, RULES_PROCESS, s, &x, v), 0);
		assert_int_equal(rules__step(&r, RULES_MACHINE, m, &x, v), 0);
	}
	free(s);
	free(m);
}

/* A spike, even of many samples, is no growth; a steady leak is. */
static void robust_growth(void **state)
{
	struct rules r = {
		.on = {[ALERT_GROWTH] = true}, .growth_bytes_s = MIB / 60, .growth_per_s = 60};
	struct rules_state *s = calloc(1, sizeof(*s));
	unsigned fired = 0;

	for (int i = 0; i < 400; i++)
		fired += !!step(&r, RULES_PROCESS, s, i * 0.25, (i % 40 < 8 ? 50 : 10) * MIB);
	assert_int_equal(fired, 0);
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 400; i++)
		fired += !!step(&r, RULES_PROCESS, s, i * 0.25, 10 * MIB + i * 0.25 * 2 * MIB / 60);
	assert_int_equal(fired, 1);
	/* a rate a minute is no alarm before as much has come: 2 MiB/min for 20 s */
	memset(s, 0, sizeof(*s));
	fired = 0;
	for (int i = 0; i < 400; i++)
		fired += !!step(&r, RULES_PROCESS, s, i * 0.25,
				10 * MIB + (i < 80 ? i : 80) * 0.25 * 2 * MIB / 60);
	assert_int_equal(fired, 0);
	free(s);
}

/* The machine's rules are the machine's: no process's step fires them. */
static void machine_rules(void **state)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true, [ALERT_PSI] = true},
			  .oom_in_s = 60,
			  .psi_percent = 20};
	struct rules_state *s = calloc(1, sizeof(*s)), *m = calloc(1, sizeof(*m));
	struct rules_verdict v[ALERT_RULES];
	unsigned fired = 0, psi = 0;

	for (int i = 0; i < 800; i++) {
		struct rules_sample x = sample(i * 0.25, 10 * MIB);

		x.cgroup_limit_bytes = RULES_NO_LIMIT;
		x.machine_available_bytes = (uint64_t)((900 - i) * MIB);
		x.psi_some10 = i > 400 && i < 600 ? 50 : 0;
		assert_int_equal(rules__step(&r, RULES_PROCESS, s, &x, v), 0);
		fired += !!(rules__step(&r, RULES_MACHINE, m, &x, v) & 1u << ALERT_OOM_IN);
		if (fired == 1 && v[ALERT_OOM_IN].value <= 60)
			assert_true(v[ALERT_OOM_IN].machine_limit);
		psi += m->rule[ALERT_PSI].firing && m->rule[ALERT_PSI].back == 0;
	}
	assert_int_equal(fired, 1);
	assert_true(psi > 190 && psi < 230);
	assert_false(m->rule[ALERT_PSI].firing);
	free(s);
	free(m);
}

static void forecast(void **state)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true}, .oom_in_s = 20};
	struct rules_state *s = calloc(1, sizeof(*s));
	struct rules_verdict v[ALERT_RULES];
	int at = -1;

	/* 1 MiB/s from 10 MiB, with noise, to 100 MiB: reached at t = 90 */
	for (int i = 0; i < 360 && at < 0; i++) {
		double t = i * 0.25;
		struct rules_sample x = sample(t, (10 + t + (i * 7 % 5 - 2) * 0.2) * MIB);

		if (rules__step(&r, RULES_GROUP, s, &x, v)) {
			at = i;
			assert_false(v[ALERT_OOM_IN].machine_limit);
			assert_true(fabs(v[ALERT_OOM_IN].value - (90 - t)) < 0.2 * (90 - t));
			assert_true(v[ALERT_OOM_IN].from_s < 90 - t);
			assert_true(v[ALERT_OOM_IN].to_s > 90 - t);
		}
	}
	assert_true(at * 0.25 > 65 && at * 0.25 < 76);
	free(s);
}

static void no_limit_no_forecast(void **state)
{
	struct rules r = {.on = {[ALERT_OOM_IN] = true}, .oom_in_s = 1000};
	struct rules_state *s = calloc(1, sizeof(*s));
	struct rules_verdict v[ALERT_RULES];

	for (int i = 0; i < 100; i++) {
		struct rules_sample x = sample(i * 0.25, (10 + i) * MIB);

		x.cgroup_limit_bytes = RULES_NO_LIMIT;
		assert_false(rules__step(&r, RULES_GROUP, s, &x, v));
		assert_true(isinf(v[ALERT_OOM_IN].oom_in_s));
	}
	free(s);
}

/* A group loses its limit while a rule fires: that is over, and said why. */
static void limit_removed(void **state)
{
	struct rules r = {.on = {[ALERT_CGROUP] = true, [ALERT_OOM_IN] = true},
			  .cgroup_share = 0.5,
			  .oom_in_s = 60};
	struct rules_state *s = calloc(1, sizeof(*s));
	struct rules_verdict v[ALERT_RULES];
	unsigned fired = 0, resolved = 0;
	char text[RULES_TEXT];

	for (int i = 0; i < 420; i++) {
		struct rules_sample x = sample(i * 0.25, (10 + i * 0.25) * MIB);

		if (i >= 280) {
			x.cgroup_limit_bytes = RULES_NO_LIMIT;
			x.cgroup_used_bytes = 0;
		}
		fired |= rules__step(&r, RULES_GROUP, s, &x, v);
		assert_int_equal(resolved & s->resolved, 0); /* once each */
		resolved |= s->resolved;
		if (s->resolved & 1u << ALERT_CGROUP)
			assert_string_equal(rules__describe(ALERT_CGROUP, &v[ALERT_CGROUP], &x,
							    text, sizeof(text)),
					    "the cgroup has no limit any more");
	}
	assert_int_equal(fired, 1u << ALERT_CGROUP | 1u << ALERT_OOM_IN);
	assert_int_equal(resolved, fired);
	free(s);
}

/* --- telling --- */

/* What was saved and told of a process with a timeline. */
struct telling {
	char dir[32];
	struct alert_options o;
	struct timeline timeline;
	struct told told[ALERT_RULES];
	struct alert_subject who;
	struct teller *t;
	unsigned saved, words;
	char last[4096]; /* what was told last, as JSON */
};

static const struct rules_verdict too_much = {.value = 5, .threshold = 4, .oom_in_s = INFINITY};

static int save(void *arg, int pid, const char *base, char *ret, size_t size)
{
	struct telling *s = arg;
	FILE *f;

	snprintf(ret, size, "%s.pb.gz", base);
	f = fopen(ret, "w");
	assert_non_null(f);
	fclose(f);
	s->saved++;
	return 0;
}

static void hear(void *arg, const char *json, size_t len)
{
	struct telling *s = arg;

	snprintf(s->last, sizeof(s->last), "%.*s", (int)len, json);
	s->words++;
}

static struct telling *begin_telling(void)
{
	struct telling *s = calloc(1, sizeof(*s));
	const char *why;

	strcpy(s->dir, "/tmp/memwatch-alert-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	alert_options__init(&s->o);
	s->o.dir = s->dir;
	s->o.keep = 3;
	s->o.told = hear;
	s->o.told_arg = s;
	timeline__init(&s->timeline, 7, "x", 16);
	s->who = (struct alert_subject){.pid = 7,
					.comm = "x",
					.cgroup = "/c",
					.limit_path = "/c",
					.timeline = &s->timeline,
					.told = s->told};
	assert_int_equal(teller__new(&s->o, NULL, save, s, &s->t, &why), 0);
	return s;
}

static void end_telling(struct telling *s)
{
	char cmd[64];

	teller__free(s->t);
	timeline__clear(&s->timeline);
	snprintf(cmd, sizeof(cmd), "rm -r %s", s->dir);
	assert_int_equal(system(cmd), 0);
	free(s);
}

static size_t files_in(const char *dir)
{
	size_t n = 0;
	DIR *d = opendir(dir);

	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* One word when it begins, one when it is over; the cooldown covers everything; files are bounded.
 */
static void told_once(void **state)
{
	struct telling *s = begin_telling();
	struct rules_sample x = sample(0, MIB);

	for (int i = 0; i < 26; i++) { /* a flood: it begins and ends again and again */
		teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
		assert_int_equal(s->told[ALERT_RSS].firing, i == 0);
		teller__ends(s->t, &s->who, ALERT_RSS, &too_much, &x);
		assert_false(s->told[ALERT_RSS].firing);
	}
	assert_int_equal(s->saved, 1);
	assert_int_equal(s->words, 2);
	assert_int_equal(s->told[ALERT_RSS].counted, 25);
	assert_int_equal(files_in(s->dir), 2);
	s->o.cooldown_ns = 0;
	for (int i = 0; i < 10; i++) {
		teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
		assert_int_equal(s->told[ALERT_RSS].counted, 0);
		teller__drops(s->t, &s->who, ALERT_RSS, "it has ended");
	}
	assert_int_equal(s->saved, 11);
	assert_int_equal(teller__told(s->t, ALERT_RSS), 11);
	assert_int_equal(files_in(s->dir), 6);
	end_telling(s);
}

/* What begins within the cooldown and lasts is told when the cooldown is over, and so is its end.
 */
static void told_after_the_cooldown(void **state)
{
	struct telling *s = begin_telling();
	struct told *told = &s->told[ALERT_RSS];
	struct rules_sample x = sample(0, MIB);

	teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
	teller__ends(s->t, &s->who, ALERT_RSS, &too_much, &x);
	assert_int_equal(s->words, 2);
	for (int i = 0; i < 3; i++) { /* twice for a moment, and then it stays */
		teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
		teller__lasts(s->t, &s->who, ALERT_RSS, &too_much, &x);
		if (i < 2)
			teller__ends(s->t, &s->who, ALERT_RSS, &too_much, &x);
	}
	assert_int_equal(s->words, 2);
	told->last_ns -= s->o.cooldown_ns;
	told->since_unix_ms -= 50000;
	for (int i = 0; i < 3; i++)
		teller__lasts(s->t, &s->who, ALERT_RSS, &too_much, &x);
	assert_int_equal(s->words, 3);
	assert_int_equal(s->saved, 2);
	assert_true(told->firing);
	assert_non_null(strstr(s->last, "\"state\":\"firing\""));
	assert_non_null(strstr(s->last, "\"lasted_ms\":50"));
	assert_non_null(strstr(s->last, "\"counted\":2,"));
	teller__ends(s->t, &s->who, ALERT_RSS, &too_much, &x);
	assert_int_equal(s->words, 4);
	assert_non_null(strstr(s->last, "\"state\":\"resolved\""));
	assert_non_null(strstr(s->last, "\"lasted_ms\":50"));
	/* what is over within the cooldown is not told late */
	teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
	teller__ends(s->t, &s->who, ALERT_RSS, &too_much, &x);
	told->last_ns -= s->o.cooldown_ns;
	teller__lasts(s->t, &s->who, ALERT_RSS, &too_much, &x);
	assert_int_equal(s->words, 4);
	end_telling(s);
}

/* Groups with the same largest process fire at the same moment: each has files of its own; and a
 * machine without any that is watched has none. */
static void told_of_groups(void **state)
{
	struct telling *s = begin_telling();
	struct told other[ALERT_RULES] = {}, machine[ALERT_RULES] = {};
	struct rules_sample x = sample(0, MIB);
	struct alert_subject b, m = {.scope = RULES_MACHINE,
				     .comm = "",
				     .cgroup = "",
				     .limit_path = "",
				     .told = machine};

	s->who.scope = RULES_GROUP;
	b = s->who;
	b.limit_path = "/c/d";
	b.told = other;
	teller__begins(s->t, &s->who, ALERT_CGROUP, &too_much, &x);
	teller__begins(s->t, &b, ALERT_CGROUP, &too_much, &x);
	assert_int_equal(files_in(s->dir), 4);
	assert_non_null(strstr(s->last, "\"scope\":\"cgroup\""));
	assert_non_null(strstr(s->last, "\"limit_path\":\"/c/d\""));
	teller__drops(s->t, &b, ALERT_CGROUP, "gone");
	assert_non_null(strstr(s->last, "\"ended\":true"));
	assert_non_null(strstr(s->last, "\"limit_path\":\"/c/d\""));
	teller__begins(s->t, &m, ALERT_PSI, &too_much, &x);
	assert_non_null(strstr(s->last, "\"scope\":\"machine\""));
	assert_non_null(strstr(s->last, "\"pid\":null,\"comm\":null"));
	assert_int_equal(files_in(s->dir), 4);
	end_telling(s);
}

static void touch(const char *dir, const char *name)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static bool is_there(const char *dir, const char *name)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !lstat(path, &st);
}

/* The bound is on the directory: what earlier runs left counts and goes first; nothing else does.
 */
static void files_of_earlier_runs(void **state)
{
	static const char *const stay[] = {"memwatch-alert-1-rss-100.pb.gz.mine",
					   "memwatch-alert-1-rss-.csv",
					   "memwatch-alert-1-growth-100.csv",
					   "memwatch-alert-web-1-rss-100.csv",
					   "memwatch-alert-x1-rss-100.csv",
					   "xmemwatch-alert-1-rss-100.csv",
					   "memwatch-oom-1-100.json",
					   "memwatch-alert-1-rss-1000000000000000000000.csv"};
	struct telling *s = begin_telling();
	struct rules_sample x = sample(0, MIB);
	char path[256];

	for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
		touch(s->dir, stay[i]);
	for (int i = 100; i < 120; i++) {
		snprintf(path, sizeof(path), "memwatch-alert-%d-rss-%d.pb.gz", 300 - i, i);
		touch(s->dir, path);
		snprintf(path, sizeof(path), "memwatch-alert-%d-rss-%d.csv", 300 - i, i);
		touch(s->dir, path);
		snprintf(path, sizeof(path), "memwatch-oom-%d-%d.pb.gz", 300 - i, i);
		touch(s->dir, path);
	}
	/* no files of ours: a link, a directory, somebody else's */
	snprintf(path, sizeof(path), "%s/memwatch-alert-1-rss-1.csv", s->dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof(path), "%s/memwatch-alert-1-rss-2.csv", s->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	touch(s->dir, "memwatch-alert-1-rss-3.csv");
	snprintf(path, sizeof(path), "%s/memwatch-alert-1-rss-3.csv", s->dir);
	if (!geteuid())
		assert_int_equal(chown(path, 12345, 12345), 0);
	teller__begins(s->t, &s->who, ALERT_RSS, &too_much, &x);
	for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
		assert_true(is_there(s->dir, stay[i]));
	assert_true(is_there(s->dir, "memwatch-alert-1-rss-1.csv"));
	assert_true(is_there(s->dir, "memwatch-alert-1-rss-2.csv"));
	assert_int_equal(is_there(s->dir, "memwatch-alert-1-rss-3.csv"), !geteuid());
	for (int i = 100; i < 120; i++) { /* two of them, and the new one */
		snprintf(path, sizeof(path), "memwatch-alert-%d-rss-%d.pb.gz", 300 - i, i);
		assert_int_equal(is_there(s->dir, path), i >= 118);
		snprintf(path, sizeof(path), "memwatch-alert-%d-rss-%d.csv", 300 - i, i);
		assert_int_equal(is_there(s->dir, path), i >= 118);
		snprintf(path, sizeof(path), "memwatch-oom-%d-%d.pb.gz", 300 - i, i);
		assert_true(is_there(s->dir, path));
	}
	kept_files__make_room(s->dir, "oom-#", 5);
	for (int i = 100; i < 120; i++) {
		snprintf(path, sizeof(path), "memwatch-oom-%d-%d.pb.gz", 300 - i, i);
		assert_int_equal(is_there(s->dir, path), i >= 116);
	}
	end_telling(s);
}

static void split(void **state)
{
	static const struct {
		const char *text;
		const char *word[6];
	} ok[] = {
		{"a", {"a"}},
		{"  a  b\tc ", {"a", "b", "c"}},
		{"a 'b c' \"d e\" f\\ g", {"a", "b c", "d e", "f g"}},
		{"x $(y) `z` ;| *", {"x", "$(y)", "`z`", ";|", "*"}},
		{"a '' \"\"", {"a", "", ""}},
		{"a '\\n' \"\\\"\"", {"a", "\\n", "\""}},
	};
	static const char *const bad[] = {"", "  ", "a 'b", "a \"b", "''"};
	char **argv;

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		size_t n = 0;

		assert_int_equal(runner__split(ok[i].text, &argv), 0);
		for (; ok[i].word[n]; n++)
			assert_string_equal(argv[n], ok[i].word[n]);
		assert_null(argv[n]);
		free(argv);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(runner__split(bad[i], &argv), -EINVAL);
}

static void commands(void **state)
{
	static const char *const env[] = {NULL};
	struct runner *r;

	assert_int_equal(runner__new("/nonexistent", "--on-alert", 1, &r), -ENOENT);
	assert_int_equal(runner__new("sleep 100", "--on-alert", 5000000000ULL, &r), 0);
	for (int i = 0; i < RUNNER_MAX; i++)
		assert_int_equal(runner__start(r, (uint64_t)i, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 100, env, "{}", 2), -EBUSY);
	runner__free(r);
}

/* One who causes many commands leaves places to the others. */
static void commands_of_one(void **state)
{
	static const char *const env[] = {NULL};
	struct runner *r;

	assert_int_equal(runner__new("sleep 100", "--on-alert", 5000000000ULL, &r), 0);
	for (int i = 0; i < RUNNER_OF_ONE; i++)
		assert_int_equal(runner__start(r, 1, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 1, env, "{}", 2), -EDQUOT);
	assert_int_equal(runner__start(r, 2, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 2, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 2, env, "{}", 2), -EDQUOT);
	assert_int_equal(runner__start(r, 3, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 4, env, "{}", 2), 0);
	assert_int_equal(runner__start(r, 5, env, "{}", 2), -EBUSY);
	runner__free(r);
}

static void whose_doing(void **state)
{
	uint64_t a = runner__whose(0, 0, "/a"), b = runner__whose(0, UINT32_MAX, "/b");

	assert_int_equal(runner__whose(0, 23456, "/a"), runner__whose(0, 23456, "/b"));
	assert_int_equal(runner__whose(getpid(), UINT32_MAX, "/a"),
			 runner__whose(0, getuid(), "/a"));
	assert_int_equal(a, runner__whose(0, 0, "/a"));
	assert_int_not_equal(a, b);
}

static void cgroups(void **state)
{
	static const char v1[] =
		"25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		"26 25 0:23 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n"
		"27 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
	static const char v2[] = "26 25 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
	struct cgroup_mounts m;
	char path[64];
	uint64_t v;

	cgroup__parse_mounts(v1, false, &m);
	assert_int_equal(m.version, 1);
	assert_string_equal(m.memory, "/sys/fs/cgroup/memory");
	cgroup__parse_mounts(v2, true, &m);
	assert_int_equal(m.version, 2);
	cgroup__parse_mounts("nonsense\n - \n a - b\n", true, &m);
	assert_int_equal(m.version, 0);
	assert_int_equal(
		cgroup__parse_path("9:name=systemd:/\n4:cpu,memory:/a:b\n0::/u\n", 1, path, 64), 0);
	assert_string_equal(path, "/a:b");
	assert_int_equal(cgroup__parse_path("4:memory:/a\n0::/u\n", 2, path, 64), 0);
	assert_string_equal(path, "/u");
	assert_int_equal(cgroup__parse_path("x\n::\n", 2, path, 64), -ENOENT);
	assert_int_equal(cgroup__parse_path("0::/longer\n", 2, path, 3), -ENAMETOOLONG);
	assert_int_equal(cgroup__parse_value("max\n", &v), 0);
	assert_true(v == CGROUP_NO_LIMIT);
	assert_int_equal(cgroup__parse_value("9223372036854771712\n", &v), 0);
	assert_true(v == CGROUP_NO_LIMIT);
	assert_int_equal(cgroup__parse_value("4096\n", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(cgroup__parse_value("-1\n", &v), -EBADMSG);
}

static void put_group(const char *root, const char *path, const char *limit, unsigned usage,
		      unsigned cache)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	mkdir(full, 0700);
	snprintf(full, sizeof(full), "%s%s/memory.max", root, path);
	f = fopen(full, "w");
	fprintf(f, "%s\n", limit);
	fclose(f);
	snprintf(full, sizeof(full), "%s%s/memory.current", root, path);
	f = fopen(full, "w");
	fprintf(f, "%u\n", usage);
	fclose(f);
	snprintf(full, sizeof(full), "%s%s/memory.stat", root, path);
	f = fopen(full, "w");
	fprintf(f, "anon 1\nactive_file %u\ninactive_file %u\nslab_reclaimable 0\n", cache / 2,
		cache - cache / 2);
	fclose(f);
}

/* A leaf that is full of page cache does not hide the group above it that is full for good. */
static void nearest_limit(void **state)
{
	struct cgroup_mounts m = {.version = 2, .memory = "/tmp/memwatch-cgroup-XXXXXX"};
	struct cgroup_memory c;
	char path[64] = "/a/b", cmd[64];

	assert_true(cgroup__up(path));
	assert_string_equal(path, "/a");
	assert_true(cgroup__up(path));
	assert_string_equal(path, "/");
	assert_false(cgroup__up(path));
	assert_non_null(mkdtemp(m.memory));
	put_group(m.memory, "/a", "1000000", 850000, 0);
	put_group(m.memory, "/a/b", "500000", 499000, 480000);
	put_group(m.memory, "/a/b/c", "max", 400000, 0);
	assert_int_equal(cgroup__tightest(&m, "/a/b/c", &c), 0);
	assert_string_equal(c.path, "/a");
	assert_int_equal(c.limit_bytes, 1000000);
	put_group(m.memory, "/a/b", "500000", 499000, 1000);
	assert_int_equal(cgroup__tightest(&m, "/a/b/c", &c), 0);
	assert_string_equal(c.path, "/a/b");
	assert_int_equal(c.usage_bytes - c.reclaimable_bytes, 498000);
	assert_int_equal(cgroup__memory(&m, "/a/b/c", &c), 0);
	assert_true(c.limit_bytes == CGROUP_NO_LIMIT);
	put_group(m.memory, "/a/b", "max", 499000, 0);
	put_group(m.memory, "/a", "max", 850000, 0);
	assert_int_equal(cgroup__tightest(&m, "/a/b/c", &c), 0);
	assert_string_equal(c.path, "/a/b/c");
	assert_true(c.limit_bytes == CGROUP_NO_LIMIT);
	assert_int_equal(cgroup__tightest(&m, "/x", &c), -ENOENT);
	snprintf(cmd, sizeof(cmd), "rm -r %.50s", m.memory);
	assert_int_equal(system(cmd), 0);
}

static void pressure(void **state)
{
	struct psi p;

	assert_int_equal(psi__parse("some avg10=1.50 avg60=0.20 avg300=0.00 total=123\n"
				    "full avg10=0.50 avg60=0.10 avg300=0.00 total=45\n",
				    &p),
			 0);
	assert_true(p.valid);
	assert_float_equal(p.some.avg10, 1.5, 1e-9);
	assert_int_equal(p.full.total_us, 45);
	assert_int_equal(psi__parse("some avg10=1.50", &p), -EBADMSG);
	assert_false(p.valid);
}

/* What can be reclaimed is not used, and is told beside it. */
static void forecasts_in_words(void **state)
{
	struct rules_sample x = {.cgroup_reclaimable_bytes = 12 << 20};
	struct rules_verdict v = {.value = 4, .from_s = 3, .to_s = 6, .slope_bytes_s = 1 << 20};
	char text[RULES_TEXT];

	assert_string_equal(rules__describe(ALERT_OOM_IN, &v, &x, text, sizeof(text)),
			    "out of memory in 4.0s (3.0s to 6.0s) at 60.00MB/min (limit of the "
			    "cgroup), and 12.00MB that can be reclaimed");
	v.machine_limit = true;
	assert_string_equal(rules__describe(ALERT_OOM_IN, &v, &x, text, sizeof(text)),
			    "out of memory in 4.0s (3.0s to 6.0s) at 60.00MB/min (limit of the "
			    "machine)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(hysteresis),
		cmocka_unit_test(rss_of_the_lower_limit),
		cmocka_unit_test(machine_unknown),
		cmocka_unit_test(robust_growth),
		cmocka_unit_test(forecast),
		cmocka_unit_test(no_limit_no_forecast),
		cmocka_unit_test(split),
		cmocka_unit_test(commands),
		cmocka_unit_test(commands_of_one),
		cmocka_unit_test(whose_doing),
		cmocka_unit_test(machine_rules),
		cmocka_unit_test(limit_removed),
		cmocka_unit_test(told_once),
		cmocka_unit_test(told_after_the_cooldown),
		cmocka_unit_test(told_of_groups),
		cmocka_unit_test(files_of_earlier_runs),
		cmocka_unit_test(cgroups),
		cmocka_unit_test(nearest_limit),
		cmocka_unit_test(pressure),
		cmocka_unit_test(forecasts_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
