/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/selector_options.h"

#include <errno.h>

enum { OPT_SELECT = 0x500 };

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Processes by what they are, now and later:", 7},
	{"unit", OPT_SELECT + SELECTOR_UNIT, "NAME", 0,
	 "of this systemd unit (nginx is nginx.service; 'worker@*.service' are several)", 7},
	{"cgroup", OPT_SELECT + SELECTOR_CGROUP, "PATH", 0,
	 "in this control group or below it (as in /proc/PID/cgroup, or below /sys/fs/cgroup)", 7},
	{"name", OPT_SELECT + SELECTOR_NAME, "RE", 0,
	 "whose command name or program's file name matches", 7},
	{"container", OPT_SELECT + SELECTOR_CONTAINER, "ID", 0,
	 "in this container (docker, containerd, CRI-O, podman, ECS: the first digits of its "
	 "identifier; LXC, nspawn: its name). Each of these may repeat; several of one kind are "
	 "alternatives, different kinds must all be met",
	 7},
	{0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct selector **s = state->input;
	int kind = key - OPT_SELECT;
	char why[SELECTOR_WHY];
	int err;

	if (kind < 0 || kind >= SELECTOR_KINDS)
		return ARGP_ERR_UNKNOWN;
	err = *s ? 0 : selector__new(s);
	if (!err)
		err = selector__add(*s, kind, arg, why);
	if (err == -EINVAL)
		argp_error(state, "--%s: %s", selector__kind_name(kind), why);
	return err ? -err : 0;
}

const struct argp selector_options_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
