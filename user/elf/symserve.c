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

#include "core/util.h"
#include "elf/dwarfinfo.h"
#include "elf/demangle.h"
#include "elf/symtab.h"

#define CHECK_EVERY 128		  /* look-ups between looks at how much memory is used */
#define DWARF_MEMORY (128u << 20) /* then what DWARF was read is read anew when needed */
#define FLUSH_BYTES (24u << 10)	  /* of answers that wait */
#define FLUSH_NS 20000000	  /* and how long they wait */
#define MAX_FRAME (sizeof(struct sym_frame) + SYM_TEXTS * (SYM_MAX_TEXT + 1))

struct symbol_server {
	struct elfobj *elf, *mini, *debug, *alt;
	struct elfobj *dwarf_file; /* one of the above; NULL: none */
	struct symtab tab;
	struct dwarfinfo *dwarf;
	int dwarf_err;
	bool no_lines;
	unsigned int lookups;
	size_t used; /* of out */
	uint64_t flushed_ns;
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
	id.own_dwarf = elfobj__has_section(s->elf, ".debug_info");
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
	if (elfobj__has_section(s->elf, ".debug_info"))
		s->dwarf_file = s->elf;
	else if (s->debug && elfobj__has_section(s->debug, ".debug_info"))
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

static int by_dwarf(struct symbol_server *s, uint64_t vaddr, struct dwarfinfo_frame *frames)
{
	int n;

	if (!s->dwarf_file || s->no_lines || s->dwarf_err)
		return 0;
	if (!s->dwarf)
		s->dwarf_err = dwarfinfo__open(elfobj__fd(s->dwarf_file),
					       s->alt ? elfobj__fd(s->alt) : -1, &s->dwarf);
	if (s->dwarf_err)
		return 0;
	n = dwarfinfo__lookup(s->dwarf, vaddr, frames, SYM_MAX_FRAMES);
	if (n < 0)
		s->dwarf_err = n;
	return max_of(n, 0);
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

static void put_frame(struct symbol_server *s, const struct dwarfinfo_frame *f)
{
	struct sym_frame out = {
		.line = f->line,
		.start_line = f->start_line,
		.flags = f->inlined ? SYM_INLINED : 0,
	};
	size_t head = s->used;
	char *owned = NULL;

	s->used += sizeof(out);
	out.len[SYM_SYSTEM] = put(s, f->name);
	if (f->name)
		demangle__name(f->name, &owned);
	out.len[SYM_NAME] = put(s, owned);
	out.len[SYM_FILE] = put(s, f->file);
	out.len[SYM_DIR] = put(s, f->dir);
	free(owned);
	memcpy(s->out + head, &out, sizeof(out));
}

static void flush(struct symbol_server *s, struct box_conn *c, bool more)
{
	box_conn__answer(c, 0, s->out, s->used, more);
	s->used = 0;
	s->flushed_ns = util__now_ns();
}

/* One address under the timer, whose signal is not caught: it ends the process, and so whatever
 * took too long. Answers that are ready are not lost with it. */
static void look_up(struct symbol_server *s, struct box_conn *c, uint64_t off)
{
	static const struct itimerval on = {.it_value = {.tv_sec = SYM_CPU_SECONDS}}, none;
	struct dwarfinfo_frame frames[SYM_MAX_FRAMES];
	struct sym_found found = {0};
	size_t head;

	if (s->dwarf_file && !s->no_lines)
		setitimer(ITIMER_PROF, &on, NULL);
	found.n = frames_at(s, off, frames);
	found.err = s->dwarf_err;
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
	if (s->dwarf_file && !s->no_lines)
		setitimer(ITIMER_PROF, &none, NULL);
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
