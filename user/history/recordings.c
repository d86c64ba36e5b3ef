/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recordings.c - heap profiles: the profiles of a process are the snapshots of a recording, of
 * which each row holds one block: what is new of names and stacks, and what changed. A profile of
 * other values (page faults) stands alone: the row of a recording of its own is it, as pprof, and
 * has no bytes in use.
 */
#include "history/history_priv.h"

#include "core/util.h"
#include "format/pprof.h"
#include "format/record_format.h"
#include "history/packed.h"

#include <string.h>

#define MAX_SNAPSHOTS 128 /* of a recording: reading one reads those before it */
#define MAX_RECORDED_BYTES (256u << 20)

struct adding { /* the snapshot that a block belongs to */
	int64_t time_ms, inuse_bytes, alloc_bytes, id;
	const char *why;
};

struct history_recording { /* of a process that is profiled */
	struct history *h;
	uint32_t pid;
	uint64_t start_ns;
	int64_t id, last_ms;
	struct record_writer *writer;
	struct adding *adding; /* while a snapshot is added */
	uint32_t snapshots;
};

static int add_row(struct history *h, int64_t recording, struct adding *a, const void *data,
		   size_t len)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_ADD_SNAPSHOT, &err);

	if (!s)
		return err;
	sqlite3_bind_int64(s, 1, recording);
	sqlite3_bind_int64(s, 2, a->time_ms);
	sqlite3_bind_text(s, 3, a->why, -1, SQLITE_STATIC);
	if (a->inuse_bytes != TIMELINE_UNKNOWN) {
		sqlite3_bind_int64(s, 4, a->inuse_bytes);
		sqlite3_bind_int64(s, 5, a->alloc_bytes);
	}
	sqlite3_bind_blob64(s, 6, data, len, SQLITE_STATIC);
	err = history__step(h, s);
	sqlite3_clear_bindings(s);
	a->id = sqlite3_last_insert_rowid(h->db);
	return err;
}

/* Every recording begins with the same magic, which needs no row. */
static int add_block(void *arg, const void *data, size_t len)
{
	struct history_recording *r = arg;
	cleanup_free uint8_t *packed = NULL;
	size_t n;
	int err;

	if (!r->adding)
		return 0;
	err = packed__write(data, len, &packed, &n);
	return err ? err : add_row(r->h, r->id, r->adding, packed, n);
}

static struct history_recording **find(struct history *h, uint32_t pid, uint64_t start_ns)
{
	for (size_t i = 0; i < h->nrecordings; i++) {
		struct history_recording *r = h->recordings[i];

		if (r->pid == pid && r->start_ns == start_ns)
			return &h->recordings[i];
	}
	return NULL;
}

void history__profile_end(struct history *h, uint32_t pid, uint64_t start_ns)
{
	struct history_recording **r = find(h, pid, start_ns);

	if (!r)
		return;
	record_writer__close((*r)->writer);
	free(*r);
	*r = h->recordings[--h->nrecordings];
}

void history__end_recordings(struct history *h, int64_t before_ms)
{
	for (size_t i = h->nrecordings; i-- > 0;) {
		const struct history_recording *r = h->recordings[i];

		if (r->last_ms < before_ms)
			history__profile_end(h, r->pid, r->start_ns);
	}
}

static int add_recording(struct history *h, const struct history_row *process, int64_t time_ms,
			 int64_t *ret_id)
{
	int64_t id;
	int err = history__process_id(h, process, time_ms, &id);

	if (!err)
		err = history__run_with(h, HISTORY_ADD_RECORDING, id, time_ms);
	*ret_id = sqlite3_last_insert_rowid(h->db);
	return err;
}

static int begin_recording(struct history *h, const struct history_row *process, int64_t time_ms,
			   struct history_recording **ret)
{
	struct history_recording *r = calloc(1, sizeof(*r));
	int err = r ? array_reserve(h->recordings, h->recordings_cap, h->nrecordings + 1) : -ENOMEM;

	if (!err)
		err = add_recording(h, process, time_ms, &r->id);
	if (!err)
		err = record_writer__new(add_block, r, &r->writer);
	if (err) {
		free(r);
		return err;
	}
	r->h = h;
	r->pid = process->pid;
	r->start_ns = process->start_ns;
	h->recordings[h->nrecordings++] = *ret = r;
	return 0;
}

static int add_snapshot(struct history *h, struct history_recording *r,
			const struct history_row *process, const struct profile *p,
			struct adding *a)
{
	int err;

	r->adding = a;
	err = record_writer__add(r->writer, p, max_of(process->value[TIMELINE_RSS], 0),
				 max_of(process->value[TIMELINE_VIRT], 0));
	r->adding = NULL;
	r->snapshots++;
	r->last_ms = a->time_ms;
	return err ? err : history__run_with(h, HISTORY_SEEN_RECORDING, r->id, a->time_ms);
}

/* To the recording of its process, which is begun where there is none. */
static int record(struct history *h, const struct history_row *process, const struct profile *p,
		  struct adding *a)
{
	struct history_recording **known = find(h, process->pid, process->start_ns), *r = NULL;
	int err = 0;

	if (known && (*known)->snapshots >= MAX_SNAPSHOTS)
		history__profile_end(h, process->pid, process->start_ns);
	else if (known)
		r = *known;
	if (!r)
		err = begin_recording(h, process, a->time_ms, &r);
	return err ? err : add_snapshot(h, r, process, p, a);
}

static int add_alone(struct history *h, const struct history_row *process, const struct profile *p,
		     struct adding *a)
{
	cleanup_free uint8_t *packed = NULL;
	char *bytes = NULL;
	size_t len = 0, n;
	FILE *f = open_memstream(&bytes, &len);
	int64_t recording;
	int err = f ? pprof__write(f, p) : -ENOMEM;

	if (f && fclose(f) && !err)
		err = -ENOMEM;
	if (!err)
		err = packed__write(bytes, len, &packed, &n);
	free(bytes);
	if (!err)
		err = add_recording(h, process, a->time_ms, &recording);
	a->inuse_bytes = TIMELINE_UNKNOWN;
	return err ? err : add_row(h, recording, a, packed, n);
}

int history__profile(struct history *h, const struct history_row *process, const struct profile *p,
		     const char *why, int64_t *ret_id)
{
	struct adding a = {.time_ms = p->time_ns ? p->time_ns / 1000000 : util__wall_ms(),
			   .inuse_bytes = (int64_t)p->totals.inuse_bytes,
			   .alloc_bytes = (int64_t)p->totals.alloc_bytes,
			   .why = why};
	bool is_heap = profile__is_heap(p);
	int err = history__begin(h);

	if (!err)
		err = is_heap ? record(h, process, p, &a) : add_alone(h, process, p, &a);
	err = history__end(h, err);
	if (err) { /* what the writer holds is no longer what is in the file */
		if (is_heap)
			history__profile_end(h, process->pid, process->start_ns);
		h->lost++;
		return err;
	}
	if (ret_id)
		*ret_id = a.id;
	return 0;
}

int history__event(struct history *h, const char *kind, int64_t time_unix_ms, uint32_t pid,
		   const char *comm, const char *json, size_t len, int64_t profile)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_ADD_EVENT, &err);

	if (s) {
		sqlite3_bind_int64(s, 1, time_unix_ms);
		sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 3, pid);
		sqlite3_bind_text(s, 4, comm, -1, SQLITE_STATIC);
		sqlite3_bind_text(s, 5, json, (int)len, SQLITE_STATIC);
		if (profile)
			sqlite3_bind_int64(s, 6, profile);
		err = history__step(h, s);
		sqlite3_clear_bindings(s);
	}
	h->lost += err != 0;
	return err;
}

/* --- reading --- */

static int gather(struct history *h, int64_t id, struct record_bytes *to)
{
	int err;
	sqlite3_stmt *s = history__stmt(h, HISTORY_BLOCKS, &err);

	if (!s)
		return err;
	sqlite3_bind_int64(s, 1, id);
	record__put_raw(to, RECORD_MAGIC, sizeof(RECORD_MAGIC));
	while ((err = history__step(h, s)) > 0) {
		cleanup_free uint8_t *block = NULL;
		size_t n = 0;

		err = packed__read(sqlite3_column_blob(s, 0), sqlite3_column_bytes(s, 0), &block,
				   &n);
		if (!err && to->n + n > MAX_RECORDED_BYTES)
			err = -E2BIG;
		if (err)
			break;
		record__put_raw(to, block, n);
	}
	sqlite3_reset(s);
	if (!err && to->n == sizeof(RECORD_MAGIC))
		err = -ENOENT;
	return err ? err : to->err;
}

/* Whether what was gathered is a profile that stands alone. */
static bool is_alone(const struct record_bytes *b)
{
	uint32_t magic = 0;

	if (b->n - sizeof(RECORD_MAGIC) >= sizeof(magic))
		memcpy(&magic, b->data + sizeof(RECORD_MAGIC), sizeof(magic));
	return magic != RECORD_BLOCK_MAGIC;
}

int history__read_recording(struct history *h, int64_t id, uint8_t **ret, size_t *ret_len)
{
	struct record_bytes b = {0};
	int err = gather(h, id, &b);

	if (!err && is_alone(&b))
		err = -ENOENT;
	if (err) {
		free(b.data);
		return err;
	}
	*ret = b.data;
	*ret_len = b.n;
	return 0;
}

static int read_recorded(const struct record_bytes *b, struct profile **ret)
{
	const struct record_tick *ticks;
	struct record *r = NULL;
	int err = record__read(b->data, b->n, &r);

	if (!err && record__damage(r))
		err = -EBADMSG;
	if (!err)
		err = record__profile(r, SIZE_MAX, record__ticks(r, &ticks) - 1, ret);
	record__free(r);
	return err;
}

int history__read_profile(struct history *h, int64_t id, struct profile **ret)
{
	struct record_bytes b = {0};
	int err = gather(h, id, &b);

	if (!err && is_alone(&b))
		err = pprof__read(b.data + sizeof(RECORD_MAGIC), b.n - sizeof(RECORD_MAGIC), ret,
				  NULL);
	else if (!err)
		err = read_recorded(&b, ret);
	free(b.data);
	return err;
}
