/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top/names.h"

#include "sys/cgroup.h"
#include "sys/proc_image.h"
#include "top/table.h"

#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "core/textbuf.h"
#include "sys/container.h"

#define MAX_USERS 4096
#define MAX_CMDLINE 512
#define ID_SHOWN 12

struct user_name {
	uint32_t uid;
	char *name;
};

struct names {
	struct user_name *users;
	size_t n, cap;
};

int names__new(struct names **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void names__free(struct names *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n; i++)
		free(n->users[i].name);
	free(n->users);
	free(n);
}

static const char *user_name(struct names *n, uint32_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096], number[16], *name;

	for (size_t i = 0; i < n->n; i++) {
		if (n->users[i].uid == uid)
			return n->users[i].name;
	}
	snprintf(number, sizeof(number), "%u", uid);
	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) || !found)
		name = strdup(number);
	else
		name = strdup(pw.pw_name);
	if (!name || n->n >= MAX_USERS || array_reserve(n->users, n->cap, n->n + 1)) {
		free(name);
		return NULL;
	}
	n->users[n->n++] = (struct user_name){uid, textbuf__printable(name)};
	return name;
}

char *names__container(const char *cgroup)
{
	struct container c;
	char *text = NULL;
	bool is_id;

	if (!container__of(cgroup, &c))
		return NULL;
	is_id = strlen(c.id) >= 32 && strspn(c.id, "0123456789abcdefABCDEF") == strlen(c.id);
	return asprintf(&text, "%s:%.*s", c.kind, is_id ? ID_SHOWN : (int)strlen(c.id), c.id) < 0
		       ? NULL
		       : text;
}

static char *read_cmdline(uint32_t pid)
{
	char *text = proc_image__command((pid_t)pid, MAX_CMDLINE);

	return text ? textbuf__printable(text) : NULL;
}

/* The memory controller's path (v1) or the unified one. */
static char *read_cgroup(uint32_t pid)
{
	cleanup_free char *text = cgroup__text((pid_t)pid);
	char *line, *save = NULL, *unified = NULL, *memory = NULL, *pick;

	if (!text)
		return NULL;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':'), *where;

		where = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!where)
			continue;
		*where++ = 0;
		controllers++;
		if (!*controllers)
			unified = where;
		else if (strstr(controllers, "memory"))
			memory = where;
	}
	pick = unified && strcmp(unified, "/") ? unified : memory ? memory : unified;
	pick = pick ? strdup(pick) : NULL;
	return pick ? textbuf__printable(pick) : NULL;
}

static void set(char **slot, char *text)
{
	free(*slot);
	*slot = text;
}

void names__fill(void *arg, struct table_proc *p)
{
	struct names *n = arg;
	const char *user = user_name(n, p->row.uid);

	set(&p->user, user ? strdup(user) : NULL);
	set(&p->cmdline, p->row.flags & MW_TASK_KTHREAD ? NULL : read_cmdline(p->row.tgid));
	set(&p->cgroup, read_cgroup(p->row.tgid));
	set(&p->container, p->cgroup ? names__container(p->cgroup) : NULL);
}
