/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - a profile as a text for people, see text.h. */
#include "out/text.h"

#include "core/units.h"
#include "core/util.h"
#include "out/escape.h"

#include <inttypes.h>
#include <string.h>

static int put_plain(FILE *f, const char *text)
{
	struct escape_buf b = {0};
	int err = escape__plain(&b, text, "");

	if (!err)
		fwrite(b.text, 1, b.len, f);
	escape__free(&b);
	return err;
}

struct ranked {
	int64_t value;
	uint32_t sample;
};

static int by_value(const void *a, const void *b)
{
	int64_t x = llabs(((const struct ranked *)a)->value), y = llabs(((const struct ranked *)b)->value);

	return x < y ? 1 : x > y ? -1 : 0;
}

#define TOP_STACKS 20

static int top_stacks(FILE *f, const struct profile *p, int type)
{
	cleanup_free struct ranked *r = calloc(p->nsamples + 1, sizeof(*r));
	bool bytes = !strcmp(profile__text(p, p->sample_type[type].unit), "bytes");
	int err = r ? 0 : -ENOMEM;

	if (err)
		return err;
	for (size_t i = 0; i < p->nsamples; i++)
		r[i] = (struct ranked){p->samples[i].value[type], i};
	qsort(r, p->nsamples, sizeof(*r), by_value);
	for (size_t i = 0; i < p->nsamples && i < TOP_STACKS && r[i].value && !err; i++) {
		const struct profile_sample *s = &p->samples[r[i].sample];
		char size[UNITS_LEN];

		if (bytes)
			fprintf(f, "%s\n", units__size(size, sizeof(size), r[i].value));
		else
			fprintf(f, "%" PRId64 "\n", r[i].value);
		for (size_t j = 0; j < s->nstack && !err; j++) {
			uint32_t loc = p->stack[s->stack0 + j];
			size_t n = p->locations[loc].nlines;

			for (size_t k = 0; k < (n ? n : 1) && !err; k++) {
				cleanup_free char *name = text__frame_name(p, loc, k);

				fputs("        ", f);
				err = name ? put_plain(f, name) : -ENOMEM;
				putc('\n', f);
			}
		}
	}
	return err;
}

int text__write(FILE *f, const struct profile *p, int type)
{
	int err;

	fputs("Type: ", f);
	err = put_plain(f, profile__text(p, p->sample_type[type].type));
	fputs("\n\nTop stacks:\n", f);
	err = err ? err : top_stacks(f, p, type);
	for (size_t i = 0; i < p->nlosses && !err; i++) {
		fprintf(f, "%s%" PRIu64 " ", i ? "" : "\nNot seen:\n", p->losses[i].count);
		err = put_plain(f, profile__text(p, p->losses[i].cause));
		putc('\n', f);
	}
	errno = 0;
	if (!err && (fflush(f) || ferror(f)))
		err = errno ? -errno : -EIO;
	return err;
}
