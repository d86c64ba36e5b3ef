/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/mountinfo.h"
#include "sys/proc_file.h"

#define MAX_CGROUPS (64 << 10)

/* Of options with commas between them. */
static bool has_option(const char *options, const char *name)
{
	size_t n = strlen(name);

	for (; *options; options += strcspn(options, ",") + 1) {
		if (!strncmp(options, name, n) && (!options[n] || options[n] == ','))
			return true;
		if (!options[strcspn(options, ",")])
			break;
	}
	return false;
}

static void parse_mount(char *line, bool v2_has_memory, struct cgroup_mounts *ret)
{
	struct mountinfo m;

	if (!mountinfo__parse(line, &m) || strlen(m.point) >= CGROUP_PATH)
		return;
	if (!strcmp(m.type, "cgroup2") && v2_has_memory && !ret->version) {
		ret->version = 2;
		strcpy(ret->memory, m.point);
	} else if (!strcmp(m.type, "cgroup") && has_option(m.options, "memory")) {
		ret->version = 1;
		strcpy(ret->memory, m.point);
	}
}

void cgroup__parse_mounts(const char *mountinfo, bool v2_has_memory, struct cgroup_mounts *ret)
{
	char line[4096];

	memset(ret, 0, sizeof(*ret));
	while (*mountinfo) {
		size_t len = strcspn(mountinfo, "\n");

		if (len < sizeof(line)) {
			memcpy(line, mountinfo, len);
			line[len] = 0;
			parse_mount(line, v2_has_memory, ret);
		}
		mountinfo += len + (mountinfo[len] == '\n');
	}
}

/* Version 1 hierarchies take the controller away from version 2 ("/proc/cgroups" column 2). */
static bool memory_is_v2(void)
{
	cleanup_free char *text = NULL;
	char *at;
	unsigned hierarchy;

	if (util__read_file("/proc/cgroups", 1 << 16, &text) < 0)
		return true;
	at = strstr(text, "\nmemory");
	/* 6.1x kernels without version 1 leave the controller out of the file. */
	if (!at || sscanf(at, "\nmemory %u", &hierarchy) != 1)
		return true;
	return hierarchy == 0;
}

int cgroup__mounts(struct cgroup_mounts *ret)
{
	cleanup_free char *text = NULL;
	int err = mountinfo__text(&text);

	if (err)
		return err;
	cgroup__parse_mounts(text, memory_is_v2(), ret);
	return 0;
}

/* "4:memory:/a/b" or "0::/a/b"; the path may hold colons. */
int cgroup__parse_path(const char *text, int version, char *ret, size_t size)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *c1 = memchr(text, ':', len);
		const char *c2 = c1 ? memchr(c1 + 1, ':', text + len - c1 - 1) : NULL;
		bool hit = false;

		if (c2 && version == 2) {
			hit = c1 == text + 1 && text[0] == '0' && c2 == c1 + 1;
		} else if (c2) {
			const char *p = c1 + 1;

			while (p < c2) {
				size_t n = strcspn(p, ",:");

				if (n == 6 && !memcmp(p, "memory", 6))
					hit = true;
				p += n + 1;
			}
		}
		if (hit) {
			size_t n = text + len - c2 - 1;

			if (n >= size)
				return -ENAMETOOLONG;
			memcpy(ret, c2 + 1, n);
			ret[n] = 0;
			return 0;
		}
		text += len + (text[len] == '\n');
	}
	return -ENOENT;
}

/* The longest mount point of a hierarchy that `path` is below of: its length. Changes mountinfo. */
static size_t mount_prefix(char *mountinfo, const char *path)
{
	char *save = NULL;
	size_t best = 0;

	for (char *line = strtok_r(mountinfo, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct mountinfo m;
		size_t n;

		if (!mountinfo__parse(line, &m) || strncmp(m.type, "cgroup", 6))
			continue;
		n = strlen(m.point);
		if (n > best && !strncmp(path, m.point, n) && (path[n] == '/' || !path[n]))
			best = n;
	}
	return best;
}

int cgroup__without_mount(const char *path, char *ret, size_t size)
{
	cleanup_free char *text = NULL;

	if (!mountinfo__text(&text))
		path += mount_prefix(text, path);
	return (size_t)snprintf(ret, size, "%s%s", *path == '/' ? "" : "/", path) < size
		       ? 0
		       : -ENAMETOOLONG;
}

static void path_of(pid_t pid, char path[64])
{
	snprintf(path, 64, "/proc/%d/cgroup", pid);
}

char *cgroup__text(pid_t pid)
{
	char path[64], *text = NULL;

	path_of(pid, path);
	if (util__read_file(path, MAX_CGROUPS, &text) <= 0) {
		free(text);
		return NULL;
	}
	return text;
}

int cgroup__of(const struct cgroup_mounts *m, uint32_t pid, char *ret, size_t size)
{
	char path[64], text[8192];
	ssize_t n;

	path_of((pid_t)pid, path);
	n = proc_file__read(path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	return cgroup__parse_path(text, m->version, ret, size);
}

int cgroup__parse_value(const char *text, uint64_t *ret)
{
	char *end;

	if (!strncmp(text, "max", 3)) {
		*ret = CGROUP_NO_LIMIT;
		return 0;
	}
	if (!isdigit((unsigned char)*text))
		return -EBADMSG;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || (*end && *end != '\n'))
		return -EBADMSG;
	if (*ret >= INT64_MAX / 4096 * 4096 - (1 << 20)) /* v1: LONG_MAX rounded to the page size */
		*ret = CGROUP_NO_LIMIT;
	return 0;
}

static int read_value(const struct cgroup_mounts *m, const char *path, const char *file,
		      uint64_t *ret)
{
	char full[3 * CGROUP_PATH], text[64];
	ssize_t n;

	snprintf(full, sizeof(full), "%s%s/%s", m->memory, path, file);
	n = proc_file__read(full, text, sizeof(text));
	return n < 0 ? (int)n : cgroup__parse_value(text, ret);
}

static const struct {
	const char *name, *v1, *label;
} stat_rows[CGROUP_STATS] = {
#define X(id, v2, v1, label) {v2, v1, label},
	CGROUP_STAT_ROWS(X)
#undef X
};

void cgroup_stat__init(struct cgroup_stat *s)
{
	for (size_t i = 0; i < CGROUP_STATS; i++)
		s->bytes[i] = CGROUP_STAT_UNKNOWN;
}

const char *cgroup_stat__name(enum cgroup_stat_row row)
{
	return stat_rows[row].name;
}

const char *cgroup_stat__label(enum cgroup_stat_row row)
{
	return stat_rows[row].label;
}

bool cgroup_stat__line(struct cgroup_stat *s, const char *line)
{
	size_t len = strcspn(line, " ");
	char *end;

	if (!len || !isdigit((unsigned char)line[len + (line[len] == ' ')]))
		return false;
	for (size_t i = 0; i < CGROUP_STATS; i++) {
		const char *v2 = stat_rows[i].name, *v1 = stat_rows[i].v1;

		if ((strlen(v2) == len && !memcmp(v2, line, len)) ||
		    (*v1 && strlen(v1) == len && !memcmp(v1, line, len))) {
			s->bytes[i] = strtoull(line + len + 1, &end, 10);
			return true;
		}
	}
	return false;
}

static uint64_t known(const struct cgroup_stat *s, enum cgroup_stat_row row)
{
	return s->bytes[row] == CGROUP_STAT_UNKNOWN ? 0 : s->bytes[row];
}

static uint64_t reclaimable(const struct cgroup_stat *s)
{
	return known(s, CGROUP_STAT_ACTIVE_FILE) + known(s, CGROUP_STAT_INACTIVE_FILE) +
	       known(s, CGROUP_STAT_SLAB_RECLAIMABLE);
}

int cgroup__stat(const struct cgroup_mounts *m, const char *path, struct cgroup_stat *ret)
{
	char full[3 * CGROUP_PATH], text[8192];
	ssize_t n;

	cgroup_stat__init(ret);
	snprintf(full, sizeof(full), "%s%s/memory.stat", m->memory, path);
	n = proc_file__read(full, text, sizeof(text));
	if (n < 0)
		return n;
	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		/* Version 1 has the same names for the group alone; the sums carry "total_". */
		if (m->version == 2 || !strncmp(line, "total_", 6))
			cgroup_stat__line(ret, line);
	}
	if (m->version == 1)
		read_value(m, path, "memory.kmem.usage_in_bytes", &ret->bytes[CGROUP_STAT_KERNEL]);
	return 0;
}

bool cgroup__up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !slash[1])
		return false;
	slash[slash == path] = 0;
	return true;
}

int cgroup__memory(const struct cgroup_mounts *m, const char *path, struct cgroup_memory *ret)
{
	struct cgroup_memory c = {.limit_bytes = CGROUP_NO_LIMIT};
	struct cgroup_stat stat;
	int err;

	if (!m->version || strlen(path) >= sizeof(c.path))
		return -ENOENT;
	strcpy(c.path, path);
	err = read_value(m, path, m->version == 2 ? "memory.max" : "memory.limit_in_bytes",
			 &c.limit_bytes);
	if (!err && c.limit_bytes != CGROUP_NO_LIMIT) {
		err = read_value(m, path,
				 m->version == 2 ? "memory.current" : "memory.usage_in_bytes",
				 &c.usage_bytes);
		if (!err && !cgroup__stat(m, path, &stat))
			c.reclaimable_bytes = min_of(reclaimable(&stat), c.usage_bytes);
	}
	if (!err)
		*ret = c;
	return err;
}

static uint64_t room_of(const struct cgroup_memory *c)
{
	uint64_t used = c->usage_bytes - c->reclaimable_bytes;

	return c->limit_bytes - min_of(used, c->limit_bytes);
}

int cgroup__tightest(const struct cgroup_mounts *m, const char *path, struct cgroup_memory *ret)
{
	char at[CGROUP_PATH];
	bool found = false;

	if (strlen(path) >= sizeof(at))
		return -ENOENT;
	strcpy(at, path);
	do { /* the root has these files on version 1 alone */
		struct cgroup_memory c;

		if (cgroup__memory(m, at, &c) || (found && room_of(&c) >= room_of(ret)))
			continue;
		found = true;
		*ret = c;
	} while (cgroup__up(at));
	return found ? 0 : -ENOENT;
}
