/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's configuration of any bytes, and which of its sections processes of any names, in
 * control groups of any names, meet. The first line is the process: "comm\texe\tcgroup". */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "daemon/config.h"
#include "sys/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *no_environ(void *arg)
{
	return arg;
}

static double growth_of(const void *arg)
{
	return *(const double *)arg;
}

static void ask(const struct config *c, char *line)
{
	static const double growth = 1e6;
	char *exe = strchr(line, '\t'), *cgroup, unit[64], text[256];
	struct choice_facts f = {.names.comm = line,
				 .command = line,
				 .environ = no_environ,
				 .environ_arg = "A=1\0B=\0",
				 .rss_bytes = 1 << 30,
				 .growth = growth_of,
				 .growth_arg = &growth};
	struct container in;

	if (exe)
		*exe++ = '\0';
	cgroup = exe ? strchr(exe, '\t') : NULL;
	if (cgroup)
		*cgroup++ = '\0';
	f.names.exe = exe;
	if (cgroup) {
		snprintf(text, sizeof(text), "0::%s\n", cgroup);
		f.names.cgroups = text;
		choice__unit(cgroup, unit, sizeof(unit));
		if (container__of(cgroup, &in) && (!in.kind || strlen(in.id) >= sizeof(in.id)))
			abort();
	}
	config__profile(c, &f);
	config__wants_fast(c);
	config__find_profile(c, line);
	for (size_t i = 0; i < c->nalerts; i++)
		choice__matches(&c->alerts[i].who, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *text;
	struct config_errors errors;
	struct config *c;

	if (!copy || config__new(&c))
		abort();
	memcpy(copy, data, size);
	copy[size] = '\0';
	text = memchr(copy, '\n', size);
	if (text) {
		size_t len = copy + size - (text + 1);
		int err = config__parse(c, text + 1, len, &errors);

		*text = '\0';
		for (size_t i = 0; i < min_of(errors.n, (size_t)CONFIG_MAX_ERRORS); i++) {
			if (!memchr(errors.e[i].text, 0, CONFIG_WHY))
				abort();
		}
		if (!err != !errors.n)
			abort();
		if (!err)
			ask(c, copy);
	}
	config__free(c);
	free(copy);
	return 0;
}
