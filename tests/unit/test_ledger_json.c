/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/util.h"
#include "format/ledger_out.h"
#include "format/text.h"
#include "report/merge.h"

/* A ledger with something in every line. */
static struct ledger full(void)
{
	struct ledger l = {.has_heap = true,
			   .steady = true,
			   .unix_ms = 1700000000123,
			   .swap_bytes = 77 << 12,
			   .pgtables_bytes = 5 << 12,
			   .hugetlb_bytes = 2 << 21,
			   .untouched_bytes = 4096,
			   .over_bytes = 8192,
			   .walk = {.done = true,
				    .partial = true,
				    .chunks = 9,
				    .used = 1 << 20,
				    .own = 64,
				    .note = "arena 2 changed"},
			   .nreservations = 2};
	int64_t rss = 0, virt = 0;

	for (int k = 0; k < LEDGER_KINDS; k++) {
		l.line[k] = (struct ledger_line){.virt_bytes = (k + 2) << 20,
						 .rss_bytes = (k + 1) << 12,
						 .swap_bytes = k << 12,
						 .mappings = k + 1};
		if (k == LEDGER_DIFFERENCE)
			l.line[k] = (struct ledger_line){.virt_bytes = -4096, .rss_bytes = -8192};
		rss += l.line[k].rss_bytes;
		virt += l.line[k].virt_bytes;
	}
	l.rss_bytes = rss;
	l.virt_bytes = virt;
	l.reservation[0] = (struct ledger_reservation){0x7f0000000000, 1ULL << 37, 0, false};
	l.reservation[1] = (struct ledger_reservation){0xc000000000, 1ULL << 30, 4096, true};
	return l;
}

static struct profile *profile_with(const struct ledger *l, size_t n)
{
	struct profile *p;

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 1), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(profile__ledger(p, 100 + i, i ? "b\033[2J</script>" : "a", l), 0);
	return p;
}

static char *written(const struct profile *p, int (*fn)(FILE *f, const struct profile *p))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(fn(f, p), 0);
	fclose(f);
	return text;
}

static int as_text(FILE *f, const struct profile *p)
{
	return ledger_out__profile(f, p, "");
}

static struct profile *read_back(const char *json)
{
	struct profile *p;
	const char *why = "";

	if (json__read(json, strlen(json), &p, &why))
		fail_msg("%s", why);
	return p;
}

static void round_trip(void **state)
{
	struct ledger l = full();
	struct profile *p = profile_with(&l, 2), *q;
	char *json = written(p, json__write), *again, *text = written(p, as_text), *text2;

	q = read_back(json);
	assert_int_equal(q->nledgers, 2);
	assert_int_equal(q->ledgers[1].pid, 101);
	assert_memory_equal(&q->ledgers[0].ledger, &l, sizeof(l));
	again = written(q, json__write);
	text2 = written(q, as_text);
	/* what the name of a process holds is harmless in both */
	assert_null(strchr(text, '\033'));
	assert_null(strstr(json, "\\u001b"));
	assert_string_equal(text, text2);
	assert_string_equal(json, again);
	free(json);
	free(again);
	free(text);
	free(text2);
	profile__free(p);
	profile__free(q);
}

static void without(void **state)
{
	struct profile *p = profile_with(NULL, 0);
	char *json = written(p, json__write), *text = written(p, as_text);

	assert_null(strstr(json, "ledger"));
	assert_string_equal(text, "");
	free(json);
	free(text);
	profile__free(p);
}

/* Several files: all ledgers; a difference: those of the later moment alone. */
static void merging(void **state)
{
	struct ledger l = full();
	struct profile *p[2] = {profile_with(&l, 2), profile_with(&l, 1)}, *q;
	const char *why;

	assert_int_equal(merge__profiles(p, 2, &q, &why), 0);
	assert_int_equal(q->nledgers, 3);
	assert_string_equal(profile__text(q, q->ledgers[2].comm), "a");
	profile__free(q);
	assert_int_equal(merge__subtract(&p[0], p[1], &why), 0);
	assert_int_equal(p[0]->nledgers, 2);
	profile__free(p[0]);
	profile__free(p[1]);
}

#define HEAD "{\"schema\":\"memwatch.profile/1\",\"stacks\":[],\"ledger\":"
#define LEDGER "{\"schema\":\"memwatch.ledger/1\",\"rss_bytes\":8,\"virt_bytes\":8,"

static int reads(const char *ledger, const char **ret_why, struct profile **ret)
{
	char text[2048];

	*ret_why = "";
	*ret = NULL;
	snprintf(text, sizeof(text), "%s%s}", HEAD, ledger);
	return json__read(text, strlen(text), ret, ret_why);
}

/* Kinds of a later version, lines twice, members that are missing. */
static void foreign(void **state)
{
	struct profile *p;
	const char *why;

	assert_int_equal(
		reads("[" LEDGER "\"lines\":[{\"kind\":\"news\",\"rss_bytes\":5,\"virt_bytes\":5},"
		      "{\"kind\":\"files\",\"rss_bytes\":1,\"virt_bytes\":1},"
		      "{\"kind\":\"files\",\"rss_bytes\":1,\"virt_bytes\":1},{\"rss_bytes\":1,"
		      "\"virt_bytes\":1}]}]",
		      &why, &p),
		0);
	assert_int_equal(p->ledgers[0].ledger.line[LEDGER_OTHER].rss_bytes, 6);
	assert_int_equal(p->ledgers[0].ledger.line[LEDGER_FILES].rss_bytes, 2);
	assert_int_equal(p->ledgers[0].ledger.nreservations, 0);
	assert_string_equal(profile__text(p, p->ledgers[0].comm), "");
	profile__free(p);
	assert_int_equal(reads("[]", &why, &p), 0);
	assert_int_equal(p->nledgers, 0);
	profile__free(p);
}

static void hostile(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[1]",
		"[null]",
		"[{}]",
		"[{\"schema\":7}]",
		"[{\"schema\":\"memwatch.ledger/2\"}]",
		"[" LEDGER "\"lines\":7}]",
		"[" LEDGER "\"lines\":[]}]", /* 0 is not 8 */
		"[" LEDGER "\"lines\":[8]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":9,\"virt_bytes\":8}]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":8,\"virt_bytes\":7}]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":8.0,\"virt_bytes\":8}]}]",
		"[" LEDGER
		"\"lines\":[{\"kind\":\"files\",\"rss_bytes\":\"8\",\"virt_bytes\":8}]}]",
		/* negative where only a difference may be */
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":-1,\"virt_bytes\":8},"
		"{\"kind\":\"heap\",\"rss_bytes\":9}]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"difference\",\"rss_bytes\":"
		"-9223372036854775808,\"virt_bytes\":8}]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":8,\"virt_bytes\":8,"
		"\"mappings\":4294967296}]}]",
		"[" LEDGER "\"lines\":[{\"kind\":\"files\",\"rss_bytes\":8,\"virt_bytes\":8,"
		"\"mappings\":2147483647},{\"kind\":\"files\",\"mappings\":1}]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"rss_bytes\":-1,\"lines\":[]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"pid\":4294967296,\"lines\":[]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"time_unix_ms\":-1,\"lines\":[]}]",
		"[{\"schema\":\"memwatch.ledger/"
		"1\",\"swap_bytes\":9223372036854775807,\"lines\":[]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"lines\":[],\"reservations\":8}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"lines\":[],\"reservations\":[0]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"lines\":[],\"reservations\":[{\"virt_bytes\":"
		"-1}]}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"lines\":[],\"heap_walk\":{\"chunks\":-1}}]",
		"[{\"schema\":\"memwatch.ledger/1\",\"lines\":[]}",
	};
	struct profile *p;
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (reads(bad[i], &why, &p) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		assert_true(*why);
	}
}

/* Sums that would overflow, more of everything than there can be. */
static void too_much(void **state)
{
	static const char line[] = "{\"kind\":\"heap\",\"rss_bytes\":1152921504606846976,"
				   "\"virt_bytes\":1152921504606846976}";
	size_t cap = 1 << 20;
	char *text = malloc(cap), *at = text;
	struct profile *p;
	const char *why;

	at += sprintf(at, "%s[%s\"lines\":[%s", HEAD, LEDGER, line);
	for (int i = 0; i < 20; i++)
		at += sprintf(at, ",%s", line);
	at += sprintf(at, "]}]}");
	assert_int_equal(json__read(text, at - text, &p, &why), -EBADMSG);

	at = text +
	     sprintf(text, "%s[%s\"lines\":[{\"rss_bytes\":8,\"virt_bytes\":8}],", HEAD, LEDGER);
	at += sprintf(at, "\"reservations\":[{}");
	for (int i = 0; i < 100; i++)
		at += sprintf(at, ",{\"start\":%d,\"virt_bytes\":1}", i);
	at += sprintf(at, "]}]}");
	assert_int_equal(json__read(text, at - text, &p, &why), 0);
	assert_int_equal(p->ledgers[0].ledger.nreservations, LEDGER_RESERVATIONS);
	profile__free(p);

	at = text + sprintf(text, "%s[", HEAD);
	for (int i = 0; i <= PROFILE_MAX_LEDGERS; i++)
		at += sprintf(at, "%s{\"schema\":\"memwatch.ledger/1\",\"lines\":[]}",
			      i ? "," : "");
	at += sprintf(at, "]}");
	assert_true((size_t)(at - text) < cap);
	assert_int_equal(json__read(text, at - text, &p, &why), -E2BIG);
	free(text);
}

/* Every file that is cut short or has one byte changed is read or refused, never believed where its
 * lines do not add up. */
static void damaged(void **state)
{
	struct ledger l = full();
	struct profile *p = profile_with(&l, 1), *q;
	char *json = written(p, json__write);
	size_t len = strlen(json);
	const char *why;

	for (size_t i = 0; i + 1 < len; i++) /* the last is a line's end */
		assert_int_not_equal(json__read(json, i, &q, &why), 0);
	for (size_t i = 0; i < len; i++) {
		char was = json[i];

		for (const char *c = "9-\"}x"; *c; c++) {
			int64_t rss = 0;

			json[i] = *c;
			if (json__read(json, len, &q, &why))
				continue;
			for (int k = 0; q->nledgers && k < LEDGER_KINDS; k++)
				rss += q->ledgers[0].ledger.line[k].rss_bytes;
			if (q->nledgers)
				assert_int_equal(rss, q->ledgers[0].ledger.rss_bytes);
			profile__free(q);
		}
		json[i] = was;
	}
	free(json);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(without), cmocka_unit_test(merging),
		cmocka_unit_test(foreign),    cmocka_unit_test(hostile), cmocka_unit_test(too_much),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
