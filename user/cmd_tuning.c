/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_tuning.c - what the environment says: of the user's terminal and places, and of how to
 * observe (for tests, and to work around). The only reader of the environment; docs/memwatch.1
 * lists what it knows.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "core/surroundings.h"
#include "core/units.h"
#include "probe/plan.h"
#include "sys/privilege.h"

/* NULL where it is empty. */
static const char *given(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static const char *given_path(const char *name)
{
	const char *value = given(name);

	return value && *value == '/' ? value : NULL;
}

void cmd_surroundings(void)
{
	struct surroundings *s = &surroundings;
	const char *cpu = given("MEMWATCH_PARSE_CPU"), *memory = given("MEMWATCH_PARSE_MEMORY");

	s->term = given("TERM");
	s->path = given("PATH");
	s->home = given_path("HOME");
	s->state = given_path("XDG_STATE_HOME");
	s->runtime = given("XDG_RUNTIME_DIR");
	s->tmp = given("TMPDIR");
	s->browser = given("BROWSER");
	s->binaries = given("PPROF_BINARY_PATH");
	/* what speaks to a network has no business in a process that may look into others */
	s->debuginfod_urls = privilege__has_any() ? NULL : given("DEBUGINFOD_URLS");
	s->has_display = given("DISPLAY") || given("WAYLAND_DISPLAY");
	s->no_colour = given("NO_COLOR");
	if (cpu && units__parse_time(cpu, &s->parse_cpu_ns))
		s->parse_cpu_ns = 0;
	if (memory && units__parse_size(memory, &s->parse_memory_bytes))
		s->parse_memory_bytes = 0;
}

/* Where memwatch keeps what it may lose; NULL: nowhere. */
static const char *state_dir(void)
{
	static char path[PATH_MAX];
	const char *chosen = given_path("MEMWATCH_STATE_DIR");

	if (chosen)
		return chosen;
	if (!geteuid())
		return "/var/lib/memwatch";
	if (surroundings.state)
		snprintf(path, sizeof(path), "%s/memwatch", surroundings.state);
	else if (surroundings.home)
		snprintf(path, sizeof(path), "%s/.local/state/memwatch", surroundings.home);
	else
		return NULL;
	return path;
}

void cmd_tuning(struct plan_tuning *ret)
{
	const char *method = given("MEMWATCH_PROBE"), *stacks = given("MEMWATCH_STACKS");
	const char *bytes = given("MEMWATCH_TABLE_BYTES");
	const char *copies = given("MEMWATCH_COPY_BYTES");
	const char *attach = given("MEMWATCH_ATTACH_TIME");

	memset(ret, 0, sizeof(*ret));
	if (method && !strcmp(method, "single"))
		ret->method = PLAN_SINGLE;
	else if (method && !strcmp(method, "multi"))
		ret->method = PLAN_MULTI;
	ret->no_tables = stacks && !strcmp(stacks, "fp");
	if (!bytes || units__parse_size(bytes, &ret->table_bytes))
		ret->table_bytes = 0;
	if (!copies || units__parse_size(copies, &ret->copy_bytes))
		ret->copy_bytes = 0;
	if (!attach || units__parse_time(attach, &ret->attach_ns))
		ret->attach_ns = 0;
	ret->state_dir = state_dir();
}
