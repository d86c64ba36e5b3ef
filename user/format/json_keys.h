/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_keys.h - keys of memwatch.profile/1 that are written and read by a table. */
#ifndef FORMAT_JSON_KEYS_H
#define FORMAT_JSON_KEYS_H

#include "model/profile.h"

/* A stack's values, in the order of a heap profile's sample types (PROFILE_ALLOC_OBJECTS, …). */
#define JSON_KEYS_VALUES 4
extern const char *const json_keys__value[JSON_KEYS_VALUES];

/* "totals", in the order in which they are written. */
struct json_keys_total {
	const char *key;
	size_t offset; /* of a double in struct profile_totals */
	bool is_inuse; /* null where the profile does not know */
};
#define JSON_KEYS_TOTALS 6
extern const struct json_keys_total json_keys__total[JSON_KEYS_TOTALS];

static inline double *json_keys__total_of(struct profile_totals *t, size_t i)
{
	return (double *)((char *)t + json_keys__total[i].offset);
}

#endif
