/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disassembly.c - instructions annotated with flat and cum; see report.h. */
#include "core/emit.h"
#include "core/util.h"
#include "report/assembly.h"
#include "report/measure.h"

#include <inttypes.h>
#include <string.h>

struct insn_sum {
	int64_t flat, cum;
	const struct graph_node *node; /* says where it is; NULL */
};

/* Sums up to the next instruction: an address may lie inside of one. */
static struct insn_sum sum_places(const struct assembly_file *file, const struct graph *g,
				  size_t *at, size_t end, uint64_t next)
{
	struct insn_sum s = {0};
	int64_t flat_div = 0, cum_div = 0;

	for (; *at < end && file->places[*at].vaddr < next; ++*at) {
		const struct graph_node *n = &g->nodes[file->places[*at].node];

		s.flat = graph__sum(s.flat, n->flat);
		s.cum = graph__sum(s.cum, n->cum);
		flat_div = graph__sum(flat_div, n->flat_div);
		cum_div = graph__sum(cum_div, n->cum_div);
		if (!s.node)
			s.node = n;
	}
	s.flat = graph__quotient(s.flat, flat_div);
	s.cum = graph__quotient(s.cum, cum_div);
	return s;
}

static void put_place(FILE *f, const struct graph *g, const struct graph_node *n)
{
	putc(';', f);
	emit__plain(f, profile__text(g->p, n->name));
	putc(' ', f);
	emit__plain(f, report__base(profile__text(g->p, n->file)));
	if (n->file && n->line)
		fprintf(f, ":%" PRId64, n->line);
}

#define SHORT 40

static void put_line(const struct report *r, FILE *f, const struct graph *g,
		     const struct disasm_insn *in, const struct insn_sum *s, bool place)
{
	char flat[MEASURE_LEN], cum[MEASURE_LEN];
	bool beside = place && strlen(in->text) < SHORT;

	if (place && !beside) {
		fprintf(f, "%74s", "");
		put_place(f, g, s->node);
		putc('\n', f);
	}
	report__value_or_dot(r, s->flat, flat, sizeof(flat));
	report__value_or_dot(r, s->cum, cum, sizeof(cum));
	fprintf(f, "%10s %10s %10" PRIx64 ": ", flat, cum, in->vaddr);
	emit__plain(f, in->text);
	if (beside) {
		fprintf(f, "%*s", SHORT - (int)strlen(in->text), "");
		put_place(f, g, s->node);
	}
	putc('\n', f);
}

static void put_function(const struct report *r, FILE *f, const struct graph *g,
			 const struct assembly_file *file, const struct disasm_function *fn)
{
	const struct graph_node *last = NULL;
	int64_t flat_sum = 0, cum_sum = 0;
	char flat[MEASURE_LEN], cum[MEASURE_LEN], percent[MEASURE_LEN];
	size_t n, at = assembly__places(file, fn, &n), end = at + n;

	for (size_t i = at; i < end; i++) {
		flat_sum = graph__sum(flat_sum, g->nodes[file->places[i].node].flat);
		cum_sum = graph__sum(cum_sum, g->nodes[file->places[i].node].cum);
	}
	report__value(r, flat_sum, flat, sizeof(flat));
	report__value(r, cum_sum, cum, sizeof(cum));
	fputs("ROUTINE ======================== ", f);
	emit__plain(f, fn->name);
	fprintf(f, "\n%10s %10s (flat, cum) %s of Total\n", flat, cum,
		measure__percent(percent, sizeof(percent), cum_sum, r->total));
	for (size_t i = 0; i < fn->ninsns; i++) {
		const struct disasm_insn *in = &file->code.insns[fn->insn0 + i];
		struct insn_sum s = sum_places(file, g, &at, end,
					       i + 1 < fn->ninsns ? in[1].vaddr : UINT64_MAX);
		bool place = s.node && s.node->file &&
			     !(last && last->name == s.node->name && last->file == s.node->file &&
			       last->line == s.node->line);

		put_line(r, f, g, in, &s, place);
		last = s.node ? s.node : last;
	}
}

struct wanted_function {
	const struct assembly_file *file;
	const struct disasm_function *f;
};

static int by_function_name(const void *a, const void *b)
{
	const struct wanted_function *x = a, *y = b;
	int c = strcmp(x->f->name, y->f->name);

	return c ? c : x->f->start < y->f->start ? -1 : x->f->start > y->f->start;
}

static int put_functions(const struct report *r, FILE *f, const struct graph *g,
			 const struct assembly *a)
{
	cleanup_free struct wanted_function *w = NULL;
	char total[MEASURE_LEN];
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < a->nfiles; i++) {
		for (size_t k = 0; k < a->files[i].code.nfunctions; k++) {
			const struct disasm_function *fn = &a->files[i].code.functions[k];
			int err = array_reserve(w, cap, n + 1);

			if (err)
				return err;
			if (assembly__wants(r, g, &a->files[i], fn))
				w[n++] = (struct wanted_function){&a->files[i], fn};
		}
	}
	if (!n)
		return a->unreadable ? -ENOEXEC : -ENOENT;
	qsort(w, n, sizeof(*w), by_function_name);
	report__value(r, r->total, total, sizeof(total));
	fprintf(f, "Total: %s\n", total);
	for (size_t i = 0; i < n; i++)
		put_function(r, f, g, w[i].file, w[i].f);
	return 0;
}

int report__disasm(struct report *r, FILE *f)
{
	struct graph_options o = {.granularity = GRAPH_ADDRESSES, .object_names = true};
	struct assembly a = {0};
	struct graph g;
	int err = report__graph(r, &g, &o);

	if (err)
		return err;
	err = assembly__read(r, &g, &a);
	err = err ? err : put_functions(r, f, &g, &a);
	assembly__free(&a);
	graph__free(&g);
	return emit__end(f, err);
}
