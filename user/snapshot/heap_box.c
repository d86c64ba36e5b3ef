/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/heap_box.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/textbuf.h"
#include "core/util.h"
#include "sys/pagemap.h"
#include "sys/procmem.h"

#define BANNER "stable release version 2."
#define MAX_LIBC (32ULL << 20) /* of the file that is searched for the banner */
#define FILE_WINDOW (256u << 10)
#define MAX_ANSWER_BYTES ((size_t)256 << 20)
#define SIGN_OF_LIFE (128ULL << 20) /* bytes read between two of them */
#define SPARE 48		    /* a chunk has at most so many bytes more than were asked for */
#define MAPPED_FROM (64u << 10)
#define SPARE_MAPPED (4096 + SPARE) /* one that may have a mapping of its own */
#define MIN_SIGNS 64		    /* that are listened to */

_Static_assert(PROCMEM_WINDOW >= HEAP_MEMORY_WINDOW, "the walk's window");

/* HEAP_LIBC: fds: the C library. HEAP_WALK: fds: who reads the memory, pagemap, the memory file: a
 * question with what follows it, and back: an answer. Answers with `more` say that it is at work.
 */
enum { HEAP_LIBC = 1, HEAP_WALK };

/* Behind it: extents, blocks, mappings, their paths, each with its NUL. */
struct heap_question {
	uint64_t npresent, nblocks, nmaps, text_bytes;
	uint64_t has_go, asks_in_use;
	struct heap_go go;
};

/* Behind it: the shares; of each in turn its cover and its stray blocks; where it is asked, a byte
 * a block: 1, it is in use. */
struct heap_answer {
	int64_t result;
	uint64_t n;
	char note[HEAP_BOX_NOTE];
};

/* --- the helper's side --- */

/* The release that a libc file says it is: 236 for 2.36; 0: it does not say. */
static unsigned version_of(int fd)
{
	cleanup_free char *buf = malloc(FILE_WINDOW + 1);
	const size_t keep = sizeof(BANNER) + 4;
	size_t have = 0;

	for (uint64_t at = 0; buf && at < MAX_LIBC;) {
		ssize_t n = pread(fd, buf + have, FILE_WINDOW - have, (off_t)at);
		const char *found;

		if (n <= 0)
			return 0;
		at += n;
		have += n;
		buf[have] = 0;
		found = memmem(buf, have, BANNER, sizeof(BANNER) - 1);
		if (found && found + keep < buf + have) {
			unsigned minor = strtoul(found + sizeof(BANNER) - 1, NULL, 10);

			return minor < 100 ? 200 + minor : 0;
		}
		if (have > keep) {
			memmove(buf, buf + have - keep, keep);
			have = keep;
		}
	}
	return 0;
}

static struct {
	struct box_conn *conn;
	struct procmem *mem;
	struct pagemap pages;
	unsigned version;
	uint64_t bytes; /* since the last sign of life */
	const struct ledger_block *block;
	size_t nblocks;
	uint8_t *in_use; /* of each block; NULL: not asked */
} walk;

static void note_in_use(void *arg, const struct ledger_block *b, uint64_t room)
{
	uint64_t spare = b->size < MAPPED_FROM ? SPARE : SPARE_MAPPED;
	size_t lo = 0, hi = walk.nblocks;

	/* what one walk has not is handed on to the next in a copy */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (walk.block[mid].addr < b->addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < walk.nblocks && room >= b->size && room - b->size <= spare)
		walk.in_use[lo] = 1;
}

static int read_memory(void *arg, uint64_t addr, void *buf, size_t len)
{
	walk.bytes += len;
	if (walk.bytes > SIGN_OF_LIFE) {
		walk.bytes = 0;
		box_conn__answer(walk.conn, 0, NULL, 0, true);
	}
	return procmem__read(walk.mem, addr, buf, len);
}

static bool now_present(void *arg, uint64_t addr)
{
	return addr < 1ULL << 47 && pagemap__is_present(&walk.pages, addr);
}

/* The mappings get their paths back; of one that the other side wrote. */
static void read_maps(struct ledger_input *in, char *text)
{
	for (size_t i = 0; i < in->n; i++) {
		in->map[i].path = text;
		text += strlen(text) + 1;
	}
}

/* The question is the other side's own: it is believed. */
static int find(const struct heap_question *q, struct ledger_share *share, size_t *ret_n,
		char note[HEAP_BOX_NOTE])
{
	const struct heap_extent *present = (const void *)(q + 1);
	const struct ledger_block *block = (const void *)(present + q->npresent);
	struct ledger_map *map = (void *)(block + q->nblocks);
	struct ledger_input maps = {.map = map, .n = q->nmaps};
	struct heap_memory in = {
		.maps = &maps,
		.present = present,
		.npresent = q->npresent,
		.block = q->nblocks ? block : NULL,
		.nblocks = q->nblocks,
		.go = q->has_go ? &q->go : NULL,
		.version = walk.version,
		.read = read_memory,
		.now_present = now_present,
		.in_use = q->asks_in_use ? note_in_use : NULL,
	};

	int err;

	walk.block = block;
	walk.nblocks = q->nblocks;
	if (q->asks_in_use) {
		walk.in_use = calloc(q->nblocks + 1, 1);
		if (!walk.in_use)
			return -ENOMEM;
	}

	read_maps(&maps, (char *)(map + q->nmaps));
	in.window = procmem__window(walk.mem);
	err = heap_memory__keep(&in);
	if (!err)
		err = contributors__find(&in, share, ret_n, note, HEAP_BOX_NOTE);
	heap_memory__forget(&in);
	return err;
}

static int write_answer(int out, const struct heap_answer *a, const struct ledger_share *share)
{
	int err = ftruncate(out, 0) || lseek(out, 0, SEEK_SET) ? -errno : 0;

	if (!err)
		err = util__write_all(out, a, sizeof(*a));
	if (!err)
		err = util__write_all(out, share, a->n * sizeof(*share));
	for (size_t i = 0; i < a->n && !err; i++) {
		err = util__write_all(out, share[i].cover,
				      share[i].ncover * sizeof(*share[i].cover));
		if (!err)
			err = util__write_all(out, share[i].stray,
					      share[i].nstray * sizeof(*share[i].stray));
	}
	if (!err && walk.in_use)
		err = util__write_all(out, walk.in_use, walk.nblocks);
	return err;
}

static int serve_walk(int io)
{
	struct ledger_share share[CONTRIBUTORS];
	struct heap_answer a = {0};
	off_t len = lseek(io, 0, SEEK_END);
	size_t n = 0;
	void *p;
	int err;

	if (len < (off_t)sizeof(struct heap_question))
		return -EINVAL;
	/* private, for the paths' addresses; what is not changed takes no memory */
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, io, 0);
	if (p == MAP_FAILED)
		return -errno;
	a.result = find(p, share, &n, a.note);
	a.n = n;
	munmap(p, len);
	err = write_answer(io, &a, share);
	contributors__free(share, n);
	return err;
}

static int open_memory(struct box_request *r)
{
	int fd = take_fd(&r->fds[0]);
	int err = fd < 0 ? -EINVAL : procmem__adopt(fd, &walk.mem);

	walk.pages = (struct pagemap){.fd = take_fd(&r->fds[1]),
				      .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
	return err;
}

void heap_box__serve(struct box_conn *c, struct box_request *r)
{
	int err = -EINVAL;

	walk.conn = c;
	if (r->op == HEAP_LIBC && r->fds[0] >= 0) {
		walk.version = version_of(r->fds[0]);
		err = 0;
	} else if (r->op == HEAP_WALK && r->fds[2] >= 0 && !walk.mem) {
		err = open_memory(r);
		if (!err)
			err = serve_walk(r->fds[2]);
	}
	box_conn__answer(c, err, NULL, 0, false);
}

/* --- this side --- */

static int write_maps(int io, const struct ledger_input *maps)
{
	int err = util__write_all(io, maps->map, maps->n * sizeof(*maps->map));

	for (size_t i = 0; i < maps->n && !err; i++)
		err = util__write_all(io, maps->map[i].path, strlen(maps->map[i].path) + 1);
	return err;
}

/* What there is to know, in a memory file. */
static int write_question(int io, const struct heap_memory *in, bool asks_in_use)
{
	struct heap_question q = {
		.npresent = in->npresent,
		.nblocks = in->nblocks,
		.nmaps = in->maps->n,
		.has_go = in->go != NULL,
		.asks_in_use = asks_in_use,
	};
	int err;

	if (in->go)
		q.go = *in->go;
	for (size_t i = 0; i < in->maps->n; i++)
		q.text_bytes += strlen(in->maps->map[i].path) + 1;
	err = util__write_all(io, &q, sizeof(q));
	if (!err)
		err = util__write_all(io, in->present, in->npresent * sizeof(*in->present));
	if (!err)
		err = util__write_all(io, in->block, in->nblocks * sizeof(*in->block));
	return err ? err : write_maps(io, in->maps);
}

/* Waits for the end of the walk; signs of life are counted, so that they have an end too. */
static int wait_for_walk(struct box_helper *h, const struct heap_memory *in)
{
	uint64_t bytes = 0, signs = 0;
	struct box_answer a;
	int err;

	for (size_t i = 0; i < in->npresent; i++)
		bytes += in->present[i].end - in->present[i].start;
	do {
		err = box_helper__receive(h, &a);
	} while (!err && a.more && ++signs < MIN_SIGNS + 4 * (bytes / SIGN_OF_LIFE));
	if (err)
		return err;
	return a.more || a.result > 0 || a.len ? -EFAULT : a.result;
}

static int ask(const struct heap_memory *in, const struct heap_box_files *files,
	       const struct box_target *whose, bool asks_in_use, void **ret, size_t *ret_len)
{
	cleanup_fd int io = box__memory(), mem = -1;
	struct memreader_meter *reader = NULL;
	struct box_helper *h = NULL;
	struct box_answer a;
	int err = io < 0 ? io : write_question(io, in, asks_in_use);

	if (!err)
		err = box_helper__new(BOX_HEAP, -1, whose, &h);
	if (!err) {
		mem = procmem__hand_over(files->mem, &reader);
		err = min_of(mem, 0);
	}
	if (!err)
		box_helper__reader(h, reader);
	if (!err && files->libc >= 0)
		err = box_helper__ask(h, HEAP_LIBC, NULL, 0, &files->libc, 1, &a);
	if (!err)
		err = box_helper__send(h, HEAP_WALK, NULL, 0, (int[]){mem, files->pagemap, io}, 3);
	if (!err)
		err = wait_for_walk(h, in);
	box_helper__free(h);
	if (err)
		return err > 0 ? -EFAULT : err;
	return box__take(io, MAX_ANSWER_BYTES, ret, ret_len);
}

static bool is_flag(const bool *b)
{
	unsigned char v;

	memcpy(&v, b, sizeof(v));
	return v <= 1;
}

/* Before anything of it is used: kinds are kinds, texts end, numbers are numbers. */
static bool holds(const struct ledger_share *s, const struct heap_memory *in)
{
	if ((unsigned)s->rest >= LEDGER_KINDS || s->nparts > LEDGER_PARTS ||
	    s->ncover > in->maps->n || s->nstray > in->nblocks || !is_flag(&s->walk.done) ||
	    !is_flag(&s->walk.partial) || !util__is_text(s->walk.note, sizeof(s->walk.note)) ||
	    !isfinite(s->live_virt) || !isfinite(s->live_rss) || !isfinite(s->live_own_virt) ||
	    !isfinite(s->live_own_rss))
		return false;
	for (size_t i = 0; i < s->nparts; i++) {
		if ((unsigned)s->part[i].kind >= LEDGER_KINDS)
			return false;
	}
	return true;
}

/* Takes n elements of what is left into memory of their own. */
static int cut(const char **at, size_t *left, size_t n, size_t size, void **ret)
{
	*ret = NULL;
	if (n > *left / size)
		return -EFAULT;
	*ret = malloc(n * size + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, *at, n * size);
	*at += n * size;
	*left -= n * size;
	return 0;
}

static int unpack_share(const struct heap_memory *in, const char **at, size_t *left,
			struct ledger_share *s)
{
	void *cover = NULL, *stray = NULL;
	int err;

	s->cover = NULL; /* they pointed elsewhere */
	s->stray = NULL;
	if (!holds(s, in))
		return -EFAULT;
	err = cut(at, left, s->ncover, sizeof(*s->cover), &cover);
	if (!err)
		err = cut(at, left, s->nstray, sizeof(*s->stray), &stray);
	s->cover = cover;
	s->stray = stray;
	for (size_t i = 0; i < s->nstray && !err; i++) {
		if (!isfinite(s->stray[i].bytes))
			err = -EFAULT;
	}
	return err;
}

static int unpack(const void *data, size_t len, const struct heap_memory *in, bool *in_use,
		  struct ledger_share ret[CONTRIBUTORS], size_t *ret_n, char note[HEAP_BOX_NOTE])
{
	const struct heap_answer *a = data;
	const char *at = (const char *)(a + 1);
	size_t left = len - sizeof(*a);
	int err = 0;

	if (len < sizeof(*a) || a->n > CONTRIBUTORS || left < a->n * sizeof(*ret) ||
	    !util__is_text(a->note, sizeof(a->note)) || a->result > 0 || a->result < -4095)
		return -EFAULT;
	memcpy(ret, at, a->n * sizeof(*ret));
	at += a->n * sizeof(*ret);
	left -= a->n * sizeof(*ret);
	for (; *ret_n < a->n && !err; ++*ret_n) {
		err = unpack_share(in, &at, &left, &ret[*ret_n]);
		if (!err)
			textbuf__printable(ret[*ret_n].walk.note);
	}
	if (!err && in_use && left < in->nblocks)
		err = -EFAULT;
	if (err)
		return err;
	for (size_t i = 0; in_use && i < in->nblocks; i++)
		in_use[i] = at[i];
	memcpy(note, a->note, HEAP_BOX_NOTE);
	textbuf__printable(note);
	return (int)a->result;
}

int heap_box__find(const struct heap_memory *in, const struct heap_box_files *files,
		   const struct box_target *whose, bool *in_use,
		   struct ledger_share ret[CONTRIBUTORS], size_t *ret_n, char note[HEAP_BOX_NOTE])
{
	cleanup_free void *data = NULL;
	size_t len = 0;
	int err = ask(in, files, whose, in_use, &data, &len);

	*ret_n = 0;
	note[0] = 0;
	if (!err)
		err = unpack(data, len, in, in_use, ret, ret_n, note);
	if (err && !note[0]) {
		contributors__free(ret, *ret_n);
		*ret_n = 0;
		snprintf(note, HEAP_BOX_NOTE, "%s",
			 err == -EFAULT || err == -ETIMEDOUT ? "its memory broke its reader"
			 : err == -EPIPE  ? "the process that reads memory has died"
			 : err == -EDQUOT ? "the processor time for reading it is used up for now"
					  : strerror(-err));
	}
	return err;
}
