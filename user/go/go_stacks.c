/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_stacks.h"

#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "go/release.h"

#include <string.h>

#define MAX_LINES GOTAB_MAX_INLINE
#define FRAME_CACHE 8192

struct cached_stack { /* a location that exists, by its first return address */
	uint64_t pc;
	uint32_t loc, npcs;
};

struct known_frame { /* what is at one address: stacks share most of theirs */
	uint64_t at;
	struct gotab_frame f;
	bool used, known, goexit;
};

struct go_stacks {
	const struct go_target *t;
	struct profile *p;
	struct cached_stack *cache;
	size_t cache_cap;
	struct hash_index by_pc;    /* of cache */
	struct known_frame *frames; /* direct-mapped; a collision is looked up again */
	uint32_t *mapping;	    /* of each of the target's maps; PROFILE_NONE: not yet there */

	/* the chain of inlined calls being collected */
	uint64_t deck_pc[MAX_LINES];
	struct gotab_frame deck[MAX_LINES];
	uint32_t ndeck;
	bool deck_known; /* false: an address without a function */
};

int go_stacks__new(const struct go_target *t, struct profile *p, struct go_stacks **ret)
{
	struct go_stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->t = t;
	s->p = p;
	s->mapping = calloc(t->nmaps + 1, sizeof(*s->mapping));
	s->frames = calloc(FRAME_CACHE, sizeof(*s->frames));
	if (!s->mapping || !s->frames) {
		go_stacks__free(s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->nmaps; i++)
		s->mapping[i] = PROFILE_NONE;
	*ret = s;
	return 0;
}

void go_stacks__free(struct go_stacks *s)
{
	if (!s)
		return;
	free(s->cache);
	hash_index__fini(&s->by_pc);
	free(s->frames);
	free(s->mapping);
	free(s);
}

static struct cached_stack *find_cached(const struct go_stacks *s, uint64_t pc)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&s->by_pc, keyhash__word(pc), &at, &i)) {
		if (s->cache[i].pc == pc)
			return &s->cache[i];
	}
	return NULL;
}

/* A longer one that begins there gives way. */
static int cache_add(struct go_stacks *s, uint64_t pc, uint32_t npcs, uint32_t loc)
{
	struct cached_stack *c = find_cached(s, pc);
	int err = 0;

	if (!c) {
		err = array_reserve(s->cache, s->cache_cap, s->by_pc.n + 1);
		if (!err)
			err = hash_index__reserve(&s->by_pc);
		if (err)
			return err;
		c = &s->cache[s->by_pc.n];
		hash_index__add(&s->by_pc, keyhash__word(pc));
	}
	*c = (struct cached_stack){pc, loc, npcs};
	return 0;
}

static int add_mapping(struct go_stacks *s, size_t i)
{
	const struct go_map *m = &s->t->maps[i];
	char hex[2 * ELFOBJ_MAX_BUILD_ID + 1] = "";
	struct profile_mapping pm = {.start = m->start, .limit = m->limit, .offset = m->offset};
	bool go = s->t->text >= m->start && s->t->text < m->limit;
	struct profile_adder a = {s->p, 0};
	uint32_t id;

	pm.file = profile__add_string(&a, m->path);
	if (go) {
		elfobj__build_id_hex(s->t->elf, hex);
		pm.has_functions = pm.has_filenames = pm.has_lines = pm.has_inlines = true;
	}
	pm.build_id = profile__add_string(&a, hex);
	id = profile__add_mapping(&a, &pm);
	if (!a.err)
		s->mapping[i] = id;
	return a.err;
}

static int mapping_of(struct go_stacks *s, uint64_t pc, uint32_t *ret)
{
	*ret = PROFILE_NONE;
	for (size_t i = 0; i < s->t->nmaps; i++) {
		if (pc < s->t->maps[i].start || pc >= s->t->maps[i].limit)
			continue;
		if (s->mapping[i] == PROFILE_NONE) {
			int err = add_mapping(s, i);

			if (err)
				return err;
		}
		*ret = s->mapping[i];
		return 0;
	}
	return 0;
}

/* Makes a location of the deck. */
static int emit(struct go_stacks *s, uint32_t *locs, int *n)
{
	struct profile_line lines[MAX_LINES];
	struct profile_adder a = {s->p, 0};
	uint32_t mapping, loc, n_lines;
	uint64_t pc;
	int err;

	if (!s->ndeck)
		return 0;
	if (*n >= GO_STACK_MAX)
		return -E2BIG;
	pc = s->deck_pc[0] - 1;
	for (uint32_t i = 0; s->deck_known && i < s->ndeck; i++) {
		struct profile_function f = {.start_line = s->deck[i].start_line};

		f.name = f.system_name = profile__add_string(&a, s->deck[i].name);
		f.file = profile__add_string(&a, s->deck[i].file);
		lines[i] = (struct profile_line){.function = profile__add_function(&a, &f),
						 .line = s->deck[i].line};
	}
	if (a.err)
		return a.err;
	err = mapping_of(s, pc, &mapping);
	n_lines = s->deck_known ? s->ndeck : 0;
	if (!err && !n_lines && mapping != PROFILE_NONE)
		err = profile__name_place(s->p, mapping, pc, &lines[n_lines++]);
	if (!err)
		err = profile__location(s->p, mapping, pc, lines, n_lines, &loc);
	if (!err)
		err = cache_add(s, s->deck_pc[0], s->ndeck, loc);
	if (err)
		return err;
	locs[(*n)++] = loc;
	s->ndeck = 0;
	return 0;
}

static bool deck_takes(const struct go_stacks *s, const struct gotab_frame *f, bool known)
{
	const struct gotab_frame *last;

	if (!s->ndeck)
		return true;
	if (!s->deck_known || !known || s->ndeck >= MAX_LINES)
		return false;
	last = &s->deck[s->ndeck - 1];
	/* The same name again is recursion, not inlining. */
	return last->inlined && last->entry == f->entry && strcmp(last->name, f->name) != 0;
}

static const struct known_frame *frame_at(struct go_stacks *s, uint64_t pc)
{
	struct known_frame *k = &s->frames[keyhash__word(pc) & (FRAME_CACHE - 1)];

	if (!k->used || k->at != pc) {
		k->at = pc;
		k->used = true;
		k->known = go_target__frame(s->t, pc, &k->f);
		k->goexit = k->known && !strcmp(k->f.name, "runtime.goexit");
	}
	return k;
}

/* The last entry of a cut stack may stand for several inlined calls: all of them are shown. */
static size_t expand_last(struct go_stacks *s, const uint64_t *stk, size_t n, uint64_t *out)
{
	struct gotab_frame frames[GOTAB_MAX_INLINE];
	const struct go_target *t = s->t;
	uint8_t callee = 0;
	int k;

	memcpy(out, stk, n * sizeof(*stk));
	const struct known_frame *last = frame_at(s, stk[n - 1] - 1);

	if (!last->known || !last->f.inlined)
		return n;
	k = go_target__frames(t, stk[n - 1] - 1, frames, GOTAB_MAX_INLINE);
	if (k < 2)
		return n;
	n--;
	for (int i = 0; i < k; i++) {
		if (!gotab__is_wrapper(t->bin.minor, frames[i].func_id) ||
		    gotab__shows_wrapper(t->bin.minor, callee))
			out[n++] = frames[i].return_pc;
		callee = frames[i].func_id;
	}
	return n;
}

static bool is_runtime(struct go_stacks *s, uint64_t pc)
{
	const struct known_frame *k = frame_at(s, pc);

	if (!k->known)
		return false;
	return !strncmp(k->f.name, "runtime.", 8) ||
	       (go_release__of(s->t->bin.minor)->has_internal_runtime &&
		!strncmp(k->f.name, "internal/runtime/", 17));
}

static size_t leading_runtime(struct go_stacks *s, const uint64_t *stk, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_runtime(s, stk[i]))
			return i;
	}
	return 0; /* nothing else: shown whole */
}

static int add_pc(struct go_stacks *s, const uint64_t *stk, size_t left, uint32_t *locs, int *n)
{
	const struct known_frame *k = frame_at(s, stk[0] - 1);
	const struct cached_stack *c;
	int err;

	if (k->goexit) {
		err = emit(s, locs, n);
		return err ? err : 1;
	}
	if (s->ndeck && deck_takes(s, &k->f, k->known)) {
		s->deck_pc[s->ndeck] = stk[0];
		s->deck[s->ndeck++] = k->f;
		return 1;
	}
	err = emit(s, locs, n);
	if (err)
		return err;
	c = find_cached(s, stk[0]);
	if (c && c->npcs <= left) {
		if (*n >= GO_STACK_MAX)
			return -E2BIG;
		locs[(*n)++] = c->loc;
		return (int)c->npcs;
	}
	s->deck_known = k->known;
	s->deck_pc[0] = stk[0];
	s->deck[0] = k->f;
	s->ndeck = 1;
	return 1;
}

int go_stacks__locations(struct go_stacks *s, const uint64_t *stk, size_t n, bool hide_runtime,
			 uint32_t *locs)
{
	uint64_t full[1100 + GOTAB_MAX_INLINE];
	size_t at = 0;
	int nlocs = 0, err;

	if (!n || n > 1100)
		return n ? -E2BIG : 0;
	if (hide_runtime) {
		size_t skip = leading_runtime(s, stk, n);

		stk += skip;
		n -= skip;
	}
	n = expand_last(s, stk, n, full);
	s->ndeck = 0;
	while (at < n) {
		err = add_pc(s, full + at, n - at, locs, &nlocs);
		if (err < 0)
			return err;
		at += (size_t)err;
	}
	err = emit(s, locs, &nlocs);
	return err ? err : nlocs;
}
