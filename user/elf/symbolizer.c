/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symbolizer.c - modules, and the cache of answers that their helpers gave (symserve.h). Nothing of
 * a file is parsed here. One thread at a time.
 */
#include "elf/symbolizer.h"

#include "core/hash_index.h"
#include "core/log.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "elf/strpool.h"
#include "elf/symbolizer_priv.h"
#include "elf/symclient.h"
#include "sys/rootdir.h"
#include "sys/safeopen.h"
#include "sys/signals.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_BUDGET (256ULL << 20)
#define MAX_CACHED (1u << 20) /* answers of one module */
#define MAX_HELPERS 24	      /* at once; beyond, the one unused for longest ends */
#define MAX_PAYERS 64
#define MAX_AT_REST 64 /* files that nobody has mapped, and whose names are kept */

struct cached_frame {
	uint64_t off;
	uint32_t first, n; /* into frames */
};

struct symbolizer_module {
	struct symbolizer_module *next;
	char *path;
	int fd;	    /* -1: at rest (symbolizer__keep) */
	int rootfd; /* -1: ours */
	struct rootdir_id root;
	struct box_target *payers; /* on whose behalf it is read, one after the other */
	size_t npayers, payers_cap, payer;
	struct stat st;
	bool wanted; /* by symbolizer__keep */
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	char note[DEBUGFILE_NOTE];
	bool foreign;	  /* others may write it */
	bool asked;	  /* who it is */
	bool counted;	  /* what is wrong with its tables is in the statistics */
	bool no_dwarf;	  /* its debug information broke or held up a helper */
	bool failed;	  /* the rest did so too: no names */
	bool owed;	  /* failed because no payer had time left: the next one may have */
	bool interrupted; /* the end was wanted before it answered */

	/* all below is dropped by unload() */
	struct symclient client;
	struct hash_index by_off; /* by_off.n frames */
	struct cached_frame *cached;
	size_t cached_cap;
	struct symbolizer_frame *frames;
	size_t nframes, frames_cap;
	struct strpool *names; /* of frames */
	size_t bytes, helper_bytes;
	uint64_t used_at;
};

struct symbolizer {
	struct symbolizer_opts opts;
	struct symbolizer_module *modules;
	struct symbolizer_jit *jits;
	uint64_t clock;
	size_t bytes; /* of all modules' caches and helpers */
	struct symbolizer_stats stats;
	bool cut_short; /* and it was said */
};

int symbolizer__new(const struct symbolizer_opts *opts, struct symbolizer **ret)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (opts)
		s->opts = *opts;
	if (!s->opts.budget_bytes)
		s->opts.budget_bytes = DEFAULT_BUDGET;
	box__start(); /* said there if not; then there are no names */
	*ret = s;
	return 0;
}

static void stop_helper(struct symbolizer *s, struct symbolizer_module *m)
{
	s->bytes -= m->helper_bytes;
	m->helper_bytes = 0;
	symclient__close(&m->client);
}

/* Drops everything that can be asked for again. The file itself stays open. */
static void unload(struct symbolizer *s, struct symbolizer_module *m)
{
	stop_helper(s, m);
	hash_index__fini(&m->by_off);
	free(m->cached);
	free(m->frames);
	strpool__free(m->names);
	m->cached = NULL;
	m->frames = NULL;
	m->names = NULL;
	m->cached_cap = m->nframes = m->frames_cap = 0;
	s->bytes -= m->bytes;
	m->bytes = 0;
}

static void close_file(struct symbolizer_module *m)
{
	util__close_fd(&m->fd);
	util__close_fd(&m->rootfd);
	m->fd = m->rootfd = -1;
}

static void free_module(struct symbolizer *s, struct symbolizer_module *m)
{
	unload(s, m);
	close_file(m);
	free(m->payers);
	free(m->path);
	free(m);
}

static void say_cost(void)
{
	struct box_stats st;

	box__stats(&st);
	log_debug("helpers: %lu started, %lu lost to their files, %.1f ms of processor time, "
		  "at most %luMB in one",
		  (unsigned long)st.started, (unsigned long)st.killed, (double)st.cpu_ns / 1e6,
		  (unsigned long)(st.peak_bytes >> 20));
}

void symbolizer__free(struct symbolizer *s)
{
	if (!s)
		return;
	say_cost();
	while (s->modules) {
		struct symbolizer_module *m = s->modules;

		s->modules = m->next;
		free_module(s, m);
	}
	while (s->jits)
		symbolizer_jit__free(s->jits);
	free(s);
}

struct symbolizer_jit **symbolizer__jits(struct symbolizer *s)
{
	return &s->jits;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/*
 * The very file, unchanged: what a file says of itself (a build-id) anybody can copy. The number of
 * one that is not held open may be another's by now, whose size and time its owner has chosen; when
 * it was changed last he cannot.
 */
static bool is_of(const struct symbolizer_module *m, const struct stat *st)
{
	return m->st.st_dev == st->st_dev && m->st.st_ino == st->st_ino &&
	       m->st.st_size == st->st_size && same_time(m->st.st_mtim, st->st_mtim) &&
	       (m->fd >= 0 || same_time(m->st.st_ctim, st->st_ctim));
}

/* Below the same root: whoever made that can forge the debug files there. */
static struct symbolizer_module *find_module(struct symbolizer *s, const struct stat *st,
					     const struct rootdir_id *root)
{
	for (struct symbolizer_module *m = s->modules; m; m = m->next) {
		if (is_of(m, st) && rootdir__same(&m->root, root))
			return m;
	}
	return NULL;
}

static int open_file(struct symbolizer_module *m, int fd, int rootfd)
{
	m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (m->fd < 0)
		return -errno;
	m->foreign = box__foreign(m->fd);
	m->rootfd = m->root.ino ? fcntl(rootfd, F_DUPFD_CLOEXEC, 3) : -1;
	return 0;
}

static struct symbolizer_module *add_module(struct symbolizer *s, const struct stat *st,
					    const char *path, const struct rootdir_id *root)
{
	struct symbolizer_module *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->fd = m->rootfd = -1;
	m->st = *st;
	m->root = *root;
	m->path = strdup(path ? path : "");
	if (!m->path) {
		free(m);
		return NULL;
	}
	m->next = s->modules;
	s->modules = m;
	return m;
}

int symbolizer__module(struct symbolizer *s, int fd, const char *path, int rootfd,
		       const struct box_target *whose, struct symbolizer_module **ret)
{
	const struct rootdir_id root = rootdir__id(rootfd);
	struct symbolizer_module *m;
	struct stat st;
	int err = 0;

	err = safeopen__fstat(fd, &st);
	if (err)
		return err;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	m = find_module(s, &st, &root);
	if (!m)
		m = add_module(s, &st, path, &root);
	if (!m)
		return -ENOMEM;
	if (m->fd < 0) { /* one without a descriptor is at rest */
		err = open_file(m, fd, rootfd);
		if (!err && whose)
			symbolizer_module__charge(s, m, whose);
	}
	if (!err)
		*ret = m;
	return err;
}

static bool pays(const struct symbolizer_module *m, uint64_t id)
{
	for (size_t i = m->npayers; i-- > 0;) {
		if (m->payers[i].id == id)
			return true;
	}
	return false;
}

/* Forgets who has no time left; 0: there is room for one more. */
static int make_payers_room(struct symbolizer_module *m)
{
	if (m->npayers == MAX_PAYERS) {
		m->npayers -= m->payer;
		memmove(m->payers, m->payers + m->payer, m->npayers * sizeof(*m->payers));
		m->payer = 0;
	}
	return m->npayers == MAX_PAYERS ? -ENOSPC
					: array_reserve(m->payers, m->payers_cap, m->npayers + 1);
}

void symbolizer_module__charge(struct symbolizer *s, struct symbolizer_module *m,
			       const struct box_target *whose)
{
	if (pays(m, whose->id) || make_payers_room(m))
		return;
	m->payers[m->npayers++] = *whose;
	if (!m->owed)
		return;
	m->payer = m->npayers - 1;
	m->owed = m->failed = false;
	m->note[0] = 0;
	unload(s, m); /* what has no name yet */
}

static struct symclient_file file_of(const struct symbolizer_module *m)
{
	return (struct symclient_file){m->fd, m->rootfd, m->path,
				       m->npayers ? &m->payers[m->payer] : NULL};
}

/* The one unused for longest of those at rest, as its link; *ret_n of them there are. */
static struct symbolizer_module **oldest_at_rest(struct symbolizer *s, size_t *ret_n)
{
	struct symbolizer_module **oldest = NULL, **link;

	*ret_n = 0;
	for (link = &s->modules; *link; link = &(*link)->next) {
		if ((*link)->fd >= 0)
			continue;
		++*ret_n;
		if (!oldest || (*link)->used_at < (*oldest)->used_at)
			oldest = link;
	}
	return oldest;
}

static void drop_module(struct symbolizer *s, struct symbolizer_module **link)
{
	struct symbolizer_module *m = *link;

	*link = m->next;
	free_module(s, m);
}

void symbolizer__keep(struct symbolizer *s, const int *fds, size_t nfds)
{
	struct symbolizer_module **link, *m;
	struct stat st;
	size_t n;

	for (m = s->modules; m; m = m->next)
		m->wanted = false;
	for (size_t i = 0; i < nfds; i++) {
		bool known = !safeopen__fstat(fds[i], &st);

		for (m = s->modules; m && known; m = m->next)
			m->wanted |= is_of(m, &st);
	}
	for (link = &s->modules; (m = *link);) {
		if (!m->wanted) {
			stop_helper(s, m);
			close_file(m);
		}
		/* a root that is not held open may be another's later */
		if (!m->wanted && (!m->by_off.n || m->root.ino))
			drop_module(s, link);
		else
			link = &m->next;
	}
	while ((link = oldest_at_rest(s, &n)) && n > MAX_AT_REST)
		drop_module(s, link);
}

static void set_note(struct symbolizer_module *m, const char *text)
{
	if (!m->note[0])
		snprintf(m->note, sizeof(m->note), "%s", text);
}

/* A helper was lost to the file, or could not be had. */
static void lost(struct symbolizer *s, struct symbolizer_module *m, int err)
{
	const char *what = m->no_dwarf || s->opts.no_lines ? "symbol tables" : "debug information";
	const char *how = err == -ETIMEDOUT ? "took too long to read"
			  : err == -EDQUOT  ? "took too long to read"
			  : err == -ENOMEM  ? "did not fit into memory"
			  : err == -EFAULT  ? "broke its reader"
					    : "could not be read";

	stop_helper(s, m);
	m->interrupted = err == -EINTR;
	if (m->interrupted) { /* nobody's fault */
		if (!s->cut_short)
			log_info("the names that are still to be read are left out: the end is "
				 "wanted");
		s->cut_short = true;
		return;
	}
	if (err == -EDQUOT && m->payer + 1 < m->npayers) { /* the next one's time */
		m->payer++;
		return;
	}
	if (err == -ETIMEDOUT || err == -EDQUOT)
		s->stats.dwarf_timeouts++;
	else if (err == -EFAULT)
		s->stats.dwarf_crashes++;
	else
		s->stats.malformed++;
	m->owed = err == -EDQUOT;
	if (m->no_dwarf || s->opts.no_lines || m->owed || err == -ENOEXEC)
		m->failed = true;
	m->no_dwarf |= !m->owed;
	if (err == -ENOEXEC)
		return;
	if (!m->note[0])
		snprintf(m->note, sizeof(m->note), "%s %s, not used", what, how);
	log_warn_of_many("the %s of '%s' %s; continuing without", what, m->path, how);
}

static void note_tables(struct symbolizer *s, struct symbolizer_module *m)
{
	static const char *const what[SYM_TABLES] = {
		[SYM_TABLE_SYMTAB] = "the symbol table",
		[SYM_TABLE_PLT] = "the procedure linkage table",
		[SYM_TABLE_DEBUG] = "the debug file's symbol table",
		[SYM_TABLE_MINI] = ".gnu_debugdata",
	};

	if (m->counted)
		return;
	m->counted = true;
	if (m->client.mismatched)
		s->stats.mismatches++;
	set_note(m, m->client.note);
	for (int i = 0; i < SYM_TABLES; i++) {
		int err = m->client.loaded.err[i];

		if (!err || err == -ENOENT)
			continue;
		s->stats.malformed++;
		if (!m->note[0])
			snprintf(m->note, sizeof(m->note), "%s %s", what[i],
				 err == -E2BIG	  ? "has too many symbols: not all are used"
				 : err == -ENOMEM ? "did not fit into memory"
						  : "is malformed: names may be missing");
	}
}

/* Makes room for one helper more. */
static void limit_helpers(struct symbolizer *s)
{
	struct symbolizer_module *oldest = NULL;
	size_t n = 0;

	for (struct symbolizer_module *m = s->modules; m; m = m->next) {
		if (!m->client.h)
			continue;
		n++;
		if (!oldest || m->used_at < oldest->used_at)
			oldest = m;
	}
	if (n >= MAX_HELPERS)
		stop_helper(s, oldest);
}

/* The module's helper is there and knows who the file is. */
static int get_helper(struct symbolizer *s, struct symbolizer_module *m)
{
	struct symclient_file f = file_of(m);
	int err;

	if (m->client.known)
		return 0;
	if (m->failed)
		return -ENODATA;
	if (m->interrupted && signals__end_ns()) /* it would only be so again */
		return -EINTR;
	if (box__turn_is_over(f.whose))
		return -EAGAIN;
	if (!m->client.h)
		limit_helpers(s);
	err = m->client.h ? symclient__identify(&m->client)
			  : symclient__open(&m->client, &f, s->opts.no_lines || m->no_dwarf);
	if (err == -EAGAIN)
		return err;
	if (err) {
		lost(s, m, err);
		return err;
	}
	if (!m->asked)
		memcpy(m->build_id, m->client.id.build_id, sizeof(m->build_id));
	m->asked = true;
	return 0;
}

const char *symbolizer_module__build_id(struct symbolizer *s, struct symbolizer_module *m)
{
	if (!m->asked)
		get_helper(s, m);
	return m->build_id;
}

bool symbolizer_module__is_foreign(const struct symbolizer_module *m)
{
	return m->foreign;
}

const char *symbolizer_module__note(struct symbolizer_module *m)
{
	return m->note;
}

static size_t cache_bytes(const struct symbolizer_module *m)
{
	return hash_index__bytes(&m->by_off) + m->cached_cap * sizeof(*m->cached) +
	       m->frames_cap * sizeof(*m->frames) + (m->names ? strpool__bytes(m->names) : 0);
}

static void measure(struct symbolizer *s, struct symbolizer_module *m)
{
	s->bytes -= m->bytes + m->helper_bytes;
	m->bytes = cache_bytes(m);
	m->helper_bytes = m->client.h ? box_helper__bytes(m->client.h) : 0;
	s->bytes += m->bytes + m->helper_bytes;
}

/* Has the module's tables read. Where they break a helper, the symbols alone are tried next. */
static int load(struct symbolizer *s, struct symbolizer_module *m)
{
	int err = -ENODATA;

	for (size_t tries = 0; tries < 2 + m->payer && err != -EINTR && !m->failed; tries++) {
		struct symclient_file f = file_of(m);

		err = get_helper(s, m);
		if (err == -EAGAIN)
			return err;
		if (err)
			continue;
		if (m->client.ready)
			return 0;
		err = symclient__load(&m->client, &f);
		if (err == -EAGAIN)
			return err;
		if (!err) {
			note_tables(s, m);
			measure(s, m);
			return 0;
		}
		lost(s, m, err);
	}
	return err;
}

/* Drops the modules that were not asked about for the longest time, until the budget is kept. */
static void keep_budget(struct symbolizer *s, const struct symbolizer_module *keep)
{
	while (s->bytes > s->opts.budget_bytes) {
		struct symbolizer_module *oldest = NULL;

		for (struct symbolizer_module *m = s->modules; m; m = m->next) {
			if (m != keep && m->bytes + m->helper_bytes &&
			    (!oldest || m->used_at < oldest->used_at))
				oldest = m;
		}
		if (!oldest)
			break;
		unload(s, oldest);
		s->stats.evictions++;
	}
}

static bool is_cached(struct symbolizer_module *m, uint64_t off, struct cached_frame **ret)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&m->by_off, keyhash__word(off), &at, &i)) {
		*ret = &m->cached[i];
		if ((*ret)->off == off)
			return true;
	}
	return false;
}

static void cache_add(struct symbolizer_module *m, uint64_t off,
		      const struct symbolizer_frame *frames, int n)
{
	struct cached_frame *c;

	if (m->by_off.n >= MAX_CACHED || is_cached(m, off, &c) || hash_index__reserve(&m->by_off) ||
	    array_reserve(m->cached, m->cached_cap, m->by_off.n + 1) ||
	    array_reserve(m->frames, m->frames_cap, m->nframes + n))
		return;
	m->cached[m->by_off.n] = (struct cached_frame){.off = off, .first = m->nframes, .n = n};
	hash_index__add(&m->by_off, keyhash__word(off));
	if (n)
		memcpy(m->frames + m->nframes, frames, n * sizeof(*frames));
	m->nframes += n;
}

struct symbol_batch {
	struct symbolizer *s;
	struct symbolizer_module *m;
	const uint64_t *offs;
	size_t done;
	int dwarf_err;
};

static const char *intern(struct symbol_batch *b, const char *text)
{
	const char *p = strpool__add(b->m->names, text);

	if (text && !p)
		b->s->stats.names_dropped++;
	return p;
}

static const char *intern_file(struct symbol_batch *b, const char *dir, const char *file)
{
	char path[8192];

	if (!file || !dir)
		return intern(b, file);
	snprintf(path, sizeof(path), "%.4000s/%.4000s", dir, file);
	return intern(b, path);
}

static void on_answer(void *arg, size_t i, const struct symclient_frame *f, int n, int err)
{
	struct symbol_batch *b = arg;
	struct symbolizer_frame out[SYMBOLIZER_MAX_INLINE];

	for (int k = 0; k < n; k++) {
		out[k] = (struct symbolizer_frame){
			.system_name = intern(b, f[k].text[SYM_SYSTEM]),
			.name = intern(b, f[k].text[SYM_NAME]),
			.file = intern_file(b, f[k].text[SYM_DIR], f[k].text[SYM_FILE]),
			.line = f[k].line,
			.start_line = f[k].start_line,
			.inlined = f[k].inlined,
		};
		if (!out[k].name)
			out[k].name = out[k].system_name;
	}
	if (!n || !out[n - 1].name)
		b->s->stats.unnamed++;
	cache_add(b->m, b->offs[i], out, n);
	b->done = i + 1;
	b->dwarf_err = err;
}

static void note_dwarf(struct symbolizer *s, struct symbolizer_module *m, int err)
{
	if (!err || err == -ENODATA || m->note[0])
		return;
	if (err == -EXDEV) {
		set_note(m, "debug information is split, and .dwo and .dwp files are not read");
		log_warn_of_many("'%s': %s: no inlined functions", m->path, m->note);
		return;
	}
	s->stats.malformed++;
	set_note(m, err == -ENOMEM ? "debug information did not fit into memory, not used"
		    : err == -EOPNOTSUPP
			    ? "debug information is compressed in a way that is not known, not used"
			    : "debug information is malformed, not used");
	log_warn_of_many("'%s': %s: no lines and no inlined functions", m->path, m->note);
}

/* Takes in what was asked for in a turn that had no time for the answer. 0, or -EAGAIN. */
static int catch_up(struct symbolizer *s, struct symbolizer_module *m)
{
	struct symbol_batch b = {.s = s, .m = m};
	int err = 0;

	while (m->client.n_on_their_way && !err) {
		b.offs = m->client.on_its_way[0].off;
		err = symclient__catch_up(&m->client, on_answer, &b);
	}
	if (err && err != -EAGAIN)
		lost(s, m, err);
	return err == -EAGAIN ? err : 0;
}

/* Resolves n addresses into the cache. What a file's helper does not answer has no name. */
static void resolve(struct symbolizer *s, struct symbolizer_module *m, const uint64_t *offs,
		    size_t n)
{
	struct symbol_batch b = {.s = s, .m = m, .offs = offs};
	size_t at = 0;
	int err = 0;

	if (!m->names && strpool__new(s->opts.budget_bytes / 2, &m->names))
		return;
	while (at < n && !load(s, m)) {
		b.offs = offs + at;
		b.done = 0;
		err = symclient__lookup(&m->client, offs + at, n - at, on_answer, &b);
		at += b.done;
		if (!err || err == -EAGAIN)
			break;
		lost(s, m, err);
		if (err == -EINTR)
			break;
	}
	note_dwarf(s, m, b.dwarf_err);
	for (; at < n && m->failed; at++) {
		s->stats.unnamed++;
		cache_add(m, offs[at], NULL, 0);
	}
	measure(s, m);
}

/* More would have no place, or no name. */
static bool is_full(const struct symbolizer_module *m)
{
	return m->by_off.n >= MAX_CACHED || (m->names && strpool__refused(m->names));
}

static void make_room(struct symbolizer *s, struct symbolizer_module *m)
{
	m->used_at = ++s->clock;
	if (is_full(m))
		unload(s, m);
	keep_budget(s, m);
}

int symbolizer__prefetch(struct symbolizer *s, struct symbolizer_module *m, const uint64_t *offs,
			 size_t n)
{
	cleanup_free uint64_t *want = malloc((n + 1) * sizeof(*want));
	size_t nwant = 0;

	if (!want)
		return -ENOMEM;
	make_room(s, m);
	if (catch_up(s, m))
		return 0; /* those that are there have names */
	n = min_of(n, (size_t)MAX_CACHED - m->by_off.n);
	for (size_t i = 0; i < n; i++) {
		struct cached_frame *c;

		if (!is_cached(m, offs[i], &c))
			want[nwant++] = offs[i];
	}
	resolve(s, m, want, nwant);
	return 0;
}

int symbolizer__lookup(struct symbolizer *s, struct symbolizer_module *m, uint64_t off,
		       struct symbolizer_frame *frames, int max)
{
	struct cached_frame *c;
	int n;

	s->stats.lookups++;
	m->used_at = ++s->clock;
	if (!is_cached(m, off, &c)) {
		make_room(s, m);
		if (!catch_up(s, m) && !is_cached(m, off, &c))
			resolve(s, m, &off, 1);
		if (!is_cached(m, off, &c))
			return 0; /* out of memory, the end is wanted, or this turn is over */
	}
	n = min_of((int)c->n, max);
	if (n > 0)
		memcpy(frames, m->frames + c->first, n * sizeof(*frames));
	return max_of(n, 0);
}

void symbolizer__stats(const struct symbolizer *s, struct symbolizer_stats *ret)
{
	*ret = s->stats;
	ret->bytes = s->bytes + symbolizer_jit__bytes(s->jits);
	for (const struct symbolizer_module *m = s->modules; m; m = m->next) {
		ret->files++;
		ret->descriptors += (m->fd >= 0) + (m->rootfd >= 0);
		ret->bytes += sizeof(*m) + strlen(m->path) + 1;
	}
}
