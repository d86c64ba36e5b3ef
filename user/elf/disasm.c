/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disasm.c - see disasm.h. The answer is lines of text: "B BUILD-ID", "P VADDR" for each place in
 * order, "F START END NAME" for each function and behind it "I VADDR TEXT" for each instruction.
 */
#include "elf/disasm.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "elf/demangle.h"
#include "elf/elfobj.h"
#include "elf/symtab.h"

#define MAX_FUNCTION ((uint64_t)4 << 20)
#define MAX_ANSWER ((size_t)64 << 20)
#define MAX_AROUND 4096

enum { DISASM_READ = 1 };

struct wire_request {
	uint64_t intel, around, n;
	uint64_t off[];
};

/* --- the helper's side --- */

struct disassembly {
	struct elfobj *elf;
	struct symtab symbols;
	csh cs;
	FILE *f;
	int err; /* what has failed; all that follows is left */
};

static int open_engine(struct disassembly *d, bool intel)
{
	bool arm = elfobj__machine(d->elf) == EM_AARCH64;

	if (!arm && elfobj__machine(d->elf) != EM_X86_64)
		return -ENOEXEC;
	if (cs_open(arm ? CS_ARCH_ARM64 : CS_ARCH_X86, arm ? CS_MODE_ARM : CS_MODE_64, &d->cs))
		return -ENOMEM;
	if (!arm && !intel)
		cs_option(d->cs, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
	cs_option(d->cs, CS_OPT_SKIPDATA, CS_OPT_ON);
	return 0;
}

/* Who is called: " <name>" behind an operand that is an address and no more. */
static void put_target(struct disassembly *d, const char *operand)
{
	const struct symtab_symbol *s;
	struct textbuf plain = {0};
	char *owned = NULL, *end;
	uint64_t vaddr = strtoull(operand, &end, 16);

	if (strncmp(operand, "0x", 2) || *end)
		return;
	s = symtab__find(&d->symbols, vaddr);
	if (!s)
		return;
	textbuf__plain(&plain, demangle__name(s->name, &owned), "");
	if (!plain.err && vaddr == s->start)
		fprintf(d->f, " <%s>", plain.text);
	else if (!plain.err)
		fprintf(d->f, " <%s+0x%" PRIx64 ">", plain.text, vaddr - s->start);
	textbuf__free(&plain);
	free(owned);
}

static void put_instructions(struct disassembly *d, uint64_t start, uint64_t end)
{
	size_t len = min_of(end - start, MAX_FUNCTION);
	cleanup_free uint8_t *code = malloc(len + 1);
	cs_insn *insn = code ? cs_malloc(d->cs) : NULL;
	const uint8_t *at = code;

	if (!insn) {
		d->err = -ENOMEM;
		return;
	}
	len = elfobj__read(d->elf, start, code, len);
	while (cs_disasm_iter(d->cs, &at, &len, &start, insn)) {
		fprintf(d->f, "I %" PRIx64 " %s%s%s", insn->address, insn->mnemonic,
			*insn->op_str ? " " : "", insn->op_str);
		put_target(d, insn->op_str);
		putc('\n', d->f);
	}
	cs_free(insn, 1);
}

static void put_function(struct disassembly *d, const struct symtab_symbol *s)
{
	char *owned = NULL;
	const char *name = demangle__name(s->name, &owned);
	struct textbuf plain = {0};

	textbuf__plain(&plain, name, "");
	if (plain.err) {
		d->err = plain.err;
	} else {
		fprintf(d->f, "F %" PRIx64 " %" PRIx64 " %s\n", s->start, s->end, plain.text);
		put_instructions(d, s->start, s->end);
	}
	textbuf__free(&plain);
	free(owned);
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Every function is put once, in the order of the places, which are sorted. */
static void put_functions(struct disassembly *d, uint64_t *vaddr, size_t n, uint64_t around)
{
	const struct symtab_symbol *last = NULL;
	uint64_t done = 0; /* all below has been looked at */

	qsort(vaddr, n, sizeof(*vaddr), by_address);
	for (size_t i = 0; i < n && vaddr[i] != UINT64_MAX && !d->err; i++) {
		uint64_t at = vaddr[i] - min_of(around, vaddr[i]);
		uint64_t end = vaddr[i] + min_of(around, UINT64_MAX - 1 - vaddr[i]);

		for (at = max_of(at, done); at <= end && !d->err; at++) {
			const struct symtab_symbol *s = symtab__find(&d->symbols, at);

			if (!s || s == last)
				continue;
			last = s;
			put_function(d, s);
			at = max_of(at, min_of(s->end, end + 1) - 1);
		}
		done = max_of(done, at);
	}
}

static void answer(struct disassembly *d, const uint64_t *off, size_t n, uint64_t around)
{
	char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1];
	cleanup_free uint64_t *vaddr = malloc((n + 1) * sizeof(*vaddr));

	if (!vaddr) {
		d->err = -ENOMEM;
		return;
	}
	fprintf(d->f, "B %s\n", elfobj__build_id_hex(d->elf, build_id));
	for (size_t i = 0; i < n; i++) {
		if (!elfobj__off_to_vaddr(d->elf, off[i], &vaddr[i]))
			vaddr[i] = UINT64_MAX;
		fprintf(d->f, "P %" PRIx64 "\n", vaddr[i]);
	}
	put_functions(d, vaddr, n, around);
}

/* The answer, as a whole. */
static void write_answer(struct disassembly *d, const struct wire_request *q, int out)
{
	cleanup_free char *text = NULL;
	size_t len = 0;

	d->f = open_memstream(&text, &len);
	if (!d->f) {
		d->err = -ENOMEM;
		return;
	}
	answer(d, q->off, q->n, q->around);
	if (fclose(d->f) && !d->err)
		d->err = -ENOMEM;
	if (!d->err)
		d->err = util__write_all(out, text, len);
}

static int disassemble(int file, int out, const struct wire_request *q)
{
	struct disassembly d = {0};

	d.err = elfobj__open_fd(file, "", &d.elf);
	if (d.err)
		return d.err;
	d.err = symtab__add(&d.symbols, d.elf, d.elf);
	if (!d.err || d.err == -EBADMSG) /* what could be read is in */
		d.err = symtab__sort(&d.symbols);
	if (!d.err)
		d.err = open_engine(&d, q->intel);
	if (!d.err) {
		write_answer(&d, q, out);
		cs_close(&d.cs);
	}
	symtab__clear(&d.symbols);
	elfobj__close(d.elf);
	return d.err;
}

void disasm__serve(struct box_conn *c, struct box_request *r)
{
	const struct wire_request *q = r->data;
	bool sane = r->op == DISASM_READ && r->len >= sizeof(*q) && q->n <= DISASM_MAX_PLACES &&
		    q->around <= MAX_AROUND && r->len == sizeof(*q) + q->n * sizeof(q->off[0]) &&
		    r->fds[0] >= 0 && r->fds[1] >= 0;

	box_conn__answer(c, sane ? disassemble(r->fds[0], r->fds[1], q) : -EINVAL, NULL, 0, false);
}

/* --- this side --- */

void disasm__free(struct disasm *d)
{
	free(d->text);
	free(d->place);
	free(d->functions);
	free(d->insns);
	*d = (struct disasm){0};
}

static int take_function(struct disasm *d, char *line)
{
	struct disasm_function f = {.insn0 = d->ninsns};
	char *end;
	int err = array_reserve(d->functions, d->functions_cap, d->nfunctions + 1);

	f.start = strtoull(line, &end, 16);
	f.end = strtoull(end, &end, 16);
	if (err || *end != ' ' || f.end < f.start)
		return err ? err : -EBADMSG;
	f.name = textbuf__printable(end + 1);
	d->functions[d->nfunctions++] = f;
	return 0;
}

static int take_instruction(struct disasm *d, char *line)
{
	char *end;
	uint64_t vaddr = strtoull(line, &end, 16);
	int err = array_reserve(d->insns, d->insns_cap, d->ninsns + 1);

	if (err || *end != ' ' || !d->nfunctions)
		return err ? err : -EBADMSG;
	d->insns[d->ninsns++] = (struct disasm_insn){vaddr, textbuf__printable(end + 1)};
	d->functions[d->nfunctions - 1].ninsns++;
	return 0;
}

/* The answer is not to be believed: every line is checked. */
static int decode(struct disasm *d, size_t nplaces)
{
	char *save = NULL;
	size_t n = 0;
	int err = 0;

	for (char *line = strtok_r(d->text, "\n", &save); line && !err;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "B ", 2))
			snprintf(d->build_id, sizeof(d->build_id), "%s", line + 2);
		else if (!strncmp(line, "P ", 2) && n < nplaces)
			d->place[n++] = strtoull(line + 2, NULL, 16);
		else if (!strncmp(line, "F ", 2))
			err = take_function(d, line + 2);
		else if (!strncmp(line, "I ", 2))
			err = take_instruction(d, line + 2);
		else
			err = -EBADMSG;
	}
	if (strspn(d->build_id, "0123456789abcdef") != strlen(d->build_id))
		err = -EBADMSG;
	return err ? err : n == nplaces ? 0 : -EBADMSG;
}

static int ask(int fd, const struct disasm_wish *w, struct disasm *d)
{
	size_t size = sizeof(struct wire_request) + w->n * sizeof(*w->offs);
	cleanup_free struct wire_request *q = malloc(size);
	cleanup_fd int out = box__memory();
	const int fds[] = {fd, out};
	struct box_helper *h = NULL;
	struct box_answer a;
	void *text = NULL;
	size_t len = 0;
	int err = !q ? -ENOMEM : out < 0 ? out : box_helper__new(BOX_DISASM, fd, NULL, &h);

	if (err)
		return err;
	q->intel = w->intel;
	q->around = w->around;
	q->n = w->n;
	memcpy(q->off, w->offs, w->n * sizeof(*w->offs));
	err = box_helper__ask(h, DISASM_READ, q, size, fds, ARRAY_SIZE(fds), &a);
	box_helper__free(h);
	if (err)
		return err > 0 ? -EFAULT : err;
	err = box__take(out, MAX_ANSWER, &text, &len);
	d->text = text;
	return err;
}

int disasm__read(int fd, const struct disasm_wish *w, struct disasm *ret)
{
	int err = w->n > DISASM_MAX_PLACES ? -E2BIG : 0;

	*ret = (struct disasm){0};
	ret->place = malloc((w->n + 1) * sizeof(*ret->place));
	if (!ret->place)
		err = -ENOMEM;
	err = err ? err : ask(fd, w, ret);
	err = err ? err : decode(ret, w->n);
	if (err)
		disasm__free(ret);
	return err;
}
