/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profile_adder.c - what is added to a profile in a row; see profile.h. */
#include "model/profile.h"

#define ADD(a, call, id)                 \
	({                               \
		uint32_t id = 0;         \
		if (!(a)->err)           \
			(a)->err = call; \
		(a)->err ? 0 : id;       \
	})

uint32_t profile__add_string(struct profile_adder *a, const char *text)
{
	return ADD(a, profile__string(a->p, text, &id), id);
}

uint32_t profile__add_string_n(struct profile_adder *a, const char *text, size_t len)
{
	return ADD(a, profile__string_n(a->p, text, len, &id), id);
}

uint32_t profile__add_mapping(struct profile_adder *a, const struct profile_mapping *m)
{
	return ADD(a, profile__mapping(a->p, m, &id), id);
}

uint32_t profile__add_function(struct profile_adder *a, const struct profile_function *f)
{
	return ADD(a, profile__function(a->p, f, &id), id);
}

uint32_t profile__add_location(struct profile_adder *a, uint32_t mapping, uint64_t address,
			       const struct profile_line *lines, size_t nlines)
{
	return ADD(a, profile__location(a->p, mapping, address, lines, nlines, &id), id);
}
