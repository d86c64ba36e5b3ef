/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/util.h"

#include <stdatomic.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

int util__grow(void **items, size_t *cap, size_t want, size_t size)
{
	size_t n = *cap ? *cap : 8, bytes;
	void *p;

	while (n < want) {
		if (__builtin_mul_overflow(n, 2, &n))
			return -E2BIG;
	}
	if (__builtin_mul_overflow(n, size, &bytes))
		return -E2BIG;
	p = realloc(*items, bytes);
	if (!p)
		return -ENOMEM;
	*items = p;
	*cap = n;
	return 0;
}

void util__shrink(void **items, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap;
	void *p;

	while (want > 64 && want / 4 > n)
		want /= 2;
	if (want == *cap)
		return;
	p = realloc(*items, want * size);
	if (p) {
		*items = p;
		*cap = want;
	}
}

uint64_t util__checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		h = (h ^ w) * 0x100000001b3ULL;
		h ^= h >> 29;
	}
	while (len--)
		h = (h ^ *p++) * 0x100000001b3ULL;
	return util__mix64(h);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t util__now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t util__boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

int64_t util__wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t util__steady_ms(void)
{
	static _Atomic int64_t base; /* wall clock minus CLOCK_BOOTTIME */
	int64_t none = 0, now = (int64_t)(util__boot_ns() / 1000000);

	if (!base) /* of two threads that come here the first one's holds */
		atomic_compare_exchange_strong(&base, &none, util__wall_ms() - now);
	return base + now;
}

void util__prefault(void *p, size_t len)
{
	volatile char *c = p;

	for (size_t i = 0; i < len; i += 1024)
		c[i] = c[i];
	if (len)
		c[len - 1] = c[len - 1];
}

ssize_t util__read_fd(int fd, size_t max, char **ret_text)
{
	cleanup_free char *buf = NULL;
	size_t cap = 0, len = 0;

	for (;;) {
		ssize_t n;
		int err = array_reserve(buf, cap, len + 4096);

		if (err)
			return err;
		n = read(fd, buf + len, min_of(cap - len - 1, max - len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += n;
		if (!n || len >= max)
			break;
	}
	buf[len] = 0;
	*ret_text = take_ptr(buf);
	return len;
}

ssize_t util__read_file(const char *path, size_t max, char **ret_text)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : util__read_fd(fd, max, ret_text);
}

int util__write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}
