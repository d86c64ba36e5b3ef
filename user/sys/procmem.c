/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/procmem.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/log.h"
#include "core/util.h"
#include "sys/box.h"
#include "sys/memreader.h"
#include "sys/pagemap.h"
#include "sys/pidref.h"
#include "sys/privilege.h"
#include "sys/proc_task.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#define WINDOW ((uint64_t)64 << 10)
#define PAGE ((uint64_t)4096)
#define WINDOW_PAGES (WINDOW / PAGE)
#define MAX_SPARE 1024
#define BOUNCE (MEMREADER_ROOM - PROCMEM_WINDOW)
#define PAUSE_NS 10000000000ULL /* in which what did not come is not asked for again */

struct procmem {
	int fd;			 /* /proc/PID/mem; or what was handed in, a socket to who reads */
	pid_t pid;		 /* 0: that */
	char *room;		 /* which is shared with him: the window, and BOUNCE bytes */
	pid_t tid;		 /* by which the kernel shows its memory */
	struct box_target whose; /* who pays for it */
	int process, image;	 /* pidfd, and /proc/PID/pagemap; -1: none, in old kernels */
	uint64_t left_ns;	 /* when it did not come last */
};

static int open_mem(int pid, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", proc_task__shows(pid));
	if (flags != O_RDONLY) /* the file is its owner's, and has his mode */
		privilege__raise(PRIVILEGE_MEMORY);
	fd = open(path, flags | O_CLOEXEC);
	if (flags != O_RDONLY)
		privilege__lower(PRIVILEGE_MEMORY);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : errno == EPERM ? -EACCES : -errno;
}

static int open_as(int pid, int flags, struct procmem **ret)
{
	struct procmem *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->process = pidref__fd(pid);
	if (m->process == -ESRCH) {
		free(m);
		return -ESRCH;
	}
	m->image = pagemap__open_file(pid);
	m->fd = open_mem(pid, flags);
	m->pid = pid;
	m->tid = proc_task__shows(pid);
	m->whose = box__target(pid);
	if (m->fd >= 0 && procmem__alive(m)) { /* all of the same image, then */
		*ret = m;
		return 0;
	}
	err = m->fd < 0 ? m->fd : -ESRCH;
	procmem__close(m);
	return err;
}

int procmem__open(int pid, struct procmem **ret)
{
	return open_as(pid, O_RDONLY, ret);
}

int procmem__open_writable(int pid, struct procmem **ret)
{
	return open_as(pid, O_RDWR, ret);
}

int procmem__adopt(int fd, struct procmem **ret)
{
	struct procmem *m = calloc(1, sizeof(*m));
	int err = m ? memreader__room(fd, &m->room) : -ENOMEM;

	if (err) {
		close(fd);
		free(m);
		return err;
	}
	m->fd = fd;
	m->process = m->image = -1;
	*ret = m;
	return 0;
}

void *procmem__window(struct procmem *m)
{
	return m->room;
}

int procmem__hand_over(const struct procmem *m, struct memreader_meter **ret)
{
	return m->process < 0 || m->image < 0
		       ? -EOPNOTSUPP
		       : memreader__for_helper(m->tid, m->process, m->image, ret);
}

void procmem__close(struct procmem *m)
{
	if (!m)
		return;
	util__close_fd(&m->fd);
	if (m->room)
		munmap(m->room, MEMREADER_ROOM);
	util__close_fd(&m->process);
	util__close_fd(&m->image);
	free(m);
}

/* Bytes read by who reads for this helper, or -errno. */
static ssize_t read_handed(const struct procmem *m, uint64_t addr, char *buf, size_t len)
{
	bool is_window = buf == m->room && len <= PROCMEM_WINDOW;
	size_t done = 0, want, at = is_window ? 0 : PROCMEM_WINDOW;
	ssize_t n;

	do {
		want = is_window ? len : min_of(len - done, (size_t)BOUNCE);
		n = memreader__ask(m->fd, addr + done, at, want);
		if (n < 0)
			return done && n != -ESRCH ? (ssize_t)done : n;
		if (!is_window)
			memcpy(buf + done, m->room + at, (size_t)n);
		done += (size_t)n;
	} while (done < len && (size_t)n == want);
	return (ssize_t)done;
}

static void say_left(struct procmem *m)
{
	if (!m->left_ns)
		log_warn("PID %d: what is in its memory does not come (a file system that does not "
			 "answer); continuing without it",
			 m->pid);
	m->left_ns = util__now_ns();
}

/* What the process has now is read, and then looked whether it still is the one that was opened. */
static int read_parts(struct procmem *m, struct memreader_part *parts, size_t n, void *buf)
{
	uint64_t cpu_ns = 0;
	int err;

	if (m->left_ns && util__now_ns() - m->left_ns < PAUSE_NS)
		return -ETIMEDOUT;
	err = memreader__read(m->tid, parts, n, buf, &cpu_ns);
	if (err == -ESRCH && procmem__alive(m)) { /* by another thread from now on */
		m->tid = proc_task__shows(m->pid);
		err = memreader__read(m->tid, parts, n, buf, &cpu_ns);
	}
	box__charge(&m->whose, cpu_ns);
	if (err == -ETIMEDOUT)
		say_left(m);
	return err || procmem__alive(m) ? err : -ESRCH;
}

ssize_t procmem__read_some(struct procmem *m, uint64_t addr, void *buf, size_t len)
{
	size_t done = 0;

	if (addr > INT64_MAX || len > INT64_MAX - addr)
		return -EFAULT;
	if (!m->pid)
		return read_handed(m, addr, buf, len);
	while (done < len) {
		struct memreader_part p = {.addr = addr + done,
					   .len = min_of(len - done, MEMREADER_BYTES)};
		int err = read_parts(m, &p, 1, (char *)buf + done);

		if (err)
			return err;
		done += p.got;
		if (p.got < p.len)
			return done ? (ssize_t)done : -EFAULT;
	}
	return (ssize_t)done;
}

/* As many as one call may read. */
static size_t read_batch(struct procmem *m, struct procmem_piece *pieces, size_t n, char *room)
{
	struct memreader_part parts[MEMREADER_PARTS];
	size_t took = 0, len = 0;
	int err;

	while (took < n && took < MEMREADER_PARTS && len + pieces[took].len <= MEMREADER_BYTES) {
		parts[took] = (struct memreader_part){pieces[took].addr, pieces[took].len, 0};
		len += pieces[took++].len;
	}
	err = read_parts(m, parts, took, room);
	for (size_t i = 0; i < took; i++) {
		pieces[i].is_read = !err && parts[i].got == parts[i].len;
		if (pieces[i].is_read)
			memcpy(pieces[i].to, room, pieces[i].len);
		room += pieces[i].len;
	}
	return took;
}

void procmem__read_pieces(struct procmem *m, struct procmem_piece *pieces, size_t n)
{
	cleanup_free char *room = m->pid ? malloc(MEMREADER_BYTES) : NULL;

	for (size_t i = 0; i < n;) {
		if (room && pieces[i].len <= MEMREADER_BYTES) {
			i += read_batch(m, pieces + i, n - i, room);
			continue;
		}
		pieces[i].is_read = !procmem__read(m, pieces[i].addr, pieces[i].to, pieces[i].len);
		i++;
	}
}

int procmem__read(struct procmem *m, uint64_t addr, void *buf, size_t len)
{
	ssize_t n = procmem__read_some(m, addr, buf, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EFAULT;
}

int procmem__read_u64(struct procmem *m, uint64_t addr, uint64_t *ret)
{
	return procmem__read(m, addr, ret, sizeof(*ret));
}

bool procmem__alive(struct procmem *m)
{
	char c;

	if (m->image >= 0)
		return memreader__is_there(m->process, m->image);
	if (!m->pid)
		return memreader__ask(m->fd, 0, 0, 0) != -ESRCH;
	/* Address 0 is not mapped: a live address space fails the read, a gone one ends it. */
	return pread(m->fd, &c, 1, 0) != 0;
}

int procmem__write(struct procmem *m, uint64_t addr, const void *buf, size_t len)
{
	ssize_t n = pwrite(m->fd, buf, len, (off_t)addr);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : n ? -EIO : -ESRCH;
}

struct window {
	uint64_t addr;	/* multiple of WINDOW */
	uint32_t valid; /* one bit a page */
	uint8_t *data;
};

struct procmem_cache {
	struct procmem *m;
	struct window *windows; /* by_addr.n */
	size_t windows_cap, max;
	struct hash_index by_addr;
	uint8_t **spare; /* buffers of windows that were thrown away */
	size_t nspare, spare_cap;
};

int procmem_cache__new(struct procmem *m, size_t max_bytes, struct procmem_cache **ret)
{
	struct procmem_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->m = m;
	c->max = max_bytes / WINDOW + 1;
	*ret = c;
	return 0;
}

void procmem_cache__clear(struct procmem_cache *c)
{
	for (size_t i = 0; i < c->by_addr.n; i++) {
		uint8_t *data = c->windows[i].data;

		if (c->nspare < MAX_SPARE && !array_reserve(c->spare, c->spare_cap, c->nspare + 1))
			c->spare[c->nspare++] = data;
		else
			free(data);
	}
	hash_index__clear(&c->by_addr);
}

void procmem_cache__free(struct procmem_cache *c)
{
	if (!c)
		return;
	procmem_cache__clear(c);
	for (size_t i = 0; i < c->nspare; i++)
		free(c->spare[i]);
	free(c->spare);
	free(c->windows);
	hash_index__fini(&c->by_addr);
	free(c);
}

static struct window *find_window(struct procmem_cache *c, uint64_t addr)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&c->by_addr, keyhash__word(addr), &at, &i)) {
		if (c->windows[i].addr == addr)
			return &c->windows[i];
	}
	return NULL;
}

static int load_window(struct procmem_cache *c, uint64_t addr, struct window **ret)
{
	struct window *w;
	uint8_t *data;
	ssize_t n;

	if (c->by_addr.n >= c->max)
		procmem_cache__clear(c);
	if (hash_index__reserve(&c->by_addr) ||
	    array_reserve(c->windows, c->windows_cap, c->by_addr.n + 1))
		return -ENOMEM;
	data = c->nspare ? c->spare[--c->nspare] : malloc(WINDOW);
	if (!data)
		return -ENOMEM;
	w = &c->windows[c->by_addr.n];
	*w = (struct window){.addr = addr, .data = data};
	n = procmem__read_some(c->m, addr, data, WINDOW);
	if (n == -ESRCH) {
		free(data);
		return -ESRCH;
	}
	for (uint64_t i = 0; n > 0 && i < (uint64_t)n / PAGE; i++)
		w->valid |= 1u << i;
	/* A hole: the pages behind it are asked for one by one. */
	for (uint64_t i = 0; n < (ssize_t)WINDOW && i < WINDOW_PAGES; i++) {
		if (!(w->valid & 1u << i) &&
		    procmem__read_some(c->m, addr + i * PAGE, data + i * PAGE, PAGE) ==
			    (ssize_t)PAGE)
			w->valid |= 1u << i;
	}
	hash_index__add(&c->by_addr, keyhash__word(addr));
	*ret = w;
	return 0;
}

int procmem_cache__read(struct procmem_cache *c, uint64_t addr, void *buf, size_t len)
{
	uint8_t *out = buf;

	if (len && addr + len - 1 < addr)
		return -EFAULT;
	while (len) {
		uint64_t base = addr & ~(WINDOW - 1), at = addr - base;
		size_t n = min_of(len, (size_t)(WINDOW - at));
		struct window *w = find_window(c, base);

		if (!w) {
			int err = load_window(c, base, &w);

			if (err)
				return err;
		}
		for (uint64_t p = at / PAGE; p <= (at + n - 1) / PAGE; p++) {
			if (!(w->valid & 1u << p))
				return -EFAULT;
		}
		memcpy(out, w->data + at, n);
		out += n;
		addr += n;
		len -= n;
	}
	return 0;
}
