/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symserve.c - the helper's side. For one address: DWARF (functions, inlines, lines), then the
 * symbol tables. Where both know the function, DWARF's name stands unless it is one of several
 * names of the same address; then the one that people expect is taken (malloc for __libc_malloc). A
 * name without namespace and arguments gives way to a mangled symbol, which has them.
 */
#include "elf/symserve.h"

#include <malloc.h>
#include <string.h>
#include <sys/time.h>

#include "core/keyhash.h"
#include "core/util.h"
#include "elf/debugimage.h"
#include "elf/dwarfinfo.h"
#include "elf/demangle.h"
#include "elf/gobin.h"
#include "elf/symtab.h"

#define CHECK_EVERY 128		  /* look-ups between looks at how much memory is used */
#define DWARF_MEMORY (128u << 20) /* then what DWARF was read is read anew when needed */
#define FLUSH_BYTES (24u << 10)	  /* of answers that wait */
#define FLUSH_NS 20000000	  /* and how long they wait */
#define TIMER_NS 10000000	  /* by how much the time of one address may be short */
#define MEMO_SLOTS 2048		  /* names whose demangled form is kept */
#define MEMO_NAME 1024		  /* the longest of them */
#define MAX_FRAME (sizeof(struct sym_frame) + SYM_TEXTS * (SYM_MAX_TEXT + 1))

struct demangled {
	char *name;
	char *text; /* NULL: there is nothing to demangle in it */
};

struct symbol_server {
	struct elfobj *elf, *mini, *debug, *alt;
	struct elfobj *dwarf_file; /* one of the above; NULL: none */
	struct symtab tab;
	struct dwarfinfo *dwarf;
	int dwarf_err;
	struct gobin *go; /* NULL: no Go program */
	bool go_tried;
	bool no_lines;
	unsigned int lookups;
	size_t used; /* of out */
	uint64_t flushed_ns;
	uint64_t armed_ns;		       /* when the timer was last set */
	struct demangled memo[MEMO_SLOTS + 1]; /* by the name's hash; the last: a long name's */
	char out[BOX_MAX_MESSAGE];
};

static struct symbol_server *server(void)
{
	static struct symbol_server *s;

	if (!s)
		s = calloc(1, sizeof(*s));
	if (!s)
		_exit(1);
	return s;
}

/* Compressed as the GNU tools once did, the sections have another name, which libdw knows, too. */
static bool has_dwarf(const struct elfobj *e)
{
	return elfobj__has_section(e, ".debug_info") || elfobj__has_section(e, ".zdebug_info");
}

static void serve_open(struct symbol_server *s, struct box_conn *c, struct box_request *r)
{
	struct sym_identity id = {0};
	struct sym_open o;
	int err;

	if (s->elf || r->len != sizeof(o) || r->fds[0] < 0) {
		box_conn__answer(c, -EINVAL, NULL, 0, false);
		return;
	}
	memcpy(&o, r->data, sizeof(o));
	s->no_lines = o.no_lines;
	err = elfobj__open_fd(r->fds[0], "", &s->elf);
	if (err) {
		box_conn__answer(c, err, NULL, 0, false);
		return;
	}
	elfobj__build_id_hex(s->elf, id.build_id);
	id.own_symbols = elfobj__has_section(s->elf, ".symtab");
	id.own_dwarf = has_dwarf(s->elf);
	id.has_link = !debugfile__link(s->elf, id.link, sizeof(id.link), &id.crc);
	box_conn__answer(c, 0, &id, sizeof(id), false);
}

static void serve_debug(struct symbol_server *s, struct box_conn *c, struct box_request *r)
{
	struct elfobj *d = NULL;
	struct sym_debug q;
	int err;

	if (!s->elf || s->debug || r->len != sizeof(q) || r->fds[0] < 0) {
		box_conn__answer(c, -EINVAL, NULL, 0, false);
		return;
	}
	memcpy(&q, r->data, sizeof(q));
	q.name[sizeof(q.name) - 1] = 0;
	err = elfobj__open_fd(r->fds[0], q.name, &d);
	if (!err)
		err = debugfile__belongs(s->elf, d, q.has_crc ? &q.crc : NULL);
	else if (err == -EBADMSG || err == -ENOEXEC)
		err = SYM_MALFORMED;
	if (err)
		elfobj__close(d);
	else
		s->debug = d;
	box_conn__answer(c, err, NULL, 0, false);
}

static int add_mini(struct symbol_server *s)
{
	int err = debugfile__mini(s->elf, &s->mini);

	return err ? err : symtab__add(&s->tab, s->mini, s->elf);
}

/* Finds every source of names. What cannot be read is noted and left out. */
static void serve_ready(struct symbol_server *s, struct box_conn *c)
{
	struct sym_loaded out = {0};
	bool own_symbols;
	int err;

	if (!s->elf || s->tab.n) {
		box_conn__answer(c, -EINVAL, NULL, 0, false);
		return;
	}
	own_symbols = elfobj__has_section(s->elf, ".symtab");
	out.err[SYM_TABLE_SYMTAB] = symtab__add(&s->tab, s->elf, s->elf);
	out.err[SYM_TABLE_PLT] = symtab__add_plt(&s->tab, s->elf);
	if (s->debug && !own_symbols)
		out.err[SYM_TABLE_DEBUG] = symtab__add(&s->tab, s->debug, s->elf);
	else if (!own_symbols)
		out.err[SYM_TABLE_MINI] = add_mini(s);
	err = symtab__sort(&s->tab);
	if (err)
		out.err[SYM_TABLE_SYMTAB] = err;
	if (has_dwarf(s->elf))
		s->dwarf_file = s->elf;
	else if (s->debug && has_dwarf(s->debug))
		s->dwarf_file = s->debug;
	out.has_dwarf = s->dwarf_file && !s->no_lines;
	out.has_alt =
		out.has_dwarf && !debugfile__alt_link(s->dwarf_file, out.alt, out.alt_build_id);
	box_conn__answer(c, 0, &out, sizeof(out), false);
}

static void serve_alt(struct symbol_server *s, struct box_conn *c, struct box_request *r)
{
	char path[DEBUGFILE_NAME], want[2 * ELFOBJ_MAX_BUILD_ID + 1], got[sizeof(want)];
	int err = -EINVAL;

	if (s->dwarf_file && !s->alt && r->fds[0] >= 0)
		err = debugfile__alt_link(s->dwarf_file, path, want);
	if (!err)
		err = elfobj__open_fd(r->fds[0], path, &s->alt);
	if (!err && strcmp(elfobj__build_id_hex(s->alt, got), want)) {
		elfobj__close(s->alt);
		s->alt = NULL;
		err = SYM_OTHER_ID;
	}
	box_conn__answer(c, err, NULL, 0, false);
}

static void keep_budget(struct symbol_server *s)
{
	struct mallinfo2 mi;

	if (++s->lookups % CHECK_EVERY)
		return;
	mi = mallinfo2();
	if (mi.uordblks + mi.hblkhd <= DWARF_MEMORY)
		return;
	dwarfinfo__close(s->dwarf);
	s->dwarf = NULL;
	malloc_trim(0);
}

static bool is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D');
}

static int open_dwarf(struct symbol_server *s)
{
	cleanup_fd int fd = debugimage__open(s->dwarf_file), alt = -1;

	if (fd < 0)
		return fd;
	if (s->alt)
		alt = debugimage__open(s->alt);
	return dwarfinfo__open(fd, alt, &s->dwarf);
}

static int by_dwarf(struct symbol_server *s, uint64_t vaddr, struct dwarfinfo_frame *frames)
{
	int n;

	if (!s->dwarf_file || s->no_lines || s->dwarf_err)
		return 0;
	if (!s->dwarf)
		s->dwarf_err = open_dwarf(s);
	if (s->dwarf_err)
		return 0;
	n = dwarfinfo__lookup(s->dwarf, vaddr, frames, SYM_MAX_FRAMES);
	if (n < 0)
		s->dwarf_err = n;
	return max_of(n, 0);
}

/* The function table that a Go program has for itself, stripped or not. */
static const struct gotab *go_table(struct symbol_server *s)
{
	const uint8_t *text;
	uint64_t start;
	size_t len;

	if (s->go_tried)
		return s->go ? &s->go->tab : NULL;
	s->go_tried = true;
	if (!elfobj__has_section(s->elf, ".gopclntab") &&
	    !elfobj__has_section(s->elf, ".data.rel.ro.gopclntab"))
		return NULL;
	s->go = calloc(1, sizeof(*s->go));
	if (s->go && gobin__open(s->elf, s->go)) {
		gobin__close(s->go);
		free(take_ptr(s->go));
	}
	/* Go 1.26 and later leave it to the loaded module */
	if (s->go && !s->go->tab.text && !elfobj__section(s->elf, ".text", &text, &len, &start))
		s->go->tab.text = start;
	return s->go ? &s->go->tab : NULL;
}

static int by_go_table(struct symbol_server *s, uint64_t vaddr, struct dwarfinfo_frame *frames)
{
	const struct gotab *t = go_table(s);
	struct gotab_frame found[SYM_MAX_FRAMES];
	int n = t ? gotab__frames(t, vaddr, found, SYM_MAX_FRAMES) : 0;

	for (int i = 0; i < n; i++)
		frames[i] = (struct dwarfinfo_frame){.name = found[i].name,
						     .file = s->no_lines ? NULL : found[i].file,
						     .line = max_of(found[i].line, 0),
						     .start_line = max_of(found[i].start_line, 0),
						     .inlined = found[i].inlined};
	return n;
}

static int frames_at(struct symbol_server *s, uint64_t off, struct dwarfinfo_frame *frames)
{
	const struct symtab_symbol *sym;
	struct dwarfinfo_frame *outer;
	uint64_t vaddr;
	int n;

	if (!elfobj__off_to_vaddr(s->elf, off, &vaddr))
		return 0;
	n = by_dwarf(s, vaddr, frames);
	if (!n)
		n = by_go_table(s, vaddr, frames);
	sym = symtab__find(&s->tab, vaddr);
	if (!sym)
		return n;
	outer = &frames[n ? n - 1 : 0];
	if (!n)
		*outer = (struct dwarfinfo_frame){0};
	if (!outer->name || (outer->plain && is_mangled(sym->name)) ||
	    symtab__has_alias(&s->tab, sym, outer->name))
		outer->name = sym->name;
	return max_of(n, 1);
}

static uint32_t put(struct symbol_server *s, const char *text)
{
	size_t n = text ? strnlen(text, SYM_MAX_TEXT) : 0;

	if (!text)
		return 0;
	memcpy(s->out + s->used, text, n);
	s->out[s->used + n] = 0;
	s->used += n + 1;
	return n + 1;
}

/* What the name stands for, NULL if it is no mangled name; until the next call. A function is named
 * again at each of its addresses, and in each function that it was inlined into. */
static const char *demangled(struct symbol_server *s, const char *name)
{
	size_t n = strnlen(name, SYM_MAX_TEXT);
	size_t slot = n > MEMO_NAME ? MEMO_SLOTS : keyhash__bytes(name, n) % MEMO_SLOTS;
	struct demangled *m = &s->memo[slot];

	if (m->name && !strcmp(m->name, name))
		return m->text;
	free(m->name);
	free(m->text);
	demangle__name(name, &m->text);
	m->name = strdup(name);
	return m->text;
}

static void put_frame(struct symbol_server *s, const struct dwarfinfo_frame *f)
{
	struct sym_frame out = {
		.line = f->line,
		.start_line = f->start_line,
		.flags = f->inlined ? SYM_INLINED : 0,
	};
	size_t head = s->used;

	s->used += sizeof(out);
	out.len[SYM_SYSTEM] = put(s, f->name);
	out.len[SYM_NAME] = put(s, f->name ? demangled(s, f->name) : NULL);
	out.len[SYM_FILE] = put(s, f->file);
	out.len[SYM_DIR] = put(s, f->dir);
	memcpy(s->out + head, &out, sizeof(out));
}

static void flush(struct symbol_server *s, struct box_conn *c, bool more)
{
	box_conn__answer(c, 0, s->out, s->used, more);
	s->used = 0;
	s->flushed_ns = util__now_ns();
}

/* Setting the timer costs as much as an easy address, so those share one setting. */
static void arm(struct symbol_server *s)
{
	static const struct itimerval on = {.it_value = {.tv_sec = SYM_CPU_SECONDS}};
	uint64_t now = util__now_ns();

	if (!s->dwarf_file || s->no_lines || now - s->armed_ns < TIMER_NS)
		return;
	setitimer(ITIMER_PROF, &on, NULL);
	s->armed_ns = now;
}

static void disarm(struct symbol_server *s)
{
	static const struct itimerval none;

	if (s->armed_ns)
		setitimer(ITIMER_PROF, &none, NULL);
	s->armed_ns = 0;
}

/* One address under the timer, whose signal is not caught: it ends the process, and so whatever
 * took too long. Answers that are ready are not lost with it. */
static void look_up(struct symbol_server *s, struct box_conn *c, uint64_t off)
{
	struct dwarfinfo_frame frames[SYM_MAX_FRAMES];
	struct sym_found found = {0};
	size_t head;

	arm(s);
	found.n = frames_at(s, off, frames);
	found.err = s->dwarf_err;
	if (!found.err && s->dwarf && dwarfinfo__split(s->dwarf))
		found.err = -EXDEV;
	/* what does not fit into one message is cut */
	if (s->used + sizeof(found) + found.n * MAX_FRAME > sizeof(s->out) && s->used)
		flush(s, c, true);
	head = s->used;
	s->used += sizeof(found);
	for (int i = 0; i < found.n; i++) {
		if (s->used + MAX_FRAME > sizeof(s->out)) {
			found.n = i;
			break;
		}
		put_frame(s, &frames[i]);
	}
	memcpy(s->out + head, &found, sizeof(found));
	keep_budget(s);
}

static void serve_lookup(struct symbol_server *s, struct box_conn *c, struct box_request *r)
{
	size_t n = r->len / sizeof(uint64_t);

	s->used = 0;
	s->flushed_ns = util__now_ns();
	for (size_t i = 0; s->elf && i < n; i++) {
		uint64_t off;

		memcpy(&off, (const char *)r->data + i * sizeof(off), sizeof(off));
		look_up(s, c, off);
		if (s->used > FLUSH_BYTES || util__now_ns() - s->flushed_ns > FLUSH_NS)
			flush(s, c, i + 1 < n);
		else if (i + 1 == n)
			flush(s, c, false);
	}
	disarm(s);
	if (!s->elf || !n)
		box_conn__answer(c, -EINVAL, NULL, 0, false);
}

void symserve__serve(struct box_conn *c, struct box_request *r)
{
	struct symbol_server *s = server();

	switch (r->op) {
	case SYM_OPEN: serve_open(s, c, r); break;
	case SYM_DEBUG: serve_debug(s, c, r); break;
	case SYM_READY: serve_ready(s, c); break;
	case SYM_ALT: serve_alt(s, c, r); break;
	case SYM_LOOKUP: serve_lookup(s, c, r); break;
	default: box_conn__answer(c, -EINVAL, NULL, 0, false);
	}
}
