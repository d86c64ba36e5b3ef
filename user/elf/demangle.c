/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * demangle.c - C++, Rust and D names to what people wrote, by libiberty.
 *
 * A mangled name can refer back to its own parts, so a short hostile one may stand for a text of
 * any length. The callback interface allocates nothing on the heap for C++: the output is cut by
 * leaving through longjmp once it is longer than MAX_OUTPUT. D has no such interface; there the
 * number of back references is limited instead.
 */
#include "elf/demangle.h"

#include "core/util.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

#define MAX_NAME 4096
#define MAX_OUTPUT 16384
#define MAX_D_BACKREFS 20
#define OPTIONS (DMGL_PARAMS | DMGL_ANSI)
/*
 * For C++ libiberty refuses names of more than 1024 characters unless told that recursion is no
 * danger; there each level takes a character, and MAX_NAME bounds them. Rust's names may refer to
 * themselves without end, so that its limit stays.
 */
#define CXX_OPTIONS (OPTIONS | DMGL_NO_RECURSE_LIMIT)

struct output {
	char *text;
	size_t len, cap;
	jmp_buf too_long;
};

static void collect(const char *s, size_t n, void *arg)
{
	struct output *o = arg;

	if (!n)
		return;
	if (n > MAX_OUTPUT - o->len || array_reserve(o->text, o->cap, o->len + n + 1))
		longjmp(o->too_long, 1);
	memcpy(o->text + o->len, s, n);
	o->len += n;
}

typedef int (*demangle_fn)(const char *, int, demangle_callbackref, void *);

static char *by_callback(demangle_fn fn, int options, const char *name)
{
	struct output o = {0};

	if (setjmp(o.too_long) || !fn(name, options, collect, &o) || !o.len) {
		free(o.text);
		return NULL;
	}
	o.text[o.len] = 0;
	return o.text;
}

static char *demangle_d(const char *name)
{
	int backrefs = 0;

	for (const char *p = name; *p; p++)
		backrefs += *p == 'Q';
	return backrefs > MAX_D_BACKREFS ? NULL : dlang_demangle(name, OPTIONS);
}

const char *demangle__name(const char *name, char **ret_owned)
{
	char *out = NULL;

	*ret_owned = NULL;
	if (name[0] != '_' || strnlen(name, MAX_NAME + 1) > MAX_NAME)
		return name;
	if (name[1] == 'R')
		out = by_callback(rust_demangle_callback, OPTIONS, name);
	else if (name[1] == 'D' && isdigit((unsigned char)name[2]))
		out = demangle_d(name);
	if (!out && !strncmp(name, "_ZN", 3)) /* Rust's older scheme looks like C++ */
		out = by_callback(rust_demangle_callback, OPTIONS, name);
	if (!out && (name[1] == 'Z' || !strncmp(name, "_GLOBAL_", 8)))
		out = by_callback(cplus_demangle_v3_callback, CXX_OPTIONS, name);
	*ret_owned = out;
	return out ? out : name;
}
