/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wl.h - what every workload with exactly known allocations shares.
 *
 * Protocol: print "ready", wait for a line on stdin, do the work, print "done {json}", wait for
 * another line, exit. The JSON holds totals and, per function, what that function allocated:
 * objects and bytes asked for, and what of them was given back.
 *
 * Nothing here allocates: read(2) and write(2) with static buffers, numbers formatted by hand, so
 * that the counts of the program under test are the workload's own.
 */
#ifndef WL_H
#define WL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define WL_NOINLINE __attribute__((noinline, noclone, unused))
#define WL_MAX_FNS 64
#ifndef __cplusplus
#define WL_STATIC_CAST(t, v) ((t)(v))
#else
#define WL_STATIC_CAST(t, v) static_cast<t>(v)
#endif

struct wl_fn {
	const char *name;
	uint64_t alloc_objects, alloc_bytes, free_objects, free_bytes;
};

static struct wl_fn wl_fns[WL_MAX_FNS];
static int wl_nfns;
static char wl_buf[16384];
static size_t wl_len;

/* The compiler must believe that p is used. */
static inline void *wl_keep(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

/* A size that the compiler knows nothing about: no folding, no warning. */
static inline size_t wl_size(size_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

/* Rows are added by the main thread alone; any thread may add to a row it was given. */
WL_NOINLINE static struct wl_fn *wl_fn(const char *name)
{
	int i;

	for (i = 0; i < wl_nfns; i++)
		if (!strcmp(wl_fns[i].name, name))
			return &wl_fns[i];
	if (wl_nfns == WL_MAX_FNS)
		_exit(99);
	wl_fns[wl_nfns].name = name;
	return &wl_fns[wl_nfns++];
}

static inline void wl_add(struct wl_fn *f, uint64_t ao, uint64_t ab, uint64_t fo, uint64_t fb)
{
	__atomic_fetch_add(&f->alloc_objects, ao, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->alloc_bytes, ab, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->free_objects, fo, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->free_bytes, fb, __ATOMIC_RELAXED);
}

/* Function `name` allocated / blocks that it had allocated were given back. */
static inline void wl_alloc(const char *name, uint64_t objects, uint64_t bytes)
{
	wl_add(wl_fn(name), objects, bytes, 0, 0);
}

static inline void wl_free(const char *name, uint64_t objects, uint64_t bytes)
{
	wl_add(wl_fn(name), 0, 0, objects, bytes);
}

static inline void wl_put(const char *s)
{
	size_t n = strlen(s);

	if (wl_len + n > sizeof(wl_buf))
		_exit(98);
	memcpy(wl_buf + wl_len, s, n);
	wl_len += n;
}

static inline void wl_put_num(const char *key, uint64_t v, const char *end)
{
	char b[24];
	int i = sizeof(b) - 1;

	b[i] = 0;
	do
		b[--i] = WL_STATIC_CAST(char, '0' + v % 10);
	while (v /= 10);
	wl_put("\"");
	wl_put(key);
	wl_put("\":");
	wl_put(b + i);
	wl_put(end);
}

static inline void wl_flush(void)
{
	size_t at = 0;

	while (at < wl_len) {
		ssize_t n = write(1, wl_buf + at, wl_len - at);

		if (n <= 0)
			_exit(97);
		at += WL_STATIC_CAST(size_t, n);
	}
	wl_len = 0;
}

static inline void wl_say(const char *line)
{
	wl_put(line);
	wl_put("\n");
	wl_flush();
}

/* Waits for a line on stdin; ends the program when there will be none. */
static inline void wl_wait(void)
{
	char c = 0;

	while (c != '\n')
		if (read(0, &c, 1) != 1)
			_exit(96);
}

static inline void wl_put_fn(const struct wl_fn *f)
{
	wl_put_num("alloc_objects", f->alloc_objects, ",");
	wl_put_num("alloc_bytes", f->alloc_bytes, ",");
	wl_put_num("free_objects", f->free_objects, ",");
	wl_put_num("free_bytes", f->free_bytes, ",");
	wl_put_num("inuse_objects", f->alloc_objects - f->free_objects, ",");
	wl_put_num("inuse_bytes", f->alloc_bytes - f->free_bytes, "");
}

/* "done {…}" with totals and functions. */
static inline void wl_done(void)
{
	struct wl_fn sum = {};
	int i;

	for (i = 0; i < wl_nfns; i++)
		wl_add(&sum, wl_fns[i].alloc_objects, wl_fns[i].alloc_bytes, wl_fns[i].free_objects,
		       wl_fns[i].free_bytes);
	wl_put("done {");
	wl_put_fn(&sum);
	wl_put(",\"functions\":{");
	for (i = 0; i < wl_nfns; i++) {
		wl_put(i ? ",\"" : "\"");
		wl_put(wl_fns[i].name);
		wl_put("\":{");
		wl_put_fn(&wl_fns[i]);
		wl_put("}");
	}
	wl_say("}}");
}

static inline void wl_ready_go(void)
{
	wl_say("ready");
	wl_wait();
}

/* The usual frame of a workload: work() between "go" and "done". */
static inline int wl_main(void (*work)(void))
{
	wl_ready_go();
	work();
	wl_done();
	wl_wait();
	return 0;
}

#endif
