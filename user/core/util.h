/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * util.h - cleanup attributes, growable arrays, small numeric helpers.
 */
#ifndef CORE_UTIL_H
#define CORE_UTIL_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define min_of(a, b) ((a) < (b) ? (a) : (b))
#define max_of(a, b) ((a) > (b) ? (a) : (b))

/* Leaf resources: declared with cleanup_*, handed on with take_*(). */
static inline void util__close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}
static inline void util__free_ptr(void *p)
{
	free(*(void **)p);
}
static inline void util__close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void util__close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define cleanup_fd __attribute__((cleanup(util__close_fd)))
#define cleanup_free __attribute__((cleanup(util__free_ptr)))
#define cleanup_file __attribute__((cleanup(util__close_file)))
#define cleanup_dir __attribute__((cleanup(util__close_dir)))

static inline int take_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}
#define take_ptr(p)                     \
	({                              \
		__typeof__(p) _v = (p); \
		(p) = NULL;             \
		_v;                     \
	})

/* *sum + v of numbers that a file says, which may be any: it wraps, where `+` would be a fault. */
static inline void util__add(int64_t *sum, int64_t v)
{
	*sum = (int64_t)((uint64_t)*sum + (uint64_t)v);
}

/*
 * Makes room for `want` elements of `size` bytes in *items (capacity *cap), doubling.
 * Returns 0, -ENOMEM or -E2BIG (arithmetic overflow).
 */
int util__grow(void **items, size_t *cap, size_t want, size_t size);
void util__shrink(void **items, size_t *cap, size_t n, size_t size);

/* array_reserve(items, cap, n): room for n elements; evaluates to 0 or a negative errno. */
#define array_reserve(items, cap, n)                                                          \
	({                                                                                    \
		void *_p = (items);                                                           \
		size_t _c = (cap);                                                            \
		int _r = (size_t)(n) <= _c ? 0 : util__grow(&_p, &_c, (n), sizeof(*(items))); \
		(items) = _p;                                                                 \
		(cap) = _c;                                                                   \
		_r;                                                                           \
	})

/* array_shrink(items, cap, n): gives memory back where less than a quarter is in use. */
#define array_shrink(items, cap, n)                            \
	do {                                                   \
		void *_p = (items);                            \
		size_t _c = (cap);                             \
		util__shrink(&_p, &_c, (n), sizeof(*(items))); \
		(items) = _p;                                  \
		(cap) = _c;                                    \
	} while (0)

/* Finaliser of MurmurHash3 (public domain): every input bit reaches every output bit. */
static inline uint64_t util__mix64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

/* FNV-1a with a final mix, the same in every run: against accidents, not against adversaries.
 * Tables hash with core/keyhash.h. */
uint64_t util__checksum(const void *data, size_t len);

/* Does a text end within these bytes? Of answers that are not believed. */
static inline bool util__is_text(const char *bytes, size_t cap)
{
	return memchr(bytes, 0, cap) != NULL;
}

/* CLOCK_MONOTONIC, ns; CLOCK_BOOTTIME, ns; CLOCK_REALTIME, ms. */
uint64_t util__now_ns(void);
uint64_t util__boot_ns(void);
int64_t util__wall_ms(void);

/* The wall clock as it was at the first call, carried on by CLOCK_BOOTTIME, ms: for series of
 * times, which a step of the wall clock must not put out of order. */
int64_t util__steady_ms(void);

/* Makes the pages of freshly allocated memory present, so that using it later cannot need any. */
void util__prefault(void *p, size_t len);

/* Reads a whole small file (procfs, sysfs) into a malloc'ed, NUL-terminated buffer, at most
 * `max` bytes. Returns its length or a negative errno. */
ssize_t util__read_file(const char *path, size_t max, char **ret_text);
/* The same of an open file, from where it stands. */
ssize_t util__read_fd(int fd, size_t max, char **ret_text);

/* Writes all of buf, retrying short writes and EINTR. 0 or a negative errno. */
int util__write_all(int fd, const void *buf, size_t len);

#endif
