/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pprof_write.c - struct profile as a gzipped profile.proto.
 *
 * A protobuf file that is cut between top-level fields and packed piece by piece is the same
 * file, so samples, locations and functions are packed in small batches: 100,000 stacks need no
 * second copy of the profile in memory.
 */
#include "format/json_keys.h"
#include "format/pprof.h"

#include "core/rx.h"
#include "core/util.h"
#include "core/textbuf.h"
#include "format/profile.pb-c.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

#define BATCH 512
#define LEVEL 4 /* a third of the time of level 6 for a few percent of size */

struct gz {
	ProtobufCBuffer base; /* protobuf-c appends here */
	FILE *f;
	z_stream z;
	int err; /* the first failure; from then on nothing is written */
};

static void gz_append(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	struct gz *gz = (struct gz *)base;
	uint8_t out[16384];
	int flush = data ? Z_NO_FLUSH : Z_FINISH;

	if (gz->err)
		return;
	gz->z.next_in = (uint8_t *)data;
	gz->z.avail_in = len;
	do {
		gz->z.next_out = out;
		gz->z.avail_out = sizeof(out);
		deflate(&gz->z, flush);
		size_t n = sizeof(out) - gz->z.avail_out;

		errno = 0;
		if (n && fwrite(out, 1, n, gz->f) != n) {
			gz->err = errno ? -errno : -EIO;
			return;
		}
	} while (!gz->z.avail_out);
}

static void pack(struct gz *gz, const Pprof__Profile *m)
{
	if (!gz->err)
		pprof__profile__pack_to_buffer(m, &gz->base);
}

/* Main executable: what pprof itself would guess, the first that is no library and no pseudo. */
static uint32_t main_mapping(const struct profile *p)
{
	struct rx *lib;
	uint32_t found = 0;

	if (rx__new("[.]so( |$)|[.]so[._][0-9]+", &lib, NULL, 0))
		return 0;
	for (size_t i = 0; i < p->nmappings; i++) {
		const char *file = profile__text(p, p->mappings[i].file);

		if (*file && *file != '[' && !rx__match(lib, file)) {
			found = i;
			break;
		}
	}
	rx__free(lib);
	return found;
}

/* The mapping's place in the file: the main executable trades places with the first. */
static uint32_t mapping_place(uint32_t i, uint32_t main)
{
	return i == main ? 0 : i == 0 ? main : i;
}

static void write_head(struct gz *gz, const struct profile *p)
{
	Pprof__Profile m = PPROF__PROFILE__INIT;
	Pprof__ValueType type[PROFILE_MAX_VALUES], period = PPROF__VALUE_TYPE__INIT;
	Pprof__ValueType *types[PROFILE_MAX_VALUES];

	for (size_t i = 0; i < p->nvalues; i++) {
		pprof__value_type__init(&type[i]);
		type[i].type = p->sample_type[i].type;
		type[i].unit = p->sample_type[i].unit;
		types[i] = &type[i];
	}
	m.n_sample_type = p->nvalues;
	m.sample_type = types;
	m.drop_frames = p->drop_frames;
	m.keep_frames = p->keep_frames;
	m.time_nanos = p->time_ns;
	m.duration_nanos = p->duration_ns;
	period.type = p->period_type.type;
	period.unit = p->period_type.unit;
	if (p->period_type.type || p->period_type.unit)
		m.period_type = &period;
	m.period = p->period;
	m.default_sample_type = p->default_sample_type;
	m.doc_url = p->doc_url;
	pack(gz, &m);
}

/* Average block size, the numeric label that Go's heap profiles carry and -tagfocus reads. */
static bool block_size(const struct profile *p, const struct profile_sample *s, uint32_t bytes_key,
		       int64_t *ret)
{
	int64_t n = s->value[PROFILE_ALLOC_OBJECTS], bytes = s->value[PROFILE_ALLOC_SPACE];

	for (size_t i = 0; i < s->nlabels; i++) {
		if (p->labels[s->label0 + i].key == bytes_key)
			return false;
	}
	if (n <= 0) {
		n = s->value[PROFILE_INUSE_OBJECTS];
		bytes = s->value[PROFILE_INUSE_SPACE];
	}
	if (n <= 0 || bytes <= 0)
		return false;
	*ret = bytes / n;
	return *ret > 0;
}

static void pack_samples(struct gz *gz, const struct profile *p, size_t first, size_t n,
			 uint32_t bytes_key, uint32_t bytes_unit, uint64_t *ids,
			 Pprof__Label *labels, Pprof__Label **label_ptrs)
{
	Pprof__Profile m = PPROF__PROFILE__INIT;
	Pprof__Sample sample[BATCH], *samples[BATCH];
	size_t nid = 0, nlabel = 0;

	for (size_t i = 0; i < n; i++) {
		const struct profile_sample *s = &p->samples[first + i];
		size_t label0 = nlabel;
		int64_t block;

		pprof__sample__init(&sample[i]);
		sample[i].n_location_id = s->nstack;
		sample[i].location_id = ids + nid;
		for (size_t j = 0; j < s->nstack; j++)
			ids[nid++] = (uint64_t)p->stack[s->stack0 + j] + 1;
		sample[i].n_value = p->nvalues;
		sample[i].value = (int64_t *)s->value;
		for (size_t j = 0; j < s->nlabels; j++, nlabel++) {
			const struct profile_label *l = &p->labels[s->label0 + j];

			pprof__label__init(&labels[nlabel]);
			labels[nlabel].key = l->key;
			labels[nlabel].str = l->str;
			labels[nlabel].num = l->num;
			labels[nlabel].num_unit = l->unit;
		}
		if (bytes_unit && block_size(p, s, bytes_key, &block)) {
			pprof__label__init(&labels[nlabel]);
			labels[nlabel].key = bytes_key;
			labels[nlabel].num = block;
			labels[nlabel++].num_unit = bytes_unit;
		}
		for (size_t j = label0; j < nlabel; j++)
			label_ptrs[j] = &labels[j];
		sample[i].n_label = nlabel - label0;
		sample[i].label = label_ptrs + label0;
		samples[i] = &sample[i];
	}
	m.n_sample = n;
	m.sample = samples;
	pack(gz, &m);
}

static void write_samples(struct gz *gz, const struct profile *p, uint32_t bytes_key,
			  uint32_t bytes_unit)
{
	cleanup_free uint64_t *ids = NULL;
	cleanup_free Pprof__Label *labels = NULL;
	cleanup_free Pprof__Label **label_ptrs = NULL;
	size_t ids_cap = 0, labels_cap = 0, ptrs_cap = 0;

	for (size_t i = 0; i < p->nsamples && !gz->err; i += BATCH) {
		size_t n = min_of((size_t)BATCH, p->nsamples - i), nid = 0, nlabel = 0;

		for (size_t j = 0; j < n; j++) {
			nid += p->samples[i + j].nstack;
			nlabel += p->samples[i + j].nlabels + 1;
		}
		if (array_reserve(ids, ids_cap, nid + 1) ||
		    array_reserve(labels, labels_cap, nlabel) ||
		    array_reserve(label_ptrs, ptrs_cap, nlabel))
			gz->err = -ENOMEM;
		else
			pack_samples(gz, p, i, n, bytes_key, bytes_unit, ids, labels, label_ptrs);
	}
}

static void write_mappings(struct gz *gz, const struct profile *p, uint32_t main)
{
	for (size_t i = 0; i < p->nmappings; i++) {
		const struct profile_mapping *o = &p->mappings[mapping_place(i, main)];
		Pprof__Profile m = PPROF__PROFILE__INIT;
		Pprof__Mapping mapping = PPROF__MAPPING__INIT, *ptr = &mapping;

		mapping.id = i + 1;
		mapping.memory_start = o->start;
		mapping.memory_limit = o->limit;
		mapping.file_offset = o->offset;
		mapping.filename = o->file;
		mapping.build_id = o->build_id;
		mapping.has_functions = o->has_functions;
		mapping.has_filenames = o->has_filenames;
		mapping.has_line_numbers = o->has_lines;
		mapping.has_inline_frames = o->has_inlines;
		m.n_mapping = 1;
		m.mapping = &ptr;
		pack(gz, &m);
	}
}

static void pack_locations(struct gz *gz, const struct profile *p, size_t first, size_t n,
			   uint32_t main, Pprof__Line *lines, Pprof__Line **line_ptrs)
{
	Pprof__Profile m = PPROF__PROFILE__INIT;
	Pprof__Location loc[BATCH], *locs[BATCH];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct profile_location *l = &p->locations[first + i];

		pprof__location__init(&loc[i]);
		loc[i].id = first + i + 1;
		loc[i].mapping_id =
			l->mapping == PROFILE_NONE ? 0 : mapping_place(l->mapping, main) + 1;
		loc[i].address = l->address;
		loc[i].is_folded = l->is_folded;
		loc[i].n_line = l->nlines;
		loc[i].line = line_ptrs + k;
		for (size_t j = 0; j < l->nlines; j++, k++) {
			const struct profile_line *o = &p->lines[l->line0 + j];

			pprof__line__init(&lines[k]);
			lines[k].function_id =
				o->function == PROFILE_NONE ? 0 : (uint64_t)o->function + 1;
			lines[k].line = o->line;
			lines[k].column = o->column;
			line_ptrs[k] = &lines[k];
		}
		locs[i] = &loc[i];
	}
	m.n_location = n;
	m.location = locs;
	pack(gz, &m);
}

static void write_locations(struct gz *gz, const struct profile *p, uint32_t main)
{
	cleanup_free Pprof__Line *lines = NULL;
	cleanup_free Pprof__Line **ptrs = NULL;
	size_t lines_cap = 0, ptrs_cap = 0;

	for (size_t i = 0; i < p->nlocations && !gz->err; i += BATCH) {
		size_t n = min_of((size_t)BATCH, p->nlocations - i), nline = 1;

		for (size_t j = 0; j < n; j++)
			nline += p->locations[i + j].nlines;
		if (array_reserve(lines, lines_cap, nline) || array_reserve(ptrs, ptrs_cap, nline))
			gz->err = -ENOMEM;
		else
			pack_locations(gz, p, i, n, main, lines, ptrs);
	}
}

static void write_functions(struct gz *gz, const struct profile *p)
{
	Pprof__Function fn[BATCH], *fns[BATCH];

	for (size_t i = 0; i < p->nfunctions; i += BATCH) {
		Pprof__Profile m = PPROF__PROFILE__INIT;
		size_t n = min_of((size_t)BATCH, p->nfunctions - i);

		for (size_t j = 0; j < n; j++) {
			const struct profile_function *o = &p->functions[i + j];

			pprof__function__init(&fn[j]);
			fn[j].id = i + j + 1;
			fn[j].name = o->name;
			fn[j].system_name = o->system_name;
			fn[j].filename = o->file;
			fn[j].start_line = o->start_line;
			fns[j] = &fn[j];
		}
		m.n_function = n;
		m.function = fns;
		pack(gz, &m);
	}
}

/* The table itself, then strings that only this file has (nextra of them). */
static void write_strings(struct gz *gz, const struct profile *p, const char *const *extra,
			  size_t nextra)
{
	ProtobufCBinaryData text[BATCH];
	size_t total = p->nstrings + nextra;

	for (size_t i = 0; i < total && !gz->err; i += BATCH) {
		Pprof__Profile m = PPROF__PROFILE__INIT;
		size_t n = min_of((size_t)BATCH, total - i);

		for (size_t j = 0; j < n; j++) {
			const char *t = i + j < p->nstrings ? profile__text(p, i + j)
							    : extra[i + j - p->nstrings];

			text[j].data = (uint8_t *)t;
			text[j].len = strlen(t);
		}
		m.n_string_table = n;
		m.string_table = text;
		pack(gz, &m);
	}
}

static void put_number(struct textbuf *b, const char *key, double v)
{
	textbuf__format(b, ",\"%s\":%.17g", key, isfinite(v) ? v : 0);
}

static void put_text(struct textbuf *b, const char *key, const char *text)
{
	textbuf__format(b, ",\"%s\":", key);
	textbuf__json(b, text);
}

/* The machine-readable comment, see pprof.h. */
static void private_comment(const struct profile *p, struct textbuf *b)
{
	struct profile_totals t = p->totals;

	textbuf__format(b, "#memwatch {\"v\":1,\"pid\":%u,\"sample_bytes\":%" PRIu64, p->pid,
			p->sample_bytes);
	if (p->comm)
		put_text(b, "comm", profile__text(p, p->comm));
	if (p->cmdline)
		put_text(b, "cmdline", profile__text(p, p->cmdline));
	for (size_t i = 0; i < JSON_KEYS_TOTALS; i++)
		put_number(b, json_keys__total[i].key, *json_keys__total_of(&t, i));
	textbuf__str(b, ",\"loss\":[");
	for (size_t i = 0; i < p->nlosses; i++) {
		const struct profile_loss *l = &p->losses[i];

		textbuf__str(b, i ? ",[" : "[");
		textbuf__json(b, profile__text(p, l->cause));
		textbuf__format(b, ",%" PRIu64 ",%" PRIu64 "]", l->count, l->bytes);
	}
	textbuf__str(b, "]}");
}

/* One comment for people: what was not seen. */
static void loss_comment(const struct profile *p, struct textbuf *b)
{
	for (size_t i = 0; i < p->nlosses; i++) {
		if (!p->losses[i].count)
			continue;
		textbuf__format(b, "%s%" PRIu64 " ",
				b->len ? ", " : "memwatch: not seen: ", p->losses[i].count);
		textbuf__plain(b, profile__text(p, p->losses[i].cause), "");
	}
}

bool pprof__is_private(const char *comment)
{
	return !strncmp(comment, "#memwatch ", 10) || !strncmp(comment, "memwatch: not seen: ", 20);
}

static bool is_own(const struct profile *p)
{
	return p->pid || p->sample_bytes || p->nlosses;
}

/* Comments and the strings that go with them; nextra: strings after the table already promised. */
static void write_comments(struct gz *gz, const struct profile *p, const char **extra,
			   size_t *nextra, struct textbuf *priv, struct textbuf *loss)
{
	Pprof__Profile m = PPROF__PROFILE__INIT;
	cleanup_free int64_t *ids = malloc((p->ncomments + 2) * sizeof(*ids));
	size_t n = 0;

	if (!ids) {
		gz->err = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < p->ncomments; i++) {
		if (!pprof__is_private(profile__text(p, p->comments[i])))
			ids[n++] = p->comments[i];
	}
	if (is_own(p)) {
		loss_comment(p, loss);
		private_comment(p, priv);
		if (loss->err || priv->err) {
			gz->err = -ENOMEM;
			return;
		}
		if (loss->len) {
			ids[n++] = p->nstrings + *nextra;
			extra[(*nextra)++] = loss->text;
		}
		ids[n++] = p->nstrings + *nextra;
		extra[(*nextra)++] = priv->text;
	}
	m.n_comment = n;
	m.comment = ids;
	pack(gz, &m);
}

static uint32_t find_string(const struct profile *p, const char *text)
{
	for (size_t i = 0; i < p->nstrings; i++) {
		if (!strcmp(profile__text(p, i), text))
			return i;
	}
	return PROFILE_NONE;
}

static void write_all(struct gz *gz, const struct profile *p, struct textbuf *priv,
		      struct textbuf *loss)
{
	uint32_t main = main_mapping(p), unit = 0;
	const char *extra[3];
	size_t nextra = 0;

	/* The unit of space is "bytes", and so is the key of the label. */
	if (profile__is_heap(p) && is_own(p))
		unit = find_string(p, "bytes");
	if (unit == PROFILE_NONE)
		unit = 0;
	write_head(gz, p);
	write_samples(gz, p, unit, unit);
	write_mappings(gz, p, main);
	write_locations(gz, p, main);
	write_functions(gz, p);
	write_comments(gz, p, extra, &nextra, priv, loss);
	write_strings(gz, p, extra, nextra);
	gz_append(&gz->base, 0, NULL);
}

int pprof__write(FILE *f, const struct profile *p)
{
	struct gz gz = {.base.append = gz_append, .f = f};
	struct textbuf priv = {0}, loss = {0};

	/* 15 + 16: the largest window, a gzip header. */
	if (deflateInit2(&gz.z, LEVEL, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	write_all(&gz, p, &priv, &loss);
	deflateEnd(&gz.z);
	textbuf__free(&priv);
	textbuf__free(&loss);
	return gz.err;
}
