/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/proc_task.h"

#define WINDOW 512 /* regions or entries at once */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAPPED (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define PM_FRAME ((1ULL << 55) - 1)
#define KPF_THP 22

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

ssize_t pagemap__entries(int fd, uint64_t page, struct pagemap_entry *ret, size_t n)
{
	uint64_t bits[WINDOW];
	ssize_t got = pread(fd, bits, min_of(n, (size_t)WINDOW) * sizeof(*bits),
			    (off_t)(page * sizeof(*bits)));

	if (got < 0)
		return -errno;
	got /= (ssize_t)sizeof(*bits);
	for (ssize_t i = 0; i < got; i++)
		ret[i] = (struct pagemap_entry){
			.present = bits[i] & PM_PRESENT,
			.swapped = bits[i] & PM_SWAPPED,
			.is_file = bits[i] & PM_FILE,
			.frame = bits[i] & PM_SWAPPED ? 0 : bits[i] & PM_FRAME,
		};
	return got;
}

static int read_entries(const struct pagemap *m, uint64_t start, uint64_t end,
			void (*fn)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	uint64_t from = 0, to = 0;
	struct pagemap_entry e[WINDOW];

	while (start < end) {
		size_t want = min_of((end - start) / m->page_bytes, (uint64_t)WINDOW);
		ssize_t n = pagemap__entries(m->fd, start / m->page_bytes, e, want);

		if (n <= 0)
			return n ? (int)n : -ESRCH;
		for (ssize_t i = 0; i < n; i++, start += m->page_bytes) {
			if (!e[i].present)
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

int pagemap__open_file(int pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", proc_task__shows(pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

int pagemap__open(int pid, struct pagemap *ret)
{
	struct region r;
	struct scan_arg a = {.size = sizeof(a), .vec = (uintptr_t)&r, .vec_len = 1};
	struct pagemap_entry e;

	ret->page_bytes = sysconf(_SC_PAGESIZE);
	ret->fd = pagemap__open_file(pid);
	if (ret->fd < 0)
		return ret->fd;
	/* Read first: without an address space it reads as empty, and must not be scanned. */
	if (pagemap__entries(ret->fd, 0, &e, 1) != 1) {
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
	struct pagemap_entry e;

	return pagemap__entries(m->fd, addr / m->page_bytes, &e, 1) == 1 && e.present;
}

int pagemap__open_frames(void)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

bool pagemap__is_huge(int frames_fd, const struct pagemap_entry *e)
{
	uint64_t flags;

	return e->frame && frames_fd >= 0 &&
	       pread(frames_fd, &flags, sizeof(flags), (off_t)(e->frame * sizeof(flags))) ==
		       sizeof(flags) &&
	       (flags >> KPF_THP & 1);
}
