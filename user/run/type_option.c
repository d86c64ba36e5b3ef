/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/type_option.h"

#include "core/usage.h"
#include "model/profile.h"

#define TYPES (PROFILE_INUSE_SPACE + 1)

const char *type_option__parse(struct argp_state *state, const char *arg)
{
	const char *name[TYPES];

	for (int i = 0; i < TYPES; i++) /* the default first */
		name[i] = profile__heap_type_name(TYPES - 1 - i);
	usage__choice(state, "--sample-index", arg, name, TYPES, "sample type");
	return arg;
}
