/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/telling.h"

#include <ctype.h>
#include <string.h>

#include "core/util.h"

/* Of C: what follows a short prefix ("x", "z", "g_", "_int_") and may be followed by a qualifier
 * ("_usable", "0_n"). */
static const char *const verbs[] = {"malloc", "calloc",	  "realloc",	  "memalign",
				    "strdup", "strndup",  "memdup",	  "zalloc",
				    "valloc", "asprintf", "reallocarray", "aligned_alloc"};
#define SHORT_PREFIX 4 /* letters: of "ztry", "je_", "av_", not of a word that means something */

/* Whole families, by how their names begin. */
static const char *const families[] = {
	"operator new",
	"std::",
	"__gnu_cxx::",
	"alloc::",
	"core::",
	"<alloc::",
	"<core::",
	"<std::",
	"hashbrown::",
	"<hashbrown::",
	"__rust_",
	"__rg_",
	"__rdl_",
	"_rjem_",
	"runtime.",
	"PyMem_",
	"_PyMem_",
	"PyObject_Malloc",
	"PyObject_Calloc",
	"PyObject_Realloc",
	"_PyObject_Malloc",
	"_PyObject_Calloc",
	"_PyObject_Realloc",
	"_PyObject_GC_",
	"PyType_GenericAlloc",
	"pymalloc_",
	"CRYPTO_",
	"OPENSSL_",
	"MemoryContextAlloc",
	"AllocSetAlloc",
	"AllocSetRealloc",
	"palloc",
	"repalloc",
	"pstrdup",
	"sqlite3Malloc",
	"sqlite3DbMalloc",
	"sqlite3DbRealloc",
	"sqlite3MemMalloc",
	"sqlite3_malloc",
	"g_slice_",
	"g_try_malloc",
	"g_array_",
	"g_ptr_array_",
	"g_string_",
	"apr_palloc",
	"apr_pcalloc",
	"ngx_palloc",
	"ngx_pnalloc",
	"ngx_pcalloc",
	"ngx_alloc",
	"v8::internal::Malloced",
	"safe_malloc",
	"checked_malloc",
	"check_malloc",
	"mem_malloc",
};

static const char *const libraries[] = {
	"libc.so", "libc-",	 "ld-linux",	"ld-musl",     "libstdc++",
	"libc++",  "libgcc_s",	 "libjemalloc", "libtcmalloc", "libmimalloc",
	"libasan", "libpthread", "libhoard",	"[vdso]",
};

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/*
 * Where the qualified name begins in a demangled one: templates have their return type in front
 * ("std::string f<int>(int)"), which is not what the function is.
 */
static const char *qualified(const char *name)
{
	const char *start = name;
	int depth = 0;

	for (const char *c = name; *c; c++) {
		if (begins(c, "operator"))
			return start;
		if (begins(c, "(anonymous namespace)"))
			c += strlen("(anonymous namespace)") - 1;
		else if (*c == '<')
			depth++;
		else if (*c == '>')
			depth--;
		else if (*c == '(' && !depth)
			return start;
		else if (*c == ' ' && !depth)
			start = c + 1;
	}
	return name; /* no arguments: no return type either */
}

static bool is_c_wrapper(const char *name)
{
	name += strspn(name, "_");
	if (begins(name, "libc_"))
		name += strlen("libc_");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const char *at = strstr(name, verbs[i]), *after;

		if (!at || at - name > SHORT_PREFIX)
			continue;
		after = at + strlen(verbs[i]);
		after += strspn(after, "0123456789");
		if (!*after || *after == '_' || *after == '.' || *after == '@')
			return true;
	}
	return false;
}

bool telling__is_wrapper(const char *function)
{
	const char *name = qualified(function);

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (begins(name, families[i]))
			return true;
	}
	return !strstr(name, "::") && is_c_wrapper(name);
}

bool telling__is_runtime(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
		if (begins(name, libraries[i]))
			return true;
	}
	return false;
}

static bool tells(const struct profile *p, const struct profile_location *l, size_t line)
{
	uint32_t fn = line < l->nlines ? p->lines[l->line0 + line].function : PROFILE_NONE;
	const char *name = fn < p->nfunctions ? profile__text(p, p->functions[fn].name) : "";

	if (l->mapping < p->nmappings &&
	    telling__is_runtime(profile__text(p, p->mappings[l->mapping].file)))
		return false;
	return !telling__is_wrapper(name);
}

unsigned telling__skip(const struct profile *p, const struct profile_sample *s)
{
	unsigned n = 0;

	for (uint32_t k = 0; k < s->nstack; k++) {
		const struct profile_location *l = &p->locations[p->stack[s->stack0 + k]];

		for (size_t j = 0; j < max_of(l->nlines, 1u); j++, n++) {
			if (tells(p, l, j))
				return n;
		}
	}
	return 0;
}
