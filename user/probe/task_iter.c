/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/task_iter.h"

#include <bpf/bpf.h>
#include <string.h>

#include "core/util.h"
#include "probe/bpfobj_priv.h"

#define READ_BYTES (64 << 10) /* the kernel hands out at most its own 32 KiB at a time */

struct task_iter {
	struct bpf_link *link;
	char buf[READ_BYTES];
};

void task_rows__free(struct task_rows *rows)
{
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

static int by_pid(const void *a, const void *b)
{
	const struct mw_task_row *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	/* of two rows of one process the one with an address space comes first */
	return (int)(x->flags & MW_TASK_NO_MM) - (int)(y->flags & MW_TASK_NO_MM);
}

void task_rows__finish(struct task_rows *rows)
{
	size_t n = 0;
	bool sorted = true;

	for (size_t i = 1; i < rows->n && sorted; i++)
		sorted = rows->row[i - 1].tgid < rows->row[i].tgid;
	if (sorted)
		return;
	qsort(rows->row, rows->n, sizeof(*rows->row), by_pid);
	for (size_t i = 0; i < rows->n; i++) {
		if (!n || rows->row[n - 1].tgid != rows->row[i].tgid)
			rows->row[n++] = rows->row[i];
	}
	rows->n = n;
}

int task_iter__new(struct bpfobj *o, struct task_iter **ret)
{
	struct task_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->link = bpf_program__attach_iter(o->skel->progs.mw_task_rows, NULL);
	if (!it->link) {
		int err = -errno;

		free(it);
		return err;
	}
	*ret = it;
	return 0;
}

void task_iter__free(struct task_iter *it)
{
	if (!it)
		return;
	bpf_link__destroy(it->link);
	free(it);
}

int task_iter__pass(struct task_iter *it, struct task_rows *rows)
{
	cleanup_fd int fd = bpf_iter_create(bpf_link__fd(it->link));
	const size_t size = sizeof(*rows->row);
	size_t have = 0;

	if (fd < 0)
		return -errno;
	rows->n = 0;
	for (;;) {
		ssize_t n = read(fd, it->buf + have, sizeof(it->buf) - have);
		size_t whole;
		int err;

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += n;
		whole = have / size;
		err = array_reserve(rows->row, rows->cap, rows->n + whole);
		if (err)
			return err;
		memcpy(rows->row + rows->n, it->buf, whole * size);
		rows->n += whole;
		have -= whole * size;
		memmove(it->buf, it->buf + whole * size, have);
	}
	task_rows__finish(rows);
	return 0;
}
