/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/procmap.h"

#include "sys/proc_task.h"
#include "sys/safeopen.h"

#include "core/util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAX_MAPS_BYTES (64u << 20)
#define DELETED " (deleted)"
#define MAX_BESIDE 64 /* mappings between moved text and what is left of its file */

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static bool parse_hex(const char **p, char end, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	for (;; (*p)++, digits++) {
		char c = **p;
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (d < 0)
			break;
		v = v << 4 | d;
	}
	if (!digits || digits > 16 || **p != end)
		return false;
	(*p)++;
	*ret = v;
	return true;
}

/* Is it on the kernel's own memory file system, where files have the names that it gives them?
 * That of memory files is the same one. */
static bool on_shm(const struct procmap_entry *e)
{
	static uint64_t shm; /* + 1 */
	uint64_t dev = __atomic_load_n(&shm, __ATOMIC_RELAXED);

	if (!dev) {
		cleanup_fd int fd = memfd_create("", MFD_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st))
			return false;
		dev = st.st_dev + 1;
		__atomic_store_n(&shm, dev, __ATOMIC_RELAXED);
	}
	return makedev(e->dev_major, e->dev_minor) == dev - 1;
}

static enum procmap_kind kind_of(const struct procmap_entry *e)
{
	const char *p = e->path;

	if (!*p)
		return PROCMAP_ANON;
	if (*p == '[' && !e->ino) {
		if (!strcmp(p, "[heap]"))
			return PROCMAP_HEAP;
		if (starts_with(p, "[stack"))
			return PROCMAP_STACK;
		if (!strcmp(p, "[vdso]"))
			return PROCMAP_VDSO;
		if (starts_with(p, "[anon:") || starts_with(p, "[anon_shmem:"))
			return PROCMAP_ANON;
		return PROCMAP_SPECIAL;
	}
	if (starts_with(p, "[anon_shmem:") ||
	    (e->deleted && (starts_with(p, "/SYSV") || !strcmp(p, "/dev/zero")) && on_shm(e)))
		return PROCMAP_ANON;
	return e->ino ? PROCMAP_FILE : PROCMAP_SPECIAL;
}

/* Cuts the mark of a file that has no name any more; a file may also be called so. */
static void cut_deleted(struct procmap_entry *e, char *path)
{
	size_t len = strlen(path), mark = strlen(DELETED);

	if (len > mark && !strcmp(path + len - mark, DELETED)) {
		path[len - mark] = 0;
		e->deleted = true;
	}
}

static bool parse_prot(const char **p, struct procmap_entry *e)
{
	for (int i = 0; i < 4; i++) {
		if (!(*p)[i])
			return false;
	}
	if ((*p)[4] != ' ')
		return false;
	e->prot = ((*p)[0] == 'r' ? PROCMAP_R : 0) | ((*p)[1] == 'w' ? PROCMAP_W : 0) |
		  ((*p)[2] == 'x' ? PROCMAP_X : 0);
	e->shared = (*p)[3] == 's';
	*p += 5;
	return true;
}

/* "start-end rwxp offset major:minor inode   path" */
static bool parse_line(char *line, struct procmap_entry *e)
{
	const char *p = line;
	uint64_t major_nr, minor_nr;
	char *path, *end;

	if (!parse_hex(&p, '-', &e->start) || !parse_hex(&p, ' ', &e->end) || e->start >= e->end ||
	    !parse_prot(&p, e) || !parse_hex(&p, ' ', &e->offset) ||
	    !parse_hex(&p, ':', &major_nr) || !parse_hex(&p, ' ', &minor_nr) || *p < '0' ||
	    *p > '9')
		return false;
	e->dev_major = major_nr;
	e->dev_minor = minor_nr;
	errno = 0;
	e->ino = strtoull(p, &end, 10);
	if (errno || (*end && *end != ' '))
		return false;
	path = end + strspn(end, " ");
	cut_deleted(e, path);
	e->path = path;
	e->kind = kind_of(e);
	return true;
}

int procmap__parse(int pid, char *text, struct procmap **ret)
{
	struct procmap *m = calloc(1, sizeof(*m));
	uint64_t last = 0;
	char *line, *next;
	int err = 0;

	if (!m) {
		free(text);
		return -ENOMEM;
	}
	m->pid = pid;
	m->text = text;
	for (line = text; line && *line; line = next) {
		struct procmap_entry e = {0};

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		/* Not one snapshot: what is read later may overlap what changed meanwhile. */
		if (!parse_line(line, &e) || e.start < last) {
			m->skipped++;
			continue;
		}
		err = array_reserve(m->entries, m->cap, m->n + 1);
		if (err)
			break;
		last = e.end;
		m->entries[m->n++] = e;
	}
	if (err)
		procmap__free(m);
	else
		*ret = m;
	return err;
}

/* By the thread that shows them. */
static int open_of(int thread)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

int procmap__open_file(int pid)
{
	return open_of(proc_task__shows(pid));
}

int procmap__read(int pid, struct procmap **ret)
{
	int thread = proc_task__shows(pid);
	cleanup_fd int fd = open_of(thread);
	char *text = NULL;
	ssize_t n = fd < 0 ? fd : util__read_fd(fd, MAX_MAPS_BYTES, &text);

	if (n < 0)
		return n;
	if (!n || n >= MAX_MAPS_BYTES) {
		free(text);
		return n ? -E2BIG : -ESRCH;
	}
	return procmap__parse(thread, text, ret);
}

void procmap__free(struct procmap *m)
{
	if (!m)
		return;
	free(m->entries);
	free(m->text);
	free(m);
}

uint64_t procmap__brk_end(const struct procmap *m)
{
	uint64_t end = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (m->entries[i].kind == PROCMAP_HEAP)
			end = m->entries[i].end;
	}
	return end;
}

const struct procmap_entry *procmap__find(const struct procmap *m, uint64_t addr)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->entries[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->n && m->entries[lo].start <= addr ? &m->entries[lo] : NULL;
}

/* The next mapping of a file from i on in steps of `step`, with no hole up to it; NULL: none, or
 * none that is near. */
static const struct procmap_entry *file_beside(const struct procmap *m, size_t i, int step)
{
	const struct procmap_entry *e = &m->entries[i], *next;

	for (int far = 0; far < MAX_BESIDE; far++, e = next) {
		i += step;
		if (i >= m->n) /* below 0 it wraps, and ends too */
			return NULL;
		next = &m->entries[i];
		if (step > 0 ? e->end != next->start : next->end != e->start)
			return NULL;
		if (next->kind == PROCMAP_FILE)
			return next;
	}
	return NULL;
}

const struct procmap_entry *procmap__moved_text(const struct procmap *m,
						const struct procmap_entry *e, uint64_t *ret_offset)
{
	const struct procmap_entry *below, *above, *x;

	if (e->kind == PROCMAP_FILE || !(e->prot & PROCMAP_X))
		return NULL;
	below = file_beside(m, e - m->entries, -1);
	above = file_beside(m, e - m->entries, 1);
	if (!below || !above || below->ino != above->ino || below->dev_major != above->dev_major ||
	    below->dev_minor != above->dev_minor)
		return NULL;
	x = below->prot & PROCMAP_X ? below : above;
	if (!(x->prot & PROCMAP_X))
		return NULL;
	*ret_offset = x->offset + (e->start - x->start);
	return x;
}

static bool same_file(const struct procmap_entry *e, const struct stat *st)
{
	if (st->st_ino != e->ino)
		return false;
	if (major(st->st_dev) == e->dev_major && minor(st->st_dev) == e->dev_minor)
		return true;
	/* overlayfs and btrfs show other device numbers in stat() than in maps, all without a
	 * block device behind them; there the inode has to do. */
	return !major(st->st_dev) && !e->dev_major;
}

/*
 * May what a mapping's range has led to be its file? In between another may have been mapped there.
 * Where stat() shows other devices than maps, whoever asks goes by what was opened.
 */
static bool may_be(const struct procmap_entry *e, const struct stat *st)
{
	if (major(st->st_dev) == e->dev_major && minor(st->st_dev) == e->dev_minor)
		return st->st_ino == e->ino;
	return !major(st->st_dev) || !e->dev_major;
}

static void path_of(const struct procmap *m, const struct procmap_entry *e, char path[96])
{
	snprintf(path, 96, "/proc/%d/map_files/%llx-%llx", m->pid, (unsigned long long)e->start,
		 (unsigned long long)e->end);
}

int procmap__stat(const struct procmap *m, const struct procmap_entry *e, struct stat *ret)
{
	char path[96];
	struct stat st;

	path_of(m, e, path);
	if (safeopen__stat(path, &st))
		return -errno;
	if (!may_be(e, &st))
		return -ESTALE;
	*ret = st;
	return 0;
}

/* In place: "\012" back to a newline. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (starts_with(s, "\\012")) {
			*out++ = '\n';
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

static int open_below_root(int pid, const struct procmap_entry *e, const char *suffix, bool escaped)
{
	cleanup_free char *path = NULL;
	struct stat st;
	int fd;

	if (e->path[0] != '/' || asprintf(&path, "/proc/%d/root%s%s", pid, e->path, suffix) < 0)
		return -ENOENT;
	if (escaped)
		unescape(path);
	fd = safeopen__file(path, &st);
	if (fd >= 0 && !same_file(e, &st)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

int procmap__open(const struct procmap *m, const struct procmap_entry *e)
{
	char path[96];
	struct stat st;
	int fd, why;

	if (!e->ino)
		return -ENOENT;
	path_of(m, e, path);
	fd = safeopen__file(path, &st);
	if (fd >= 0 && !may_be(e, &st)) {
		close(fd);
		return -ESTALE;
	}
	if (fd >= 0 || fd == -EINVAL || fd == -ETIMEDOUT || fd == -EMFILE || fd == -ENFILE ||
	    fd == -ENOMEM)
		return fd;
	why = fd = open_below_root(m->pid, e, "", false);
	if (fd < 0 && strstr(e->path, "\\012"))
		fd = open_below_root(m->pid, e, "", true);
	if (fd < 0 && e->deleted)
		fd = open_below_root(m->pid, e, DELETED, false); /* it was its name after all */
	if (fd >= 0)
		return fd;
	if (fd == -ESTALE)
		why = fd;
	snprintf(path, sizeof(path), "/proc/%d", m->pid);
	if (access(path, F_OK))
		return -ESRCH;
	return why;
}
