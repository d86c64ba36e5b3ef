/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/webfile.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"

const struct webfile *webfile__find(const char *name)
{
	for (const struct webfile *w = webfile_table; w->name; w++) {
		if (!strcmp(w->name, name))
			return w;
	}
	return NULL;
}

int webfile__put(FILE *f, const char *name)
{
	const struct webfile *w = webfile__find(name);

	if (!w) {
		log_error("this memwatch was built without npm: it has no interactive pages");
		return -EOPNOTSUPP;
	}
	fwrite(w->data, 1, w->len, f);
	return 0;
}
