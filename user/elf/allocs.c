/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/allocs.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

/* Order matters only for speed: a name is looked up once per symbol that might be one. */
static const struct {
	const char *name;
	enum mw_fn fn;
} family[] = {
	{"malloc", MW_FN_MALLOC},
	{"calloc", MW_FN_CALLOC},
	{"realloc", MW_FN_REALLOC},
	{"reallocarray", MW_FN_REALLOCARRAY},
	{"posix_memalign", MW_FN_POSIX_MEMALIGN},
	{"aligned_alloc", MW_FN_MEMALIGN},
	{"memalign", MW_FN_MEMALIGN},
	{"valloc", MW_FN_VALLOC},
	{"pvalloc", MW_FN_PVALLOC},
	{"free", MW_FN_FREE},
	{"cfree", MW_FN_FREE},
	{"free_sized", MW_FN_FREE},
	{"free_aligned_sized", MW_FN_FREE},
	{"mallocx", MW_FN_MALLOC},
	{"rallocx", MW_FN_RALLOCX},
	{"dallocx", MW_FN_FREE},
	{"sdallocx", MW_FN_FREE},
};

/* Names that exist with one allocator only. */
static const struct {
	const char *name;
	enum mw_fn fn;
} special[] = {
	/* mimalloc: its own forms beside the standard ones */
	{"mi_zalloc", MW_FN_MALLOC},
	{"mi_malloc_small", MW_FN_MALLOC},
	{"mi_zalloc_small", MW_FN_MALLOC},
	{"mi_mallocn", MW_FN_CALLOC},
	{"mi_malloc_aligned", MW_FN_MALLOC},
	{"mi_malloc_aligned_at", MW_FN_MALLOC},
	{"mi_zalloc_aligned", MW_FN_MALLOC},
	{"mi_calloc_aligned", MW_FN_CALLOC},
	{"mi_realloc_aligned", MW_FN_REALLOC},
	{"mi_rezalloc", MW_FN_REALLOC},
	{"mi_reallocn", MW_FN_REALLOCARRAY},
	{"mi_recalloc", MW_FN_REALLOCARRAY},
	{"mi_reallocf", MW_FN_REALLOC},
	{"mi_heap_malloc", MW_FN_MEMALIGN}, /* (heap, size): the size is second */
	{"mi_heap_zalloc", MW_FN_MEMALIGN},
	{"mi_new", MW_FN_NEW},
	{"mi_new_aligned", MW_FN_NEW},
	{"mi_new_n", MW_FN_CALLOC},
	{"mi_new_nothrow", MW_FN_MALLOC},
	{"mi_new_aligned_nothrow", MW_FN_MALLOC},
	{"mi_free_size", MW_FN_FREE},
	{"mi_free_aligned", MW_FN_FREE},
	{"mi_free_size_aligned", MW_FN_FREE},
	/* tcmalloc */
	{"tc_new", MW_FN_NEW},
	{"tc_newarray", MW_FN_NEW},
	{"tc_new_aligned", MW_FN_NEW},
	{"tc_newarray_aligned", MW_FN_NEW},
	{"tc_new_nothrow", MW_FN_MALLOC},
	{"tc_newarray_nothrow", MW_FN_MALLOC},
	{"tc_malloc_skip_new_handler", MW_FN_MALLOC},
	{"tc_delete", MW_FN_FREE},
	{"tc_deletearray", MW_FN_FREE},
	{"tc_delete_sized", MW_FN_FREE},
	{"tc_deletearray_sized", MW_FN_FREE},
	{"tc_delete_aligned", MW_FN_FREE},
	{"tc_deletearray_aligned", MW_FN_FREE},
	/* rpmalloc runs its prefix into the name */
	{"rpmalloc", MW_FN_MALLOC},
	{"rpcalloc", MW_FN_CALLOC},
	{"rprealloc", MW_FN_REALLOC},
	{"rpaligned_alloc", MW_FN_MEMALIGN},
	{"rpmemalign", MW_FN_MEMALIGN},
	{"rpposix_memalign", MW_FN_POSIX_MEMALIGN},
	{"rpfree", MW_FN_FREE},
};

static const char *const prefixes[] = {"",    "__libc_", "je_",	      "_rjem_", "mi_",
				       "tc_", "sn_",	 "scalable_", "__",	"jemalloc_"};

static enum mw_fn family_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(family); i++) {
		if (!strcmp(name, family[i].name))
			return family[i].fn;
	}
	return MW_FN_NONE;
}

/* operator new: _Znwm, _Znam (size_t is unsigned long); delete: _ZdlPv, _ZdaPv; then any of the
 * aligned, sized, nothrow and hot/cold parameters. A nothrow form returns NULL instead. */
static enum mw_fn classify_cxx(const char *name)
{
	/* _Znwm.cold is the middle of a function, .isra and .constprop have other arguments. */
	if (strchr(name, '.'))
		return MW_FN_NONE;
	if (!strncmp(name, "_Znwm", 5) || !strncmp(name, "_Znam", 5))
		return strstr(name, "nothrow") ? MW_FN_MALLOC : MW_FN_NEW;
	if (!strncmp(name, "_ZdlPv", 6) || !strncmp(name, "_ZdaPv", 6))
		return MW_FN_FREE;
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
		if (fn)
			return fn;
	}
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (!strcmp(name, special[i].name))
			return special[i].fn;
	}
	return MW_FN_NONE;
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

struct finder {
	const struct elfobj *elf;
	struct alloc_func *funcs;
	size_t n, cap;
	struct prefix_set sets[64];
	size_t nsets;
	bool collect_unknown;
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

static int add_func(struct finder *f, const struct elfobj_symbol *sym, enum mw_fn fn)
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
		if (a->fn == MW_FN_NEW || fn == MW_FN_NEW)
			a->fn = MW_FN_NEW;
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

static struct prefix_set *prefix_find(struct finder *f, const char *prefix, bool add)
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

static int on_symbol(void *arg, const struct elfobj_symbol *sym)
{
	struct finder *f = arg;
	struct prefix_set *set;
	char prefix[32];
	enum mw_fn fn;

	if (sym->type != STT_FUNC && sym->type != STT_NOTYPE)
		return 0;
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

/* Without an allocator beneath it in the same file, operator new is a caller of malloc. */
static void drop_lonely_cxx(struct finder *f)
{
	bool own = false;
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
	struct finder f = {.elf = e};
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
	drop_lonely_cxx(&f);
	if (f.n)
		qsort(f.funcs, f.n, sizeof(*f.funcs), by_vaddr);
	*ret = f.funcs;
	*ret_n = f.n;
	return err ? err : err2;
}
