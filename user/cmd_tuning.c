/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_tuning.c - what the environment says of how to observe: for tests, and to work around. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "core/units.h"
#include "probe/plan.h"

/* Where memwatch keeps what it may lose; NULL: nowhere. */
static const char *state_dir(void)
{
	static char path[PATH_MAX];
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const char *chosen = getenv("MEMWATCH_STATE_DIR");

	if (chosen && *chosen == '/')
		return chosen;
	if (!geteuid())
		return "/var/lib/memwatch";
	if (xdg && *xdg == '/')
		snprintf(path, sizeof(path), "%s/memwatch", xdg);
	else if (home && *home == '/')
		snprintf(path, sizeof(path), "%s/.local/state/memwatch", home);
	else
		return NULL;
	return path;
}

void cmd_tuning(struct plan_tuning *ret)
{
	const char *method = getenv("MEMWATCH_PROBE"), *stacks = getenv("MEMWATCH_STACKS");
	const char *bytes = getenv("MEMWATCH_TABLE_BYTES");

	memset(ret, 0, sizeof(*ret));
	if (method && !strcmp(method, "single"))
		ret->method = PLAN_SINGLE;
	else if (method && !strcmp(method, "multi"))
		ret->method = PLAN_MULTI;
	ret->no_tables = stacks && !strcmp(stacks, "fp");
	if (!bytes || units__parse_size(bytes, &ret->table_bytes))
		ret->table_bytes = 0;
	ret->state_dir = state_dir();
}
