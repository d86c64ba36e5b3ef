/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit.c - frames of one process that are in no file: generated code (perf-PID.map, jitdump) and
 * the vDSO. This is where frames of interpreters get their names.
 *
 * The map files are the target's to write: they are opened below its root, must be regular files
 * of the target's user or of root, and are read in bounded pieces as they grow. A process is one
 * pid for us and another in its namespace; the file is called after the latter.
 */
#include "elf/elfobj.h"
#include "elf/jitmap.h"
#include "elf/symbolizer_priv.h"
#include "elf/symtab.h"

#include "core/util.h"
#include "sys/procmap.h"
#include "sys/safeopen.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RECHECK_NS 200000000ULL /* files that grow are looked at again at most this often */
#define MAX_VDSO_BYTES (1u << 20)

struct grown_file { /* read as far as `at` */
	int fd;
	uint64_t at;
};

struct symbolizer_jit {
	struct symbolizer_jit *next; /* of the symbolizer's */
	struct symbolizer *s;
	int pid;
	uint64_t start_time; /* of the process: pids are used again */
	int rootfd;
	uid_t uid;
	int ns_pid;
	struct jitmap map;
	struct grown_file perf, dump;
	uint64_t checked_ns;
	struct elfobj *vdso;
	struct symtab vdso_tab;
	uint64_t vdso_start, vdso_end;
};

/* The process's owner and its pid in its own namespace, from /proc/PID/status. */
static int read_identity(struct symbolizer_jit *j)
{
	cleanup_free char *text = NULL;
	char path[64], *p;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", j->pid);
	n = util__read_file(path, 64 << 10, &text);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : n;
	j->ns_pid = j->pid;
	p = strstr(text, "\nUid:");
	if (p)
		j->uid = strtoul(p + 5, NULL, 10);
	p = strstr(text, "\nNSpid:");
	if (p) {
		char *line_end = strchr(p + 1, '\n');

		if (line_end)
			*line_end = 0;
		p = strrchr(p, '\t');
		if (p)
			j->ns_pid = atoi(p + 1);
	}
	return 0;
}

/* Opens a map file of the target if it may be trusted to be the target's. */
static int open_map(const struct symbolizer_jit *j, int rootfd, int pid)
{
	const struct safeopen_owner owner = {.uid = j->uid, .or_readable_root = true};
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	return safeopen__below(rootfd, path, true, &owner, NULL);
}

/* A jitdump is mapped executable by the program for exactly this: so that it can be found. */
static int open_dump(int pid)
{
	struct procmap *m = NULL;
	int fd = -ENOENT;

	if (procmap__read(pid, &m))
		return -ENOENT;
	for (size_t i = 0; i < m->n && fd < 0; i++) {
		const struct procmap_entry *e = &m->entries[i];
		const char *base = strrchr(e->path, '/');

		if ((e->prot & PROCMAP_X) && base && !strncmp(base, "/jit-", 5) &&
		    strlen(base) > 5 && !strcmp(base + strlen(base) - 5, ".dump"))
			fd = procmap__open(m, e);
	}
	procmap__free(m);
	return fd;
}

/* When the process started, in clock ticks; 0 if it is gone. */
static uint64_t start_time(int pid)
{
	cleanup_free char *text = NULL;
	char path[64], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (util__read_file(path, 4096, &text) <= 0)
		return 0;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

/* Copies the vDSO out of the process; it is an ELF image like any other. */
static void read_vdso(struct symbolizer_jit *j)
{
	struct procmap *m = NULL;
	cleanup_free void *image = NULL;
	cleanup_fd int mem = -1, fd = -1;
	uint64_t start = 0, end = 0;
	char path[64];
	size_t len;

	if (procmap__read(j->pid, &m))
		return;
	for (size_t i = 0; i < m->n; i++) {
		if (m->entries[i].kind == PROCMAP_VDSO) {
			start = m->entries[i].start;
			end = m->entries[i].end;
		}
	}
	procmap__free(m);
	len = end - start;
	if (start == j->vdso_start || !len || len > MAX_VDSO_BYTES)
		return;
	symtab__clear(&j->vdso_tab); /* there was another one before exec */
	elfobj__close(j->vdso);
	j->vdso = NULL;
	j->vdso_start = start;
	j->vdso_end = end;
	snprintf(path, sizeof(path), "/proc/%d/mem", j->pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	fd = memfd_create("memwatch-vdso", MFD_CLOEXEC);
	image = malloc(len);
	if (mem < 0 || fd < 0 || !image || pread(mem, image, len, start) != (ssize_t)len ||
	    util__write_all(fd, image, len) || elfobj__open_fd(fd, "[vdso]", &j->vdso))
		return;
	symtab__add(&j->vdso_tab, j->vdso, j->vdso);
	symtab__sort(&j->vdso_tab);
}

void symbolizer_jit__free_all(struct symbolizer_jit *j)
{
	while (j) {
		struct symbolizer_jit *next = j->next;

		util__close_fd(&j->perf.fd);
		util__close_fd(&j->dump.fd);
		util__close_fd(&j->rootfd);
		jitmap__clear(&j->map);
		symtab__clear(&j->vdso_tab);
		elfobj__close(j->vdso);
		free(j);
		j = next;
	}
}

/* Reads what was appended, in pieces; a record larger than a piece widens it. */
static void read_growth(struct symbolizer_jit *j, struct grown_file *f, bool is_dump)
{
	cleanup_free char *buf = NULL;
	size_t piece = 1 << 20;

	struct stat st;

	if (f->fd >= 0 && !is_dump && !fstat(f->fd, &st) && (uint64_t)st.st_size < f->at &&
	    f->at < JITMAP_MAX_BYTES) {
		f->at = 0; /* written anew, by the program that was exec'd */
		jitmap__clear(&j->map);
	}
	while (f->fd >= 0 && f->at < JITMAP_MAX_BYTES) {
		ssize_t got, used;
		char *bigger = realloc(buf, piece);

		if (!bigger)
			return;
		buf = bigger;
		got = pread(f->fd, buf, piece, f->at);
		if (got <= 0)
			return;
		used = is_dump ? jitmap__add_dump(&j->map, (uint8_t *)buf, got, !f->at)
			       : jitmap__add_perf(&j->map, buf, got);
		if (used < 0) { /* no sense can be made of the rest */
			f->at = JITMAP_MAX_BYTES;
			return;
		}
		f->at += used;
		if (!used && (size_t)got < piece)
			return; /* the rest is still being written */
		if (!used && piece >= 64 << 20)
			f->at = JITMAP_MAX_BYTES;
		else if (!used)
			piece *= 4;
	}
}

/* Opens the files that were not there yet, while it is still the same process. */
static void open_files(struct symbolizer_jit *j)
{
	if ((j->perf.fd >= 0 && j->dump.fd >= 0) || start_time(j->pid) != j->start_time)
		return;
	if (j->perf.fd < 0)
		j->perf.fd = open_map(j, j->rootfd, j->ns_pid);
	if (j->perf.fd < 0) /* written from outside, under the pid that we see */
		j->perf.fd = open_map(j, -1, j->pid);
	if (j->dump.fd < 0)
		j->dump.fd = open_dump(j->pid);
}

int symbolizer__jit(struct symbolizer *s, int pid, const char *root, struct symbolizer_jit **ret)
{
	struct symbolizer_jit **all = symbolizer__jits(s), *j;
	uint64_t started = start_time(pid);
	int err;

	for (j = *all; j; j = j->next) {
		if (j->pid == pid && (!started || j->start_time == started)) {
			if (started)
				read_vdso(j);
			*ret = j;
			return 0;
		}
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->s = s;
	j->pid = pid;
	j->start_time = started;
	j->perf.fd = j->dump.fd = j->rootfd = -1;
	err = started ? read_identity(j) : -ESRCH;
	if (err) {
		free(j);
		return err;
	}
	if (root)
		j->rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	read_vdso(j);
	open_files(j);
	j->next = *all;
	*all = *ret = j;
	return 0;
}

static void refresh(struct symbolizer_jit *j)
{
	uint64_t now = util__now_ns();

	if (j->checked_ns && now - j->checked_ns < RECHECK_NS)
		return;
	j->checked_ns = now;
	open_files(j);
	read_growth(j, &j->perf, false);
	read_growth(j, &j->dump, true);
}

int symbolizer_jit__lookup(struct symbolizer_jit *j, uint64_t pc, struct symbolizer_frame *frames,
			   int max)
{
	struct symbolizer_frame out = {0};
	struct jitmap_found f;

	if (max < 1)
		return 0;
	if (pc >= j->vdso_start && pc < j->vdso_end) {
		const struct symtab_symbol *sym = symtab__find(&j->vdso_tab, pc - j->vdso_start);

		if (!sym)
			return 0;
		f = (struct jitmap_found){.name = sym->name};
	} else {
		refresh(j);
		f = jitmap__find(&j->map, pc);
	}
	if (!f.name)
		return 0;
	out.system_name = symbolizer__intern(j->s, f.name);
	out.name = symbolizer__pretty(j->s, out.system_name);
	out.file = symbolizer__intern(j->s, f.file);
	out.line = f.line;
	frames[0] = out;
	return 1;
}
