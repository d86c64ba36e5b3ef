/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_serve.h"

#include <malloc.h>
#include <string.h>

#include "core/util.h"
#include "go/go_heap.h"
#include "go/go_stacks.h"
#include "model/profile_packed.h"
#include "sys/box.h"

#define CACHE_BYTES ((size_t)48 << 20) /* of the memory that a helper may have */

/* One program. Names are kept from reading to reading: a program's stacks hardly change. */
static struct {
	bool open;
	struct go_target t;
	struct procmem_cache *cache; /* its memory is kept, not what it has read */
	struct profile *heap;
	struct go_stacks *stacks; /* of heap */
	struct go_heap read;	  /* what heap's samples are made of */
} now;

static void forget_names(void)
{
	go_heap__free(&now.read);
	go_stacks__free(now.stacks);
	profile__free(now.heap);
	now.stacks = NULL;
	now.heap = NULL;
}

static void serve_open(struct box_conn *c, struct box_request *r)
{
	struct go_source src = {r->fds[0], r->fds[1], r->fds[2], 0};
	struct go_facts f = {0};
	int err = -EINVAL;

	/* The same room is needed at each reading: not given back in between. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);

	if (!now.open && r->len == sizeof(src.entry) && src.exe >= 0 && src.mem >= 0 &&
	    src.maps >= 0) {
		memcpy(&src.entry, r->data, sizeof(src.entry));
		err = go_target__open(&src, &now.t);
		if (!err)
			err = procmem_cache__new(now.t.mem, CACHE_BYTES, &now.cache);
		f.stage = now.t.stage;
		memcpy(f.version, now.t.bin.version, sizeof(f.version));
	}
	now.open = !err;
	if (err) {
		go_target__close(&now.t);
	} else {
		f.minor = now.t.bin.minor;
		f.cgo = now.t.bin.cgo;
		f.profiling_off_by_linker = now.t.profiling_off_by_linker;
		f.layout = *now.t.layout;
		f.sym = now.t.sym;
		if (gobin__probe_site(&now.t.bin, GO_GC_SITE, &f.gc_site))
			f.gc_site = 0;
	}
	box_conn__answer(c, err, &f, sizeof(f), false);
}

/* Libraries that were loaded meanwhile: locations are told by the mapping they are in. */
static int renew_maps(int fd)
{
	bool changed = false;
	int err = fd < 0 ? 0 : go_target__read_maps(&now.t, fd, &changed);

	if (changed)
		forget_names();
	return err;
}

/* The samples of a reading, in a profile that has the names of those before. Takes h. */
static int name_samples(struct go_heap *h)
{
	struct go_heap_named before = {0};
	cleanup_free void *samples = NULL, *stack = NULL;
	int err = 0;

	if (!now.heap) {
		err = profile__new(&now.heap);
		if (!err)
			err = profile__set_heap_types(now.heap, 0);
		if (!err)
			err = go_stacks__new(&now.t, now.heap, &now.stacks);
	}
	if (!err) {
		before = (struct go_heap_named){now.read, now.heap->samples, now.heap->stack};
		samples = now.heap->samples;
		stack = now.heap->stack;
		now.heap->samples = NULL;
		now.heap->stack = NULL;
		now.heap->nsamples = now.heap->nstack = now.heap->nlabels = 0;
		now.heap->samples_cap = now.heap->stack_cap = 0;
		memset(&now.heap->totals, 0, sizeof(now.heap->totals));
		err = go_heap__add(now.stacks, h, &before, now.heap);
		go_heap__free(&before.heap);
		now.read = *h;
		memset(h, 0, sizeof(*h));
	}
	if (err)
		forget_names();
	return err;
}

static int write_out(void *arg, const void *data, size_t len)
{
	return util__write_all(*(int *)arg, data, len);
}

/* Over what was there before: a file's memory is dearer to get than to write. */
static int write_samples(int fd, const struct profile *p)
{
	int err = lseek(fd, 0, SEEK_SET) ? -errno : profile_packed__write(p, write_out, &fd);

	return err ? err : ftruncate(fd, lseek(fd, 0, SEEK_CUR)) ? -errno : 0;
}

static void serve_heap(struct box_conn *c, struct box_request *r)
{
	struct go_heap_facts f = {0};
	struct go_heap h = {0};
	int err = now.open && r->fds[0] >= 0 ? renew_maps(r->fds[1]) : -EINVAL;

	if (!err)
		err = go_heap__of(&now.t, now.cache, &h);
	f = (struct go_heap_facts){h.rate, h.before_gc, h.torn, h.tries, h.damaged};
	if (!err)
		err = name_samples(&h);
	go_heap__free(&h);
	if (!err)
		err = write_samples(r->fds[0], now.heap);
	box_conn__answer(c, err, &f, sizeof(f), false);
}

static void serve_memstats(struct box_conn *c, struct box_request *r)
{
	struct go_wanted w = {0};
	struct go_numbers n = {0};
	int err = now.open && r->len == sizeof(w) ? 0 : -EINVAL;

	if (!err) {
		memcpy(&w, r->data, sizeof(w));
		err = go_memstats__read(&now.t, &n.memstats);
	}
	if (!err && w.goroutines)
		n.have_goroutines = !go_goroutines__count(&now.t, &n.goroutines);
	box_conn__answer(c, err, &n, sizeof(n), false);
}

static void serve_goroutines(struct box_conn *c, struct box_request *r)
{
	struct go_goroutines_count count = {0};
	struct profile *p = NULL;
	int err = now.open && r->fds[0] >= 0 ? go_goroutines__profile(&now.t, &p, &count) : -EINVAL;

	if (!err)
		err = write_samples(r->fds[0], p);
	profile__free(p);
	box_conn__answer(c, err, &count, sizeof(count), false);
}

void go_serve__serve(struct box_conn *c, struct box_request *r)
{
	switch (r->op) {
	case GO_IS_GO:
		box_conn__answer(c, r->fds[0] >= 0 && go_target__is_go(r->fds[0]), NULL, 0, false);
		return;
	case GO_OPEN: serve_open(c, r); return;
	case GO_HEAP: serve_heap(c, r); return;
	case GO_MEMSTATS: serve_memstats(c, r); return;
	case GO_GOROUTINES: serve_goroutines(c, r); return;
	default: box_conn__answer(c, -EINVAL, NULL, 0, false);
	}
}
