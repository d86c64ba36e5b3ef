/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/symclient.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

static int broken(struct symclient *c)
{
	symclient__close(c);
	return -EFAULT;
}

static bool is_hex(const char *s, size_t cap)
{
	size_t n = strnlen(s, cap);

	return n < cap && strspn(s, "0123456789abcdef") == n;
}

/* -EAGAIN: the same is to be called again. */
static int ask(struct symclient *c, uint32_t op, const void *data, size_t len, int fd,
	       struct box_answer *a)
{
	int err = c->at.asked ? 0 : box_helper__send(c->h, op, data, len, &fd, fd >= 0);

	c->at.asked = !err;
	if (!err && !box_helper__await_turn(c->h))
		return -EAGAIN;
	c->at.asked = false;
	if (!err)
		err = box_helper__receive(c->h, a);
	if (!err && a->more) {
		symclient__close(c);
		return -EFAULT;
	}
	err = box_helper__verdict(c->h, err ? err : a->result);
	if (box_helper__fd(c->h) < 0)
		symclient__close(c);
	return err;
}

int symclient__open(struct symclient *c, const struct symclient_file *f, bool no_lines)
{
	const struct sym_open q = {.no_lines = no_lines};
	int err;

	memset(c, 0, sizeof(*c));
	err = box_helper__new(BOX_SYMBOLS, f->fd, f->whose, &c->h);
	if (err)
		return err;
	err = box_helper__send(c->h, SYM_OPEN, &q, sizeof(q), &f->fd, 1);
	if (err) {
		err = box_helper__verdict(c->h, err);
		symclient__close(c);
		return err;
	}
	c->at.asked = true;
	return symclient__identify(c);
}

int symclient__identify(struct symclient *c)
{
	struct box_answer a;
	int err = ask(c, SYM_OPEN, NULL, 0, -1, &a);

	if (err == -EAGAIN)
		return err;
	if (err) {
		symclient__close(c);
		return err > 0 ? -EFAULT : err;
	}
	if (a.len != sizeof(c->id))
		return broken(c);
	memcpy(&c->id, a.data, sizeof(c->id));
	if (!is_hex(c->id.build_id, sizeof(c->id.build_id)) ||
	    !memchr(c->id.link, 0, sizeof(c->id.link)) || strchr(c->id.link, '/'))
		return broken(c);
	c->known = true;
	return 0;
}

void symclient__close(struct symclient *c)
{
	box_helper__free(c->h);
	c->h = NULL;
	c->known = c->ready = false;
	c->n_on_their_way = 0;
	memset(&c->at, 0, sizeof(c->at));
}

static void say(struct symclient *c, const char *path, int why)
{
	static const char *const what[] = {
		[SYM_OTHER_ID] = "has another build-id",
		[SYM_NO_ID] = "has no build-id",
		[SYM_OTHER_CRC] = "has another checksum",
		[SYM_MALFORMED] = "is malformed",
	};

	snprintf(c->note, sizeof(c->note), "debug file %.120s %s, not used", path, what[why]);
	c->mismatched = true;
}

/* Offers a debug file to the helper: 0: taken, 1: not, negative: the helper is gone. */
static int offer(struct symclient *c, int fd, const char *path, const uint32_t *crc)
{
	struct sym_debug q = {.has_crc = crc != NULL, .crc = crc ? *crc : 0};
	struct box_answer a;
	int err;

	snprintf(q.name, sizeof(q.name), "%s", path);
	err = ask(c, SYM_DEBUG, &q, sizeof(q), fd, &a);
	if (err == -EAGAIN)
		return err;
	if (!c->h)
		return err < 0 ? err : -EFAULT;
	if (err >= SYM_OTHER_ID && err <= SYM_MALFORMED)
		say(c, path, err);
	else if (!err)
		c->note[0] = 0; /* another candidate may have been refused before */
	return err ? 1 : 0;
}

static pid_t payer(const struct symclient_file *f)
{
	return f->whose ? f->whose->pid : 0;
}

/* Below the target's root, then below ours. */
static int find_debug(struct symclient *c, const struct symclient_file *f)
{
	const int roots[] = {f->rootfd, -1};
	char path[DEBUGFILE_NAME];
	bool by_link;

	for (; debugfile__place(c->id.build_id, c->id.has_link ? c->id.link : NULL, f->path,
				c->at.place, path, &by_link);
	     c->at.place++, c->at.root = 0) {
		for (; c->at.root < ARRAY_SIZE(roots); c->at.root++) {
			cleanup_fd int fd = -1;
			int err;

			if (!c->at.root && f->rootfd < 0)
				continue;
			fd = c->at.asked ? -1 : debugfile__open(roots[c->at.root], path, payer(f));
			err = fd < 0 && !c->at.asked
				      ? 1
				      : offer(c, fd, path, by_link ? &c->id.crc : NULL);
			if (err <= 0)
				return err;
		}
	}
	if (!c->id.own_dwarf) {
		cleanup_fd int fd = c->at.asked ? -1 : debugfile__debuginfod(c->id.build_id);

		return fd < 0 && !c->at.asked ? 0
					      : min_of(offer(c, fd, "from debuginfod", NULL), 0);
	}
	return 0;
}

static int find_alt(struct symclient *c, const struct symclient_file *f)
{
	const int roots[] = {f->rootfd, -1};

	for (; c->at.root < ARRAY_SIZE(roots); c->at.root++) {
		cleanup_fd int fd = -1;
		struct box_answer a;
		int err;

		if (!c->at.root && f->rootfd < 0)
			continue;
		fd = c->at.asked ? -1 : debugfile__open(roots[c->at.root], c->loaded.alt, payer(f));
		err = fd < 0 && !c->at.asked ? 1 : ask(c, SYM_ALT, NULL, 0, fd, &a);
		if (err == -EAGAIN)
			return err;
		if (!c->h)
			return err < 0 ? err : -EFAULT;
		if (!err)
			break;
	}
	return 0;
}

/* Did a table not fit into the memory of a helper that had less than others would? */
static bool was_scant(const struct symclient *c)
{
	for (int i = 0; i < SYM_TABLES; i++) {
		if (c->loaded.err[i] == -ENOMEM && box_helper__verdict(c->h, -ENOMEM) == -EDQUOT)
			return true;
	}
	return false;
}

static int read_tables(struct symclient *c)
{
	struct box_answer a;
	int err = ask(c, SYM_READY, NULL, 0, -1, &a);

	if (err == -EAGAIN)
		return err;
	if (!c->h)
		return err < 0 ? err : -EFAULT;
	if (err || a.len != sizeof(c->loaded))
		return broken(c);
	memcpy(&c->loaded, a.data, sizeof(c->loaded));
	if (!memchr(c->loaded.alt, 0, sizeof(c->loaded.alt)))
		return broken(c);
	if (was_scant(c)) {
		symclient__close(c);
		return -EDQUOT;
	}
	return 0;
}

int symclient__load(struct symclient *c, const struct symclient_file *f)
{
	int err = 0;

	if (c->ready)
		return 0;
	if (!c->at.found && (!c->id.own_dwarf || !c->id.own_symbols))
		err = find_debug(c, f);
	if (err)
		return err;
	c->at.found = true;
	if (!c->at.loaded) {
		err = read_tables(c);
		if (err)
			return err;
		c->at.loaded = true;
		c->at.root = 0;
	}
	if (c->loaded.has_alt)
		err = find_alt(c, f);
	c->ready = !err;
	return err;
}

static bool take_texts(const char **p, const char *end, const struct sym_frame *in,
		       struct symclient_frame *out)
{
	for (int i = 0; i < SYM_TEXTS; i++) {
		uint32_t len = in->len[i];

		out->text[i] = NULL;
		if (!len)
			continue;
		if (len > (size_t)(end - *p) || len > SYM_MAX_TEXT + 1 || (*p)[len - 1])
			return false;
		out->text[i] = *p;
		*p += len;
	}
	return true;
}

ptrdiff_t symclient__decode(const void *data, size_t len, size_t first, size_t max, symclient_fn fn,
			    void *arg)
{
	const char *p = data, *end = p + len;
	size_t done = 0;

	while (p < end) {
		struct symclient_frame frames[SYM_MAX_FRAMES];
		struct sym_found found;

		if ((size_t)(end - p) < sizeof(found) || done == max)
			return -EBADMSG;
		memcpy(&found, p, sizeof(found));
		p += sizeof(found);
		if (found.n < 0 || found.n > SYM_MAX_FRAMES || found.err > 0 || found.err < -4095)
			return -EBADMSG;
		for (int i = 0; i < found.n; i++) {
			struct sym_frame in;

			if ((size_t)(end - p) < sizeof(in))
				return -EBADMSG;
			memcpy(&in, p, sizeof(in));
			p += sizeof(in);
			frames[i].line = in.line;
			frames[i].start_line = in.start_line;
			frames[i].inlined = in.flags & SYM_INLINED;
			if (!take_texts(&p, end, &in, &frames[i]))
				return -EBADMSG;
		}
		fn(arg, first + done++, frames, found.n, found.err);
	}
	return done;
}

/* The answers to the first question that is on its way, whose number is `first`. */
static int receive_all(struct symclient *c, size_t first, symclient_fn fn, void *arg)
{
	struct symclient_question *q = &c->on_its_way[0];

	for (;;) {
		struct box_answer a;
		ptrdiff_t got;
		int err = box_helper__await_turn(c->h) ? box_helper__receive(c->h, &a) : -EAGAIN;

		if (err)
			return err;
		got = a.result ? -EBADMSG
			       : symclient__decode(a.data, a.len, first + q->done, q->n - q->done,
						   fn, arg);
		if (got <= 0)
			return -EFAULT;
		q->done += got;
		if (a.more != (q->done < q->n))
			return -EFAULT;
		if (!a.more)
			break;
	}
	memmove(&c->on_its_way[0], &c->on_its_way[1],
		--c->n_on_their_way * sizeof(c->on_its_way[0]));
	return 0;
}

static int send_question(struct symclient *c, const uint64_t *offs, size_t n)
{
	struct symclient_question *q = &c->on_its_way[c->n_on_their_way];
	int err = box_helper__send(c->h, SYM_LOOKUP, offs, n * sizeof(*offs), NULL, 0);

	if (err)
		return err;
	memcpy(q->off, offs, n * sizeof(*offs));
	q->n = n;
	q->done = 0;
	c->n_on_their_way++;
	return 0;
}

/* An error is the helper's end, but -EAGAIN. */
static int judge(struct symclient *c, int err)
{
	if (!err || err == -EAGAIN)
		return err;
	if (c->h)
		err = box_helper__verdict(c->h, err);
	symclient__close(c);
	return err;
}

int symclient__catch_up(struct symclient *c, symclient_fn fn, void *arg)
{
	return judge(c, c->n_on_their_way ? receive_all(c, 0, fn, arg) : 0);
}

int symclient__lookup(struct symclient *c, const uint64_t *offs, size_t n, symclient_fn fn,
		      void *arg)
{
	int err = c->h && c->ready && !c->n_on_their_way ? 0 : -EFAULT;
	size_t sent = 0;

	/* One request is on its way while another is answered: neither side waits for the other. */
	for (size_t at = 0; at < n && !err; at += SYM_BATCH) {
		while (sent < n && sent <= at + SYM_BATCH && !err) {
			size_t part = min_of(n - sent, (size_t)SYM_BATCH);

			err = send_question(c, offs + sent, part);
			sent += part;
		}
		if (!err)
			err = receive_all(c, at, fn, arg);
	}
	return judge(c, err);
}
