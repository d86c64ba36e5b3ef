/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protowire.h - reads protobuf's wire format field by field, without building objects.
 *
 * protobuf-c's unpacker makes an object per message: for a profile of a million samples that is
 * several million small allocations, ten times the memory of the result and most of the time.
 * Here a message is walked in place; nothing is allocated. Input is untrusted.
 */
#ifndef FORMAT_PROTOWIRE_H
#define FORMAT_PROTOWIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct protowire {
	const uint8_t *p, *end;
	/* the field that protowire__next found */
	uint32_t field;
	uint32_t type;	     /* WIRE_* */
	uint64_t num;	     /* varint and fixed */
	const uint8_t *data; /* bytes, or a packed list */
	size_t len;
};

static inline bool protowire__varint(const uint8_t **pp, const uint8_t *end, uint64_t *ret)
{
	const uint8_t *p = *pp;
	uint64_t v = 0;

	for (unsigned shift = 0; p < end && shift < 70; shift += 7) {
		uint8_t b = *p++;

		v |= (uint64_t)(b & 0x7f) << (shift & 63);
		if (b < 0x80) {
			*pp = p;
			*ret = v;
			return true;
		}
	}
	return false;
}

static inline struct protowire protowire__of(const uint8_t *data, size_t len)
{
	return (struct protowire){.p = data, .end = data + len};
}

/* The next field: 1, 0 at the end, -EBADMSG. */
static inline int protowire__next(struct protowire *w)
{
	uint64_t key;

	if (w->p == w->end)
		return 0;
	if (!protowire__varint(&w->p, w->end, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
		return -EBADMSG;
	w->field = key >> 3;
	w->type = key & 7;
	w->num = 0;
	w->len = 0;
	w->data = w->p;
	switch (w->type) {
	case WIRE_VARINT: return protowire__varint(&w->p, w->end, &w->num) ? 1 : -EBADMSG;
	case WIRE_FIXED64: w->len = 8; break;
	case WIRE_FIXED32: w->len = 4; break;
	case WIRE_BYTES:
		if (!protowire__varint(&w->p, w->end, &w->num) || w->num > (size_t)(w->end - w->p))
			return -EBADMSG;
		w->len = w->num;
		w->data = w->p;
		break;
	default: return -EBADMSG;
	}
	if (w->len > (size_t)(w->end - w->p))
		return -EBADMSG;
	w->p += w->len;
	return 1;
}

/*
 * Walks the numbers of a repeated field, packed or single:
 *	for (struct protowire_list l = protowire__list(&w); protowire__list_next(&l, &v);) ...
 *	if (l.bad) ...
 */
struct protowire_list {
	const uint8_t *p, *end;
	uint64_t single;
	bool one, bad;
};

static inline struct protowire_list protowire__list(const struct protowire *w)
{
	struct protowire_list l = {.single = w->num, .one = w->type == WIRE_VARINT};

	if (w->type == WIRE_BYTES) {
		l.p = w->data;
		l.end = w->data + w->len;
	} else if (!l.one) {
		l.bad = true;
	}
	return l;
}

static inline bool protowire__list_next(struct protowire_list *l, uint64_t *ret)
{
	if (l->one) {
		l->one = false;
		*ret = l->single;
		return true;
	}
	if (l->p == l->end)
		return false;
	l->bad = !protowire__varint(&l->p, l->end, ret);
	return !l->bad;
}

#endif
