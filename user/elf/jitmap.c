/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/jitmap.h"

#include "core/util.h"

#include <string.h>

#define MAX_NAME 4096
#define MAX_CODE_BYTES (1ULL << 32) /* of one entry */
#define MAX_MOVE_SORTS 64
#define MAX_OVERLAPS 256 /* looked at for one address */

void jitmap__clear(struct jitmap *m)
{
	free(m->entries);
	free(m->max_end);
	free(m->lines);
	free(m->text);
	memset(m, 0, sizeof(*m));
}

/* Stores a name; returns its offset or a negative errno. */
static int64_t add_text(struct jitmap *m, const char *s, size_t len)
{
	size_t at = m->text_len;
	int err;

	len = min_of(len, (size_t)MAX_NAME);
	if (at + len + 1 > JITMAP_MAX_BYTES)
		return -E2BIG;
	err = array_reserve(m->text, m->text_cap, at + len + 1);
	if (err)
		return err;
	memcpy(m->text + at, s, len);
	m->text[at + len] = 0;
	m->text_len += len + 1;
	return at;
}

static int add_entry(struct jitmap *m, uint64_t start, uint64_t size, uint32_t name)
{
	int err;

	if (m->n >= JITMAP_MAX_ENTRIES)
		return -E2BIG;
	err = array_reserve(m->entries, m->cap, m->n + 1);
	if (err)
		return err;
	m->entries[m->n++] = (struct jitmap_entry){start, start + size, m->seq++, name};
	m->sorted = 0;
	return 0;
}

static bool sane_range(uint64_t start, uint64_t size)
{
	return size && size <= MAX_CODE_BYTES && start + size > start;
}

static const char *parse_hex(const char *p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	for (; p < end; p++, digits++) {
		int c = *p | 0x20, d = c >= '0' && c <= '9'   ? c - '0'
				       : c >= 'a' && c <= 'f' ? c - 'a' + 10
							      : -1;

		if (d < 0 || digits == 16)
			break;
		v = v << 4 | d;
	}
	*ret = v;
	return digits && p < end && *p == ' ' ? p + 1 : NULL;
}

static int add_perf_line(struct jitmap *m, const char *p, const char *end)
{
	uint64_t start, size;
	int64_t name;

	p = parse_hex(p, end, &start);
	p = p ? parse_hex(p, end, &size) : NULL;
	if (p && end > p && end[-1] == '\r')
		end--;
	if (!p || p >= end || !sane_range(start, size)) {
		m->skipped++;
		return 0;
	}
	name = add_text(m, p, end - p);
	return name < 0 ? name : add_entry(m, start, size, name);
}

ssize_t jitmap__add_perf(struct jitmap *m, const char *text, size_t len)
{
	const char *p = text, *end = text + len, *nl;

	while (p < end && (nl = memchr(p, '\n', end - p))) {
		int err = add_perf_line(m, p, nl);

		if (err)
			return err;
		p = nl + 1;
	}
	return p - text;
}

/* jitdump: tools/perf/Documentation/jitdump-specification.txt of the kernel. Native byte order. */

#define DUMP_MAGIC 0x4A695444

struct dump_header {
	uint32_t magic, version, total_size, elf_mach, pad, pid;
	uint64_t timestamp, flags;
};

enum { DUMP_LOAD, DUMP_MOVE, DUMP_DEBUG_INFO, DUMP_CLOSE, DUMP_UNWINDING };

struct dump_record {
	uint32_t id, total_size;
	uint64_t timestamp;
};

struct dump_load {
	uint32_t pid, tid;
	uint64_t vma, addr, size, index;
};

struct dump_move {
	uint32_t pid, tid;
	uint64_t vma, old_addr, new_addr, size, index;
};

struct dump_debug {
	uint64_t addr, n;
};

struct dump_debug_entry {
	uint64_t addr;
	uint32_t line, discrim;
};

static int dump_load(struct jitmap *m, const uint8_t *p, size_t len)
{
	struct dump_load r;
	size_t name_len;
	int64_t name;

	if (len < sizeof(r))
		return -EBADMSG;
	memcpy(&r, p, sizeof(r));
	p += sizeof(r);
	len -= sizeof(r);
	name_len = strnlen((const char *)p, len);
	if (name_len == len || !sane_range(r.addr, r.size)) {
		m->skipped++;
		return 0;
	}
	name = add_text(m, (const char *)p, name_len);
	return name < 0 ? name : add_entry(m, r.addr, r.size, name);
}

static const struct jitmap_entry *find_entry(struct jitmap *m, uint64_t pc);

/* Lines are not looked for here: a file of lines and moves by turns would have them sorted anew for
 * each. */
static int dump_move(struct jitmap *m, const uint8_t *p, size_t len)
{
	const struct jitmap_entry *e;
	struct dump_move r;

	if (len < sizeof(r))
		return -EBADMSG;
	memcpy(&r, p, sizeof(r));
	/* Finding needs sorting: a file that alternates loads and moves must not cost a sort each.
	 */
	if (!m->sorted && m->move_sorts++ >= MAX_MOVE_SORTS) {
		m->skipped++;
		return 0;
	}
	e = find_entry(m, r.old_addr);
	if (!e || !sane_range(r.new_addr, r.size)) {
		m->skipped++;
		return 0;
	}
	return add_entry(m, r.new_addr, r.size, e->name);
}

static int dump_debug(struct jitmap *m, const uint8_t *p, size_t len)
{
	struct dump_debug r;
	int64_t file = -1;

	if (len < sizeof(r))
		return -EBADMSG;
	memcpy(&r, p, sizeof(r));
	p += sizeof(r);
	len -= sizeof(r);
	for (uint64_t i = 0; i < r.n; i++) {
		struct dump_debug_entry d;
		size_t name_len;
		int err;

		if (len < sizeof(d))
			break;
		memcpy(&d, p, sizeof(d));
		p += sizeof(d);
		len -= sizeof(d);
		name_len = strnlen((const char *)p, len);
		if (name_len == len)
			break;
		/* "\xff\0" stands for the name before */
		if (file < 0 || !(name_len == 1 && p[0] == 0xff))
			file = add_text(m, (const char *)p, name_len);
		p += name_len + 1;
		len -= name_len + 1;
		if (file < 0)
			return file;
		if (m->nlines >= JITMAP_MAX_ENTRIES)
			return -E2BIG;
		err = array_reserve(m->lines, m->lines_cap, m->nlines + 1);
		if (err)
			return err;
		m->lines[m->nlines++] = (struct jitmap_line){d.addr, d.line, file};
		m->lines_sorted = 0;
	}
	return 0;
}

ssize_t jitmap__add_dump(struct jitmap *m, const uint8_t *data, size_t len, int at_start)
{
	size_t at = 0;

	if (at_start) {
		struct dump_header h;

		if (len < sizeof(h))
			return 0;
		memcpy(&h, data, sizeof(h));
		if (h.magic != DUMP_MAGIC || h.version > 2 || h.total_size < sizeof(h) ||
		    h.total_size > 4096)
			return -EBADMSG;
		if (h.total_size > len)
			return 0;
		at = h.total_size;
	}
	while (len - at >= sizeof(struct dump_record)) {
		struct dump_record r;
		const uint8_t *body;
		size_t n;
		int err = 0;

		memcpy(&r, data + at, sizeof(r));
		if (r.total_size < sizeof(r))
			return -EBADMSG;
		if (r.total_size > len - at)
			break; /* still being written */
		body = data + at + sizeof(r);
		n = r.total_size - sizeof(r);
		if (r.id == DUMP_LOAD)
			err = dump_load(m, body, n);
		else if (r.id == DUMP_MOVE)
			err = dump_move(m, body, n);
		else if (r.id == DUMP_DEBUG_INFO)
			err = dump_debug(m, body, n);
		if (err)
			return err;
		at += r.total_size;
	}
	return at;
}

static int by_start(const void *pa, const void *pb)
{
	const struct jitmap_entry *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int by_addr(const void *pa, const void *pb)
{
	const struct jitmap_line *a = pa, *b = pb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* Of entries with the same start only the latest is kept. Returns how many are left. */
static size_t drop_overwritten(struct jitmap_entry *e, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (out && e[out - 1].start == e[i].start)
			out--;
		e[out++] = e[i];
	}
	return out;
}

static void fill_max_end(struct jitmap *m, size_t from, size_t to)
{
	uint64_t end = 0;

	for (size_t i = from; i < to; i++) {
		end = max_of(end, m->entries[i].end);
		m->max_end[i] = end;
	}
}

/* Both parts, each sorted, become one. */
static bool merge(struct jitmap *m)
{
	struct jitmap_entry *all = malloc((m->n + 1) * sizeof(*all));
	size_t a = 0, b = m->n_old, n = 0;

	if (!all)
		return false;
	while (a < m->n_old || b < m->n) {
		if (b == m->n || (a < m->n_old && by_start(&m->entries[a], &m->entries[b]) < 0))
			all[n++] = m->entries[a++];
		else
			all[n++] = m->entries[b++];
	}
	free(m->entries);
	m->entries = all;
	m->cap = m->n + 1;
	m->n = m->n_old = drop_overwritten(all, n);
	return true;
}

/* What is new is sorted; when it has become much, it joins the old. */
static bool sort(struct jitmap *m)
{
	if (m->n > m->n_old) {
		qsort(m->entries + m->n_old, m->n - m->n_old, sizeof(*m->entries), by_start);
		m->n = m->n_old + drop_overwritten(m->entries + m->n_old, m->n - m->n_old);
	}
	if (m->n - m->n_old > m->n_old / 4 && !merge(m))
		return false;
	if (array_reserve(m->max_end, m->max_end_cap, m->n + 1))
		return false;
	if (m->n == m->n_old)
		fill_max_end(m, 0, m->n_old);
	fill_max_end(m, m->n_old, m->n);
	m->sorted = 1;
	return true;
}

static void find_line(const struct jitmap *m, const struct jitmap_entry *e, uint64_t pc,
		      struct jitmap_found *f)
{
	size_t lo = 0, hi = m->nlines;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->lines[mid].addr <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo && m->lines[lo - 1].addr >= e->start) {
		f->file = m->text + m->lines[lo - 1].file;
		f->line = m->lines[lo - 1].line;
	}
}

/* How many of the entries [lo, hi), sorted, start at or before pc; as an index. */
static size_t behind(const struct jitmap *m, size_t lo, size_t hi, uint64_t pc)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->entries[mid].start <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The latest entry of [from, to) that covers pc, unless `best` is later. */
static const struct jitmap_entry *find_in(const struct jitmap *m, size_t from, size_t to,
					  uint64_t pc, const struct jitmap_entry *best)
{
	size_t at = behind(m, from, to, pc);

	for (int looked = 0; at > from && looked < MAX_OVERLAPS; looked++) {
		const struct jitmap_entry *e = &m->entries[--at];

		if (m->max_end[at] <= pc)
			break;
		if (pc < e->end && (!best || e->seq > best->seq))
			best = e;
	}
	return best;
}

/* Whether an entry of the new part starts where this old one does. */
static bool overwritten(const struct jitmap *m, const struct jitmap_entry *e)
{
	size_t at = behind(m, m->n_old, m->n, e->start);

	return e < m->entries + m->n_old && at > m->n_old && m->entries[at - 1].start == e->start;
}

/* Borrowed until the map changes; NULL: nothing is known. */
static const struct jitmap_entry *find_entry(struct jitmap *m, uint64_t pc)
{
	const struct jitmap_entry *best;

	if (!m->sorted && !sort(m))
		return NULL;
	best = find_in(m, 0, m->n_old, pc, NULL);
	if (best && overwritten(m, best))
		best = NULL;
	return find_in(m, m->n_old, m->n, pc, best);
}

struct jitmap_found jitmap__find(struct jitmap *m, uint64_t pc)
{
	const struct jitmap_entry *e = find_entry(m, pc);
	struct jitmap_found f = {0};

	if (!e)
		return f;
	if (!m->lines_sorted && m->nlines)
		qsort(m->lines, m->nlines, sizeof(*m->lines), by_addr);
	m->lines_sorted = 1;
	f.name = m->text + e->name;
	find_line(m, e, pc, &f);
	return f;
}
