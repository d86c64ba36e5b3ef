/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oom/throttle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "sys/psi.h"

#define LOOK_NS 5000000000ULL
#define WALK_NS 60000000000ULL
#define AGAIN_NS 60000000000ULL /* between two events of a group */
#define DEPTH 24

struct counts {
	uint64_t high, max, stall_us;
};

struct throttled_group {
	char path[CGROUP_PATH];
	uint64_t ino;
	bool seen;
	struct counts at_told; /* what was told already */
	uint64_t told_ns;      /* when; or when first seen */
	bool was_told;
};

struct throttle {
	struct cgroup_mounts mounts;
	void (*fn)(void *arg, const struct throttle_event *e);
	void *arg;
	struct throttled_group group[THROTTLE_GROUPS];
	size_t n;
	uint64_t look_ns, walk_ns;
	/* the walk */
	uint64_t left_out, walked_ns;	      /* groups without room; when the last one was */
	bool is_cut, told_left_out, told_cut; /* is_cut: there are more directories */
	char path[CGROUP_PATH];
	/* What it met, and what the one before did: what came since began with counters of 0. */
	struct met {
		uint64_t ino[THROTTLE_DIRECTORIES];
		size_t n;
		bool is_whole; /* false: there may have been others */
	} met, before;
};

int throttle__new(const struct cgroup_mounts *m,
		  void (*fn)(void *arg, const struct throttle_event *e), void *arg,
		  struct throttle **ret)
{
	struct throttle *t;

	if (m->version != 2)
		return -EOPNOTSUPP;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	util__prefault(t, sizeof(*t));
	t->mounts = *m;
	t->fn = fn;
	t->arg = arg;
	*ret = t;
	return 0;
}

void throttle__free(struct throttle *t)
{
	free(t);
}

uint64_t throttle__due(const struct throttle *t)
{
	return min_of(t->look_ns, t->walk_ns);
}

static ssize_t read_at(int dir, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n;
}

static uint64_t counter(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL) {
		if (!strncmp(line, key, len) && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

static int read_counts(int dir, struct counts *ret)
{
	char text[1024];
	struct psi psi;

	if (read_at(dir, "memory.events", text, sizeof(text)) < 0)
		return -ENOENT;
	ret->high = counter(text, "high");
	ret->max = counter(text, "max");
	ret->stall_us = UINT64_MAX;
	if (read_at(dir, "memory.pressure", text, sizeof(text)) > 0 && !psi__parse(text, &psi))
		ret->stall_us = psi.some.total_us;
	return 0;
}

/* --- the walk --- */

static struct throttled_group *find(struct throttle *t, uint64_t ino)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->group[i].ino == ino)
			return &t->group[i];
	}
	return NULL;
}

/* Whether the group came into being since the last walk. False where that is not known. */
static bool is_new(const struct throttle *t, uint64_t ino)
{
	for (size_t i = 0; i < t->before.n; i++) {
		if (t->before.ino[i] == ino)
			return false;
	}
	return t->before.is_whole;
}

static void take_group(struct throttle *t, int dir, uint64_t ino, uint64_t now_ns)
{
	struct throttled_group *g = find(t, ino);
	uint64_t high;
	char text[64];

	if (read_at(dir, "memory.high", text, sizeof(text)) < 0 ||
	    cgroup__parse_value(text, &high) || high == CGROUP_NO_LIMIT)
		return;
	if (g) {
		g->seen = true;
		return;
	}
	if (t->n == THROTTLE_GROUPS) {
		t->left_out++;
		return;
	}
	g = &t->group[t->n];
	memset(g, 0, sizeof(*g));
	if (read_counts(dir, &g->at_told))
		return;
	g->told_ns = now_ns;
	if (is_new(t, ino)) {
		g->told_ns = t->walked_ns;
		g->at_told.high = g->at_told.max = 0;
		if (g->at_told.stall_us != UINT64_MAX)
			g->at_told.stall_us = 0;
	}
	g->ino = ino;
	g->seen = true;
	snprintf(g->path, sizeof(g->path), "%s", t->path[0] ? t->path : "/");
	t->n++;
}

static void walk(struct throttle *t, int parent, const char *name, int depth, uint64_t now_ns)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(t->path);
	struct dirent *d;
	struct stat st;

	if (!dir) {
		t->met.is_whole &= errno == ENOENT; /* gone meanwhile */
		if (fd >= 0)
			close(fd);
		return;
	}
	if (!fstat(fd, &st)) {
		t->met.ino[t->met.n++] = st.st_ino;
		take_group(t, fd, st.st_ino, now_ns);
	}
	while ((d = readdir(dir))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		if (depth == DEPTH || len + strlen(d->d_name) + 2 > sizeof(t->path) ||
		    t->met.n == THROTTLE_DIRECTORIES) {
			t->met.is_whole = false;
			t->is_cut = true;
			break;
		}
		sprintf(t->path + len, "/%s", d->d_name);
		walk(t, fd, d->d_name, depth + 1, now_ns);
		t->path[len] = 0;
	}
	closedir(dir);
}

/* What is not looked at is said once. */
static void tell_bounds(struct throttle *t)
{
	if (t->left_out && !t->told_left_out)
		log_warn("memory.high is looked at in %d cgroups; that %" PRIu64
			 " more are held up will not be told",
			 THROTTLE_GROUPS, t->left_out);
	if (t->is_cut && !t->told_cut)
		log_warn("memory.high is looked for in %d cgroups, %d levels deep; that others are "
			 "held up will not be told",
			 THROTTLE_DIRECTORIES, DEPTH);
	t->told_left_out |= t->left_out > 0;
	t->told_cut |= t->is_cut;
}

static void walk_all(struct throttle *t, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++)
		t->group[i].seen = false;
	t->before = t->met;
	t->met.n = 0;
	t->met.is_whole = true;
	t->left_out = 0;
	t->is_cut = false;
	t->path[0] = 0;
	walk(t, AT_FDCWD, t->mounts.memory, 0, now_ns);
	for (size_t i = 0; i < t->n; i++) {
		if (t->group[i].seen)
			t->group[kept++] = t->group[i];
	}
	t->n = kept;
	t->walked_ns = now_ns;
	tell_bounds(t);
}

/* --- the look --- */

static void tell(struct throttle *t, struct throttled_group *g, int dir, const struct counts *now,
		 uint64_t now_ns, int64_t wall_ms)
{
	struct throttle_event e = {.time_unix_ms = wall_ms,
				   .high_cnt = now->high - g->at_told.high,
				   .max_cnt = now->max - g->at_told.max,
				   .stall_us = UINT64_MAX,
				   .span_ms = (now_ns - g->told_ns) / 1000000};
	char text[64];

	snprintf(e.path, sizeof(e.path), "%s", g->path);
	if (now->stall_us != UINT64_MAX && g->at_told.stall_us != UINT64_MAX)
		e.stall_us = now->stall_us - g->at_told.stall_us;
	if (read_at(dir, "memory.high", text, sizeof(text)) < 0 ||
	    cgroup__parse_value(text, &e.high_bytes))
		e.high_bytes = CGROUP_NO_LIMIT;
	if (read_at(dir, "memory.current", text, sizeof(text)) < 0 ||
	    cgroup__parse_value(text, &e.usage_bytes))
		e.usage_bytes = 0;
	t->fn(t->arg, &e);
}

static void look_at(struct throttle *t, struct throttled_group *g, uint64_t now_ns, int64_t wall_ms)
{
	char full[2 * CGROUP_PATH];
	cleanup_fd int dir = -1;
	struct counts now;

	snprintf(full, sizeof(full), "%s%s", t->mounts.memory, g->path);
	dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || read_counts(dir, &now))
		return;
	if (now.high <= g->at_told.high) {
		/* Quiet: the next event tells of what comes from here on. */
		if (!g->was_told || now_ns - g->told_ns >= AGAIN_NS) {
			g->at_told = now;
			g->told_ns = now_ns;
			g->was_told = false;
		}
		return;
	}
	if (g->was_told && now_ns - g->told_ns < AGAIN_NS)
		return;
	tell(t, g, dir, &now, now_ns, wall_ms);
	g->at_told = now;
	g->told_ns = now_ns;
	g->was_told = true;
}

void throttle__tick(struct throttle *t, uint64_t now_ns, int64_t wall_ms)
{
	if (now_ns >= t->walk_ns) {
		walk_all(t, now_ns);
		t->walk_ns = now_ns + WALK_NS;
	}
	if (now_ns < t->look_ns)
		return;
	for (size_t i = 0; i < t->n; i++)
		look_at(t, &t->group[i], now_ns, wall_ms);
	t->look_ns = now_ns + LOOK_NS;
}

/* --- as text --- */

int throttle__json(struct textbuf *b, const struct throttle_event *e)
{
	char when[WHEN_LEN];

	textbuf__format(b,
			"{\"schema\":\"memwatch.throttle/1\",\"time\":\"%s\","
			"\"time_unix_ms\":%" PRId64 ",\"cgroup\":",
			when__utc(when, sizeof(when), e->time_unix_ms), e->time_unix_ms);

	textbuf__json(b, e->path);
	if (e->high_bytes != CGROUP_NO_LIMIT)
		textbuf__format(b, ",\"high_bytes\":%" PRIu64, e->high_bytes);
	textbuf__format(b,
			",\"usage_bytes\":%" PRIu64 ",\"throttled\":%" PRIu64
			",\"limit_hits\":%" PRIu64 ",\"span_ms\":%" PRIu64,
			e->usage_bytes, e->high_cnt, e->max_cnt, e->span_ms);
	if (e->stall_us != UINT64_MAX)
		textbuf__format(b, ",\"stall_us\":%" PRIu64, e->stall_us);
	textbuf__format(b, "}\n");
	return b->err;
}

int throttle__summary(struct textbuf *b, const struct throttle_event *e)
{
	char b1[UNITS_LEN], b2[UNITS_LEN], b3[UNITS_LEN], b4[UNITS_LEN];

	textbuf__str(b, "held up: cgroup ");
	textbuf__plain(b, e->path, "");
	textbuf__format(b, " at its memory.high of %s: %" PRIu64 " times in %s",
			e->high_bytes == CGROUP_NO_LIMIT
				? "?"
				: units__size(b1, sizeof(b1), (int64_t)e->high_bytes),
			e->high_cnt, units__time(b2, sizeof(b2), e->span_ms * 1000000));
	if (e->stall_us != UINT64_MAX)
		textbuf__format(b, ", its tasks stalled for %s",
				units__time(b3, sizeof(b3), e->stall_us * 1000));
	textbuf__format(b, "; %s used", units__size(b4, sizeof(b4), (int64_t)e->usage_bytes));
	return b->err;
}

int throttle__text(struct textbuf *b, const struct throttle_event *e)
{
	char when[WHEN_LEN];

	textbuf__format(b, "%s  ", when__local(when, sizeof(when), e->time_unix_ms));
	throttle__summary(b, e);
	textbuf__str(b, "\n\n");
	return b->err;
}

static uint64_t get_count(const json_t *o, const char *key, uint64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v)
								: otherwise;
}

int throttle__parse(const char *line, size_t len, struct throttle_event *ret)
{
	json_t *o = json_loadb(line, len, 0, NULL);
	const char *schema = json_string_value(json_object_get(o, "schema"));
	const char *path = json_string_value(json_object_get(o, "cgroup"));
	int err = !schema ? -EBADMSG : strcmp(schema, "memwatch.throttle/1") ? -ENOMSG : 0;

	if (!err && !path)
		err = -EBADMSG;
	if (!err) {
		memset(ret, 0, sizeof(*ret));
		ret->time_unix_ms = json_integer_value(json_object_get(o, "time_unix_ms"));
		snprintf(ret->path, sizeof(ret->path), "%s", path);
		ret->high_bytes = get_count(o, "high_bytes", CGROUP_NO_LIMIT);
		ret->usage_bytes = get_count(o, "usage_bytes", 0);
		ret->high_cnt = get_count(o, "throttled", 0);
		ret->max_cnt = get_count(o, "limit_hits", 0);
		ret->span_ms = get_count(o, "span_ms", 0);
		ret->stall_us = get_count(o, "stall_us", UINT64_MAX);
	}
	json_decref(o);
	return err;
}
