/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/known.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

#define SAME_KILL_MS 60000ULL /* the kernel's log has a clock of its own */

struct known_event {
	uint64_t first_seq,
		seq; /* the same but of a count; OOM_UNKNOWN: the probe alone told of it */
	uint32_t tid;
	bool no_victim;
	int64_t time_unix_ms;
};

struct known_head {
	uint64_t last_seq, has_seq;
};

void known__free(struct known *k)
{
	free(k->of);
	*k = (struct known){0};
}

void known__add(struct known *k, const struct oom_event *e)
{
	bool is_count = e->no_victim && e->repeats && e->first_seq <= e->seq;

	if (e->seq != OOM_UNKNOWN) {
		k->last_seq = k->has_seq ? max_of(k->last_seq, e->seq) : e->seq;
		k->has_seq = true;
	}
	if (!array_reserve(k->of, k->cap, k->n + 1))
		k->of[k->n++] = (struct known_event){
			.first_seq = is_count ? e->first_seq : e->seq,
			.seq = e->seq,
			.tid = e->victim.tid,
			.no_victim = e->no_victim,
			.time_unix_ms = e->time_unix_ms,
		};
}

static bool is_near(int64_t a, int64_t b)
{
	return (uint64_t)a - (uint64_t)b + SAME_KILL_MS < 2 * SAME_KILL_MS;
}

bool known__has(const struct known *k, const struct oom_event *e)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct known_event *o = &k->of[i];

		if (o->no_victim != e->no_victim)
			continue;
		if (o->seq != OOM_UNKNOWN
			    ? o->first_seq <= e->seq && e->seq <= o->seq
			    : o->tid == e->victim.tid && is_near(o->time_unix_ms, e->time_unix_ms))
			return true;
	}
	return false;
}

uint64_t known__next_seq(const struct known *k)
{
	return k->has_seq ? k->last_seq + 1 : 0;
}

int known__write(const struct known *k, int fd)
{
	const struct known_head h = {k->last_seq, k->has_seq};
	int err = util__write_all(fd, &h, sizeof(h));

	return err || !k->n ? err : util__write_all(fd, k->of, k->n * sizeof(*k->of));
}

int known__read(struct known *k, const void *data, size_t len)
{
	struct known_head h;
	size_t n;
	int err;

	if (len < sizeof(h) || (len - sizeof(h)) % sizeof(*k->of))
		return -EBADMSG;
	memcpy(&h, data, sizeof(h));
	n = (len - sizeof(h)) / sizeof(*k->of);
	err = array_reserve(k->of, k->cap, n);
	if (err)
		return err;
	if (n)
		memcpy(k->of, (const char *)data + sizeof(h), n * sizeof(*k->of));
	k->n = n;
	k->last_seq = h.last_seq;
	k->has_seq = h.has_seq != 0;
	return 0;
}
