/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/kept_files.h"

#include <limits.h>
#include <stdio.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/outfile.h"

void kept_files__make_room(const char *dir, const char *what, size_t keep)
{
	static const char *const endings[] = {".pb.gz", ".csv"};
	char pattern[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(endings) && keep; i++) {
		int err;

		snprintf(pattern, sizeof(pattern), "%s/memwatch-%s-#%s", dir, what, endings[i]);
		err = outfile__prune(pattern, keep - 1);
		if (err)
			log_warn("failed to remove older files '%s': %s", pattern,
				 outfile__strerror(err));
	}
}
