/* SPDX-License-Identifier: GPL-2.0-or-later */
/* callgraph_dot.c - the graph to a file, through graphviz where it is to be a picture. */
#include "format/callgraph.h"

#include "core/util.h"
#include "sys/outfile.h"

#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

struct dot_job {
	const struct profile *p;
	int type;
	double node_fraction, edge_fraction;
	const char *format; /* "dot", "svg", "png" */
};

static const char *format_of(const char *path)
{
	static const char *const known[] = {"dot", "svg", "png"};
	const char *point = strrchr(path, '.');

	for (size_t i = 0; point && i < ARRAY_SIZE(known); i++)
		if (!strcmp(point + 1, known[i]))
			return known[i];
	return NULL;
}

bool callgraph__known(const char *path)
{
	return format_of(path);
}

/* dot reads the text from a file without a name and writes the picture to another. */
static int run_dot(int from, int to, const char *format)
{
	posix_spawn_file_actions_t acts;
	char option[16];
	char *argv[] = {"dot", option, NULL};
	pid_t pid;
	int status, err;

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

static int copy_out(FILE *from, FILE *to)
{
	char buf[1 << 15];
	size_t n, all = 0;

	if (fseek(from, 0, SEEK_SET))
		return -errno;
	while ((n = fread(buf, 1, sizeof(buf), from))) {
		if (fwrite(buf, 1, n, to) != n)
			return -EIO;
		all += n;
	}
	return ferror(from) ? -EIO : all ? 0 : -EPROTO;
}

static int write_picture(FILE *f, void *arg)
{
	const struct dot_job *job = arg;
	cleanup_file FILE *text = NULL, *picture = NULL;
	int err;

	if (!strcmp(job->format, "dot"))
		return callgraph__write_dot(f, job->p, job->type, job->node_fraction,
					    job->edge_fraction);
	text = in_memory();
	picture = in_memory();
	if (!text || !picture)
		return -errno;
	err = callgraph__write_dot(text, job->p, job->type, job->node_fraction, job->edge_fraction);
	if (!err && fseek(text, 0, SEEK_SET))
		err = -errno;
	if (!err)
		err = run_dot(fileno(text), fileno(picture), job->format);
	return err ? err : copy_out(picture, f);
}

int callgraph__save(const char *path, const struct profile *p, int type, double node_fraction,
		    double edge_fraction)
{
	struct dot_job job = {.p = p,
			      .type = type,
			      .node_fraction = node_fraction,
			      .edge_fraction = edge_fraction,
			      .format = format_of(path)};

	return job.format ? outfile__write(path, write_picture, &job) : -EINVAL;
}
