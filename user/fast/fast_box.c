/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fast/fast_box.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/textbuf.h"
#include "core/util.h"

#define MAX_ANSWER_BYTES (4u << 20)
#define MAX_WHY 160
#define OFFSET_MASK 4095ULL

enum { FAST_PLAN = 1, FAST_BYTES };

/* The memory file, to the helper: the head, n sites as they are; and back: the answer's head,
 * plan_n functions. */
struct fast_question {
	uint64_t start, offset, n;
};

struct fast_answer {
	uint64_t bias, n;
	char why[FAST_WHY];
};

struct fast_function {
	uint64_t addr; /* of the entry, in the process */
	uint32_t hooked, len;
	uint8_t code[ENTRY_LOOK]; /* len bytes of it */
	char why[MAX_WHY];
};

/* --- the helper's side --- */

static bool find_bias(const struct elfobj *elf, const struct fast_question *q, uint64_t *ret)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(elf, &seg);

	for (size_t i = 0; i < n; i++) {
		if ((seg[i].flags & PF_X) && (seg[i].off & ~OFFSET_MASK) == q->offset) {
			*ret = q->start - (seg[i].vaddr & ~OFFSET_MASK);
			return true;
		}
	}
	return false;
}

static int answer_plan(int out, const struct fast_plan *p, uint64_t bias)
{
	struct fast_answer a = {.bias = bias, .n = p->n};
	int err;

	memcpy(a.why, p->why, sizeof(a.why));
	if (lseek(out, 0, SEEK_SET) || ftruncate(out, 0))
		return -errno;
	err = util__write_all(out, &a, sizeof(a));
	for (size_t i = 0; i < p->n && !err; i++) {
		const struct plan_func *f = &p->funcs[i];
		struct fast_function w = {.addr = f->stub.entry.addr, .hooked = f->hooked};

		w.len = f->stub.entry.code_len;
		memcpy(w.code, f->stub.entry.code, sizeof(w.code));
		snprintf(w.why, sizeof(w.why), "%s", f->why ? f->why : "");
		err = util__write_all(out, &w, sizeof(w));
	}
	return err;
}

static int serve_plan(int fd, int out)
{
	cleanup_free void *data = NULL;
	const struct fast_question *q;
	struct elfobj *elf = NULL;
	struct fast_plan plan = {0};
	uint64_t bias = 0;
	struct site *sites;
	size_t len = 0;
	int err = box__take(out, SIZE_MAX, &data, &len);

	if (err)
		return err;
	q = data;
	if (len < sizeof(*q) || len != sizeof(*q) + q->n * sizeof(*sites))
		return -EINVAL;
	sites = (struct site *)(q + 1);
	for (size_t i = 0; i < q->n; i++)
		sites[i].why = ""; /* it pointed elsewhere */
	err = elfobj__open_fd(fd, "", &elf);
	if (!err && !find_bias(elf, q, &bias))
		err = -ENOEXEC;
	if (!err)
		err = fast_plan__read(elf, sites, q->n, bias, &plan);
	if (!err)
		err = answer_plan(out, &plan, bias);
	fast_plan__fini(&plan);
	elfobj__close(elf);
	return err;
}

static void serve_bytes(struct box_conn *c, const struct box_request *r)
{
	uint8_t bytes[STUB_MAX_FUNCS][ENTRY_PATCH];
	size_t n = r->len / sizeof(uint64_t);
	const uint64_t *offsets = r->data;
	int err = n <= STUB_MAX_FUNCS ? 0 : -EINVAL;

	for (size_t i = 0; i < n && !err; i++) {
		if (pread(r->fds[0], bytes[i], ENTRY_PATCH, (off_t)offsets[i]) != ENTRY_PATCH)
			err = -ENODATA;
	}
	box_conn__answer(c, err, bytes, err ? 0 : n * ENTRY_PATCH, false);
}

void fast_box__serve(struct box_conn *c, struct box_request *r)
{
	if (r->op == FAST_BYTES && r->fds[0] >= 0)
		serve_bytes(c, r);
	else if (r->op == FAST_PLAN && r->fds[0] >= 0 && r->fds[1] >= 0)
		box_conn__answer(c, serve_plan(r->fds[0], r->fds[1]), NULL, 0, false);
	else
		box_conn__answer(c, -EINVAL, NULL, 0, false);
}

/* --- this side --- */

static int ask(int fd, const struct box_target *whose, const struct fast_question *q,
	       const struct site *sites, void **ret, size_t *ret_len)
{
	cleanup_fd int io = box__memory();
	const int fds[] = {fd, io};
	struct box_helper *h = NULL;
	struct box_answer a;
	int err = io < 0 ? io : util__write_all(io, q, sizeof(*q));

	if (!err)
		err = util__write_all(io, sites, q->n * sizeof(*sites));
	if (!err)
		err = box_helper__new(BOX_FAST, fd, whose, &h);
	if (err)
		return err;
	err = box_helper__ask(h, FAST_PLAN, NULL, 0, fds, ARRAY_SIZE(fds), &a);
	box_helper__free(h);
	if (err)
		return err > 0 ? -EFAULT : err;
	return box__take(io, MAX_ANSWER_BYTES, ret, ret_len);
}

/* One function: its site is this side's, its entry what decoding finds in the bytes. */
static bool adopt(const struct fast_function *w, const struct site *s, struct fast_plan *p,
		  struct plan_func *f, char *text)
{
	uint64_t follow;

	if (!util__is_text(w->why, sizeof(w->why)) || w->len > ENTRY_LOOK)
		return false;
	fast_plan__begin(f, s);
	memcpy(text, w->why, sizeof(w->why));
	textbuf__printable(text);
	f->why = text;
	f->hooked = w->hooked;
	if (!f->hooked)
		return true;
	p->hooked++;
	return p->hooked <= STUB_MAX_FUNCS &&
	       entry__decode(w->code, w->len, w->addr, fast_plan__args(s), &f->stub.entry, &follow);
}

static int unpack(const void *data, size_t len, const struct site *sites, size_t n,
		  struct fast_plan *p, uint64_t *ret_bias)
{
	const struct fast_answer *a = data;
	const struct fast_function *w = (const struct fast_function *)(a + 1);

	if (len < sizeof(*a) || a->n > n || len != sizeof(*a) + a->n * sizeof(*w) ||
	    !util__is_text(a->why, sizeof(a->why)))
		return -EFAULT;
	p->funcs = calloc(n + 1, sizeof(*p->funcs));
	p->texts = calloc(n + 1, MAX_WHY);
	if (!p->funcs || !p->texts)
		return -ENOMEM;
	memcpy(p->why, a->why, sizeof(p->why));
	textbuf__printable(p->why);
	for (; p->n < a->n; p->n++) {
		if (!adopt(&w[p->n], &sites[p->n], p, &p->funcs[p->n], p->texts + p->n * MAX_WHY))
			return -EFAULT;
	}
	*ret_bias = a->bias;
	return *p->why || p->hooked ? 0 : -EFAULT;
}

int fast_box__plan(int fd, const struct box_target *whose, const struct site *sites, size_t n,
		   uint64_t start, uint64_t offset, struct fast_plan *p, uint64_t *ret_bias)
{
	const struct fast_question q = {start, offset, n};
	cleanup_free void *data = NULL;
	size_t len = 0;
	int err = ask(fd, whose, &q, sites, &data, &len);

	memset(p, 0, sizeof(*p));
	if (!err)
		err = unpack(data, len, sites, n, p, ret_bias);
	if (err)
		fast_plan__fini(p);
	return err;
}

int fast_box__bytes(int fd, const struct box_target *whose, const uint64_t *offsets, size_t n,
		    uint8_t (*bytes)[ENTRY_PATCH])
{
	struct box_helper *h = NULL;
	struct box_answer a;
	int err = box_helper__new(BOX_FAST, fd, whose, &h);

	if (!err)
		err = box_helper__ask(h, FAST_BYTES, offsets, n * sizeof(*offsets), &fd, 1, &a);
	if (!err && a.len != n * ENTRY_PATCH)
		err = -EFAULT;
	if (!err)
		memcpy(bytes, a.data, a.len);
	box_helper__free(h);
	return err;
}
