/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load.c - see load.h. */
#include "report/load.h"

#include "core/util.h"
#include "format/pprof.h"
#include "format/record.h"
#include "format/text.h"
#include "format/timeline_read.h"
#include "sys/apart.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE ((size_t)1 << 30)

/* Frames that the stacks of a file may have, inlined ones included: what is written for each of
 * them must not grow out of nothing. Real profiles have less than 20 for each compressed byte. */
#define FRAMES_ALWAYS ((uint64_t)1 << 20)
#define FRAMES_PER_BYTE 64

/* Labels of one sample are compared with each other. Real profiles have less than ten. */
#define MAX_LABELS 256

static int read_all(int fd, char **ret, size_t *ret_len)
{
	cleanup_free char *buf = NULL;
	size_t cap = 0, len = 0;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (st.st_size > 0 && (size_t)st.st_size <= MAX_FILE &&
	    array_reserve(buf, cap, (size_t)st.st_size + 1))
		return -ENOMEM;
	for (;;) {
		ssize_t n;

		if (array_reserve(buf, cap, len + 1))
			return -ENOMEM;
		n = read(fd, buf + len, min_of(cap - len, (size_t)1 << 30));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += n;
		if (!n)
			break;
		if (len > MAX_FILE)
			return -E2BIG;
	}
	*ret = take_ptr(buf);
	*ret_len = len;
	return 0;
}

/* Before anything expands: a stack of thousands of frames takes few bytes, and so do thousands of
 * inlined lines of one location. */
static int check_frames(const struct profile *p, size_t len)
{
	uint64_t all = 0, most = FRAMES_ALWAYS + FRAMES_PER_BYTE * (uint64_t)len;

	for (size_t i = 0; i < p->nsamples; i++) {
		const struct profile_sample *s = &p->samples[i];

		if (s->nlabels > MAX_LABELS)
			return -E2BIG;
		for (uint32_t k = 0; k < s->nstack; k++)
			all += max_of(p->locations[p->stack[s->stack0 + k]].nlines, 1u);
		if (all > most)
			return -EBADMSG;
	}
	return 0;
}

/* By its beginning: folded stacks, a log. */
static bool is_text(const char *s, size_t len)
{
	size_t n = min_of(len, (size_t)512), i = 0;

	while (i < n && ((unsigned char)s[i] >= ' ' || s[i] == '\n' || s[i] == '\t'))
		i++;
	return n && i == n;
}

static int read_format(const void *buf, size_t len, struct profile **ret, const char **ret_why)
{
	const char *s = buf;
	size_t i = 0;
	int err;

	while (i < len && i < 64 && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r'))
		i++;
	if (record__is(buf, len))
		return recording__profile(buf, len, NULL, ret, ret_why);
	/* '{' (0x7b) would be field 15 of wire type 3, which profile.proto never has. */
	if (i < len && s[i] == '{')
		return json__read(buf, len, ret, ret_why);
	if (i < len && s[i] == '<') {
		*ret_why =
			"a page or a picture (.html, .svg), for people; what it was made from is "
			"read: .pb.gz, .json, or a recording";
		return -EINVAL;
	}
	if (len >= 12 && !memcmp(s, "heap profile", 12)) {
		*ret_why = "a heap profile in the legacy text form; convert it with pprof -proto";
		return -EBADMSG;
	}
	err = pprof__read(buf, len, ret, ret_why);
	if (err == -EBADMSG && is_text(s, len))
		*ret_why = "text of no kind that is read; .pb.gz, .json and recordings are";
	return err;
}

static int checked(int err, size_t len, struct profile **p, const char **ret_why)
{
	if (err)
		return err;
	err = check_frames(*p, len);
	if (err) {
		*ret_why = err == -E2BIG ? "a sample has more than 256 labels"
					 : "its stacks have more frames than a file of this size "
					   "can mean";
		profile__free(*p);
		*p = NULL;
	}
	return err;
}

int load__buffer(const void *buf, size_t len, struct profile **ret, const char **ret_why)
{
	return checked(read_format(buf, len, ret, ret_why), len, ret, ret_why);
}

int load__bytes(const char *path, char **ret, size_t *ret_len, char *why, size_t why_len)
{
	int err;

	if (!strcmp(path, "-")) {
		err = read_all(STDIN_FILENO, ret, ret_len);
	} else {
		cleanup_fd int fd = apart__open(path, APART_READ);

		err = fd < 0 ? fd : read_all(fd, ret, ret_len);
	}
	if (err)
		snprintf(why, why_len, "%s", err == -E2BIG ? "larger than 1GB" : strerror(-err));
	return err;
}

bool load__is_timeline(const char *path)
{
	char buf[TIMELINE_READ_PEEK];
	cleanup_fd int fd = -1;
	ssize_t n;

	if (!strcmp(path, "-"))
		return false;
	fd = apart__open(path, APART_READ_FILE); /* a pipe stays as it is */
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), 0);
	return n > 0 && timeline_read__is(buf, (size_t)n);
}

int load__file(const char *path, const struct recording_window *w, struct profile **ret, char *why,
	       size_t why_len)
{
	cleanup_free char *buf = NULL;
	const char *reason = "";
	size_t len = 0;
	int err = load__bytes(path, &buf, &len, why, why_len);

	if (err)
		return err;
	if (w && record__is(buf, len)) {
		err = checked(recording__profile(buf, len, w, ret, &reason), len, ret, &reason);
	} else if (w && (w->has_from || w->has_to)) {
		reason = "--from and --to need a recording (memwatch --record)";
		err = -EINVAL;
	} else {
		err = load__buffer(buf, len, ret, &reason);
	}
	if (err)
		snprintf(why, why_len, "%s%s", err == -EBADMSG ? "not a valid profile: " : "",
			 reason);
	return err;
}
