/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_timeline.h"

#include "core/util.h"
#include "sys/outfile.h"
#include "sys/proc_task.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *name;
	size_t off;
} columns[] = {
#define COLUMN(name, field)                               \
	{                                                 \
		name, offsetof(struct go_memstats, field) \
	}
	COLUMN("go_heap_alloc_bytes", heap_alloc),
	COLUMN("go_heap_sys_bytes", heap_sys),
	COLUMN("go_heap_inuse_bytes", heap_inuse),
	COLUMN("go_heap_idle_bytes", heap_idle),
	COLUMN("go_heap_released_bytes", heap_released),
	COLUMN("go_stack_inuse_bytes", stack_inuse),
	COLUMN("go_stack_sys_bytes", stack_sys),
	COLUMN("go_sys_bytes", sys),
	COLUMN("go_total_alloc_bytes", total_alloc),
	COLUMN("go_mallocs", mallocs),
	COLUMN("go_frees", frees),
	COLUMN("go_next_gc_bytes", next_gc),
	COLUMN("go_pause_total_ns", pause_total_ns),
#undef COLUMN
};

void go_timeline__init(struct go_timeline *t, int pid, const char *comm)
{
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->step = 1;
	timeline__init(&t->plain, (uint32_t)pid, comm, 0);
}

void go_timeline__clear(struct go_timeline *t)
{
	timeline__clear(&t->plain);
	free(t->rows);
	memset(t, 0, sizeof(*t));
}

static void thin_out(struct go_timeline *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i += 2)
		t->rows[kept++] = t->rows[i];
	t->n = kept;
	t->step *= 2;
}

int go_timeline__add(struct go_timeline *t, const struct go_memstats *m, uint64_t goroutines)
{
	struct go_timeline_row row = {.m = *m, .goroutines = goroutines};
	struct mw_task_row task;
	int err;

	row.base = timeline__row(util__steady_ms());
	row.base.value[TIMELINE_VIRT] = (int64_t)m->virt;
	row.base.value[TIMELINE_RSS] = (int64_t)m->rss;
	if (proc_task__read(t->pid, &task) == 0) {
		row.base.value[TIMELINE_RSS_ANON] = (int64_t)task.anon_bytes;
		row.base.value[TIMELINE_RSS_FILE] = (int64_t)task.file_bytes;
		row.base.value[TIMELINE_RSS_SHMEM] = (int64_t)task.shmem_bytes;
		row.base.value[TIMELINE_SWAP] = (int64_t)task.swap_bytes;
	}
	row.base.value[TIMELINE_INUSE] = (int64_t)m->heap_alloc;
	row.base.value[TIMELINE_ALLOC] = (int64_t)m->total_alloc;
	err = timeline__append(&t->plain, &row.base);
	if (err || t->skipped++ % t->step)
		return err;
	if (t->n >= GO_TIMELINE_MAX)
		thin_out(t);
	err = array_reserve(t->rows, t->cap, t->n + 1);
	if (!err)
		t->rows[t->n++] = row;
	return err;
}

static int write_csv(FILE *f, void *arg)
{
	const struct go_timeline *t = arg;

	fputs("time_unix_ms,pid", f);
	for (int c = 0; c < TIMELINE_COLUMNS; c++)
		fprintf(f, ",%s", timeline__column_name((enum timeline_column)c));
	for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
		fprintf(f, ",%s", columns[c].name);
	fputs(",go_num_gc,go_goroutines,go_gogc,go_memlimit_bytes\n", f);
	for (size_t i = 0; i < t->n; i++) {
		const struct go_timeline_row *r = &t->rows[i];

		fprintf(f, "%" PRId64 ",%d", r->base.time_unix_ms, t->pid);
		for (int c = 0; c < TIMELINE_COLUMNS; c++) {
			fputc(',', f);
			if (r->base.value[c] != TIMELINE_UNKNOWN)
				fprintf(f, "%" PRId64, r->base.value[c]);
		}
		for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
			fprintf(f, ",%" PRIu64,
				*(const uint64_t *)((const char *)&r->m + columns[c].off));
		fprintf(f, ",%" PRIu32 ",%" PRIu64 ",%d,", r->m.num_gc, r->goroutines, r->m.gogc);
		if (r->m.gomemlimit != GO_NO_MEMORY_LIMIT)
			fprintf(f, "%" PRId64, r->m.gomemlimit);
		fputc('\n', f);
	}
	return ferror(f) ? -EIO : 0;
}

static int write_json(FILE *f, void *arg)
{
	const struct go_timeline *t = arg;

	fprintf(f, "{\"schema\":\"memwatch.timeline/1\",\"processes\":[{\"pid\":%d,\"rows\":[",
		t->pid);
	for (size_t i = 0; i < t->n; i++) {
		const struct go_timeline_row *r = &t->rows[i];

		fprintf(f, "%s\n{\"time_unix_ms\":%" PRId64, i ? "," : "", r->base.time_unix_ms);
		for (int c = 0; c < TIMELINE_COLUMNS; c++) {
			fprintf(f, ",\"%s\":", timeline__column_name((enum timeline_column)c));
			if (r->base.value[c] != TIMELINE_UNKNOWN)
				fprintf(f, "%" PRId64, r->base.value[c]);
			else
				fputs("null", f);
		}
		for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
			fprintf(f, ",\"%s\":%" PRIu64, columns[c].name,
				*(const uint64_t *)((const char *)&r->m + columns[c].off));
		fprintf(f,
			",\"go_num_gc\":%" PRIu32 ",\"go_goroutines\":%" PRIu64 ",\"go_gogc\":%d",
			r->m.num_gc, r->goroutines, r->m.gogc);
		if (r->m.gomemlimit != GO_NO_MEMORY_LIMIT)
			fprintf(f, ",\"go_memlimit_bytes\":%" PRId64 "}", r->m.gomemlimit);
		else
			fputs(",\"go_memlimit_bytes\":null}", f);
	}
	fputs("],\"marks\":[]}]}\n", f);
	return ferror(f) ? -EIO : 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

int go_timeline__save(const struct go_timeline *t, const char *path)
{
	if (ends_with(path, ".csv"))
		return outfile__write(path, write_csv, (void *)t);
	if (ends_with(path, ".json"))
		return outfile__write(path, write_json, (void *)t);
	return -EINVAL;
}
