/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/hist_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The bucket that starts at `from`: also when its limits were others in the file. */
static int bucket_of(const json_t *b, bool sizes)
{
	json_int_t from = json_integer_value(json_object_get(b, sizes ? "from_bytes" : "from_us"));

	if (from < 0)
		from = 0;
	return sizes ? hist__size_bucket(from) : hist__life_bucket(from);
}

static double count_of(const json_t *b, const char *key)
{
	double v = json_number_value(json_object_get(b, key));

	return v > 0 && v < 0x1p62 ? v : 0;
}

int hist_in__stack(struct hist *h, const char *key, const json_t *v)
{
	bool sizes = !strcmp(key, "size_histogram");
	const json_t *b;
	size_t i;
	int err = 0;

	if (!strcmp(key, "temporary"))
		h->temporary_bytes = count_of(v, "bytes");
	if (!sizes && strcmp(key, "lifetime_histogram") != 0)
		return 0;
	json_array_foreach(v, i, b)
	{
		if (!err)
			err = hist__add_bit(h, bucket_of(b, sizes) + (sizes ? 0 : HIST_SIZES),
					    count_of(b, "objects"));
	}
	return err;
}

int hist_in__total(struct profile *p, const char *key, const json_t *v)
{
	bool sizes = !strcmp(key, "size_histogram");
	struct hist_total *t;
	const json_t *b;
	size_t i;

	if (!sizes && strcmp(key, "lifetime_histogram") != 0)
		return 0;
	if (!p->hist_total)
		p->hist_total = calloc(1, sizeof(*p->hist_total));
	t = p->hist_total;
	if (!t)
		return -ENOMEM;
	json_array_foreach(v, i, b)
	{
		int k = bucket_of(b, sizes);

		*(sizes ? &t->size_objects[k] : &t->life_objects[k]) += count_of(b, "objects");
		*(sizes ? &t->size_bytes[k] : &t->life_bytes[k]) += count_of(b, "bytes");
	}
	return 0;
}
