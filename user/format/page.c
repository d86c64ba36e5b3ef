/* SPDX-License-Identifier: GPL-2.0-or-later */
/* page.c - see page.h. */
#include "format/page.h"

#include "core/emit.h"
#include "core/util.h"
#include "core/webfile.h"

#include <string.h>

static int put_part(FILE *f, const char *name, const char *ending)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.%s", name, ending);
	return webfile__put(f, file);
}

/* What stands for the mark, and how long that is; 0: it is none. */
static size_t put_mark(FILE *f, const char *at, const char *name, int (*data)(FILE *f, void *arg),
		       void *arg, int *err)
{
	static const char *const mark[] = {"{{style}}", "{{script}}", "{{data}}"};
	size_t i = 0;

	while (i < ARRAY_SIZE(mark) && strncmp(at, mark[i], strlen(mark[i])))
		i++;
	if (i == ARRAY_SIZE(mark))
		return 0;
	*err = i == 0 ? put_part(f, name, "css") : i == 1 ? put_part(f, name, "js") : data(f, arg);
	return strlen(mark[i]);
}

int page__write(FILE *f, const char *name, int (*data)(FILE *f, void *arg), void *arg)
{
	const struct webfile *page;
	const char *at, *next;
	char file[64];
	int err = 0;

	snprintf(file, sizeof(file), "%s.html", name);
	page = webfile__find(file);
	if (!page)
		return -EOPNOTSUPP;
	for (at = (const char *)page->data; (next = strstr(at, "{{")) && !err; at = next) {
		size_t len;

		fwrite(at, 1, next - at, f);
		len = put_mark(f, next, name, data, arg, &err);
		if (!len)
			fwrite(next, 1, len = 2, f);
		next += len;
	}
	if (!err)
		fputs(at, f);
	return emit__end(f, err);
}
