/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listing.c - see listing.h. */
#include "report/listing.h"

#include "core/util.h"
#include "elf/strpool.h"
#include "elf/symbolizer.h"
#include "report/assembly.h"

#include <string.h>

#define AROUND 500		    /* bytes before and behind a place that are shown with it */
#define MAX_LINE ((int64_t)1 << 40) /* what a profile says beyond is nonsense */
#define MAX_TEXT_BYTES (256u << 20)
#define NEIGHBORHOOD 32 /* bytes behind an instruction whose line holds for those without one */

/* Room for n elements; false: something went wrong, now or before. */
#define HAS_ROOM(l, ptr, cap, n) (!(l)->err && !((l)->err = array_reserve(ptr, cap, n)))

/* A function that is asked for, by each of its names. */
struct wanted_name {
	const char *name;
	const char *shown;
};

struct wanted {
	struct wanted_name *names;
	size_t n, cap;
	int64_t *flat, *cum; /* of each location */
	bool *marked;	     /* locations in such a function */
};

/* The locations of a mapping, by address. */
struct mapped {
	const struct profile_mapping *m;
	uint32_t *loc;
	size_t n;
	uint64_t *off; /* in the file, of those that are marked */
	size_t noff;
};

static void wanted_free(struct wanted *w)
{
	free(w->names);
	free(w->flat);
	free(w->cum);
	free(w->marked);
}

void listing__free(struct code_listing *l)
{
	for (size_t i = 0; i < l->ncode; i++)
		disasm__free(&l->code[i]);
	free(l->code);
	for (size_t i = 0; i < l->nfiles; i++)
		free(l->files[i].clean);
	free(l->files);
	free(l->insns);
	free(l->frames);
	free(l->entries);
	symbolizer__free(l->names);
	strpool__free(l->texts);
	*l = (struct code_listing){0};
}

/* --- what is asked for --- */

static int want(struct wanted *w, const struct profile *p, const struct profile_function *fn)
{
	int err = array_reserve(w->names, w->cap, w->n + 2);

	if (err)
		return err;
	w->names[w->n++] =
		(struct wanted_name){profile__text(p, fn->name), profile__text(p, fn->name)};
	if (fn->system_name && fn->system_name != fn->name)
		w->names[w->n++] = (struct wanted_name){profile__text(p, fn->system_name),
							profile__text(p, fn->name)};
	return 0;
}

static bool matches(const struct report *r, const struct profile_function *fn)
{
	const struct profile *p = r->p;

	return rx__match(r->o.symbol, profile__text(p, fn->name)) ||
	       rx__match(r->o.symbol, profile__text(p, fn->system_name)) ||
	       rx__match(r->o.symbol, profile__text(p, fn->file));
}

static int mark_location(const struct report *r, struct wanted *w, uint32_t i)
{
	const struct profile *p = r->p;
	const struct profile_location *l = &p->locations[i];
	const struct profile_mapping *m =
		l->mapping == PROFILE_NONE ? NULL : &p->mappings[l->mapping];
	bool module = m && rx__match(r->o.symbol, profile__text(p, m->file));
	uint64_t address;
	int err = 0;

	if (assembly__is_address(r, &address) && l->address == address && l->nlines) {
		w->marked[i] = true;
		return want(w, p, &p->functions[p->lines[l->line0 + l->nlines - 1].function]);
	}
	for (uint32_t k = 0; k < l->nlines && !err; k++) {
		const struct profile_function *fn = &p->functions[p->lines[l->line0 + k].function];

		if (!(module && !k) && !matches(r, fn))
			continue;
		w->marked[i] = true;
		err = want(w, p, fn);
	}
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct wanted_name *)a)->name, ((const struct wanted_name *)b)->name);
}

static const struct wanted_name *find_wanted(const struct wanted *w, const char *name)
{
	const struct wanted_name key = {.name = name};

	return *name ? bsearch(&key, w->names, w->n, sizeof(key), by_name) : NULL;
}

/* Values of all locations, each time that a stack leads through them; which are asked for. */
static int find_places(const struct report *r, struct wanted *w)
{
	const struct profile *p = r->p;
	size_t n = p->nlocations + 1;
	cleanup_free bool *used = calloc(n, sizeof(*used));
	int err = 0;

	w->flat = calloc(n, sizeof(*w->flat));
	w->cum = calloc(n, sizeof(*w->cum));
	w->marked = calloc(n, sizeof(*w->marked));
	if (!used || !w->flat || !w->cum || !w->marked)
		return -ENOMEM;
	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];
		int64_t v = report__sample_value(r, s);

		for (uint32_t k = 0; k < s->nstack; k++) {
			uint32_t at = p->stack[s->stack0 + k];

			used[at] = true;
			w->cum[at] = graph__sum(w->cum[at], v);
			if (!k)
				w->flat[at] = graph__sum(w->flat[at], v);
		}
	}
	for (uint32_t i = 0; i < p->nlocations && !err; i++)
		err = used[i] ? mark_location(r, w, i) : 0;
	if (!err && w->n)
		qsort(w->names, w->n, sizeof(*w->names), by_name);
	return err ? err : w->n ? 0 : -ENOENT;
}

/* --- instructions and where they are from --- */

/* A file's name without detours, as its lines are grouped; most are those of the frame before. */
static const char *clean_file(struct code_listing *l, const char *name)
{
	char *clean;

	for (size_t i = l->nfiles; i-- > 0;) {
		if (l->files[i].named == name || !strcmp(l->files[i].named, name))
			return l->files[i].clean;
	}
	if (!HAS_ROOM(l, l->files, l->files_cap, l->nfiles + 1))
		return NULL;
	clean = malloc(strlen(name) + 2);
	if (!clean) {
		l->err = -ENOMEM;
		return NULL;
	}
	graph__clean_path(graph__trim_path(name, NULL, ""), clean);
	l->files[l->nfiles++] = (struct listing_file){name, clean};
	return clean;
}

static void add_frame(struct code_listing *l, struct listing_insn *in, const char *name,
		      const char *system_name, const char *file, int64_t line)
{
	const char *clean = clean_file(l, file ? file : "");

	if (!HAS_ROOM(l, l->frames, l->frames_cap, l->nframes + 1))
		return;
	if (!in->nframes++) {
		in->frame0 = l->nframes;
		in->file = file ? file : "";
		in->line = line;
	}
	l->frames[l->nframes++] = (struct listing_frame){
		name ? name : "", system_name ? system_name : "", clean, line};
}

/* Below each line of a function that is asked for. */
static void add_entries(struct code_listing *l, const struct wanted *w, size_t insn)
{
	for (uint32_t i = 0; !l->err && i < l->insns[insn].nframes; i++) {
		const struct listing_frame *f = &l->frames[l->insns[insn].frame0 + i];
		const struct wanted_name *name = find_wanted(w, f->name);

		if (!name)
			name = find_wanted(w, f->system_name);
		if (name && HAS_ROOM(l, l->entries, l->entries_cap, l->nentries + 1))
			l->entries[l->nentries++] =
				(struct listing_entry){f->file, name->shown, f->line, insn, i};
	}
}

static void add_insn(struct code_listing *l, const struct listing_insn *in)
{
	if (HAS_ROOM(l, l->insns, l->insns_cap, l->ninsns + 1))
		l->insns[l->ninsns++] = *in;
}

/* What the profile itself says of a location, where there is no file. */
static void add_profiled(const struct report *r, struct code_listing *l, struct listing_insn *in,
			 uint32_t loc)
{
	const struct profile *p = r->p;
	const struct profile_location *at = &p->locations[loc];

	for (uint32_t k = 0; k < at->nlines; k++) {
		const struct profile_line *line = &p->lines[at->line0 + k];
		const struct profile_function *fn = &p->functions[line->function];

		add_frame(l, in, profile__text(p, fn->name), profile__text(p, fn->system_name),
			  profile__text(p, fn->file),
			  min_of(max_of(line->line, (int64_t)0), MAX_LINE));
	}
}

static void add_unmapped(const struct report *r, struct code_listing *l, const struct wanted *w,
			 uint32_t loc)
{
	uint64_t address = r->p->locations[loc].address;
	struct listing_insn in = {.vaddr = address,
				  .end = address + 1,
				  .flat = w->flat[loc],
				  .cum = w->cum[loc],
				  .file = ""};

	add_profiled(r, l, &in, loc);
	add_insn(l, &in);
	add_entries(l, w, l->ninsns - 1);
}

/* The values of an instruction, which locations may lie inside of, and which are done with so;
 * *ret: one of them. */
static void take_places(const struct report *r, struct wanted *w, const struct mapped *md,
			uint64_t shift, struct listing_insn *in, uint32_t *ret)
{
	const struct profile_location *locs = r->p->locations;
	size_t lo = 0, hi = md->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (locs[md->loc[mid]].address < in->vaddr + shift)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = PROFILE_NONE;
	for (; lo < md->n && locs[md->loc[lo]].address < in->end + shift; lo++) {
		in->flat = graph__sum(in->flat, w->flat[md->loc[lo]]);
		in->cum = graph__sum(in->cum, w->cum[md->loc[lo]]);
		w->marked[md->loc[lo]] = false;
		if (*ret == PROFILE_NONE)
			*ret = md->loc[lo];
	}
}

/* A place is near: they are sorted by vaddr. */
static bool is_near(const struct disasm *d, size_t n, uint64_t vaddr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->place[mid] + AROUND <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && vaddr + AROUND >= d->place[lo];
}

/* The instructions of a file that are shown, without their frames. */
static void choose_insns(struct code_listing *l, const struct mapped *md, const struct disasm *d)
{
	for (size_t i = 0; i < d->nfunctions; i++) {
		const struct disasm_function *fn = &d->functions[i];

		for (size_t k = 0; k < fn->ninsns && !l->err; k++) {
			const struct disasm_insn *at = &d->insns[fn->insn0 + k];
			uint64_t end = k + 1 < fn->ninsns ? at[1].vaddr : fn->end;
			struct listing_insn in = {at->vaddr, max_of(end, at->vaddr + 1),
						  .text = at->text, .file = ""};

			if (is_near(d, md->noff, at->vaddr))
				add_insn(l, &in);
		}
	}
}

/* Frames of the l->insns from `first` on; those without a line take those of what is just before.
 */
static void name_insns(const struct report *r, struct code_listing *l, struct wanted *w,
		       const struct mapped *md, const struct disasm *d,
		       struct symbolizer_module *module, size_t first)
{
	const struct listing_insn *last = NULL;

	for (size_t i = first; i < l->ninsns && !l->err; i++) {
		struct listing_insn *in = &l->insns[i];
		struct symbolizer_frame found[SYMBOLIZER_MAX_INLINE];
		uint64_t off = in->vaddr - d->place[0] + md->off[0];
		uint32_t loc;
		int n = symbolizer__lookup(l->names, module, off, found, SYMBOLIZER_MAX_INLINE);

		take_places(r, w, md, off - md->m->offset + md->m->start - in->vaddr, in, &loc);
		if (loc != PROFILE_NONE && (!n || !found[0].file)) {
			add_profiled(r, l, in, loc);
			n = 0;
		}
		for (int k = 0; k < n; k++)
			add_frame(l, in, strpool__add(l->texts, found[k].name),
				  strpool__add(l->texts, found[k].system_name),
				  strpool__add(l->texts, found[k].file), found[k].line);
		if (in->line) {
			last = in;
		} else if (last && in->vaddr - last->vaddr <= NEIGHBORHOOD) {
			in->frame0 = last->frame0;
			in->nframes = last->nframes;
		}
		add_entries(l, w, i);
	}
}

/* Names of the l->insns from `first` on are asked for at once. */
static void look_up(struct code_listing *l, const struct mapped *md, const struct disasm *d, int fd,
		    const char *path, size_t first, struct symbolizer_module **ret)
{
	size_t n = l->ninsns - first;
	cleanup_free uint64_t *offs = malloc((n + 1) * sizeof(*offs));

	if (!l->err)
		l->err = offs ? symbolizer__module(l->names, fd, path, -1, NULL, ret) : -ENOMEM;
	if (l->err)
		return;
	for (size_t i = 0; i < n; i++)
		offs[i] = l->insns[first + i].vaddr - d->place[0] + md->off[0];
	l->err = symbolizer__prefetch(l->names, *ret, offs, n);
}

static void list_mapped(const struct report *r, struct code_listing *l, struct wanted *w,
			const struct mapped *md)
{
	struct symbolizer_module *module = NULL;
	struct disasm d = {0};
	cleanup_fd int fd = -1;
	size_t first = l->ninsns;
	int got = md->noff ? assembly__around(r, md->m, md->off, md->noff, AROUND, &fd, &d) : 0;

	l->err = min_of(got, 0);
	if (got == 1 && HAS_ROOM(l, l->code, l->code_cap, l->ncode + 1)) {
		l->code[l->ncode++] = d;
		choose_insns(l, md, &d);
		look_up(l, md, &d, fd, profile__text(r->p, md->m->file), first, &module);
		name_insns(r, l, w, md, &d, module, first);
	} else {
		disasm__free(&d);
	}
	for (size_t i = 0; i < md->n && !l->err; i++) {
		if (w->marked[md->loc[i]])
			add_unmapped(r, l, w, md->loc[i]);
	}
}

/* --- all of it --- */

static int by_address(const void *a, const void *b, void *arg)
{
	const struct profile_location *locs = arg;
	uint64_t x = locs[*(const uint32_t *)a].address, y = locs[*(const uint32_t *)b].address;

	return x < y ? -1 : x > y;
}

static bool holds(const struct profile_mapping *m, uint64_t address)
{
	return address >= m->start && address < m->limit;
}

/* The locations of mapping i (PROFILE_NONE: of none). */
static void list_mapping(const struct report *r, struct code_listing *l, struct wanted *w,
			 uint32_t i)
{
	const struct profile *p = r->p;
	struct mapped md = {.m = i == PROFILE_NONE ? NULL : &p->mappings[i]};
	cleanup_free uint32_t *loc = malloc((p->nlocations + 1) * sizeof(*loc));
	cleanup_free uint64_t *off = malloc((DISASM_MAX_PLACES + 1) * sizeof(*off));
	bool file = md.m && md.m->file;

	if (!loc || !off)
		l->err = -ENOMEM;
	if (l->err)
		return;
	md.loc = loc;
	md.off = off;
	for (uint32_t k = 0; k < p->nlocations; k++) {
		if (p->locations[k].mapping == i)
			loc[md.n++] = k;
	}
	qsort_r(loc, md.n, sizeof(*loc), by_address, p->locations);
	for (size_t k = 0; k < md.n && file && md.noff < DISASM_MAX_PLACES; k++) {
		uint64_t address = p->locations[loc[k]].address;

		if (w->marked[loc[k]] && holds(md.m, address))
			off[md.noff++] = address - md.m->start + md.m->offset;
	}
	list_mapped(r, l, w, &md);
}

static int by_line(const void *a, const void *b)
{
	const struct listing_entry *x = a, *y = b;
	int c = strcmp(x->file, y->file);

	if (c)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->insn != y->insn)
		return x->insn < y->insn ? -1 : 1;
	return x->ncallees < y->ncallees ? -1 : x->ncallees > y->ncallees;
}

int listing__read(const struct report *r, struct code_listing *l)
{
	struct wanted w = {0};
	int err;

	*l = (struct code_listing){.err = find_places(r, &w)};
	if (!l->err)
		l->err = symbolizer__new(NULL, &l->names);
	if (!l->err)
		l->err = strpool__new(MAX_TEXT_BYTES, &l->texts);
	for (uint32_t i = 0; i < r->p->nmappings; i++)
		list_mapping(r, l, &w, i);
	list_mapping(r, l, &w, PROFILE_NONE);
	if (!l->err && l->nentries)
		qsort(l->entries, l->nentries, sizeof(*l->entries), by_line);
	wanted_free(&w);
	err = l->err;
	if (err)
		listing__free(l);
	return err;
}
