/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Go's function table: names, lines, inlined calls, frame sizes; and any damage to it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "elf/gotab.h"
#include "gotab_image.h"

static void open_image(const struct image *im, struct gotab *t)
{
	assert_int_equal(gotab__open(im->p, im->len, IMAGE_TEXT, t), 0);
	t->gofunc = im->gofunc;
	t->gofunc_len = sizeof(im->gofunc);
}

static void functions(void **state)
{
	struct image im;
	struct gotab t;
	struct gotab_func f;

	make_image(&im);
	open_image(&im, &t);
	assert_int_equal(t.nfunc, 2);
	assert_int_equal(gotab__func_named(&t, "main.plain", &f), 0);
	assert_int_equal(f.entry, 0x1040);
	assert_int_equal(f.end, 0x1060);
	assert_int_equal(f.start_line, 29);
	assert_int_equal(gotab__func_of(&t, 0x103f, &f), 0);
	assert_string_equal(f.name, "main.outer");
	assert_int_equal(gotab__func_of(&t, 0x1060, &f), -ENOENT);
	assert_int_equal(gotab__func_of(&t, 0xfff, &f), -ENOENT);
	assert_int_equal(gotab__func_named(&t, "main.inner", &f), -ENOENT);
}

static void inlined_calls(void **state)
{
	struct gotab_frame f[4];
	struct image im;
	struct gotab t;

	make_image(&im);
	open_image(&im, &t);
	assert_int_equal(gotab__frames(&t, 0x1014, f, 4), 2);
	assert_string_equal(f[0].name, "main.inner");
	assert_string_equal(f[0].file, "b.go");
	assert_int_equal(f[0].line, 21);
	assert_int_equal(f[0].start_line, 20);
	assert_true(f[0].inlined);
	assert_int_equal(f[0].return_pc, 0x1015);
	assert_string_equal(f[1].name, "main.outer");
	assert_string_equal(f[1].file, "a.go");
	assert_int_equal(f[1].line, 10);
	assert_int_equal(f[1].return_pc, 0x1009);
	assert_false(f[1].inlined);
	assert_int_equal(gotab__frames(&t, 0x1020, f, 4), 1);
	assert_int_equal(f[0].line, 12);
	/* Without the trees the real function stands for all. */
	t.gofunc = NULL;
	assert_int_equal(gotab__frames(&t, 0x1014, f, 4), 1);
	assert_string_equal(f[0].name, "main.outer");
}

static void frame_sizes(void **state)
{
	struct gotab_func f;
	struct image im;
	struct gotab t;
	int32_t d;

	make_image(&im);
	open_image(&im, &t);
	assert_int_equal(gotab__func_of(&t, 0x1000, &f), 0);
	assert_int_equal(gotab__sp_delta(&t, &f, 0x1003, &d), 0);
	assert_int_equal(d, 8);
	assert_int_equal(gotab__sp_delta(&t, &f, 0x1004, &d), 0);
	assert_int_equal(d, 24);
}

static void other_formats(void **state)
{
	struct image im;
	struct gotab t;

	make_image(&im);
	put32(im.p, 0, 0xfffffffb);
	assert_int_equal(gotab__open(im.p, im.len, 0, &t), -ENOTSUP);
	put32(im.p, 0, 0x12345678);
	assert_int_equal(gotab__open(im.p, im.len, 0, &t), -ENOEXEC);
	make_image(&im);
	put64(im.p, 8, UINT64_MAX / 8);
	assert_int_equal(gotab__open(im.p, im.len, 0, &t), -EBADMSG);
	make_image(&im);
	put64(im.p, 64, im.len - 2);
	assert_int_equal(gotab__open(im.p, im.len, 0, &t), -EBADMSG);
}

static void use_all(const uint8_t *p, size_t len, const struct image *im)
{
	struct gotab_frame frames[GOTAB_MAX_INLINE];
	struct gotab_func f;
	struct gotab t;
	int32_t d;

	if (gotab__open(p, len, IMAGE_TEXT, &t))
		return;
	t.gofunc = im->gofunc;
	t.gofunc_len = sizeof(im->gofunc);
	for (uint64_t pc = 0xff0; pc < 0x1080; pc += 3) {
		int n = gotab__frames(&t, pc, frames, GOTAB_MAX_INLINE);

		for (int i = 0; i < n; i++)
			assert_non_null(frames[i].file);
		if (!gotab__func_of(&t, pc, &f))
			gotab__sp_delta(&t, &f, pc, &d);
	}
	gotab__func_named(&t, "none", &f);
}

/* Every truncation and every damaged byte: memory stays where it belongs (ASan watches). */
static void damage(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct image im, good;

	make_image(&good);
	for (size_t len = 0; len < good.len; len++) {
		uint8_t *exact = malloc(len + 1);

		assert_non_null(exact);
		memcpy(exact, good.p, len);
		use_all(exact, len, &good);
		free(exact);
	}
	for (size_t at = 0; at < good.len; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			im = good;
			im.p[at] = values[v];
			use_all(im.p, im.len, &im);
		}
	}
	for (size_t at = 0; at < sizeof(good.gofunc); at++) {
		im = good;
		im.gofunc[at] ^= 0xff;
		use_all(im.p, im.len, &im);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions),   cmocka_unit_test(inlined_calls),
		cmocka_unit_test(frame_sizes), cmocka_unit_test(other_formats),
		cmocka_unit_test(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
