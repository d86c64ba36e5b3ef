/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>

#include "core/util.h"
#include "model/profile.h"
#include "core/emit.h"
#include "core/textbuf.h"
#include "format/gotext.h"
#include "format/output.h"
#include "format/pprof.h"
#include "format/profile.pb-c.h"
#include "format/text.h"
#include "sys/outfile.h"

/* main → store → malloc, main → [mmap]; names with everything that must be escaped. */
static struct profile *sample_profile(void)
{
	struct profile *p;
	struct profile_mapping lib = {.start = 0x7f0000000000, .limit = 0x7f0000100000};
	struct profile_mapping exe = {.start = 0x400000, .limit = 0x500000, .has_functions = true};
	struct profile_function fn = {0};
	struct profile_line line[2] = {0};
	uint32_t mlib, mexe, f_main, f_store, f_inl, loc[3];

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__set_heap_types(p, 524288), 0);
	profile__string(p, "/lib/libc.so.6", &lib.file);
	profile__string(p, "/bin/leaky", &exe.file);
	profile__string(p, "abcd", &exe.build_id);
	assert_int_equal(profile__mapping(p, &lib, &mlib), 0);
	assert_int_equal(profile__mapping(p, &exe, &mexe), 0);
	profile__string(p, "main", &fn.name);
	fn.system_name = fn.name;
	profile__string(p, "main.c", &fn.file);
	assert_int_equal(profile__function(p, &fn, &f_main), 0);
	profile__string(p, "store;\x1b[31m<script>alert(1)</script>\"\n", &fn.name);
	assert_int_equal(profile__function(p, &fn, &f_store), 0);
	profile__string(p, "inl", &fn.name);
	assert_int_equal(profile__function(p, &fn, &f_inl), 0);
	line[0] = (struct profile_line){.function = f_inl, .line = 3};
	line[1] = (struct profile_line){.function = f_store, .line = 42};
	assert_int_equal(profile__location(p, mexe, 0x401000, line, 2, &loc[0]), 0);
	line[0] = (struct profile_line){.function = f_main, .line = 7};
	assert_int_equal(profile__location(p, mexe, 0x402000, line, 1, &loc[1]), 0);
	assert_int_equal(profile__pseudo_location(p, "[lost: ring full]", &loc[2]), 0);
	assert_int_equal(profile__sample(p, loc, 2, (int64_t[]){10, 1000, 5, 500}, NULL, 0), 0);
	assert_int_equal(profile__sample(p, loc + 2, 1, (int64_t[]){1, 7, 1, 7}, NULL, 0), 0);
	p->pid = 77;
	profile__string(p, "leaky", &p->comm);
	p->time_ns = 1700000000000000000;
	p->totals = (struct profile_totals){11, 1007, 5, 500, 6, 507};
	assert_int_equal(profile__loss(p, "ring full", 3, 0), 0);
	assert_int_equal(profile__loss(p, "ring full", 1, 0), 0);
	return p;
}

static char *gotext_header(const struct profile *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(gotext__heap(f, p), 0);
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* A heap's are known to those who read it; others are said. */
static void go_text_says_what_it_counts(void **state)
{
	static const char *const types[4][2] = {{"faulted_pages", "count"},
						{"faulted_space", "bytes"},
						{"resident_pages", "count"},
						{"resident_space", "bytes"}};
	struct profile *p = sample_profile();
	char *text = gotext_header(p);

	assert_string_equal(text, "heap profile: 6: 507 [11: 1007] @ heap/2");
	free(text);
	for (int i = 0; i < 4; i++) {
		profile__string(p, types[i][0], &p->sample_type[i].type);
		profile__string(p, types[i][1], &p->sample_type[i].unit);
	}
	text = gotext_header(p);
	assert_string_equal(text,
			    "heap profile: 6: 507 [11: 1007] @ heap/2 # resident_pages/count: "
			    "resident_space/bytes [faulted_pages/count: faulted_space/bytes]");
	free(text);
	profile__free(p);
}

static void interning(void **state)
{
	struct profile *p;
	uint32_t a, b;
	char name[32];

	assert_int_equal(profile__new(&p), 0);
	assert_int_equal(profile__string(p, "", &a), 0);
	assert_int_equal(a, 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5000; i++) {
			snprintf(name, sizeof(name), "f%d", i);
			assert_int_equal(profile__string(p, name, &a), 0);
			assert_int_equal(a, i + 1);
			assert_string_equal(profile__text(p, a), name);
		}
	}
	assert_string_equal(profile__text(p, 5001), "");
	assert_int_equal(profile__string_n(p, "ab\0c", 4, &a), 0);
	assert_int_equal(profile__string(p, "ab", &b), 0);
	assert_int_equal(a, b);
	profile__free(p);
	profile__free(NULL);
}

/* Whoever keeps a text's address keeps a text, however many follow; also its copy's. */
static void texts_stay(void **state)
{
	struct profile *p, *copy;
	const char *kept[3000];
	char name[64];
	uint32_t id;

	assert_int_equal(profile__new(&p), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "a name of some length %d", i);
		assert_int_equal(profile__string(p, name, &id), 0);
		kept[i] = profile__text(p, id);
	}
	/* Given back to the table that it comes from. */
	assert_int_equal(profile__string_n(p, kept[0], 6, &id), 0);
	assert_string_equal(profile__text(p, id), "a name");
	assert_int_equal(profile__copy(p, &copy), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "a name of some length %d", i);
		assert_string_equal(kept[i], name);
		assert_ptr_equal(profile__text(p, i + 1), kept[i]);
		assert_string_equal(profile__text(copy, i + 1), name);
	}
	profile__free(p);
	assert_int_equal(profile__string(copy, "a name", &id), 0);
	assert_int_equal(id, 3001);
	profile__free(copy);
}

static void locations(void **state)
{
	struct profile *p = sample_profile();
	struct profile_line line = {.function = 0, .line = 9};
	uint32_t a, b;

	assert_int_equal(profile__location(p, 1, 0x402000, &line, 1, &a), 0);
	assert_int_equal(a, 1);
	assert_true(profile__find_location(p, 1, 0x401000, &a));
	assert_int_equal(a, 0);
	assert_false(profile__find_location(p, 0, 0x401000, &a));
	assert_int_equal(profile__pseudo_location(p, "[mmap]", &a), 0);
	assert_int_equal(profile__pseudo_location(p, "[lost: ring full]", &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(b, 2);
	assert_int_equal(p->nlosses, 1);
	assert_int_equal(p->losses[0].count, 4);
	profile__free(p);
}

static void types(void **state)
{
	struct profile *p = sample_profile();

	assert_int_equal(profile__find_type(p, NULL), PROFILE_INUSE_SPACE);
	assert_int_equal(profile__find_type(p, "alloc_objects"), 0);
	assert_int_equal(profile__find_type(p, "cpu"), -ENOENT);
	p->default_sample_type = 0;
	p->nvalues = 2;
	assert_int_equal(profile__find_type(p, NULL), 1);
	profile__string(p, "space", &p->sample_type[1].type);
	assert_int_equal(profile__find_type(p, "inuse_space"), 1);
	profile__free(p);
}

static char *written(const struct profile *p, enum output_format format, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	assert_int_equal(output__write_stream(p, f, format, -1), 0);
	fclose(f);
	return text;
}

static void pprof_wire(void **state)
{
	struct profile *p = sample_profile();
	static uint8_t raw[65536];
	z_stream z = {0};
	size_t len;
	char *gz = written(p, OUTPUT_PPROF, &len);
	Pprof__Profile *m;

	z.next_in = (uint8_t *)gz;
	z.avail_in = len;
	z.next_out = raw;
	z.avail_out = sizeof(raw);
	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	m = pprof__profile__unpack(NULL, z.total_out, raw);
	inflateEnd(&z);
	assert_non_null(m);
#define STR(i) ((const char *)m->string_table[i].data)
#define IS(i, text) (m->string_table[i].len == strlen(text) && !memcmp(STR(i), text, strlen(text)))
	assert_int_equal(m->n_sample_type, 4);
	assert_true(IS(m->sample_type[3]->type, "inuse_space"));
	assert_true(IS(m->period_type->type, "space"));
	assert_int_equal(m->period, 524288);
	assert_int_equal(m->string_table[0].len, 0);
	assert_true(IS(m->mapping[0]->filename, "/bin/leaky"));
	assert_true(IS(m->mapping[0]->build_id, "abcd"));
	assert_int_equal(m->n_sample, 2);
	assert_int_equal(m->sample[0]->n_label, 1);
	assert_true(IS(m->sample[0]->label[0]->key, "bytes"));
	assert_int_equal(m->sample[0]->label[0]->num, 100);
	assert_true(IS(m->sample[0]->label[0]->num_unit, "bytes"));
	assert_int_equal(m->location[m->sample[0]->location_id[0] - 1]->mapping_id, 1);
	assert_int_equal(m->n_comment, 2);
	assert_true(IS(m->comment[0], "memwatch: not seen: 4 ring full"));
	pprof__profile__free_unpacked(m, NULL);
	free(gz);
	profile__free(p);
}

static void harmless(void **state)
{
	struct profile *p = sample_profile();
	size_t len;
	char *text = written(p, OUTPUT_FOLDED, &len);

	assert_string_equal(text, "main;store_\\x1b[31m<script>alert(1)</script>\"\\x0a;inl 500\n"
				  "[lost: ring full] 7\n");
	free(text);
	text = written(p, OUTPUT_JSON, &len);
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '<'));
	assert_non_null(strstr(text, "store;\\u001b[31m\\u003cscript"));
	free(text);
	text = written(p, OUTPUT_TEXT, &len);
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(text, "ring full"));
	free(text);
	profile__free(p);
}

static void escapes(void **state)
{
	struct textbuf b = {0};

	textbuf__plain(&b,
		       "a\xc2\x9b"
		       "b\xff\xe2\x80\xaeZ\xc3\xa9\x7f",
		       "");
	assert_string_equal(b.text, "a\\xc2\\x9bb\\xff\\xe2\\x80\\xaeZ\xc3\xa9\\x7f");
	textbuf__free(&b);
	textbuf__json(&b, "\"\\\xff\n\xc2\x9b\xe2\x80\xae</\xf3\xa0\x81\x81");
	assert_string_equal(b.text,
			    "\"\\\"\\\\\\\\xff\\u000a\\u009b\\u202e\\u003c/\\udb40\\udc41\"");
	textbuf__free(&b);
	textbuf__xml(&b, "<a b='\"&\x01");
	assert_string_equal(b.text, "&lt;a b=&#39;&quot;&amp;\\x01");
	textbuf__free(&b);
	assert_int_equal(textbuf__utf8_len("\xc0\x80"), 0);
	assert_int_equal(textbuf__utf8_len("\xed\xa0\x80"), 0);
	assert_int_equal(textbuf__utf8_len("\xf0\x9f\x98\x80"), 4);
}

static void a_buffer_keeps_its_first_failure(void **state)
{
	struct textbuf b = {0};
	char *text = NULL;

	textbuf__format(&b, "%0700d", 1); /* of any length */
	assert_int_equal(b.len, 700);
	b.err = -ENOMEM;
	textbuf__str(&b, "x");
	textbuf__plain(&b, "x", "");
	textbuf__json(&b, "x");
	textbuf__format(&b, "%d", 1);
	assert_int_equal(b.len, 700);
	assert_int_equal(textbuf__take(&b, &text), -ENOMEM);
	assert_null(text);
	assert_int_equal(textbuf__take(&b, &text), 0);
	assert_string_equal(text, "");
	free(text);
}

/* A stream gets what a buffer gets. */
static void streams_escape_as_buffers_do(void **state)
{
	static const char hostile[] = "a\"\\\xc2\x9b<&>'\xff\n\xe2\x80\xaeZ\xc3\xa9\x7f\t";
	struct textbuf b = {0};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	emit__plain(f, hostile);
	emit__json(f, hostile);
	emit__xml(f, hostile);
	fclose(f);
	textbuf__plain(&b, hostile, "");
	textbuf__json(&b, hostile);
	textbuf__xml(&b, hostile);
	assert_string_equal(text, b.text);
	free(text);
	textbuf__free(&b);
	f = open_memstream(&text, &len);
	emit__dot(f, "a\"\\\n\x1b"
		     "b");
	fclose(f);
	assert_string_equal(text, "\"a\\\"\\\\\\n\\\\x1bb\"");
	free(text);
}

static int fails(FILE *f, void *arg)
{
	fputs("half", f);
	return -EIO;
}

static void names_with_a_pid(void **state)
{
	static const char *const no[] = {"-%p%x.json",
					 "12-%p%x.jso",
					 "12-%p%x.json2",
					 "x-%p%x.json",
					 "12-5%x.json",
					 "12345678901-%p%x.json",
					 ""};

	assert_true(output__may_become("%p-%%p%x.json", "12-%p%x.json"));
	assert_true(output__may_become("a", "a"));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(output__may_become("%p-%%p%x.json", no[i]));
}

static void files(void **state)
{
	struct profile *p = sample_profile();
	char dir[] = "/tmp/memwatch-test-XXXXXX", path[256], name[256], *text;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	assert_true(output__known("x.pb.gz") && output__known("a/b.folded"));
	assert_false(output__known("x.gz") || output__known(".json") || output__known("x.json/"));
	assert_int_equal(output__expand("%p-%%p%x.json", 12, &text), 0);
	assert_string_equal(text, "12-%p%x.json");
	free(text);
	snprintf(path, sizeof(path), "%s/%%p.json", dir);
	snprintf(name, sizeof(name), "%s/77.json", dir);
	assert_int_equal(output__write(p, path), 0);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(outfile__write(name, fails, NULL), -EIO);
	struct stat after;
	assert_int_equal(stat(name, &after), 0);
	assert_int_equal(after.st_ino, st.st_ino); /* the old file is untouched */
	unlink(name);
	assert_int_equal(rmdir(dir), 0); /* and nothing is left beside it */
	assert_int_equal(output__write(p, "/nowhere/x.json"), -ENOENT);
	assert_int_equal(output__write(p, "x.nonsense"), -EINVAL);
	profile__free(p);
}

static void full_disk(void **state)
{
	struct profile *p = sample_profile();
	char dir[] = "/tmp/memwatch-test-XXXXXX", path[256];
	static const char *const ending[] = {"pb.gz", "json", "folded", "txt", "svg", "html"};

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
		snprintf(path, sizeof(path), "%s/x.%s", dir, ending[i]);
		assert_int_equal(symlink("/dev/full", path), 0);
		assert_int_equal(output__write(p, path), -ENOSPC);
		unlink(path);
	}
	rmdir(dir);
	profile__free(p);
}

/* Sums of what a file says may be larger than any number. */
static void sums_of_any_numbers(void **state)
{
	static const enum output_format formats[] = {OUTPUT_PPROF, OUTPUT_FOLDED, OUTPUT_SVG,
						     OUTPUT_HTML,  OUTPUT_JSON,	  OUTPUT_TEXT};
	const int64_t most[] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
	struct profile *p = sample_profile();
	const uint32_t stack[] = {p->stack[0], p->stack[1]};
	FILE *f = fopen("/dev/null", "w");

	for (int i = 0; i < 3; i++) {
		assert_int_equal(profile__sample(p, stack, 2, most, NULL, 0), 0);
		for (size_t k = 0; k < ARRAY_SIZE(formats); k++)
			assert_int_equal(output__write_stream(p, f, formats[k], -1), 0);
		gotext__heap(f, p);
		profile__sum(p, PROFILE_INUSE_SPACE);
	}
	fclose(f);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interning),
		cmocka_unit_test(go_text_says_what_it_counts),
		cmocka_unit_test(texts_stay),
		cmocka_unit_test(locations),
		cmocka_unit_test(types),
		cmocka_unit_test(pprof_wire),
		cmocka_unit_test(harmless),
		cmocka_unit_test(escapes),
		cmocka_unit_test(a_buffer_keeps_its_first_failure),
		cmocka_unit_test(streams_escape_as_buffers_do),
		cmocka_unit_test(files),
		cmocka_unit_test(names_with_a_pid),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(sums_of_any_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
