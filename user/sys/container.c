/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/container.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"

#define MIN_ID 32 /* hexadecimal digits of an identifier */

/* What stands in front of the identifier in its component, or is the component before it. */
static const struct {
	const char *word, *kind;
} kinds[] = {
	{"docker", "docker"},	   {"moby", "docker"},		 {"cri-containerd", "cri"},
	{"crio", "crio"},	   {"libpod", "podman"},	 {"podman", "podman"},
	{"nerdctl", "containerd"}, {"containerd", "containerd"}, {"k8s.io", "containerd"},
	{"default", "containerd"}, {"garden", "garden"},	 {"ecs", "ecs"},
	{"buildkit", "buildkit"},
};

static const char *kind_of(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].word) == len && !memcmp(kinds[i].word, word, len))
			return kinds[i].kind;
	}
	return NULL;
}

static size_t hex_run(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && isxdigit((unsigned char)p[n]))
		n++;
	return n;
}

static bool fill(struct container *ret, const char *kind, const char *id, size_t len)
{
	ret->kind = kind;
	snprintf(ret->id, sizeof(ret->id), "%.*s", (int)min_of(len, sizeof(ret->id) - 1), id);
	return len > 0;
}

/* The identifier in one component: alone, or after the last ':' or a runtime's name and '-'; ECS
 * writes "TASK-NUMBER". *ret_word: what stands before it. */
static const char *find_id(const char *c, const char *end, size_t *ret_len, size_t *ret_word)
{
	for (const char *p = c; p < end; p++) {
		size_t n = hex_run(p, end);
		bool begins = p == c || p[-1] == ':' || p[-1] == '-';
		const char *after = p + n;

		if (begins && n >= MIN_ID &&
		    (after == end || !strncmp(after, ".scope", 6) ||
		     (*after == '-' && isdigit((unsigned char)after[1])))) {
			*ret_len = n;
			*ret_word = p > c ? (size_t)(p - c) - 1 : 0;
			return p;
		}
		if (n)
			p += n - 1;
	}
	return NULL;
}

/* "system.slice:docker" → "docker" */
static const char *last_word(const char *c, size_t *len)
{
	const char *word = c;

	for (size_t i = 0; i < *len; i++) {
		if (c[i] == ':')
			word = c + i + 1;
	}
	*len -= (size_t)(word - c);
	return word;
}

static bool by_id(const char *cgroup, struct container *ret)
{
	const char *end = cgroup + strlen(cgroup);

	/* From the leaf upwards: the innermost container is meant. */
	while (end > cgroup) {
		const char *c = end, *id, *word, *kind = NULL;
		size_t len, nword;

		while (c > cgroup && c[-1] != '/')
			c--;
		id = find_id(c, end, &len, &nword);
		if (id) {
			word = last_word(c, &nword);
			kind = nword ? kind_of(word, nword) : NULL;
			if (!kind && strstr(cgroup, "kubepods"))
				kind = "pod";
			/* else an ancestor tells: "/ecs/CLUSTER/TASK/ID" */
			for (const char *up = c; !kind && up > cgroup + 1;) {
				const char *last = up - 1;

				up = last;
				while (up > cgroup && up[-1] != '/')
					up--;
				kind = kind_of(up, (size_t)(last - up));
			}
			return fill(ret, kind ? kind : "container", id, len);
		}
		end = c > cgroup ? c - 1 : cgroup;
	}
	return false;
}

static bool by_name(const char *cgroup, const char *before, const char *kind, struct container *ret)
{
	const char *p = strstr(cgroup, before);
	size_t len;

	if (!p)
		return false;
	p += strlen(before);
	if (!strncmp(p, "systemd-nspawn@", 15))
		p += 15;
	else if (!strncmp(p, "machine-", 8))
		p += 8;
	len = strcspn(p, "/");
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '.' && (!strncmp(p + i, ".service", 8) || !strncmp(p + i, ".scope", 6)))
			len = i;
	}
	return fill(ret, kind, p, len);
}

bool container__of(const char *cgroup, struct container *ret)
{
	return by_id(cgroup, ret) || by_name(cgroup, "/lxc.payload.", "lxc", ret) ||
	       by_name(cgroup, "/lxc/", "lxc", ret) ||
	       by_name(cgroup, "machine.slice/", "nspawn", ret);
}
