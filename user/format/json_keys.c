/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/json_keys.h"

#include <stddef.h>

const char *const json_keys__value[JSON_KEYS_VALUES] = {
	[PROFILE_ALLOC_OBJECTS] = "alloc_objects",
	[PROFILE_ALLOC_SPACE] = "alloc_bytes",
	[PROFILE_INUSE_OBJECTS] = "inuse_objects",
	[PROFILE_INUSE_SPACE] = "inuse_bytes",
};

#define TOTAL(name, is_inuse)                                          \
	{                                                              \
#name, offsetof(struct profile_totals, name), is_inuse \
	}

const struct json_keys_total json_keys__total[JSON_KEYS_TOTALS] = {
	TOTAL(alloc_objects, false), TOTAL(alloc_bytes, false),	 TOTAL(free_objects, false),
	TOTAL(free_bytes, false),    TOTAL(inuse_objects, true), TOTAL(inuse_bytes, true),
};
