/* SPDX-License-Identifier: GPL-2.0-or-later */
/* picture.c - see picture.h. */
#include "report/picture.h"

#include "core/util.h"
#include "core/webfile.h"
#include "sys/apart.h"
#include "sys/outfile.h"

#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

static const char *known(const char *format)
{
	static const char *const all[] = {"dot", "svg", "png", "pdf", "ps", "gif"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(format, all[i]))
			return all[i];
	return NULL;
}

const char *picture__format(const char *path)
{
	const char *point = strrchr(path, '.');

	return point ? known(point + 1) : NULL;
}

/* dot reads the text from a file without a name and writes the picture to another. */
int picture__run_dot(const char *format, int from, int to)
{
	posix_spawn_file_actions_t acts;
	char option[16];
	char *argv[] = {"dot", option, NULL};
	pid_t pid;
	int status, err;

	if (!known(format))
		return -EINVAL;
	snprintf(option, sizeof(option), "-T%s", format);
	err = posix_spawn_file_actions_init(&acts);
	if (err)
		return -err;
	posix_spawn_file_actions_adddup2(&acts, from, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&acts, to, STDOUT_FILENO);
	err = posix_spawnp(&pid, "dot", &acts, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&acts);
	if (err)
		return err == ENOENT ? -ENOPKG : -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOPKG;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPROTO;
}

static FILE *in_memory(void)
{
	int fd = memfd_create("memwatch-graph", MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");

	if (!f)
		util__close_fd(&fd);
	return f;
}

/* Where the picture's last element ends: a script goes before that. size where there is no end. */
static size_t end_of_svg(const char *text, size_t size)
{
	static const char end[] = "</svg>";
	const size_t len = sizeof(end) - 1;

	for (size_t at = size; at >= len; at--) {
		if (!memcmp(text + at - len, end, len))
			return at - len;
	}
	return size;
}

/* svg: with what moves and zooms it in a browser. */
static int copy_out(FILE *from, FILE *to, bool svg)
{
	long size = fseek(from, 0, SEEK_END) ? -1 : ftell(from);
	cleanup_free char *text = size > 0 ? malloc((size_t)size) : NULL;
	size_t n = size > 0 ? (size_t)size : 0, head = n;
	int err = 0;

	if (!text)
		return size < 0 ? -errno : size ? -ENOMEM : -EPROTO;
	rewind(from);
	if (fread(text, 1, n, from) != n)
		return -EIO;
	if (svg)
		head = end_of_svg(text, n);
	if (fwrite(text, 1, head, to) != head)
		return -EIO;
	if (head < n) {
		fputs("<script><![CDATA[\n", to);
		err = webfile__put(to, "graph_svg.js");
		fputs("]]></script>\n", to);
	}
	return err ? err : fwrite(text + head, 1, n - head, to) == n - head ? 0 : -EIO;
}

int picture__write(FILE *f, struct report *r, const char *format)
{
	cleanup_file FILE *text = NULL, *picture = NULL;
	int err;

	if (!strcmp(format, "dot"))
		return report__dot(r, f);
	text = in_memory();
	picture = in_memory();
	if (!text || !picture)
		return -errno;
	err = report__dot(r, text);
	if (!err && fseek(text, 0, SEEK_SET))
		err = -errno;
	if (!err)
		err = apart__inside() ? apart__filter(format, fileno(text), fileno(picture))
				      : picture__run_dot(format, fileno(text), fileno(picture));
	return err ? err : copy_out(picture, f, !strcmp(format, "svg"));
}

struct picture_job {
	struct report *r;
	const char *format;
};

static int write_picture(FILE *f, void *arg)
{
	const struct picture_job *job = arg;

	return picture__write(f, job->r, job->format);
}

int picture__save(const char *path, struct report *r, const char *format)
{
	struct picture_job job = {r, format};

	return outfile__write(path, write_picture, &job);
}

const char *picture__strerror(int err)
{
	return err == -ENOPKG	? "graphviz's dot is not installed (package graphviz)"
	       : err == -EPROTO ? "graphviz's dot failed"
				: outfile__strerror(err);
}
