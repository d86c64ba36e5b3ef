/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/usdt.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define PROVIDER "otel_memory"
#define NOTE_TYPE 3
#define MAX_OPERAND 128
#define MAX_REGS 320 /* bytes of pt_regs, of any machine */
#define RIP 128	     /* of x86-64 */

/* Offsets in struct pt_regs of x86-64; the names of each register by width. */
static const struct {
	const char *names[5];
	uint16_t off;
} x86_regs[] = {
	{{"rbp", "ebp", "bp", "bpl"}, 32},
	{{"rbx", "ebx", "bx", "bl", "bh"}, 40},
	{{"rax", "eax", "ax", "al", "ah"}, 80},
	{{"rcx", "ecx", "cx", "cl", "ch"}, 88},
	{{"rdx", "edx", "dx", "dl", "dh"}, 96},
	{{"rsi", "esi", "si", "sil"}, 104},
	{{"rdi", "edi", "di", "dil"}, 112},
	{{"rsp", "esp", "sp", "spl"}, 152},
	{{"rip"}, RIP},
};

/* "%r10d" → its offset, and the bits below the named part; the rest of the text. */
static const char *x86_reg(const char *s, uint16_t *ret, uint8_t *ret_shift)
{
	static const uint16_t numbered[] = {72, 64, 56, 48, 24, 16, 8, 0}; /* r8 to r15 */
	size_t len;
	char *end;
	long n;

	*ret_shift = 0;
	if (*s++ != '%')
		return NULL;
	len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
	for (size_t i = 0; i < ARRAY_SIZE(x86_regs); i++) {
		for (size_t k = 0; k < 5 && x86_regs[i].names[k]; k++) {
			if (strlen(x86_regs[i].names[k]) != len ||
			    memcmp(s, x86_regs[i].names[k], len))
				continue;
			*ret = x86_regs[i].off;
			*ret_shift = k == 4 ? 8 : 0;
			return s + len;
		}
	}
	if (*s != 'r' || s[1] < '1' || s[1] > '9')
		return NULL;
	n = strtol(s + 1, &end, 10);
	if (n < 8 || n > 15 || (size_t)(end - s) > len || (size_t)(end - s) + 1 < len)
		return NULL;
	if ((size_t)(end - s) < len && !strchr("dwbl", *end))
		return NULL;
	*ret = numbered[n - 8];
	return s + len;
}

/* A number, if there is one. */
static bool number(const char **s, long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(*s, &end, 0);
	if (end == *s || errno)
		return false;
	*s = end;
	return true;
}

struct wanted_symbol {
	const char *name;
	size_t len;
	uint64_t vaddr;
};

static int is_wanted(void *arg, const struct elfobj_symbol *sym)
{
	struct wanted_symbol *w = arg;

	if (strlen(sym->name) != w->len || memcmp(sym->name, w->name, w->len))
		return 0;
	w->vaddr = sym->vaddr;
	return 1;
}

/* "counter+8": how far that is from the probe. A static name may stand for several variables. */
static bool symbol_distance(const struct elfobj *e, uint64_t site, const char **s, long long *ret)
{
	struct wanted_symbol w = {.name = *s, .len = strcspn(*s, "+-(@")};
	long long more = 0;

	if (!e || !w.len || elfobj__each_symbol(e, is_wanted, &w) != 1)
		return false;
	*s += w.len;
	if ((**s == '+' || **s == '-') && !number(s, &more))
		return false;
	*ret = (long long)(w.vaddr - site + (uint64_t)more);
	return true;
}

/* "-16(%rbp)", "(%rax,%rdx,8)", "counter(%rip)". */
static bool x86_memory(const struct elfobj *e, uint64_t site, const char *s, struct mw_usdt_arg *a)
{
	bool symbol = false;
	long long scale = 1;
	uint8_t part;

	a->kind = MW_USDT_MEM;
	a->reg = a->index = MW_USDT_NO_REG;
	if (*s != '(' && !number(&s, &a->value))
		symbol = symbol_distance(e, site, &s, &a->value);
	if (*s++ != '(')
		return false;
	if (*s == '%') {
		s = x86_reg(s, &a->reg, &part);
		/* numbers from rip count from the next instruction, whatever that may be */
		if (!s || part || (a->reg == RIP) != symbol)
			return false;
	}
	if (*s == ',') {
		s = x86_reg(s + 1, &a->index, &part);
		if (!s || part || symbol || a->index == RIP)
			return false;
		if (*s == ',' && (s++, !number(&s, &scale)))
			return false;
	}
	if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
		return false;
	a->shift = (uint8_t)__builtin_ctzll((unsigned long long)scale);
	return !strcmp(s, ")") && (a->reg != MW_USDT_NO_REG || a->index != MW_USDT_NO_REG);
}

static bool x86_operand(const struct elfobj *e, uint64_t site, const char *s, struct mw_usdt_arg *a)
{
	if (*s == '$') {
		a->kind = MW_USDT_CONST;
		s++;
		return number(&s, &a->value) && !*s;
	}
	if (*s != '%')
		return x86_memory(e, site, s, a);
	a->kind = MW_USDT_REG;
	s = x86_reg(s, &a->reg, &a->shift);
	return s && !*s && a->reg != RIP && !(a->shift && a->bytes != 1);
}

/* "x19", "w3", "sp". */
static const char *arm64_reg(const char *s, uint16_t *ret)
{
	char *end;
	long n;

	if (!strncmp(s, "sp", 2)) {
		*ret = 31 * 8;
		return s + 2;
	}
	if ((*s != 'x' && *s != 'w') || s[1] < '0' || s[1] > '9')
		return NULL;
	n = strtol(s + 1, &end, 10);
	if (n > 30)
		return NULL;
	*ret = (uint16_t)(n * 8);
	return end;
}

/* "[sp, 16]", "[x0]", "[x0, x1]", "[x0, x1, lsl 3]" */
static bool arm64_memory(const char *s, struct mw_usdt_arg *a)
{
	long long shift = 0;

	a->kind = MW_USDT_MEM;
	a->index = MW_USDT_NO_REG;
	s = arm64_reg(s, &a->reg);
	if (s && *s == ',') {
		s += strspn(s, ", #");
		if (*s == 'x')
			s = arm64_reg(s, &a->index);
		else if (!number(&s, &a->value))
			return false;
	}
	if (s && *s == ',' && a->index != MW_USDT_NO_REG) {
		s += strspn(s, ", ");
		if (strncmp(s, "lsl ", 4))
			return false;
		s += 4 + strspn(s + 4, "#");
		if (!number(&s, &shift) || shift < 0 || shift > 3)
			return false;
	}
	a->shift = (uint8_t)shift;
	return s && !strcmp(s, "]");
}

static bool arm64_operand(const char *s, struct mw_usdt_arg *a)
{
	if (*s == '[')
		return arm64_memory(s + 1, a);
	if (*s == 'x' || *s == 'w' || *s == 's') {
		a->kind = MW_USDT_REG;
		s = arm64_reg(s, &a->reg);
		return s && !*s;
	}
	a->kind = MW_USDT_CONST;
	s += *s == '#' || *s == '$';
	return number(&s, &a->value) && !*s;
}

static bool operand(const struct elfobj *e, uint16_t machine, uint64_t site, const char *s,
		    struct mw_usdt_arg *a)
{
	long long bytes;

	memset(a, 0, sizeof(*a));
	if (!number(&s, &bytes) || *s++ != '@')
		return false;
	if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8 && bytes != -1 && bytes != -2 &&
	    bytes != -4 && bytes != -8)
		return false;
	a->is_signed = bytes < 0;
	a->bytes = (uint8_t)(bytes < 0 ? -bytes : bytes);
	return machine == EM_X86_64    ? x86_operand(e, site, s, a)
	       : machine == EM_AARCH64 ? arm64_operand(s, a)
				       : false;
}

/* Up to the next space that is not inside brackets. */
static size_t operand_length(const char *s)
{
	size_t n = 0;

	for (int depth = 0; s[n] && (s[n] != ' ' || depth > 0); n++)
		depth += s[n] == '(' || s[n] == '[' ? 1 : s[n] == ')' || s[n] == ']' ? -1 : 0;
	return n;
}

int usdt__parse(const struct elfobj *e, uint16_t machine, uint64_t site, const char *spec,
		struct mw_usdt *ret)
{
	int n = 0;

	memset(ret, 0, sizeof(*ret));
	for (spec += strspn(spec, " "); *spec; n++) {
		size_t len = operand_length(spec);
		char text[MAX_OPERAND];

		if (len >= sizeof(text))
			return -EOPNOTSUPP;
		memcpy(text, spec, len);
		text[len] = 0;
		if (n < MW_USDT_ARGS && !operand(e, machine, site, text, &ret->arg[n]))
			return -EOPNOTSUPP;
		spec += len;
		spec += strspn(spec, " ");
	}
	return n;
}

static bool is_register(uint16_t off)
{
	return off <= MAX_REGS - 8 && off % 8 == 0;
}

static bool arg_sound(const struct mw_usdt_arg *a)
{
	bool width = a->bytes == 1 || a->bytes == 2 || a->bytes == 4 || a->bytes == 8;

	switch (a->kind) {
	case MW_USDT_CONST: return width;
	case MW_USDT_REG: return width && is_register(a->reg) && (!a->shift || a->shift == 8);
	case MW_USDT_MEM:
		return width && a->shift <= 3 &&
		       (a->reg == MW_USDT_NO_REG || is_register(a->reg)) &&
		       (a->index == MW_USDT_NO_REG || is_register(a->index));
	}
	return false;
}

bool usdt__sound(const struct usdt_site *s)
{
	for (int i = 0; i < (s->is_free ? 1 : MW_USDT_ARGS); i++) {
		if (!arg_sound(&s->row.arg[i]))
			return false;
	}
	return s->is_free <= 1 && !(s->semaphore & 1);
}

struct note {
	uint64_t pc, base, semaphore;
	const char *provider, *name, *args;
};

/* The description of a note: three addresses and three strings. */
static bool read_desc(const uint8_t *d, size_t len, struct note *ret)
{
	const char *s = (const char *)d + 24, *end = (const char *)d + len;
	const char **text[] = {&ret->provider, &ret->name, &ret->args};

	if (len < 24)
		return false;
	memcpy(&ret->pc, d, 8);
	memcpy(&ret->base, d + 8, 8);
	memcpy(&ret->semaphore, d + 16, 8);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		const char *nul = s < end ? memchr(s, 0, end - s) : NULL;

		if (!nul)
			return false;
		*text[i] = s;
		s = nul + 1;
	}
	return true;
}

/* The next note in the section: 1 there is one (*is: one of USDT that can be read), 0 no more. */
static int next_note(const uint8_t *data, size_t len, size_t *at, struct note *ret, bool *is)
{
	Elf64_Nhdr h;
	size_t name, desc, next;

	if (len - *at < sizeof(h))
		return 0;
	memcpy(&h, data + *at, sizeof(h));
	name = *at + sizeof(h);
	desc = name + (((size_t)h.n_namesz + 3) & ~(size_t)3);
	next = desc + (((size_t)h.n_descsz + 3) & ~(size_t)3);
	if (desc > len || h.n_descsz > len - desc)
		return 0;
	*is = h.n_type == NOTE_TYPE && h.n_namesz == sizeof("stapsdt") &&
	      !memcmp(data + name, "stapsdt", sizeof("stapsdt")) &&
	      read_desc(data + desc, h.n_descsz, ret);
	*at = min_of(next, len);
	return 1;
}

/* Where a probe may be put: on a one-byte nop (arm64: a nop) in code. NULL or what is wrong. */
static const char *check_nop(const struct elfobj *e, uint64_t vaddr)
{
	static const uint8_t long_nop[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
	static const uint8_t arm64_nop[] = {0x1f, 0x20, 0x03, 0xd5};
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(e, &seg), got;
	bool code = false;
	uint8_t insn[5];

	for (size_t i = 0; i < n; i++)
		code |= (seg[i].flags & PF_X) && vaddr - seg[i].vaddr < seg[i].filesz;
	got = code ? elfobj__read(e, vaddr, insn, sizeof(insn)) : 0;
	if (!got)
		return "a note does not point into the code";
	if (elfobj__machine(e) == EM_AARCH64)
		return got >= 4 && !memcmp(insn, arm64_nop, 4) ? NULL : "a probe is not on a nop";
	if (insn[0] == 0x90)
		return NULL;
	if (got == sizeof(insn) && !memcmp(insn, long_nop, sizeof(insn)))
		return "a probe is on a five-byte nop, which the kernel may replace as a whole";
	return "a probe is not on a nop";
}

/* What the note tells, as a site. NULL or why not. */
static const char *make_site(const struct elfobj *e, const struct note *n, uint64_t moved,
			     struct usdt_site *s)
{
	const char *why = check_nop(e, n->pc + moved);
	int want, got;

	memset(s, 0, sizeof(*s));
	s->is_free = !strcmp(n->name, "free");
	want = s->is_free ? 1 : 3;
	if (why)
		return why;
	if (!elfobj__vaddr_to_off(e, n->pc + moved, &s->off))
		return "a note does not point into the code";
	if (n->semaphore && !elfobj__vaddr_to_off(e, n->semaphore + moved, &s->semaphore))
		return "a semaphore is not in the file's data";
	got = usdt__parse(e, elfobj__machine(e), n->pc + moved, n->args, &s->row);
	if (got < 0)
		return "where a probe's arguments are is written in a form that is not known";
	if (got < want)
		return s->is_free ? "free has no argument" : "alloc has fewer than three arguments";
	return usdt__sound(s) ? NULL : "a semaphore is not aligned";
}

/* The files of a probe were moved as a whole (prelink) since its note was written: how far. */
static uint64_t moved_by(struct elfobj *e, uint64_t base)
{
	const uint8_t *data;
	uint64_t now;
	size_t len;

	return base && !elfobj__section(e, ".stapsdt.base", &data, &len, &now) ? now - base : 0;
}

int usdt__find(struct elfobj *e, struct usdt_site **ret, size_t *ret_n, char why[USDT_WHY])
{
	const char *wrong = NULL;
	struct usdt_site *sites;
	size_t len, at = 0, n = 0, frees = 0;
	const uint8_t *data;
	struct note note;
	bool is;

	*ret = NULL;
	*ret_n = 0;
	*why = 0;
	if (elfobj__section(e, ".note.stapsdt", &data, &len, NULL))
		return 0;
	sites = calloc(USDT_MAX_SITES, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	while (!wrong && next_note(data, len, &at, &note, &is)) {
		if (!is || strcmp(note.provider, PROVIDER) ||
		    (strcmp(note.name, "alloc") && strcmp(note.name, "free")))
			continue;
		wrong = n == USDT_MAX_SITES
				? "too many probes"
				: make_site(e, &note, moved_by(e, note.base), &sites[n]);
		if (!wrong)
			frees += sites[n++].is_free;
	}
	if (!wrong && n && (!frees || frees == n))
		wrong = frees ? "there is no alloc" : "there is no free";
	if (wrong)
		snprintf(why, USDT_WHY, "%s", wrong);
	if (wrong || !n) {
		free(sites);
		return 0;
	}
	*ret = sites;
	*ret_n = n;
	return 0;
}
