/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symbolizer.c - modules, their sources of names in order, and the cache of answers.
 *
 * For one address: the answer cache, then DWARF (functions, inlines, lines), then the symbol
 * tables. Where both know the function, DWARF's name stands unless it is one of several names of
 * the same address; then the one that people expect is taken (malloc for __libc_malloc). A name
 * without namespace and arguments gives way to a mangled symbol, which has them.
 * One thread at a time.
 */
#include "elf/symbolizer.h"

#include "core/log.h"
#include "core/util.h"
#include "elf/debugfile.h"
#include "elf/dwarfbox.h"
#include "elf/elfobj.h"
#include "elf/strpool.h"
#include "elf/symbolizer_priv.h"
#include "elf/symtab.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_BUDGET (256ULL << 20)
#define MAX_CACHED (1u << 20) /* answers of one module */

struct cached {
	uint64_t off;
	uint32_t first, n; /* into frames */
	bool used;
};

struct symbolizer_module {
	struct symbolizer_module *next;
	uint32_t id;
	char *path;
	int rootfd; /* -1: ours, or no longer needed */
	struct elfobj *elf;
	dev_t dev;
	ino_t ino;
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	char note[DEBUGFILE_NOTE];

	/* all below is dropped by unload() */
	bool loaded, dwarf_failed;
	struct elfobj *mini, *debug, *alt;
	struct elfobj *dwarf; /* one of the above or elf; NULL: none */
	struct symtab tab;
	struct cached *slots;
	size_t nslots, ncached;
	struct symbolizer_frame *frames;
	size_t nframes, frames_cap;
	size_t bytes;
	uint64_t used_at;
};

struct pretty {
	const char *name, *demangled;
};

struct symbolizer {
	struct symbolizer_opts opts;
	struct strpool *pool;
	struct dwarfbox *box;
	struct symbolizer_module *modules;
	struct symbolizer_jit *jits;
	uint32_t nmodules;
	uint64_t clock;
	size_t bytes; /* of all loaded modules */
	struct pretty *pretty;
	size_t npretty, pretty_slots;
	struct symbolizer_stats stats;
};

int symbolizer__new(const struct symbolizer_opts *opts, struct symbolizer **ret)
{
	struct symbolizer *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	if (opts)
		s->opts = *opts;
	if (!s->opts.budget_bytes)
		s->opts.budget_bytes = DEFAULT_BUDGET;
	err = strpool__new(s->opts.budget_bytes / 2, &s->pool);
	if (!err)
		err = dwarfbox__new(s->opts.budget_bytes, &s->box);
	if (err)
		symbolizer__free(s);
	else
		*ret = s;
	return err;
}

static void close_root(struct symbolizer_module *m)
{
	if (m->rootfd >= 0)
		close(m->rootfd);
	m->rootfd = -1;
}

/* Drops everything that can be read again. The file itself stays open. */
static void unload(struct symbolizer *s, struct symbolizer_module *m)
{
	dwarfbox__forget(s->box, m->id);
	symtab__clear(&m->tab);
	elfobj__close(m->mini);
	elfobj__close(m->debug);
	elfobj__close(m->alt);
	free(m->slots);
	free(m->frames);
	m->mini = m->debug = m->alt = m->dwarf = NULL;
	m->slots = NULL;
	m->frames = NULL;
	m->nslots = m->ncached = m->nframes = m->frames_cap = 0;
	m->loaded = false;
	s->bytes -= m->bytes;
	m->bytes = 0;
	elfobj__drop(m->elf);
}

void symbolizer__free(struct symbolizer *s)
{
	if (!s)
		return;
	while (s->modules) {
		struct symbolizer_module *m = s->modules;

		s->modules = m->next;
		unload(s, m);
		close_root(m);
		elfobj__close(m->elf);
		free(m->path);
		free(m);
	}
	symbolizer_jit__free_all(s->jits);
	dwarfbox__free(s->box);
	strpool__free(s->pool);
	free(s->pretty);
	free(s);
}

const char *symbolizer__intern(struct symbolizer *s, const char *text)
{
	const char *p = strpool__add(s->pool, text);

	if (text && !p)
		s->stats.names_dropped++;
	return p;
}

struct symbolizer_jit **symbolizer__jits(struct symbolizer *s)
{
	return &s->jits;
}

static size_t pretty_slot(const struct symbolizer *s, const char *name)
{
	size_t i = util__mix64((uintptr_t)name) & (s->pretty_slots - 1);

	while (s->pretty[i].name && s->pretty[i].name != name)
		i = (i + 1) & (s->pretty_slots - 1);
	return i;
}

static int pretty_grow(struct symbolizer *s)
{
	size_t n = s->pretty_slots ? s->pretty_slots * 2 : 1024, was = s->pretty_slots;
	struct pretty *old = s->pretty, *fresh = calloc(n, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	s->pretty = fresh;
	s->pretty_slots = n;
	for (size_t i = 0; i < was; i++) {
		if (old[i].name)
			fresh[pretty_slot(s, old[i].name)] = old[i];
	}
	free(old);
	return 0;
}

const char *symbolizer__pretty(struct symbolizer *s, const char *name)
{
	struct pretty *p;
	char *owned;

	if (!name || name[0] != '_')
		return name;
	if ((s->npretty + 1) * 3 > s->pretty_slots * 2 && pretty_grow(s))
		return name;
	p = &s->pretty[pretty_slot(s, name)];
	if (!p->name) {
		symbolizer__demangle(name, &owned);
		p->demangled = owned ? symbolizer__intern(s, owned) : name;
		free(owned);
		if (!p->demangled)
			p->demangled = name;
		p->name = name;
		s->npretty++;
	}
	return p->demangled;
}

static struct symbolizer_module *find_module(struct symbolizer *s, const char *build_id,
					     const struct stat *st)
{
	for (struct symbolizer_module *m = s->modules; m; m = m->next) {
		if (*build_id ? !strcmp(m->build_id, build_id)
			      : !*m->build_id && m->dev == st->st_dev && m->ino == st->st_ino)
			return m;
	}
	return NULL;
}

int symbolizer__module(struct symbolizer *s, int fd, const char *path, const char *root,
		       struct symbolizer_module **ret)
{
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	struct symbolizer_module *m;
	struct elfobj *e = NULL;
	struct stat st;
	int err = elfobj__open_fd(fd, path, &e);

	if (err)
		return err;
	if (fstat(fd, &st)) {
		err = -errno;
		elfobj__close(e);
		return err;
	}
	m = find_module(s, elfobj__build_id_hex(e, build_id), &st);
	if (m) {
		elfobj__close(e);
		*ret = m;
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (m)
		m->path = strdup(path ? path : "");
	if (!m || !m->path) {
		elfobj__close(e);
		free(m);
		return -ENOMEM;
	}
	m->elf = e;
	m->id = s->nmodules++;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	memcpy(m->build_id, build_id, sizeof(build_id));
	m->rootfd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	m->next = s->modules;
	s->modules = m;
	*ret = m;
	return 0;
}

const char *symbolizer_module__build_id(struct symbolizer_module *m)
{
	return m->build_id;
}

const char *symbolizer_module__note(struct symbolizer_module *m)
{
	return m->note;
}

static void set_note(struct symbolizer_module *m, const char *text)
{
	if (!m->note[0])
		snprintf(m->note, sizeof(m->note), "%s", text);
}

static void note_table(struct symbolizer *s, struct symbolizer_module *m, int err, const char *what)
{
	if (!err || err == -ENOENT)
		return;
	s->stats.malformed++;
	if (!m->note[0])
		snprintf(m->note, sizeof(m->note), "%s %s", what,
			 err == -E2BIG	  ? "has too many symbols: not all are used"
			 : err == -ENOMEM ? "did not fit into memory"
					  : "is malformed: names may be missing");
}

/* Finds every source of names of a module. What cannot be read is noted and left out. */
static void load(struct symbolizer *s, struct symbolizer_module *m)
{
	bool own_symtab = elfobj__has_section(m->elf, ".symtab");
	bool own_dwarf = elfobj__has_section(m->elf, ".debug_info");
	int err;

	m->loaded = true;
	note_table(s, m, symtab__add(&m->tab, m->elf, m->elf), "the symbol table");
	note_table(s, m, symtab__add_plt(&m->tab, m->elf), "the procedure linkage table");
	if (!own_dwarf || !own_symtab) {
		bool refused = !m->note[0];

		err = debugfile__detached(m->elf, m->rootfd, m->path, m->note, &m->debug);
		if (refused && m->note[0])
			s->stats.mismatches++;
		if (err && !own_dwarf)
			err = debugfile__debuginfod(m->elf, &m->debug);
		if (!err && !own_symtab)
			note_table(s, m, symtab__add(&m->tab, m->debug, m->elf),
				   "the debug file's symbol table");
	}
	if (!own_symtab && !m->debug) {
		err = debugfile__mini(m->elf, &m->mini);
		if (!err)
			err = symtab__add(&m->tab, m->mini, m->elf);
		note_table(s, m, err, ".gnu_debugdata");
	}
	if (own_dwarf)
		m->dwarf = m->elf;
	else if (m->debug && elfobj__has_section(m->debug, ".debug_info"))
		m->dwarf = m->debug;
	if (m->dwarf && debugfile__alt(m->dwarf, m->rootfd, &m->alt))
		m->alt = NULL;
	note_table(s, m, symtab__sort(&m->tab), "the symbol table");
	m->bytes = symtab__bytes(&m->tab) + elfobj__bytes(m->elf);
	m->bytes += m->debug ? elfobj__bytes(m->debug) : 0;
	m->bytes += m->mini ? elfobj__bytes(m->mini) : 0;
	s->bytes += m->bytes;
}

/* Drops the modules that were not asked about for the longest time, until the budget is kept. */
static void keep_budget(struct symbolizer *s, const struct symbolizer_module *keep)
{
	while (s->bytes > s->opts.budget_bytes) {
		struct symbolizer_module *oldest = NULL;

		for (struct symbolizer_module *m = s->modules; m; m = m->next) {
			if (m != keep && m->loaded && (!oldest || m->used_at < oldest->used_at))
				oldest = m;
		}
		if (!oldest)
			break;
		unload(s, oldest);
		s->stats.evictions++;
	}
}

static struct cached *cache_slot(struct symbolizer_module *m, uint64_t off)
{
	size_t i = util__mix64(off) & (m->nslots - 1);

	while (m->slots[i].used && m->slots[i].off != off)
		i = (i + 1) & (m->nslots - 1);
	return &m->slots[i];
}

static int cache_grow(struct symbolizer *s, struct symbolizer_module *m)
{
	size_t n = m->nslots ? m->nslots * 2 : 256, was = m->nslots;
	struct cached *old = m->slots, *fresh = calloc(n, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	m->slots = fresh;
	m->nslots = n;
	for (size_t i = 0; i < was; i++) {
		if (old[i].used)
			*cache_slot(m, old[i].off) = old[i];
	}
	free(old);
	m->bytes += (n - was) * sizeof(*fresh);
	s->bytes += (n - was) * sizeof(*fresh);
	return 0;
}

static void cache_add(struct symbolizer *s, struct symbolizer_module *m, uint64_t off,
		      const struct symbolizer_frame *frames, int n)
{
	size_t was = m->frames_cap;
	struct cached *c;

	if (m->ncached >= MAX_CACHED)
		return;
	if (((m->ncached + 1) * 3 > m->nslots * 2 && cache_grow(s, m)) ||
	    array_reserve(m->frames, m->frames_cap, m->nframes + n))
		return;
	m->bytes += (m->frames_cap - was) * sizeof(*frames);
	s->bytes += (m->frames_cap - was) * sizeof(*frames);
	c = cache_slot(m, off);
	if (c->used)
		return;
	*c = (struct cached){.off = off, .first = m->nframes, .n = n, .used = true};
	if (n)
		memcpy(m->frames + m->nframes, frames, n * sizeof(*frames));
	m->nframes += n;
	m->ncached++;
}

static void dwarf_failed(struct symbolizer *s, struct symbolizer_module *m, int err)
{
	m->dwarf_failed = true;
	if (err == -ENODATA)
		return;
	if (err == -ETIMEDOUT)
		s->stats.dwarf_timeouts++;
	else if (err == -EFAULT)
		s->stats.dwarf_crashes++;
	else
		s->stats.malformed++;
	set_note(m, err == -ETIMEDOUT ? "debug information took too long to read, not used"
		    : err == -EFAULT  ? "debug information broke its reader, not used"
		    : err == -ENOMEM  ? "debug information did not fit into memory, not used"
				      : "debug information is malformed, not used");
}

static const char *intern_file(struct symbolizer *s, const char *dir, const char *file)
{
	char path[8192];

	if (!file || !dir)
		return symbolizer__intern(s, file);
	snprintf(path, sizeof(path), "%.4000s/%.4000s", dir, file);
	return symbolizer__intern(s, path);
}

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D');
}

/* Adds the symbol table's name to what DWARF said (out[0..n)), caches the answer. */
static int complete(struct symbolizer *s, struct symbolizer_module *m, uint64_t off, uint64_t vaddr,
		    struct symbolizer_frame *out, int n, bool plain)
{
	const struct symtab_symbol *sym = symtab__find(&m->tab, vaddr);

	if (sym) {
		struct symbolizer_frame *outer = &out[n ? n - 1 : 0];

		if (!n)
			*outer = (struct symbolizer_frame){0};
		if (!outer->system_name || (plain && is_mangled(sym->name)) ||
		    symtab__has_alias(&m->tab, sym, outer->system_name))
			outer->system_name = symbolizer__intern(s, sym->name);
		n = max_of(n, 1);
	}
	for (int i = 0; i < n; i++)
		out[i].name = symbolizer__pretty(s, out[i].system_name);
	if (!n || !out[n - 1].name)
		s->stats.unnamed++;
	cache_add(s, m, off, out, n);
	return n;
}

struct batch {
	struct symbolizer *s;
	struct symbolizer_module *m;
	const uint64_t *offs, *vaddrs;
	size_t done;
};

/* One answer of the DWARF reader. */
static void by_dwarf(void *arg, size_t i, const struct dwarfinfo_frame *f, int n)
{
	struct batch *b = arg;
	struct symbolizer_frame out[SYMBOLIZER_MAX_INLINE];

	for (int k = 0; k < n; k++) {
		out[k] = (struct symbolizer_frame){
			.system_name = symbolizer__intern(b->s, f[k].name),
			.file = intern_file(b->s, f[k].dir, f[k].file),
			.line = f[k].line,
			.start_line = f[k].start_line,
			.inlined = f[k].inlined,
		};
	}
	complete(b->s, b->m, b->offs[i], b->vaddrs[i], out, n, n > 0 && f[n - 1].plain);
	b->done = i + 1;
}

/* Resolves n addresses into the cache. */
static void resolve(struct symbolizer *s, struct symbolizer_module *m, const uint64_t *offs,
		    const uint64_t *vaddrs, size_t n)
{
	struct batch b = {.s = s, .m = m, .offs = offs, .vaddrs = vaddrs};
	struct symbolizer_frame out[SYMBOLIZER_MAX_INLINE];
	int err;

	if (!s->opts.no_lines && m->dwarf && !m->dwarf_failed) {
		err = dwarfbox__lookup(s->box, m->id, elfobj__fd(m->dwarf),
				       m->alt ? elfobj__fd(m->alt) : -1, vaddrs, n, by_dwarf, &b);
		if (err)
			dwarf_failed(s, m, err);
	}
	for (size_t i = b.done; i < n; i++)
		complete(s, m, offs[i], vaddrs[i], out, 0, false);
}

static bool is_cached(struct symbolizer_module *m, uint64_t off, struct cached **ret)
{
	if (!m->nslots)
		return false;
	*ret = cache_slot(m, off);
	return (*ret)->used;
}

static void make_room(struct symbolizer *s, struct symbolizer_module *m)
{
	m->used_at = ++s->clock;
	if (m->ncached >= MAX_CACHED)
		unload(s, m);
	if (!m->loaded)
		load(s, m);
	keep_budget(s, m);
}

int symbolizer__prefetch(struct symbolizer *s, struct symbolizer_module *m, const uint64_t *offs,
			 size_t n)
{
	cleanup_free uint64_t *want = malloc((n + 1) * 2 * sizeof(*want));
	size_t nwant = 0;

	if (!want)
		return -ENOMEM;
	make_room(s, m);
	n = min_of(n, (size_t)MAX_CACHED - m->ncached);
	for (size_t i = 0; i < n; i++) {
		struct cached *c;

		if (!is_cached(m, offs[i], &c) &&
		    elfobj__off_to_vaddr(m->elf, offs[i], &want[n + nwant]))
			want[nwant++] = offs[i];
	}
	resolve(s, m, want, want + n, nwant);
	return 0;
}

int symbolizer__lookup(struct symbolizer *s, struct symbolizer_module *m, uint64_t off,
		       struct symbolizer_frame *frames, int max)
{
	struct cached *c;
	uint64_t vaddr;
	int n;

	s->stats.lookups++;
	m->used_at = ++s->clock;
	if (!is_cached(m, off, &c)) {
		make_room(s, m);
		if (!elfobj__off_to_vaddr(m->elf, off, &vaddr))
			return 0;
		resolve(s, m, &off, &vaddr, 1);
		if (!is_cached(m, off, &c))
			return 0; /* out of memory */
	}
	n = min_of((int)c->n, max);
	if (n > 0)
		memcpy(frames, m->frames + c->first, n * sizeof(*frames));
	return max_of(n, 0);
}

void symbolizer__stats(const struct symbolizer *s, struct symbolizer_stats *ret)
{
	*ret = s->stats;
	ret->bytes = s->bytes + strpool__bytes(s->pool) + s->pretty_slots * sizeof(*s->pretty);
}
