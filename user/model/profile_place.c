/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profile_place.c - what code without a name is called; see profile.h. */
#include "core/util.h"
#include "model/profile.h"

#include <inttypes.h>
#include <string.h>

const char *profile__place(const struct profile *p, uint32_t mapping, uint64_t address, char *buf,
			   size_t len)
{
	const struct profile_mapping *m = mapping < p->nmappings ? &p->mappings[mapping] : NULL;
	const char *file = m ? profile__text(p, m->file) : "", *slash = strrchr(file, '/');

	if (*file)
		snprintf(buf, len, "%.280s+0x%" PRIx64, slash && slash[1] ? slash + 1 : file,
			 address - m->start + m->offset);
	else
		snprintf(buf, len, "0x%" PRIx64, address);
	return buf;
}

int profile__name_place(struct profile *p, uint32_t mapping, uint64_t address,
			struct profile_line *ret)
{
	struct profile_function fn = {0};
	char name[PROFILE_PLACE_LEN];
	struct profile_adder a = {p, 0};

	fn.name = fn.system_name =
		profile__add_string(&a, profile__place(p, mapping, address, name, sizeof(name)));
	*ret = (struct profile_line){.function = profile__add_function(&a, &fn)};
	return a.err;
}
