/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_client.h"

#include <ctype.h>
#include <string.h>

#include "core/util.h"
#include "model/profile_packed.h"

static int broken(struct go_client *c)
{
	go_client__close(c);
	return -EFAULT;
}

uint64_t go_client__cpu_ns(const struct go_client *c)
{
	return c->past_cpu_ns + (c->h ? box_helper__cpu_ns(c->h) : 0);
}

void go_client__close(struct go_client *c)
{
	c->past_cpu_ns = go_client__cpu_ns(c);
	box_helper__free(c->h);
	c->h = NULL;
	if (c->samples)
		close(c->samples - 1);
	c->samples = 0;
}

/* An answer of exactly `size` bytes, which is there with a refusal, too. */
static int ask(struct go_client *c, uint32_t op, const void *data, size_t len, const int *fds,
	       size_t nfds, void *ret, size_t size)
{
	struct box_answer a = {0};
	int err = c->h ? box_helper__ask(c->h, op, data, len, fds, nfds, &a) : -EFAULT;

	if (!c->h || box_helper__fd(c->h) < 0) {
		go_client__close(c);
		return err < 0 ? err : -EFAULT;
	}
	if (err > 0 || a.len != size)
		return broken(c);
	memcpy(ret, a.data, size);
	return err;
}

int go_client__is_go(int exe, const struct box_target *whose)
{
	struct box_helper *h;
	struct box_answer a;
	int err = box_helper__new(BOX_GO, exe, whose, &h);

	if (err)
		return err;
	err = box_helper__ask(h, GO_IS_GO, NULL, 0, &exe, 1, &a);
	if (err > 1 || (err >= 0 && a.len))
		err = -EFAULT;
	box_helper__free(h);
	return err;
}

/* A version is what is printed of it; flags are flags. */
static bool facts_hold(const struct go_facts *f)
{
	size_t n = strnlen(f->version, sizeof(f->version));

	for (size_t i = 0; i < n; i++) {
		if (!isascii(f->version[i]) || !isprint(f->version[i]))
			return false;
	}
	return n < sizeof(f->version) && f->stage <= GO_STAGES && f->cgo <= 1 &&
	       f->profiling_off_by_linker <= 1;
}

int go_client__open(struct go_client *c, const struct go_source *src, const struct procmem *mem,
		    const struct box_target *whose, struct go_facts *ret)
{
	struct memreader_meter *meter = NULL;
	cleanup_fd int reader = -1;
	int err = c->h ? 0 : box_helper__new(BOX_GO, -1, whose, &c->h);

	memset(ret, 0, sizeof(*ret));
	if (!err) {
		reader = procmem__hand_over(mem, &meter);
		err = min_of(reader, 0);
	}
	if (!err)
		box_helper__reader(c->h, meter);
	if (!err)
		err = ask(c, GO_OPEN, &src->entry, sizeof(src->entry),
			  (int[]){src->exe, reader, src->maps}, 3, ret, sizeof(*ret));
	if (!c->h || facts_hold(ret))
		return err;
	memset(ret, 0, sizeof(*ret));
	return broken(c);
}

/* A request whose answer has samples in a memory file. */
static int ask_samples(struct go_client *c, uint32_t op, int more_fd, void *ret, size_t size,
		       struct go_samples *ret_samples)
{
	int out = c->samples ? c->samples - 1 : box__memory();
	cleanup_free void *data = NULL;
	const int fds[] = {out, more_fd};
	size_t len = 0;
	int err;

	if (out < 0)
		return out;
	c->samples = out + 1;
	err = ask(c, op, NULL, 0, fds, more_fd < 0 ? 1 : 2, ret, size);

	if (err)
		return err;
	err = box__take(out, GO_MAX_ANSWER_BYTES, &data, &len);
	if (!err)
		err = profile_packed__check(data, len);
	if (err)
		return err == -ENOMEM ? err : broken(c);
	*ret_samples = (struct go_samples){take_ptr(data), len};
	return 0;
}

int go_client__heap(struct go_client *c, int maps, struct go_heap_facts *ret,
		    struct go_samples *ret_samples)
{
	return ask_samples(c, GO_HEAP, maps, ret, sizeof(*ret), ret_samples);
}

int go_client__goroutines(struct go_client *c, struct go_goroutines_count *ret,
			  struct go_samples *ret_samples)
{
	return ask_samples(c, GO_GOROUTINES, -1, ret, sizeof(*ret), ret_samples);
}

static bool is_share(double v)
{
	return v >= 0 && v <= 1;
}

int go_client__memstats(struct go_client *c, bool goroutines, struct go_numbers *ret)
{
	const struct go_wanted w = {.goroutines = goroutines};
	int err = ask(c, GO_MEMSTATS, &w, sizeof(w), NULL, 0, ret, sizeof(*ret));

	return !err && !is_share(ret->memstats.gc_cpu_fraction) ? broken(c) : err;
}
