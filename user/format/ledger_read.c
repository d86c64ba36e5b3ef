/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger_read.c - memwatch.ledger/1 into struct ledger. The file may be anyone's: sizes outside of
 * what a machine can have, and lines that do not add up, are refused.
 */
#include "format/ledger_out.h"

#include "core/util.h"

#include <string.h>

#define MAX_BYTES ((json_int_t)1 << 60)

/* A member that is a size; absent: 0. */
static bool size_of(const json_t *o, const char *key, bool may_be_negative, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	*ret = n;
	return !v ||
	       (json_is_integer(v) && n <= MAX_BYTES && n >= (may_be_negative ? -MAX_BYTES : 0));
}

static enum ledger_kind kind_of(const json_t *line)
{
	const char *key = json_string_value(json_object_get(line, "kind"));

	for (int k = 0; key && k < LEDGER_KINDS; k++) {
		if (!strcmp(key, ledger__key(k)))
			return k;
	}
	return LEDGER_OTHER;
}

static bool add(int64_t *sum, int64_t v)
{
	return !__builtin_add_overflow(*sum, v, sum);
}

static const char *parse_lines(const json_t *list, struct ledger *l)
{
	struct ledger_line sum = {0};
	const json_t *o;
	size_t i;

	if (!json_is_array(list))
		return "a ledger has no lines";
	json_array_foreach((json_t *)list, i, o)
	{
		enum ledger_kind k = kind_of(o);
		struct ledger_line line, *to = &l->line[k];
		int64_t mappings;

		if (!json_is_object(o) ||
		    !size_of(o, "virt_bytes", k == LEDGER_DIFFERENCE, &line.virt_bytes) ||
		    !size_of(o, "rss_bytes", k == LEDGER_DIFFERENCE, &line.rss_bytes) ||
		    !size_of(o, "swap_bytes", false, &line.swap_bytes) ||
		    !size_of(o, "mappings", false, &mappings) || mappings > INT32_MAX)
			return "a ledger has an impossible line";
		if (!add(&sum.virt_bytes, line.virt_bytes) ||
		    !add(&sum.rss_bytes, line.rss_bytes) ||
		    !add(&to->virt_bytes, line.virt_bytes) ||
		    !add(&to->rss_bytes, line.rss_bytes) ||
		    !add(&to->swap_bytes, line.swap_bytes) || to->mappings > INT32_MAX - mappings)
			return "a ledger has an impossible line";
		to->mappings += (uint32_t)mappings;
	}
	if (sum.virt_bytes != (int64_t)l->virt_bytes || sum.rss_bytes != (int64_t)l->rss_bytes)
		return "the lines of a ledger do not add up";
	return NULL;
}

static const char *parse_reservations(const json_t *list, struct ledger *l)
{
	const json_t *o;
	size_t i;

	if (list && !json_is_array(list))
		return "a ledger's reservations are no array";
	json_array_foreach((json_t *)list, i, o)
	{
		struct ledger_reservation *r = &l->reservation[l->nreservations];
		int64_t virt, rss;

		if (l->nreservations == LEDGER_RESERVATIONS)
			break;
		if (!json_is_object(o) || !size_of(o, "virt_bytes", false, &virt) ||
		    !size_of(o, "rss_bytes", false, &rss))
			return "a ledger has an impossible reservation";
		r->start = (uint64_t)json_integer_value(json_object_get(o, "start"));
		r->virt_bytes = (uint64_t)virt;
		r->rss_bytes = (uint64_t)rss;
		r->accessible = json_is_true(json_object_get(o, "accessible"));
		l->nreservations++;
	}
	return NULL;
}

/* Absent in files of programs whose heap was never looked at. */
static const char *parse_walk(const json_t *o, struct ledger_walk *w)
{
	const char *note = json_string_value(json_object_get(o, "note"));
	struct {
		const char *key;
		uint64_t *to;
	} sizes[] = {
		{"chunks", &w->chunks},
		{"arenas", &w->arenas},
		{"heaps", &w->heaps},
		{"retries", &w->retries},
		{"used_bytes", &w->used},
		{"mmapped_bytes", &w->mmapped},
		{"thread_cache_bytes", &w->tcache},
		{"fast_bin_bytes", &w->fastbin},
		{"free_chunk_bytes", &w->binned},
		{"top_bytes", &w->top},
		{"own_bytes", &w->own},
	};
	int64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!size_of(o, sizes[i].key, false, &v))
			return "a ledger has an impossible walk of the heap";
		*sizes[i].to = (uint64_t)v;
	}
	w->done = json_is_true(json_object_get(o, "done"));
	w->partial = json_is_true(json_object_get(o, "partial"));
	for (size_t i = 0; note && note[i] && i + 1 < sizeof(w->note); i++)
		w->note[i] = note[i] >= ' ' && note[i] <= '~' ? note[i] : '?'; /* ASCII as made */
	return NULL;
}

static const char *parse(const json_t *o, struct ledger *l, uint32_t *ret_pid)
{
	const char *schema = json_string_value(json_object_get(o, "schema")), *why;
	struct {
		const char *key;
		uint64_t *to;
	} sizes[] = {
		{"rss_bytes", &l->rss_bytes},	      {"virt_bytes", &l->virt_bytes},
		{"swap_bytes", &l->swap_bytes},	      {"pgtables_bytes", &l->pgtables_bytes},
		{"hugetlb_bytes", &l->hugetlb_bytes}, {"untouched_bytes", &l->untouched_bytes},
		{"over_bytes", &l->over_bytes},
	};
	int64_t v;

	if (!json_is_object(o))
		return "a ledger is no object";
	if (!schema || strcmp(schema, "memwatch.ledger/1"))
		return "a ledger is not of schema memwatch.ledger/1";
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!size_of(o, sizes[i].key, false, &v))
			return "a ledger has an impossible size";
		*sizes[i].to = (uint64_t)v;
	}
	if (!size_of(o, "time_unix_ms", false, &l->unix_ms) || !size_of(o, "pid", false, &v) ||
	    v > INT32_MAX)
		return "a ledger has an impossible time or process ID";
	*ret_pid = (uint32_t)v;
	l->has_heap = json_is_true(json_object_get(o, "heap_profile"));
	l->steady = json_is_true(json_object_get(o, "steady"));
	why = parse_lines(json_object_get(o, "lines"), l);
	if (!why)
		why = parse_reservations(json_object_get(o, "reservations"), l);
	return why ? why : parse_walk(json_object_get(o, "heap_walk"), &l->walk);
}

int ledger_out__parse(const json_t *o, struct ledger *ret, uint32_t *ret_pid, const char **ret_comm,
		      const char **ret_why)
{
	const char *comm = json_string_value(json_object_get(o, "comm"));
	struct ledger l = {0};
	uint32_t pid;

	*ret_why = parse(o, &l, &pid);
	if (*ret_why)
		return -EBADMSG;
	*ret = l;
	*ret_pid = pid;
	*ret_comm = comm ? comm : "";
	return 0;
}
