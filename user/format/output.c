/* SPDX-License-Identifier: GPL-2.0-or-later */
/* output.c - see output.h. */
#include "format/output.h"

#include "core/util.h"
#include "format/flame.h"
#include "format/pprof.h"
#include "format/text.h"
#include "sys/outfile.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *ending;
	enum output_format format;
} endings[] = {
	{".pb.gz", OUTPUT_PPROF}, {".folded", OUTPUT_FOLDED}, {".svg", OUTPUT_SVG},
	{".html", OUTPUT_HTML},	  {".json", OUTPUT_JSON},     {".txt", OUTPUT_TEXT},
};

/* The format of a name by its ending, or -EINVAL. */
static int format_of(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t n = strlen(endings[i].ending);

		if (len > n && !strcmp(path + len - n, endings[i].ending))
			return endings[i].format;
	}
	return -EINVAL;
}

bool output__known(const char *path)
{
	return format_of(path) >= 0;
}

const char *output__endings(void)
{
	return ".pb.gz .folded .svg .html .json .txt";
}

int output__expand(const char *path, uint32_t pid, char **ret)
{
	size_t len = strlen(path), n = 0;
	char *out = malloc(len * 6 + 1); /* "%p" grows to ten digits at most */

	if (!out)
		return -ENOMEM;
	for (const char *s = path; *s; s++) {
		if (s[0] == '%' && s[1] == 'p') {
			n += sprintf(out + n, "%u", pid);
			s++;
		} else if (s[0] == '%' && s[1] == '%') {
			out[n++] = *s++;
		} else {
			out[n++] = *s;
		}
	}
	out[n] = 0;
	*ret = out;
	return 0;
}

bool output__may_become(const char *path, const char *name)
{
	size_t digits;

	for (; *path; path++) {
		if (path[0] == '%' && path[1] == 'p') {
			digits = strspn(name, "0123456789");
			if (!digits || digits > 10)
				return false;
			name += digits;
			path++;
			continue;
		}
		if (path[0] == '%' && path[1] == '%')
			path++;
		if (*path != *name++)
			return false;
	}
	return !*name;
}

struct output_job {
	const struct profile *p;
	enum output_format format;
	int type;
};

static int run_job(FILE *f, void *arg)
{
	struct output_job *job = arg;

	return output__write_stream(job->p, f, job->format, job->type);
}

int output__write_stream(const struct profile *p, FILE *f, enum output_format format, int type)
{
	if (type < 0 || (size_t)type >= p->nvalues)
		type = profile__find_type(p, NULL);
	if (type < 0)
		return -EINVAL;
	switch (format) {
	case OUTPUT_PPROF: return pprof__write(f, p);
	case OUTPUT_FOLDED: return folded__write(f, p, type);
	case OUTPUT_JSON: return json__write(f, p);
	case OUTPUT_TEXT: return text__write(f, p, type);
	case OUTPUT_SVG: return flame__write_svg(f, p, type);
	case OUTPUT_HTML: return flame__write_html(f, p, type);
	}
	return -EINVAL;
}

int output__write_type(const struct profile *p, const char *path, int type)
{
	struct output_job job = {.p = p, .type = type};
	cleanup_free char *name = NULL;
	int format, err = output__expand(path, p->pid, &name);

	if (err)
		return err;
	format = format_of(name);
	if (format < 0)
		return format;
	job.format = format;
	return outfile__write(name, run_job, &job);
}

int output__write(const struct profile *p, const char *path)
{
	return output__write_type(p, path, -1);
}
