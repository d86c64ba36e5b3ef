/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/copied_stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

void copied_stacks__fini(struct copied_stacks *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->all[i]);
	free(s->all);
	*s = (struct copied_stacks){0};
}

static bool has(const __u64 *chunks, __u64 i)
{
	return chunks[i / 64] >> i % 64 & 1;
}

bool copied_stacks__whole(const struct mw_ev_copy *ev, size_t size)
{
	size_t need = sizeof(*ev);

	if (size < need || !ev->st.n || ev->st.n > MW_MAX_FRAMES || ev->base % MW_COPY_CHUNK)
		return false;
	need += 8ULL * ev->st.n;
	for (int i = 0; i < MW_COPY_CHUNKS / 64; i++)
		need += (size_t)__builtin_popcountll(ev->sent[i]) * MW_COPY_CHUNK;
	return size >= need;
}

/* The thread's stack, moved to the end; NULL: no memory. */
static struct copied_stack *stack_of(struct copied_stacks *s, __u32 tid)
{
	struct copied_stack *c = NULL;
	size_t i = s->n;

	while (i && s->all[i - 1]->tid != tid)
		i--;
	if (!i && s->n < COPIED_STACKS_KEPT) {
		if (array_reserve(s->all, s->cap, s->n + 1))
			return NULL;
		c = calloc(1, sizeof(*c));
		if (!c)
			return NULL;
		s->all[s->n++] = c;
	} else {
		i = i ? i - 1 : 0; /* the oldest gives its place */
		c = s->all[i];
		memmove(&s->all[i], &s->all[i + 1], (s->n - 1 - i) * sizeof(c));
		s->all[s->n - 1] = c;
	}
	if (c->tid != tid)
		memset(c->chunk, 0, sizeof(c->chunk));
	c->tid = tid;
	return c;
}

static size_t slot_of(__u64 chunk)
{
	return chunk % MW_COPY_CHUNKS;
}

const struct copied_stack *copied_stacks__put(struct copied_stacks *s, const struct mw_ev_copy *ev)
{
	const char *from = (const char *)(ev + 1) + 8 * (size_t)ev->st.n;
	struct copied_stack *c = stack_of(s, ev->st.hdr.tid);

	for (__u64 i = 0; c && i < MW_COPY_CHUNKS; i++) {
		__u64 chunk = ev->base / MW_COPY_CHUNK + i;

		if (!has(ev->sent, i))
			continue;
		c->chunk[slot_of(chunk)] = chunk;
		memcpy(c->bytes[slot_of(chunk)], from, MW_COPY_CHUNK);
		from += MW_COPY_CHUNK;
	}
	return c;
}

int copied_stack__read(const struct copied_stack *s, const struct mw_ev_copy *ev, void *dst,
		       size_t n, __u64 at)
{
	char *to = dst;

	for (size_t done = 0, part; done < n; done += part) {
		__u64 addr = at + done, chunk = addr / MW_COPY_CHUNK,
		      i = chunk - ev->base / MW_COPY_CHUNK;
		size_t off = addr % MW_COPY_CHUNK;

		part = min_of(n - done, (size_t)MW_COPY_CHUNK - off);
		if (i >= MW_COPY_CHUNKS || !has(ev->there, i) ||
		    s->chunk[slot_of(chunk)] != chunk) {
			memset(dst, 0, n);
			return -EFAULT;
		}
		memcpy(to + done, s->bytes[slot_of(chunk)] + off, part);
	}
	return 0;
}
