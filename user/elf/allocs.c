/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/allocs.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

struct known_name {
	const char *name;
	enum mw_fn fn;
};

/* Order matters only for speed: a name is looked up once per symbol that might be one. */
#define NAME_ROW(name, fn) {#name, MW_FN_##fn},
static const struct known_name family[] = {MW_ALLOC_NAMES(NAME_ROW)};
static const struct known_name special[] = {MW_ALLOC_SPECIAL(NAME_ROW)};

#define MANGLED_ROW(name, fn) {name, MW_FN_##fn},
static const struct known_name mangled[] = {MW_ALLOC_MANGLED(MANGLED_ROW)};
static const struct known_name beginnings[] = {MW_ALLOC_BEGINNINGS(MANGLED_ROW)};

#define PREFIX_ROW(prefix) prefix,
#define MARKER_ROW(name) #name,
static const char *const prefixes[] = {MW_ALLOC_PREFIXES(PREFIX_ROW)};
static const char *const libraries[] = {MW_ALLOC_LIBRARIES(PREFIX_ROW)};

#define SIGNATURE_ROW(name, does, size, times, old, out) \
	[MW_FN_##name] = {MW_DOES_##does, size, times, old, out},
static const struct signature signatures[MW_FN_COUNT] = {MW_SIGNATURES(SIGNATURE_ROW)};

const struct signature *allocs__signature(enum mw_fn fn)
{
	return &signatures[fn];
}

unsigned int signature__args(const struct signature *s)
{
	unsigned int bits = 1u << s->size | 1u << s->times | 1u << s->old | 1u << s->out;

	if (s->does == MW_DOES_RESIZE)
		bits |= 2u << s->size; /* how much more is welcome: the argument behind the size */
	return bits & ~1u;
}

static enum mw_fn family_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(family); i++) {
		if (!strcmp(name, family[i].name))
			return family[i].fn;
	}
	return MW_FN_NONE;
}

/* operator new and delete, then any of the aligned, sized, nothrow and hot/cold parameters. */
static enum mw_fn classify_cxx(const char *name)
{
	/* _Znwm.cold is the middle of a function, .isra and .constprop have other arguments. */
	if (strchr(name, '.'))
		return MW_FN_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(mangled); i++) {
		if (strncmp(name, mangled[i].name, strlen(mangled[i].name)))
			continue;
		return mangled[i].fn == MW_FN_NEW && strstr(name, "nothrow") ? MW_FN_MALLOC
									     : mangled[i].fn;
	}
	return MW_FN_NONE;
}

enum mw_fn allocs__classify(const char *name)
{
	enum mw_fn fn;

	if (name[0] == '_' && name[1] == 'Z')
		return classify_cxx(name);
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], n))
			continue;
		fn = family_find(name + n);
		for (size_t k = 0; !fn && k < ARRAY_SIZE(beginnings); k++) {
			if (!strncmp(name + n, beginnings[k].name, strlen(beginnings[k].name)))
				fn = beginnings[k].fn;
		}
		if (fn)
			return fn;
	}
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (!strcmp(name, special[i].name))
			return special[i].fn;
	}
	return MW_FN_NONE;
}

size_t allocs__prefix(const char *name)
{
	size_t n = strlen(name), longest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (!strcmp(name, special[i].name))
			return 0;
	}
	if (!strncmp(name, "_Z", 2))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(family); i++) {
		size_t m = strlen(family[i].name);

		if (m > longest && n >= m && !strcmp(name + n - m, family[i].name))
			longest = m;
	}
	n = longest ? n - longest : 0;
	return n >= 2 && !strncmp(name, "__", 2) && allocs__prefix_known(name, n) ? 0 : n;
}

const char *allocs__library(const char *path)
{
	const char *base = strrchr(path, '/');

	for (size_t i = 0; base && i < ARRAY_SIZE(libraries); i++) {
		if (!strncmp(base + 1, libraries[i], strlen(libraries[i])))
			return libraries[i];
	}
	return NULL;
}

bool allocs__prefix_known(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (strlen(prefixes[i]) == len && !strncmp(name, prefixes[i], len))
			return true;
	}
	return false;
}

bool allocs__names_own(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (*prefixes[i] && strncmp(prefixes[i], "__", 2) &&
		    !strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return strcasestr(name, "tcmalloc") != NULL; /* of C++ a namespace, and classes */
}

static bool is_marker(const char *name)
{
	static const char *const markers[] = {MW_ALLOC_MARKERS(MARKER_ROW)};

	for (size_t i = 0; i < ARRAY_SIZE(markers); i++) {
		if (!strcmp(name, markers[i]))
			return true;
	}
	return false;
}

static int on_marker(void *arg, const struct elfobj_symbol *sym)
{
	bool *found = arg;

	*found |= is_marker(sym->name);
	return *found;
}

bool allocs__is_allocator(const struct elfobj *e)
{
	bool found = false;

	elfobj__each_symbol(e, on_marker, &found);
	return found;
}

/* How short, and how standard, a name is: the better one stands for several at one address. */
static int name_rank(const char *name)
{
	int rank = 0;

	if (name[0] == '_' && name[1] == 'Z')
		return 50;
	if (family_find(name))
		return 0;
	if (name[0] == '_')
		rank += 100;
	return rank + 10 + strlen(name);
}

struct prefix_set { /* candidates for an unknown prefix */
	char prefix[32];
	unsigned int have; /* bits by enum mw_fn */
};

#define GROUPS (ARRAY_SIZE(prefixes) + 1) /* rpmalloc's has no row of its own */

struct alloc_finder {
	const struct elfobj *elf;
	struct alloc_func *funcs;
	size_t n, cap;
	struct prefix_set sets[64];
	size_t nsets;
	bool collect_unknown;
	bool marked; /* has a name that proves a known allocator */
	struct {
		bool allocs, frees;
	} group[GROUPS];  /* what there is with a known allocator's prefix */
	bool cxx_runtime; /* the file is, or holds, the C++ runtime */
	int err;
};

static bool executable(const struct elfobj *e, uint64_t vaddr)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg);

	for (size_t i = 0; i < n; i++) {
		if ((seg[i].flags & PF_X) && vaddr >= seg[i].vaddr &&
		    vaddr - seg[i].vaddr < seg[i].filesz)
			return true;
	}
	return false;
}

static int add_func(struct alloc_finder *f, const struct elfobj_symbol *sym, enum mw_fn fn)
{
	struct alloc_func *a;
	int err;

	for (size_t i = 0; i < f->n; i++) {
		a = &f->funcs[i];
		if (a->vaddr != sym->vaddr)
			continue;
		if (sym->size > a->size)
			a->size = sym->size;
		/* One code for several names (free and operator delete, malloc and nothrow new).
		 * The throwing form of new decides: it needs the most care. */
		if (signatures[fn].does == MW_DOES_THROW)
			a->fn = fn;
		if (name_rank(sym->name) < name_rank(a->name))
			snprintf(a->name, sizeof(a->name), "%s", sym->name);
		return 0;
	}
	if (f->n >= ALLOCS_MAX)
		return -E2BIG;
	err = array_reserve(f->funcs, f->cap, f->n + 1);
	if (err)
		return err;
	a = &f->funcs[f->n++];
	memset(a, 0, sizeof(*a));
	snprintf(a->name, sizeof(a->name), "%s", sym->name);
	a->fn = fn;
	a->vaddr = sym->vaddr;
	a->size = sym->size;
	return 0;
}

/* Notes prefix and member of names like "foo_malloc"; returns the member and the prefix. */
static enum mw_fn split_prefix(const char *name, char *prefix, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(family); i++) {
		size_t n = strlen(name), m = strlen(family[i].name);

		if (n <= m || n - m >= len || strcmp(name + n - m, family[i].name))
			continue;
		memcpy(prefix, name, n - m);
		prefix[n - m] = 0;
		return family[i].fn;
	}
	return MW_FN_NONE;
}

static struct prefix_set *prefix_find(struct alloc_finder *f, const char *prefix, bool add)
{
	for (size_t i = 0; i < f->nsets; i++) {
		if (!strcmp(f->sets[i].prefix, prefix))
			return &f->sets[i];
	}
	if (!add || f->nsets == ARRAY_SIZE(f->sets))
		return NULL;
	snprintf(f->sets[f->nsets].prefix, sizeof(f->sets[0].prefix), "%s", prefix);
	return &f->sets[f->nsets++];
}

/* A whole family: wrappers such as g_malloc or xmalloc have no memalign, or no calloc. */
static bool prefix_complete(const struct prefix_set *s)
{
	unsigned int need =
		1u << MW_FN_MALLOC | 1u << MW_FN_CALLOC | 1u << MW_FN_REALLOC | 1u << MW_FN_FREE;

	return (s->have & need) == need &&
	       (s->have & (1u << MW_FN_MEMALIGN | 1u << MW_FN_POSIX_MEMALIGN));
}

/* Which known allocator's prefix a name begins with; GROUPS: none that needs proof. */
static size_t group_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (*prefixes[i] && strncmp(prefixes[i], "__", 2) &&
		    !strncmp(name, prefixes[i], strlen(prefixes[i])))
			return i;
	}
	return !strncmp(name, "rp", 2) ? GROUPS - 1 : GROUPS;
}

static void note_group(struct alloc_finder *f, const char *name, enum mw_fn fn)
{
	size_t i = group_of(name), n = strlen(name);

	if (i == GROUPS)
		return;
	f->group[i].frees |= signatures[fn].does == MW_DOES_FREE;
	f->group[i].allocs |= n >= 6 && !strcmp(name + n - 6, "malloc");
}

/* A name of a known allocator is no proof alone: mi_new may make a menu item. Nor is __malloc,
 * unless it is another name of malloc. */
static void drop_unproved(struct alloc_finder *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		const char *name = f->funcs[i].name;
		size_t g = group_of(name);
		bool ok = f->marked || g == GROUPS || (f->group[g].allocs && f->group[g].frees);

		if (!strncmp(name, "__", 2) && family_find(name + 2))
			ok = false;
		if (ok)
			f->funcs[n++] = f->funcs[i];
	}
	f->n = n;
}

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct alloc_finder *f = arg;
	struct prefix_set *set;
	char prefix[32];
	enum mw_fn fn;

	if (sym->type != STT_FUNC && sym->type != STT_NOTYPE)
		return 0;
	f->cxx_runtime |= !strcmp(sym->name, "__cxa_allocate_exception");
	f->marked |= is_marker(sym->name);
	fn = allocs__classify(sym->name);
	if (!fn) {
		fn = split_prefix(sym->name, prefix, sizeof(prefix));
		if (!fn)
			return 0;
		set = prefix_find(f, prefix, !f->collect_unknown);
		if (!set)
			return 0;
		if (!f->collect_unknown) {
			set->have |= 1u << fn;
			return 0;
		}
		if (!prefix_complete(set))
			return 0;
	} else if (f->collect_unknown) {
		return 0;
	} else {
		note_group(f, sym->name, fn);
	}
	if (!executable(f->elf, sym->vaddr))
		return 0;
	return add_func(f, sym, fn);
}

static int by_vaddr(const void *a, const void *b)
{
	const struct alloc_func *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* The C++ runtime's operator new is a caller of malloc, unless the file has an allocator itself. A
 * program's own may be one, too (elf/site.h looks), or lie over a pool. */
static void drop_lonely_cxx(struct alloc_finder *f)
{
	bool own = !f->cxx_runtime;
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (f->funcs[i].name[0] != '_' || f->funcs[i].name[1] != 'Z')
			own |= f->funcs[i].fn == MW_FN_MALLOC || f->funcs[i].fn == MW_FN_NEW;
	}
	if (own)
		return;
	for (size_t i = 0; i < f->n; i++) {
		if (strncmp(f->funcs[i].name, "_Z", 2))
			f->funcs[n++] = f->funcs[i];
	}
	f->n = n;
}

int allocs__find(const struct elfobj *e, struct alloc_func **ret, size_t *ret_n)
{
	struct alloc_finder f = {.elf = e};
	bool any = false;
	int err, err2 = 0;

	err = elfobj__each_symbol(e, on_symbol, &f);
	for (size_t i = 0; i < f.nsets; i++)
		any |= prefix_complete(&f.sets[i]);
	if (any && (!err || err == -EBADMSG)) {
		f.collect_unknown = true;
		err2 = elfobj__each_symbol(e, on_symbol, &f);
	}
	if ((err && err != -EBADMSG) || (err2 && err2 != -EBADMSG)) {
		free(f.funcs);
		return err && err != -EBADMSG ? err : err2;
	}
	drop_unproved(&f);
	drop_lonely_cxx(&f);
	if (f.n)
		qsort(f.funcs, f.n, sizeof(*f.funcs), by_vaddr);
	*ret = f.funcs;
	*ret_n = f.n;
	return err ? err : err2;
}
