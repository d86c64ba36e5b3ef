/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/jitserve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"
#include "elf/jitmap.h"
#include "elf/demangle.h"
#include "elf/symbolizer.h"

#define PIECE (1u << 20)      /* read at once */
#define MAX_RECORD (64 << 20) /* a record larger than a piece widens it up to this */

struct grown_file { /* read as far as `at` */
	int fd;
	uint64_t at;
};

static struct {
	struct jitmap map;
	struct grown_file perf, dump;
	size_t used;
	char out[BOX_MAX_MESSAGE];
} jit = {.perf = {.fd = -1}, .dump = {.fd = -1}};

/* A text map that is shorter than it was is another one, by the program that was exec'd. */
static void check_rewritten(struct grown_file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) || (uint64_t)st.st_size >= f->at || f->at >= JITMAP_MAX_BYTES)
		return;
	f->at = 0;
	jitmap__clear(&jit.map);
}

/* Reads what was appended, in pieces. */
static void read_growth(struct grown_file *f, bool is_dump)
{
	cleanup_free char *buf = NULL;
	size_t piece = PIECE;

	if (f->fd >= 0 && !is_dump)
		check_rewritten(f);
	while (f->fd >= 0 && f->at < JITMAP_MAX_BYTES) {
		char *bigger = realloc(buf, piece);
		ssize_t got, used;

		if (!bigger)
			return;
		buf = bigger;
		got = pread(f->fd, buf, piece, f->at);
		if (got <= 0)
			return;
		used = is_dump ? jitmap__add_dump(&jit.map, (uint8_t *)buf, got, !f->at)
			       : jitmap__add_perf(&jit.map, buf, got);
		if (used < 0) { /* no sense can be made of the rest */
			f->at = JITMAP_MAX_BYTES;
			return;
		}
		f->at += used;
		if (!used && (size_t)got < piece)
			return; /* the rest is still being written */
		if (!used && piece >= MAX_RECORD)
			f->at = JITMAP_MAX_BYTES;
		else if (!used)
			piece *= 4;
	}
}

static int take_files(struct box_request *r)
{
	struct grown_file *to[] = {&jit.perf, &jit.dump};
	uint32_t which;
	int next = 0;

	if (r->len != sizeof(which))
		return -EINVAL;
	memcpy(&which, r->data, sizeof(which));
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		if (!(which & (1u << i)))
			continue;
		util__close_fd(&to[i]->fd);
		to[i]->fd = take_fd(&r->fds[next++]);
		to[i]->at = 0;
	}
	return 0;
}

static uint32_t put(const char *text)
{
	size_t n = text ? strnlen(text, SYM_MAX_TEXT) : 0;

	if (!text)
		return 0;
	memcpy(jit.out + jit.used, text, n);
	jit.out[jit.used + n] = 0;
	jit.used += n + 1;
	return n + 1;
}

static void put_answer(uint64_t pc)
{
	struct jitmap_found f = jitmap__find(&jit.map, pc);
	struct sym_found found = {.n = f.name != NULL};
	struct sym_frame frame = {.line = f.line};
	char *owned = NULL;
	size_t head;

	memcpy(jit.out + jit.used, &found, sizeof(found));
	jit.used += sizeof(found);
	if (!f.name)
		return;
	head = jit.used;
	jit.used += sizeof(frame);
	demangle__name(f.name, &owned);
	frame.len[SYM_SYSTEM] = put(f.name);
	frame.len[SYM_NAME] = put(owned);
	frame.len[SYM_FILE] = put(f.file);
	memcpy(jit.out + head, &frame, sizeof(frame));
	free(owned);
}

static void serve_lookup(struct box_conn *c, const struct box_request *r)
{
	const size_t most =
		sizeof(struct sym_found) + sizeof(struct sym_frame) + 3 * (SYM_MAX_TEXT + 1);
	size_t n = r->len / sizeof(uint64_t);

	jit.used = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t pc;

		if (jit.used + most > sizeof(jit.out)) {
			box_conn__answer(c, 0, jit.out, jit.used, true);
			jit.used = 0;
		}
		memcpy(&pc, (const char *)r->data + i * sizeof(pc), sizeof(pc));
		put_answer(pc);
	}
	box_conn__answer(c, n ? 0 : -EINVAL, jit.out, jit.used, false);
}

void jitserve__serve(struct box_conn *c, struct box_request *r)
{
	int err = -EINVAL;

	if (r->op == JIT_LOOKUP) {
		serve_lookup(c, r);
		return;
	}
	if (r->op == JIT_FILES)
		err = take_files(r);
	else if (r->op == JIT_GROWN)
		err = 0;
	if (!err) {
		read_growth(&jit.perf, false);
		read_growth(&jit.dump, true);
	}
	box_conn__answer(c, err, NULL, 0, false);
}
