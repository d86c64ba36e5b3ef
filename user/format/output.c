/* SPDX-License-Identifier: GPL-2.0-or-later */
/* output.c - see output.h. */
#include "format/output.h"

#include "core/util.h"
#include "format/flame.h"
#include "format/pprof.h"
#include "format/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *ending;
	enum output_format format;
} endings[] = {
	{".pb.gz", OUTPUT_PPROF}, {".folded", OUTPUT_FOLDED}, {".svg", OUTPUT_SVG},
	{".html", OUTPUT_HTML},	  {".json", OUTPUT_JSON},     {".txt", OUTPUT_TEXT},
};

int output__format(const char *path)
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
	return output__format(path) >= 0;
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

/* Flushes and closes; the first failure wins. */
static int close_stream(FILE *f, int err)
{
	errno = 0;
	if (!err && (fflush(f) || ferror(f)))
		err = errno ? -errno : -EIO;
	if (fclose(f) && !err)
		err = errno ? -errno : -EIO;
	return err;
}

static int write_direct(const char *path, int (*fn)(FILE *f, void *arg), void *arg)
{
	FILE *f;
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	return close_stream(f, fn(f, arg));
}

/* Creates "DIR/.NAME.XXXXXX" beside path with the permissions that path has or would get. */
static int open_beside(const char *path, mode_t mode, char **ret_name, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0, fd;
	char *name;

	if (asprintf(&name, "%.*s.%.200s.XXXXXX", dir, path, path + dir) < 0)
		return -ENOMEM;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode)) {
		int err = -errno;

		if (fd >= 0) {
			unlink(name);
			close(fd);
		}
		free(name);
		return err;
	}
	*ret_name = name;
	*ret_fd = fd;
	return 0;
}

static int write_beside(const char *path, mode_t mode, int (*fn)(FILE *f, void *arg), void *arg)
{
	cleanup_free char *name = NULL;
	FILE *f;
	int fd = -1, err = open_beside(path, mode, &name, &fd);

	if (err)
		return err;
	f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		err = -ENOMEM;
	} else {
		err = close_stream(f, fn(f, arg));
	}
	if (!err && rename(name, path))
		err = -errno;
	if (err)
		unlink(name);
	return err;
}

int output__atomic(const char *path, int (*fn)(FILE *f, void *arg), void *arg)
{
	cleanup_free char *real = NULL;
	struct stat st;
	mode_t mask;

	if (stat(path, &st)) {
		if (errno != ENOENT)
			return -errno;
		mask = umask(0);
		umask(mask);
		return write_beside(path, 0666 & ~mask, fn, arg);
	}
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return write_direct(path, fn, arg);
	if (access(path, W_OK)) /* a rename would get past the file's own permissions */
		return -errno;
	real = realpath(path, NULL); /* a symbolic link goes on pointing to the file */
	if (!real)
		return -errno;
	return write_beside(real, st.st_mode & 07777, fn, arg);
}

struct job {
	const struct profile *p;
	enum output_format format;
	int type;
};

static int run_job(FILE *f, void *arg)
{
	struct job *job = arg;

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
	struct job job = {.p = p, .type = type};
	cleanup_free char *name = NULL;
	int format, err = output__expand(path, p->pid, &name);

	if (err)
		return err;
	format = output__format(name);
	if (format < 0)
		return format;
	job.format = format;
	return output__atomic(name, run_job, &job);
}

int output__write(const struct profile *p, const char *path)
{
	return output__write_type(p, path, -1);
}
