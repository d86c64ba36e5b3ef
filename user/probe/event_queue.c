/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/event_queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "core/util.h"

#define CHUNK_BYTES (256u << 10)

/* Events one after the other: their size in 8 bytes, then their bytes, padded to 8. */
struct event_chunk {
	struct event_chunk *next;
	size_t used, cap;
	uint64_t words[];
};

struct event_queue {
	size_t max_bytes;

	pthread_mutex_t lock; /* of all that follows up to `mine` */
	struct event_chunk *first, *last;
	struct event_chunk *spare; /* one that is empty, for the next need */
	size_t bytes;		   /* in chunks that wait or are being worked on */

	struct event_chunk
		*mine; /* of the taker: the chunks taken over, the first being worked on */
	size_t at;
};

int event_queue__new(size_t max_bytes, struct event_queue **ret)
{
	struct event_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->max_bytes = max_bytes;
	pthread_mutex_init(&q->lock, NULL);
	*ret = q;
	return 0;
}

static void free_chunks(struct event_chunk *c)
{
	while (c) {
		struct event_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void event_queue__free(struct event_queue *q)
{
	if (!q)
		return;
	free_chunks(q->first);
	free_chunks(q->mine);
	free(q->spare);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* A chunk with room for `need` bytes at the end of the list. */
static struct event_chunk *room_for(struct event_queue *q, size_t need)
{
	struct event_chunk *c = q->last;

	if (c && c->cap - c->used >= need)
		return c;
	if (q->spare && q->spare->cap >= need) {
		c = take_ptr(q->spare);
	} else {
		size_t cap = max_of(need, (size_t)CHUNK_BYTES);

		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		c->cap = cap;
	}
	c->used = 0;
	c->next = NULL;
	*(q->last ? &q->last->next : &q->first) = c;
	q->last = c;
	return c;
}

int event_queue__put(struct event_queue *q, const void *data, size_t size)
{
	size_t need = 8 + ((size + 7) & ~(size_t)7);
	struct event_chunk *c;
	uint8_t *p;

	pthread_mutex_lock(&q->lock);
	c = room_for(q, need);
	if (c) {
		p = (uint8_t *)c->words + c->used;
		memcpy(p, &(uint64_t){size}, 8);
		memcpy(p + 8, data, size);
		c->used += need;
		q->bytes += need;
	}
	pthread_mutex_unlock(&q->lock);
	return c ? 0 : -ENOMEM;
}

bool event_queue__full(struct event_queue *q)
{
	bool full;

	pthread_mutex_lock(&q->lock);
	full = q->bytes >= q->max_bytes;
	pthread_mutex_unlock(&q->lock);
	return full;
}

/* The taker's first chunk is done with. */
static void give_back(struct event_queue *q)
{
	struct event_chunk *c = q->mine;

	q->mine = c->next;
	q->at = 0;
	pthread_mutex_lock(&q->lock);
	q->bytes -= c->used;
	if (!q->spare && c->cap == CHUNK_BYTES) {
		q->spare = c;
		c = NULL;
	}
	pthread_mutex_unlock(&q->lock);
	free(c);
}

void *event_queue__take(struct event_queue *q, size_t *ret_size)
{
	uint8_t *p;
	uint64_t size;

	if (q->mine && q->at >= q->mine->used)
		give_back(q);
	if (!q->mine) {
		pthread_mutex_lock(&q->lock);
		q->mine = take_ptr(q->first);
		q->last = NULL;
		pthread_mutex_unlock(&q->lock);
		q->at = 0;
	}
	if (!q->mine)
		return NULL;
	p = (uint8_t *)q->mine->words + q->at;
	memcpy(&size, p, 8);
	q->at += 8 + ((size + 7) & ~(size_t)7);
	*ret_size = size;
	return p + 8;
}
