/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profiles_answers.c - what is said at once, and how a profile is sent. */
#include "daemon/profiles_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/emit.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "daemon/pagefaults.h"
#include "format/gotext.h"
#include "format/output.h"
#include "format/page.h"
#include "go/go_program.h"
#include "observe/target.h"
#include "sys/proc_image.h"

/* As Go says it. */
void profiles__refuse(struct profiles *p, uint64_t ticket, unsigned status, const char *text)
{
	struct http_answer a = {.status = status,
				.headers = "X-Go-Pprof: 1\r\n",
				.body = text,
				.len = strlen(text)};

	http__reply(p->s.http, ticket, &a);
}

/* --- who is left out --- */

void profiles__leave_out(struct profiles_window *w, uint32_t pid, const char *why)
{
	if (!w->left[LEFT_FAILED]++)
		snprintf(w->failed, sizeof(w->failed), "PID %u: %.*s", pid, (int)strcspn(why, "\n"),
			 why);
}

static size_t count_left_out(const struct profiles_window *w)
{
	size_t n = 0;

	for (int i = 0; i < LEFT_CAUSES; i++)
		n += w->left[i];
	return n;
}

static int comment_left_out(const struct profiles_window *w, struct profile *prof)
{
	static const char *const words[] = {
		[LEFT_OTHERS] = "more that fit, of which this answer is not",
		[LEFT_UNPROFILED] = "that are not profiled",
		[LEFT_BEYOND] = "beyond those that go into one answer",
		[LEFT_FAILED] = "that failed",
	};
	struct textbuf b = {0};
	int err;

	if (!count_left_out(w))
		return 0;
	textbuf__str(&b, "left out: ");
	for (int i = 0; i < LEFT_CAUSES; i++) {
		if (w->left[i])
			textbuf__format(&b, "%s%zu %s", b.len > strlen("left out: ") ? ", " : "",
					w->left[i], words[i]);
	}
	if (w->left[LEFT_FAILED])
		textbuf__format(&b, " (%s)", w->failed);
	err = b.err ? b.err : profile__comment(prof, b.text);
	textbuf__free(&b);
	return err;
}

static void send_body(struct profiles *p, const struct profiles_window *w, const void *body,
		      size_t len)
{
	size_t left_out = count_left_out(w), n = 0;
	char headers[240] = "";
	struct http_answer a = {.headers = headers, .body = body, .len = len};

	if (left_out)
		n = snprintf(headers, sizeof(headers), "X-Memwatch-Left-Out: %zu\r\n", left_out);
	if (!w->debug && w->kind <= QUESTION_RESIDENT) {
		a.content_type = "application/octet-stream";
		snprintf(headers + n, sizeof(headers) - n,
			 "Content-Disposition: attachment; filename=\"%s%s\"\r\n",
			 question_names[w->kind], w->is_delta ? "-delta" : "");
	}
	http__reply(p->s.http, w->ticket, &a);
}

static int write_profile(const struct profiles_window *w, struct profile *prof, FILE *f)
{
	if (w->debug)
		return w->kind == QUESTION_GOROUTINE
			       ? gotext__count(f, prof, question_names[w->kind])
			       : gotext__heap(f, prof);
	return output__write_stream(prof, f, OUTPUT_PPROF, -1);
}

void profiles__send_profile(struct profiles *p, const struct profiles_window *w,
			    struct profile *prof)
{
	char *text = NULL, why[128];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err = f ? 0 : -ENOMEM;

	if (!err)
		err = comment_left_out(w, prof);
	if (!err && w->kind == QUESTION_ALLOCS)
		err = profile__string(prof, "alloc_space", &prof->default_sample_type);
	if (!err)
		err = write_profile(w, prof, f);
	if (f && fclose(f))
		err = -ENOMEM;
	if (err) {
		snprintf(why, sizeof(why), "failed to write the profile: %s\n", strerror(-err));
		profiles__refuse(p, w->ticket, 500, why);
	} else {
		send_body(p, w, text, len);
	}
	free(text);
}

void profiles__goroutines(struct profiles *p, struct profiles_window *w, struct roster_entry *e)
{
	struct go_goroutines_count count;
	const struct config_profile *rule;
	struct profile *prof = NULL;
	char why[GO_WHY_LEN + 2] = "";
	struct go_program *t;
	int err;

	if (!profiles__find(p, e->id) && !profiles__may_attach(p, e, &rule)) {
		profiles__refuse(p, w->ticket, 403,
				 "no [profile] section of the configuration allows it\n");
		return;
	}
	err = go_program__open((int)e->id.pid, &t, why);
	if (!err) {
		err = go_program__goroutines(t, &prof, &count);
		go_program__close(t);
	}
	if (!err) {
		profiles__send_profile(p, w, prof);
	} else {
		snprintf(why + strlen(why), 2, "\n");
		profiles__refuse(p, w->ticket, err == -ENOENT || err == -ESRCH ? 404 : 500,
				 why[1] ? why : "it has no goroutines that can be read\n");
	}
	profile__free(prof);
}

void profiles__resident(struct profiles *p, struct profiles_window *w, struct deep_id id)
{
	struct profile *prof = NULL;
	int err = pagefaults__profile(p->s.faults, id, false, &prof);
	char why[128];

	snprintf(why, sizeof(why), "%s\n",
		 err == -ENOSYS	  ? "no page faults are sampled ([faults] of the configuration)"
		 : err == -ENOENT ? "no page fault of it was sampled"
				  : strerror(-err));
	if (err)
		profiles__refuse(p, w->ticket, err == -ENOSYS || err == -ENOENT ? 404 : 500, why);
	else
		profiles__send_profile(p, w, prof);
	profile__free(prof);
}

/* The arguments with NUL between them, as Go's. */
void profiles__cmdline(struct profiles *p, struct profiles_window *w, struct roster_entry *e)
{
	cleanup_free char *text = NULL;
	ssize_t n = proc_image__arguments((pid_t)e->id.pid, 1 << 20, &text);

	if (n < 0) {
		profiles__refuse(p, w->ticket, 404, "the process has ended\n");
		return;
	}
	send_body(p, w, text, n && !text[n - 1] ? (size_t)n - 1 : (size_t)n);
}

/* Addresses stand in the body of a POST or are the query itself: "0x1234+0x5678". */
void profiles__symbols(struct profiles *p, struct profiles_window *w, struct roster_entry *e,
		       const struct http_request *r)
{
	const struct deep_process *d = profiles__find(p, e->id);
	struct textbuf b = {0};
	const char *at = r->body_len ? r->body : "";
	char *end, name[1024];

	for (size_t i = 0; i < r->nquery && !r->body_len; i++) {
		if (!strncmp(r->query[i].name, "0x", 2))
			at = r->query[i].name;
	}
	textbuf__format(&b, "num_symbols: %d\n", d != NULL);
	while (d && *at) {
		uint64_t address = strtoull(at, &end, 0);

		if (end == at)
			break;
		if (!deep__symbol(p->s.from->deep, d, address, name, sizeof(name))) {
			textbuf__format(&b, "0x%" PRIx64 " ", address);
			textbuf__plain(&b, name, "");
			textbuf__str(&b, "\n");
		}
		at = end + strspn(end, "+ ");
	}
	if (b.err)
		profiles__refuse(p, w->ticket, 500, "out of memory\n");
	else
		send_body(p, w, b.text, b.len);
	textbuf__free(&b);
}

static void index_row(FILE *f, const struct deep_process *d)
{
	fprintf(f, "<tr><td><a href=\"/p/%u/debug/pprof/\">%u</a></td><td>", d->id.pid, d->id.pid);
	emit__xml(f, d->target->comm);
	fputs("</td><td>", f);
	emit__xml(f, d->rule);
	for (int k = QUESTION_HEAP; k <= QUESTION_GOROUTINE; k++) {
		if (k != QUESTION_GOROUTINE || d->is_go)
			fprintf(f, "</td><td><a href=\"/p/%u/debug/pprof/%s?debug=1\">%s</a>",
				d->id.pid, question_names[k], question_names[k]);
	}
	fputs("</td></tr>\n", f);
}

struct index_of {
	const struct profiles *p;
	uint32_t pid; /* 0: all */
};

static int index_rows(FILE *f, void *arg)
{
	const struct index_of *of = arg;
	struct deep *deep = of->p->s.from->deep;
	size_t n = 0;

	for (const struct deep_process *d = deep__next(deep, NULL); d; d = deep__next(deep, d)) {
		if (d->ended || (of->pid && d->id.pid != of->pid))
			continue;
		index_row(f, d);
		n++;
	}
	fprintf(f, "</table>\n<p>%zu of %zu processes.</p>", n, of->p->s.from->table->n);
	return 0;
}

void profiles__index(struct profiles *p, struct profiles_window *w, uint32_t pid)
{
	struct http_answer a = {.content_type = "text/html; charset=utf-8"};
	struct index_of of = {p, pid};
	cleanup_free char *text = NULL;
	FILE *f = open_memstream(&text, &a.len);
	int err = f ? page__write(f, "pprof", index_rows, &of) : -ENOMEM;

	if (f && fclose(f))
		err = -ENOMEM;
	a.body = text;
	if (err)
		profiles__refuse(p, w->ticket, 500, "out of memory\n");
	else
		http__reply(p->s.http, w->ticket, &a);
}
