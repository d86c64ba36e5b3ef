/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/ledger_out.h"

#include <string.h>

#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "core/emit.h"
#include "core/textbuf.h"

static void put_size(FILE *f, int64_t bytes)
{
	char text[UNITS_LEN];

	units__size(text, sizeof(text), bytes < 0 ? -bytes : bytes);
	fprintf(f, "%s%*s", bytes < 0 ? "-" : "", bytes < 0 ? 11 : 12, text);
}

/* What the allocator keeps, by where; what could not be walked, and why. */
static void put_walk(FILE *f, const struct ledger_walk *w)
{
	char tcache[UNITS_LEN], fastbin[UNITS_LEN], binned[UNITS_LEN], top[UNITS_LEN];

	if (w->done && !w->tcache && !w->fastbin && !w->top)
		fprintf(f, "the allocator keeps (VIRT): free blocks %s\n",
			units__size(binned, sizeof(binned), w->binned));
	else if (w->done)
		fprintf(f,
			"the allocator keeps (VIRT): free chunks %s, ends of arenas %s, thread "
			"caches "
			"%s, fast bins %s\n",
			units__size(binned, sizeof(binned), w->binned),
			units__size(top, sizeof(top), w->top),
			units__size(tcache, sizeof(tcache), w->tcache),
			units__size(fastbin, sizeof(fastbin), w->fastbin));
	if (*w->note)
		fprintf(f, "heap %s: %s\n",
			w->done ? w->partial ? "partly walked" : "walked" : "not walked", w->note);
}

static json_t *walk_json(const struct ledger_walk *w)
{
	return json_pack("{sb sb sI sI sI sI sI sI sI sI sI sI sI ss}", "done", (int)w->done,
			 "partial", (int)w->partial, "chunks", (json_int_t)w->chunks, "arenas",
			 (json_int_t)w->arenas, "heaps", (json_int_t)w->heaps, "retries",
			 (json_int_t)w->retries, "used_bytes", (json_int_t)w->used, "mmapped_bytes",
			 (json_int_t)w->mmapped, "thread_cache_bytes", (json_int_t)w->tcache,
			 "fast_bin_bytes", (json_int_t)w->fastbin, "free_chunk_bytes",
			 (json_int_t)w->binned, "top_bytes", (json_int_t)w->top, "own_bytes",
			 (json_int_t)w->own, "note", w->note);
}

void ledger_out__text(FILE *f, const struct ledger *l, uint32_t pid, const char *comm)
{
	char size[UNITS_LEN], touched[UNITS_LEN], at[WHEN_LEN];
	bool known = l->unix_ms > 0;

	fprintf(f, "Ledger of %u (", pid);
	emit__plain(f, comm);
	fprintf(f, ")%s%s%s\n", known ? " at " : "",
		known ? when__local(at, sizeof(at), l->unix_ms) : "",
		l->steady ? "" : ", whose memory changed while it was read");
	fprintf(f, "%12s%12s%12s  %s\n", "VIRT", "RSS", "SWAP", "WHAT");
	for (int i = 0; i < LEDGER_KINDS; i++) {
		const struct ledger_line *line = &l->line[i];

		if (!ledger__is_shown(l, i))
			continue;
		put_size(f, line->virt_bytes);
		put_size(f, line->rss_bytes);
		put_size(f, line->swap_bytes);
		fprintf(f, "  %s\n", ledger__name(i));
	}
	put_size(f, l->virt_bytes);
	put_size(f, l->rss_bytes);
	put_size(f, l->swap_bytes);
	fprintf(f, "  total, as the kernel counts\n");
	fprintf(f, "apart: page tables %s", units__size(size, sizeof(size), l->pgtables_bytes));
	if (l->hugetlb_bytes)
		fprintf(f, ", huge pages of hugetlbfs %s (not in RSS)",
			units__size(size, sizeof(size), l->hugetlb_bytes));
	if (l->untouched_bytes)
		fprintf(f, ", live heap that was never touched %s",
			units__size(size, sizeof(size), l->untouched_bytes));
	fputc('\n', f);
	if (l->over_bytes)
		fprintf(f,
			"the live heap, an estimate from samples, exceeds the heap in use by %s\n",
			units__size(size, sizeof(size), l->over_bytes));
	put_walk(f, &l->walk);
	for (size_t i = 0; i < l->nreservations; i++) {
		const struct ledger_reservation *r = &l->reservation[i];

		fprintf(f, "reservation: %s at 0x%llx%s, %s touched\n",
			units__size(size, sizeof(size), r->virt_bytes),
			(unsigned long long)r->start, r->accessible ? "" : " (not accessible)",
			units__size(touched, sizeof(touched), r->rss_bytes));
	}
}

json_t *ledger_out__json(const struct ledger *l, uint32_t pid, const char *comm)
{
	json_t *lines = json_array(), *reservations = json_array(), *o;
	struct textbuf name = {0};

	textbuf__plain(&name, comm, "");
	for (int i = 0; i < LEDGER_KINDS; i++) {
		const struct ledger_line *line = &l->line[i];

		json_array_append_new(lines, json_pack("{ss ss sI sI sI si}", "kind",
						       ledger__key(i), "name", ledger__name(i),
						       "virt_bytes", (json_int_t)line->virt_bytes,
						       "rss_bytes", (json_int_t)line->rss_bytes,
						       "swap_bytes", (json_int_t)line->swap_bytes,
						       "mappings", (int)line->mappings));
	}
	for (size_t i = 0; i < l->nreservations; i++)
		json_array_append_new(
			reservations,
			json_pack("{sI sI sI sb}", "start", (json_int_t)l->reservation[i].start,
				  "virt_bytes", (json_int_t)l->reservation[i].virt_bytes,
				  "rss_bytes", (json_int_t)l->reservation[i].rss_bytes,
				  "accessible", (int)l->reservation[i].accessible));
	o = json_pack("{ss sI ss sI sI sI sI sI sI sI sI sb sb so so so}", "schema",
		      "memwatch.ledger/1", "pid", (json_int_t)pid, "comm",
		      name.text ? name.text : "", "time_unix_ms", (json_int_t)l->unix_ms,
		      "virt_bytes", (json_int_t)l->virt_bytes, "rss_bytes",
		      (json_int_t)l->rss_bytes, "swap_bytes", (json_int_t)l->swap_bytes,
		      "pgtables_bytes", (json_int_t)l->pgtables_bytes, "hugetlb_bytes",
		      (json_int_t)l->hugetlb_bytes, "untouched_bytes",
		      (json_int_t)l->untouched_bytes, "over_bytes", (json_int_t)l->over_bytes,
		      "heap_profile", (int)l->has_heap, "steady", (int)l->steady, "lines", lines,
		      "reservations", reservations, "heap_walk", walk_json(&l->walk));
	textbuf__free(&name);
	return o;
}

int ledger_out__profile(FILE *f, const struct profile *p, const char *before)
{
	for (size_t i = 0; i < p->nledgers; i++) {
		const struct profile_ledger *l = &p->ledgers[i];

		fputs(before, f);
		ledger_out__text(f, &l->ledger, l->pid, profile__text(p, l->comm));
	}
	return ferror(f) ? -EIO : 0;
}

int ledger_out__json_member(FILE *f, const struct profile *p)
{
	int err = 0;

	for (size_t i = 0; i < p->nledgers && !err; i++) {
		const struct profile_ledger *l = &p->ledgers[i];
		json_t *o = ledger_out__json(&l->ledger, l->pid, profile__text(p, l->comm));

		fputs(i ? ",\n" : "\"ledger\":[", f);
		err = !o ? -ENOMEM : json_dumpf(o, f, JSON_COMPACT) ? -EIO : 0;
		json_decref(o);
	}
	if (p->nledgers)
		fputs("],\n", f);
	return err;
}
