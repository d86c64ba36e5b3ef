/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/util.h"

#define WINDOW 512 /* regions or entries at once */
#define PM_PRESENT (1ULL << 63)

/* The kernel's struct pm_scan_arg and struct page_region, which older headers do not have. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct region {
	uint64_t start, end, categories;
};

#define SCAN_IOCTL _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, sizeof(struct scan_arg))
#define SCAN_PRESENT (1 << 3)
#define SCAN_ZERO (1 << 5)

static int scan(const struct pagemap *m, uint64_t start, uint64_t end,
		void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	struct region r[WINDOW];
	struct scan_arg a = {.size = sizeof(a),
			     .vec = (uintptr_t)r,
			     .vec_len = WINDOW,
			     .category_inverted = SCAN_ZERO,
			     .category_mask = SCAN_PRESENT | SCAN_ZERO,
			     .return_mask = SCAN_PRESENT};

	while (start < end) {
		int n;

		a.start = start;
		a.end = end;
		n = ioctl(m->fd, SCAN_IOCTL, &a);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			uint64_t from = max_of(r[i].start, start); /* each page once */

			if (from < r[i].end)
				fn(arg, from, r[i].end);
		}
		/* With a full vector walk_end may lie before what was told already (seen in 6.18).
		 */
		a.walk_end = n == WINDOW ? r[n - 1].end : a.walk_end;
		if (a.walk_end <= start)
			break;
		start = a.walk_end;
	}
	return 0;
}

static int read_entries(const struct pagemap *m, uint64_t start, uint64_t end,
			void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	uint64_t entry[WINDOW], from = 0, to = 0;

	while (start < end) {
		size_t want = min_of((end - start) / m->page_bytes, (uint64_t)WINDOW);
		ssize_t n = pread(m->fd, entry, want * sizeof(*entry),
				  start / m->page_bytes * sizeof(*entry));

		if (n < 0)
			return -errno;
		if (n < (ssize_t)sizeof(*entry))
			return -ESRCH;
		for (size_t i = 0; i < n / sizeof(*entry); i++, start += m->page_bytes) {
			if (!(entry[i] & PM_PRESENT))
				continue;
			if (start != to) {
				if (from < to)
					fn(arg, from, to);
				from = start;
			}
			to = start + m->page_bytes;
		}
	}
	if (from < to)
		fn(arg, from, to);
	return 0;
}

int pagemap__open(int pid, struct pagemap *ret)
{
	struct region r;
	struct scan_arg a = {.size = sizeof(a), .vec = (uintptr_t)&r, .vec_len = 1};
	uint64_t entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	ret->page_bytes = sysconf(_SC_PAGESIZE);
	ret->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ret->fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/* Read first: without an address space it reads as empty, and must not be scanned. */
	if (pread(ret->fd, &entry, sizeof(entry), 0) != sizeof(entry)) {
		pagemap__close(ret);
		return -ESRCH;
	}
	ret->scans = ioctl(ret->fd, SCAN_IOCTL, &a) == 0;
	return 0;
}

void pagemap__close(struct pagemap *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

int pagemap__resident(const struct pagemap *m, uint64_t start, uint64_t end,
		      void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	start = start / m->page_bytes * m->page_bytes;
	end = (end + m->page_bytes - 1) / m->page_bytes * m->page_bytes;
	return m->scans ? scan(m, start, end, fn, arg) : read_entries(m, start, end, fn, arg);
}

bool pagemap__is_present(const struct pagemap *m, uint64_t addr)
{
	uint64_t entry;

	return pread(m->fd, &entry, sizeof(entry), addr / m->page_bytes * sizeof(entry)) ==
		       sizeof(entry) &&
	       entry & PM_PRESENT;
}
