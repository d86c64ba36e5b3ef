/* SPDX-License-Identifier: GPL-2.0-or-later */
/* folded.c - folded stacks, see text.h. Each location is rendered once. */
#include "format/text.h"

#include "core/util.h"
#include "core/textbuf.h"

#include <inttypes.h>
#include <string.h>

char *text__frame_name(const struct profile *p, uint32_t location, size_t line)
{
	const struct profile_location *l = &p->locations[location];
	const char *name = "";
	char place[PROFILE_PLACE_LEN];

	if (line < l->nlines && p->lines[l->line0 + line].function < p->nfunctions)
		name = profile__text(p, p->functions[p->lines[l->line0 + line].function].name);
	if (*name)
		return strdup(name);
	return strdup(profile__place(p, l->mapping, l->address, place, sizeof(place)));
}

int text__each_frame(const struct profile *p, const struct profile_sample *s,
		     int (*fn)(void *arg, uint32_t location, size_t line, char *name), void *arg)
{
	int err = 0;

	for (size_t i = 0; i < s->nstack && !err; i++) {
		uint32_t location = p->stack[s->stack0 + i];
		size_t n = p->locations[location].nlines;

		for (size_t k = 0; k < (n ? n : 1) && !err; k++) {
			cleanup_free char *name = text__frame_name(p, location, k);

			err = name ? fn(arg, location, k, name) : -ENOMEM;
		}
	}
	return err;
}

/* "outer;inner" for one location: inlined frames are frames of their own. */
static void render(const struct profile *p, uint32_t location, struct textbuf *b)
{
	size_t n = p->locations[location].nlines;

	for (size_t i = n ? n : 1; i-- > 0;) {
		cleanup_free char *name = text__frame_name(p, location, i);

		if (name)
			textbuf__plain(b, name, ";");
		else
			b->err = -ENOMEM;
		if (i)
			textbuf__raw(b, ";", 1);
	}
}

static int render_all(const struct profile *p, struct textbuf *b, size_t *at)
{
	for (size_t i = 0; i < p->nlocations && !b->err; i++) {
		at[i] = b->len;
		render(p, i, b);
	}
	at[p->nlocations] = b->len;
	return b->err;
}

int folded__write(FILE *f, const struct profile *p, int type)
{
	cleanup_free size_t *at = calloc(p->nlocations + 1, sizeof(*at));
	struct textbuf b = {0};
	int err = at ? render_all(p, &b, at) : -ENOMEM;

	for (size_t i = 0; i < p->nsamples && !err; i++) {
		const struct profile_sample *s = &p->samples[i];

		if (!s->value[type])
			continue;
		for (size_t j = s->nstack; j-- > 0;) {
			uint32_t loc = p->stack[s->stack0 + j];

			fwrite(b.text + at[loc], 1, at[loc + 1] - at[loc], f);
			if (j)
				putc_unlocked(';', f);
		}
		if (!s->nstack)
			fputs("[no stack]", f);
		errno = 0;
		if (fprintf(f, " %" PRId64 "\n", s->value[type]) < 0)
			err = errno ? -errno : -EIO;
	}
	textbuf__free(&b);
	return err;
}
