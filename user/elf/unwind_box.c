/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/unwind_box.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define MAX_TABLE_BYTES (256ULL << 20)

enum { UNWIND_BUILD = 1 };

struct unwind_request {
	struct box_helper *h;
	int out; /* the table, in memory */
};

/* Nobody wants it any more. */
static void free_request(struct unwind_request *r)
{
	if (!r)
		return;
	box_helper__free(r->h);
	util__close_fd(&r->out);
	free(r);
}

int unwind_request__new(int fd, const struct box_target *whose, struct unwind_request **ret)
{
	struct unwind_request *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->out = box__memory();
	err = r->out < 0 ? r->out : box_helper__new(BOX_UNWIND, fd, whose, &r->h);
	if (!err) {
		const int fds[] = {fd, r->out};

		err = box_helper__send(r->h, UNWIND_BUILD, NULL, 0, fds, ARRAY_SIZE(fds));
	}
	if (err)
		free_request(r);
	else
		*ret = r;
	return err;
}

/* The table out of the memory file, with the statistics that came with the answer. */
static int take_table(struct unwind_request *r, const struct unwind_table_stats *st,
		      struct unwind_table **ret)
{
	void *words = NULL;
	size_t len = 0;
	int err = box__take(r->out, MAX_TABLE_BYTES, &words, &len);

	if (!err)
		err = len % 8 ? -EBADMSG : unwind_table__adopt(words, len / 8, ret);
	if (err) {
		free(words);
		return err;
	}
	(*ret)->stats.bad_records = st->bad_records;
	(*ret)->stats.unsupported = st->unsupported;
	(*ret)->stats.truncated = st->truncated;
	return 0;
}

int unwind_request__finish(struct unwind_request *r, struct unwind_table **ret)
{
	struct unwind_table_stats st;
	struct box_answer a;
	int err = box_helper__receive(r->h, &a);

	if (!err)
		err = a.result > 0 ? -EFAULT : a.result;
	if (!err && (a.more || a.len != sizeof(st)))
		err = -EFAULT;
	if (!err) {
		memcpy(&st, a.data, sizeof(st));
		err = take_table(r, &st, ret);
	}
	err = box_helper__verdict(r->h, err);
	free_request(r);
	return err;
}

void unwind_box__serve(struct box_conn *c, struct box_request *r)
{
	struct unwind_table *t = NULL;
	struct elfobj *e = NULL;
	int err = r->op == UNWIND_BUILD && r->fds[0] >= 0 && r->fds[1] >= 0
			  ? elfobj__open_fd(r->fds[0], "", &e)
			  : -EINVAL;

	if (!err)
		err = unwind_table__from_elf(e, &t);
	elfobj__close(e);
	if (!err)
		err = util__write_all(r->fds[1], t->words, t->n_words * 8);
	box_conn__answer(c, err, err ? NULL : &t->stats, err ? 0 : sizeof(t->stats), false);
	unwind_table__free(t);
}
