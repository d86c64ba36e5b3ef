/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/procmem.h"

#include "core/util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>

#define WINDOW ((uint64_t)64 << 10)
#define PAGE ((uint64_t)4096)
#define WINDOW_PAGES (WINDOW / PAGE)
#define MAX_SPARE 1024

struct procmem {
	int fd;
	int pid;
};

static int open_mem(int pid, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : errno == EPERM ? -EACCES : -errno;
}

int procmem__open(int pid, struct procmem **ret)
{
	struct procmem *m;
	int fd = open_mem(pid, O_RDONLY);

	if (fd < 0)
		return fd;
	m = malloc(sizeof(*m));
	if (!m) {
		close(fd);
		return -ENOMEM;
	}
	m->fd = fd;
	m->pid = pid;
	*ret = m;
	return 0;
}

void procmem__close(struct procmem *m)
{
	if (!m)
		return;
	close(m->fd);
	free(m);
}

/* Bytes read (may be fewer than asked for where the mapping ends), or a negative errno. */
static ssize_t read_some(struct procmem *m, uint64_t addr, void *buf, size_t len)
{
	size_t done = 0;

	if (addr > INT64_MAX || len > INT64_MAX - addr)
		return -EFAULT;
	while (done < len) {
		ssize_t n = pread(m->fd, (char *)buf + done, len - done, (off_t)(addr + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (done)
				break;
			return errno == EIO ? -EFAULT : -errno;
		}
		if (n == 0) /* the address space is gone */
			return done ? (ssize_t)done : -ESRCH;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int procmem__read(struct procmem *m, uint64_t addr, void *buf, size_t len)
{
	ssize_t n = read_some(m, addr, buf, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EFAULT;
}

int procmem__read_u64(struct procmem *m, uint64_t addr, uint64_t *ret)
{
	return procmem__read(m, addr, ret, sizeof(*ret));
}

int procmem__read_u32(struct procmem *m, uint64_t addr, uint32_t *ret)
{
	return procmem__read(m, addr, ret, sizeof(*ret));
}

bool procmem__alive(struct procmem *m)
{
	char c;

	/* Address 0 is not mapped: a live address space fails the read, a gone one ends it. */
	return pread(m->fd, &c, 1, 0) != 0;
}

int procmem__write(int pid, uint64_t addr, const void *buf, size_t len)
{
	cleanup_fd int fd = open_mem(pid, O_RDWR);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pwrite(fd, buf, len, (off_t)addr);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

struct window {
	uint64_t addr;	/* multiple of WINDOW */
	uint32_t valid; /* one bit a page */
	uint8_t *data;
};

struct procmem_cache {
	struct procmem *m;
	struct window *slots; /* open addressing; data NULL: free */
	size_t nslots, used, max;
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
	c->nslots = 64;
	c->slots = calloc(c->nslots, sizeof(*c->slots));
	if (!c->slots) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void procmem_cache__clear(struct procmem_cache *c)
{
	for (size_t i = 0; i < c->nslots; i++) {
		uint8_t *data = c->slots[i].data;

		if (!data)
			continue;
		if (c->nspare < MAX_SPARE && !array_reserve(c->spare, c->spare_cap, c->nspare + 1))
			c->spare[c->nspare++] = data;
		else
			free(data);
	}
	memset(c->slots, 0, c->nslots * sizeof(*c->slots));
	c->used = 0;
}

void procmem_cache__free(struct procmem_cache *c)
{
	if (!c)
		return;
	procmem_cache__clear(c);
	for (size_t i = 0; i < c->nspare; i++)
		free(c->spare[i]);
	free(c->spare);
	free(c->slots);
	free(c);
}

static struct window *find_slot(struct window *slots, size_t n, uint64_t addr)
{
	size_t i = util__mix64(addr) & (n - 1);

	while (slots[i].data && slots[i].addr != addr)
		i = (i + 1) & (n - 1);
	return &slots[i];
}

static int grow_slots(struct procmem_cache *c)
{
	size_t n = c->nslots * 2;
	struct window *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < c->nslots; i++) {
		if (c->slots[i].data)
			*find_slot(slots, n, c->slots[i].addr) = c->slots[i];
	}
	free(c->slots);
	c->slots = slots;
	c->nslots = n;
	return 0;
}

static int load_window(struct procmem_cache *c, uint64_t addr, struct window **ret)
{
	struct window *w;
	ssize_t n;
	int err;

	if (c->used >= c->max)
		return -ENOSPC;
	if (c->used * 2 >= c->nslots) {
		err = grow_slots(c);
		if (err)
			return err;
	}
	w = find_slot(c->slots, c->nslots, addr);
	uint8_t *data = c->nspare ? c->spare[--c->nspare] : malloc(WINDOW);
	if (!data)
		return -ENOMEM;
	w->addr = addr;
	w->valid = 0;
	n = read_some(c->m, addr, data, WINDOW);
	if (n == -ESRCH) {
		free(data);
		return -ESRCH;
	}
	for (uint64_t i = 0; n > 0 && i < (uint64_t)n / PAGE; i++)
		w->valid |= 1u << i;
	/* A hole: the pages behind it are asked for one by one. */
	for (uint64_t i = 0; n < (ssize_t)WINDOW && i < WINDOW_PAGES; i++) {
		if (!(w->valid & 1u << i) &&
		    read_some(c->m, addr + i * PAGE, data + i * PAGE, PAGE) == (ssize_t)PAGE)
			w->valid |= 1u << i;
	}
	w->data = data;
	c->used++;
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
		struct window *w = find_slot(c->slots, c->nslots, base);

		if (!w->data) {
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
