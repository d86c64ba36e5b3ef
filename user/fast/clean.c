/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clean.c - takes out what a run that ended otherwise than it should has left in a process. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/util.h"
#include "fast/fast_box.h"
#include "fast/inject_priv.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"

#define MAX_REGIONS 256
#define MAX_OWNERS 8	/* asked for what they have open, which may be much */
#define MAX_FILES 65536 /* of a process, looked at for those of a run */

static bool is_ours(const struct procmap_entry *e)
{
	return e->kind == PROCMAP_FILE && (e->prot & PROCMAP_X) && !strcmp(e->path, FAST_NAME);
}

const struct procmap_entry *fast_regions__next(struct fast_regions *r)
{
	while (r->at < r->maps->n && r->n < MAX_REGIONS) {
		const struct procmap_entry *e = &r->maps->entries[r->at++];

		if (!is_ours(e))
			continue;
		r->n++;
		return e;
	}
	return NULL;
}

bool fast__has_data(const struct procmap *maps, const struct procmap_entry *e)
{
	const struct procmap_entry *data = procmap__find(maps, e->end);

	return data && data->kind == PROCMAP_ANON && (data->prot & PROCMAP_W) &&
	       data->end - e->end >= DATA_BYTES;
}

const struct procmap_entry *fast__text_at(const struct procmap *maps, uint64_t addr,
					  uint64_t *ret_offset)
{
	const struct procmap_entry *e = procmap__find(maps, addr), *file = e;
	uint64_t offset;

	if (!e || !(e->prot & PROCMAP_X))
		return NULL;
	offset = e->offset;
	if (e->kind != PROCMAP_FILE)
		file = procmap__moved_text(maps, e, &offset);
	*ret_offset = offset + (addr - e->start);
	return file;
}

bool fast__is_sound(const struct stub_header *h, const struct procmap_entry *e)
{
	if (h->magic != STUB_MAGIC || h->base != e->start || h->n > STUB_MAX_FUNCS)
		return false;
	for (size_t i = 0; i < h->n; i++) {
		int32_t rel;
		uint64_t to;

		memcpy(&rel, h->patch[i].is + 1, 4);
		to = h->patch[i].addr + ENTRY_PATCH + (int64_t)rel;
		if (h->patch[i].is[0] != 0xe9 || to < e->start || to >= e->end)
			return false;
	}
	return true;
}

/* Is what the header would have written back what this file has there? Of the entries that lie in
 * it; they are marked. */
static bool as_in_file(const struct procmap *maps, const struct procmap_entry *file,
		       const struct stub_header *h, bool seen[STUB_MAX_FUNCS])
{
	uint8_t bytes[STUB_MAX_FUNCS][ENTRY_PATCH];
	const struct box_target whose = box__target(maps->pid);
	cleanup_fd int fd = procmap__open(maps, file);
	uint64_t offsets[STUB_MAX_FUNCS];
	size_t which[STUB_MAX_FUNCS], n = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (fast__text_at(maps, h->patch[i].addr, &offsets[n]) != file)
			continue;
		seen[i] = true;
		which[n++] = i;
	}
	if (fd < 0 || fast_box__bytes(fd, &whose, offsets, n, bytes))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (memcmp(bytes[i], h->patch[which[i]].was, ENTRY_PATCH))
			return false;
	}
	return true;
}

/* The target may have written the header itself. Functions whose library was closed are none. */
static bool is_believed(const struct procmap *maps, const struct stub_header *h)
{
	bool seen[STUB_MAX_FUNCS] = {false};
	uint64_t offset;

	for (size_t i = 0; i < h->n; i++) {
		const struct procmap_entry *file = fast__text_at(maps, h->patch[i].addr, &offset);

		if (file && !seen[i] && !as_in_file(maps, file, h, seen))
			return false;
	}
	return true;
}

/* Has the process that file open? What may not be known counts as so. */
static bool has_open(pid_t pid, const struct procmap_entry *e)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *d;
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES || errno == EPERM;
	while ((d = readdir(dir))) {
		if (d->d_name[0] != '.' && !fstatat(dirfd(dir), d->d_name, &st, 0) &&
		    st.st_ino == e->ino && major(st.st_dev) == e->dev_major &&
		    minor(st.st_dev) == e->dev_minor)
			return true;
	}
	return false;
}

/* Is it with root's rights or this user's, and has the file of that code open? */
static bool is_at_work(pid_t pid, const struct procmap_entry *e)
{
	struct proc_status s;

	return !proc_status__read(pid, &s) && (!s.euid || s.euid == geteuid()) && has_open(pid, e);
}

/* Who is at work here. The target may have written there whom it likes. */
static void find_owner(struct procmem *mem, const struct procmap_entry *e, int pid,
		       struct fast_left *ret)
{
	uint64_t owner[3];

	if (procmem__read(mem, e->end + DATA_OWNER, owner, sizeof(owner)) || !owner[0] ||
	    owner[0] > INT32_MAX || !owner[1])
		return;
	if (owner[2] != (uint64_t)pid)
		ret->inherited = true;
	else if (proc_task__start_ns(owner[0]) == owner[1] && is_at_work(owner[0], e))
		ret->owner = owner[0];
}

/* Has it files that were made for stubs and not mapped yet? */
static bool has_files(int pid)
{
	char path[64], to[64];
	cleanup_dir DIR *dir = NULL;
	struct dirent *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	for (int i = 0; dir && i < MAX_FILES && (d = readdir(dir)); i++) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, to, sizeof(to));

		if (n >= (ssize_t)strlen(FAST_NAME) && !strncmp(to, FAST_NAME, strlen(FAST_NAME)))
			return true;
	}
	return false;
}

/* One mapping of stubs, by its header. */
static int clean_one(const struct fast *f, const struct procmap *maps,
		     const struct procmap_entry *e, bool look, size_t *owners,
		     struct fast_left *ret, char why[FAST_WHY])
{
	struct stub_header h;
	size_t n;

	if (procmem__read(f->mem, e->start, &h, sizeof(h)) || !fast__is_sound(&h, e))
		return 0;
	n = fast__count(f->mem, &h);
	ret->regions++;
	ret->patched += n;
	ret->bytes += e->end - e->start;
	if (fast__has_data(maps, e))
		ret->bytes += DATA_BYTES;
	if (n && !ret->owner && (*owners)++ < MAX_OWNERS)
		find_owner(f->mem, e, f->pid, ret);
	if (!n || look)
		return 0;
	if (is_believed(maps, &h))
		return fast__write(f, &h, false, why);
	snprintf(why, FAST_WHY, "what it says was there before is not what its files have there");
	return -EBADMSG;
}

int fast__clean(int pid, const struct remote_host *host, bool look, struct fast_left *ret,
		char why[FAST_WHY])
{
	struct fast f = {.pid = pid, .host = host};
	const struct procmap_entry *e;
	struct procmap *maps = NULL;
	struct fast_regions all;
	size_t owners = 0;
	int err = look ? procmem__open(pid, &f.mem) : procmem__open_writable(pid, &f.mem);

	memset(ret, 0, sizeof(*ret));
	*why = 0;
	if (!err)
		err = procmap__read(pid, &maps);
	if (!err && !procmem__alive(f.mem)) /* of another image */
		err = -ESRCH;
	all = (struct fast_regions){.maps = maps};
	while (!err && (e = fast_regions__next(&all)))
		err = clean_one(&f, maps, e, look, &owners, ret, why);
	if (!err)
		ret->has_files = has_files(pid);
	procmap__free(maps);
	procmem__close(f.mem);
	return err;
}
